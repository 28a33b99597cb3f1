/* What Python hands over: a job's data, state and numbers. Lanes are as many of these as LANES. */

struct job {
  const float *inputs;   /* [rows][INPUTS] */
  const void *targets;   /* float [rows][OUTPUTS], or int64 class [rows] */
  const int64_t *order;  /* the row numbers of these ticks, one after another; null: all in turn */
  const double *rates;   /* learning rate of each tick, rate_step apart (0: one for all) */
  float *const *weights; /* the net's tensors, as torch has them */
  float *const *first;   /* momentum_buffer or exp_avg of each */
  float *const *second;  /* exp_avg_sq of each */
  float *losses, *norms; /* one for each tick; norms may be null */
  int64_t rows, batch, parts;
  int64_t tick, ticks;   /* the last tick before these, and the number to run */
  int64_t rate_step;
  uint64_t seed;
  double weight_decay, momentum, beta1, beta2, eps, clip, dropout;
  float step;            /* Adam's count of updates */
  int32_t nonfinite;     /* out: the last tick's loss is not finite */
  int64_t done;          /* out: ticks run, that one included */
};

/* A tensor: element (i, j) of its `lines` lies at i * line_step + j * step of torch's. */
struct place {
  int place, lines, width, line_step, step;
};
