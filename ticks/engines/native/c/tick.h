/* A tick, and k of them: rows in, forward, loss, backward, update. Python calls `run`. */

/* A number as it is stored: NaN has many encodings, and the compiler decides which one occurs. */
INLINE float plain(float a) {
  if (a == a) return a;
  return __builtin_nanf("");
}

/* Copy a tensor between torch's layout and lane l's elements, in stripes that stay in the cache. */
INLINE void copy_tensor(vec *of, const struct place *at, int l, float *theirs, int out) {
  const int blocks = V(at->width);
  for (int from = 0; from < at->width; from += 16)
    for (int i = 0; i < at->lines; i++)
      for (int j = from; j < from + 16 && j < at->width; j++) {
        float *one = theirs + (long)i * at->line_step + (long)j * at->step;
        number *other = &ELEMENT(of + at->place + (long)i * blocks, j, l);
        if (out) *one = plain(*other);
        else *other = *one;
      }
}

static void copy_state(struct work *w, int l, struct job *job, int out) {
  for (int t = 0; t < TENSORS; t++) {
    copy_tensor(w->p, &PLACE[t], l, job->weights[t], out);
    if (FIRST && job->first) copy_tensor(w->first, &PLACE[t], l, job->first[t], out);
    if (SECOND && job->second) copy_tensor(w->second, &PLACE[t], l, job->second[t], out);
  }
}

/* Copy lane l's row number `from` of its data into row r. */
INLINE void fetch_row(struct work *w, int l, int r, const struct job *job, long from, vec *x) {
  const float *input = job->inputs + from * INPUTS;
  for (int k = 0; k < INPUTS; k++) ELEMENT(x, k, l) = input[k];
  if (OBJECTIVE != MSE) {
    w->class[r * LANES + l] = (int32_t)((const int64_t *)job->targets)[from];
    return;
  }
  const float *target = (const float *)job->targets + from * OUTPUTS;
  for (int k = 0; k < OUTPUTS; k++) ELEMENT(w->target + r * V(OUTPUTS), k, l) = target[k];
}

/* Copy rows `row` to row + n - 1 of the tick's batch. A lane out of the group reads its first row. */
INLINE void fetch(struct work *w, const struct job *jobs, long row, int n) {
  for (int l = 0; l < LANES; l++)
    for (int r = 0; r < n; r++) {
      long at = w->begin[l] + row + r;
      if (!w->group[l]) at = 0;
      else if (jobs[l].order) at = jobs[l].order[at];
      fetch_row(w, l, r, &jobs[l], at, w->x + r * V(INPUTS));
    }
}

/* Leave the gradient of rows first to last - 1 in w->g; give their mean loss. */
static __attribute__((noinline)) real part(struct work *w, const struct job *jobs, long number,
                                           long first, long last) {
  real strand[STRANDS];
  for (int s = 0; s < STRANDS; s++) strand[s] = whole(0.0f);
  for (int l = 0; DROPOUT && l < LANES; l++)
    w->key[l] = mixed(mixed(mixed(jobs[l].seed) + w->tick[l]) + number);
  for (long row = first; row < last; row += TILE) {
    int n = last - row < TILE ? (int)(last - row) : TILE;
    if (w->made) memcpy(w->x, w->coming, sizeof w->coming);
    else fetch(w, jobs, row, n);
    forward(w, n, row - first, 1);
    w->made = 0;
    losses(w, n, row - first, last - first, w->out, strand);
    if (!FUSED) backward(w, n, row == first, 0);
  }
  return mean_of(strand, last - first);
}

/* Add parts first to last - 1 of the tick as ticks/micro_batches.py does: into gradient `depth`. */
static real tree(struct work *w, const struct job *jobs, long rows, long parts, long first,
                 long last, int depth) {
  vec *g = w->gradients + (long)depth * PLACES;
  if (last - first == 1) {
    long length = rows / parts, longer = rows % parts;
    long begin = first * length + (first < longer ? first : longer);
    long end = begin + length + (first < longer);
    float weight = (float)((double)(end - begin) / (double)rows);
    w->g = g;
    real loss = part(w, jobs, first, begin, end);
    if (parts == 1) return loss;
    for (int i = 0; i < PLACES; i++) g[i] *= weight;
    return loss * weight;
  }
  long middle = first + (last - first + 1) / 2;
  real left = tree(w, jobs, rows, parts, first, middle, depth);
  real right = tree(w, jobs, rows, parts, middle, last, depth + 1);
  for (int i = 0; i < PLACES; i++) g[i] += g[i + PLACES];
  return left + right;
}

/* Record the group's losses; a lane whose loss is not finite stops. Gives how many lanes go on. */
INLINE int noted(struct work *w, struct job *jobs, real loss) {
  int applied = 0;
  for (int l = 0; l < LANES; l++) {
    ((int32_t *)&w->active)[l] = 0;
    if (!w->group[l]) continue;
    float one = LANE(loss, l);
    jobs[l].losses[jobs[l].done] = plain(one);
    jobs[l].done++;
    jobs[l].nonfinite = !(__builtin_fabsf(one) <= 3.4028234663852886e38f);
    if (jobs[l].nonfinite) continue;
    ((int32_t *)&w->active)[l] = -1;
    if (OPTIMIZER != SGD) jobs[l].step += 1.0f;
    applied++;
  }
  return applied;
}

/* Record the group's norms, of the ticks whose losses were noted. */
INLINE void note_norms(struct work *w, struct job *jobs, real norm) {
  for (int l = 0; l < LANES; l++)
    if (w->group[l] && jobs[l].norms) jobs[l].norms[jobs[l].done - 1] = plain(LANE(norm, l));
}

/* Fetch every lane's next row, this one's inputs being needed still; 0 if a lane has no next tick. */
INLINE int look_ahead(struct work *w, const struct job *jobs) {
  for (int l = 0; l < LANES; l++)
    if (jobs[l].done >= jobs[l].ticks) return 0;
  for (int l = 0; l < LANES; l++) {
    long at = jobs[l].order ? jobs[l].order[w->ahead[l]] : w->row[l];
    fetch_row(w, l, 0, &jobs[l], at, w->coming);
  }
  return 1;
}

/* One tick, of `rows` rows, of the lanes of the group. */
static __attribute__((noinline)) void tick(struct work *w, struct job *jobs, long rows) {
  long parts = jobs[0].parts < rows ? jobs[0].parts : rows;
  if (FUSED) {
    w->g = w->gradients;
    real loss = part(w, jobs, 0, 0, 1);
    int applied = noted(w, jobs, loss);
    if (AHEAD && applied == LANES) w->made = look_ahead(w, jobs);
    if (applied == LANES) backward(w, 1, 1, 0);
    else if (applied || GRAD_NORM) backward(w, 1, 1, 1);
    if (GRAD_NORM) note_norms(w, jobs, norm_of(w->g));
    return;
  }
  real loss = tree(w, jobs, rows, parts, 0, parts, 0);
  vec *g = w->gradients;
  real norm = loss;
  if (GRAD_NORM) norm = norm_of(g);
  int applied = noted(w, jobs, loss);
  if (GRAD_NORM) note_norms(w, jobs, norm);
  if (!applied) return;
  if (CLIP) clip(g, norm, jobs);
  if (applied == LANES)
    for (int i = 0; i < PLACES; i++) update(w, i, g[i], 0);
  else
    for (int i = 0; i < PLACES; i++) update(w, i, g[i], 1);
}

/* Rows of lane l's next tick: how many, from where on; and the numbers it is made with. */
INLINE long prepared(struct work *w, int l, const struct job *job) {
  long left = job->rows - w->row[l];
  long rows = left < job->batch ? left : job->batch;
  w->begin[l] = job->order ? w->ahead[l] : w->row[l];
  w->ahead[l] += rows;
  w->row[l] = rows < left ? w->row[l] + rows : 0;
  w->tick[l] = (uint64_t)(job->tick + job->done + 1);
  if (OPTIMIZER != SGD || job->rate_step || job->done == 0)
    set_numbers(w, l, job, job->rates[job->done * job->rate_step], (double)(job->step + 1.0f));
  return rows;
}

/* The same of one whose next tick is one row, as the last was. */
INLINE void advance(struct work *w, int l, const struct job *job) {
  w->ahead[l]++;
  w->row[l] = w->row[l] + 1 < job->rows ? w->row[l] + 1 : 0;
  w->tick[l]++;
  if (job->rate_step) set_numbers(w, l, job, job->rates[job->done], 0.0);
}

/* Make the next tick of every lane that has one; lanes with equally many rows go together. */
static int next(struct work *w, struct job *jobs) {
  if (w->made) {
    for (int l = 0; l < LANES; l++) advance(w, l, &jobs[l]);
    tick(w, jobs, 1);
    return 1;
  }
  long rows[LANES];
  int left = 0;
  for (int l = 0; l < LANES; l++) {
    w->group[l] = 0;
    rows[l] = jobs[l].done < jobs[l].ticks && !jobs[l].nonfinite ? prepared(w, l, &jobs[l]) : 0;
    left += rows[l] > 0;
  }
  const int any = left;
  while (left) {
    long together = 0;
    for (int l = 0; l < LANES; l++) {
      if (!together) together = rows[l];
      w->group[l] = together && rows[l] == together;
      if (w->group[l]) rows[l] = 0, left--;
    }
    tick(w, jobs, together);
  }
  return any;
}

/* The float environment of a fresh thread: no flushing of small numbers, to nearest. */
static void begin(struct work *w, struct job *jobs, fenv_t *before) {
  fegetenv(before);
  fesetenv(FE_DFL_ENV);
  for (int l = 0; l < LANES; l++) {
    jobs[l].done = jobs[l].nonfinite = 0;
    w->ahead[l] = w->begin[l] = 0;
    w->row[l] = jobs[l].tick % ((jobs[l].rows + jobs[l].batch - 1) / jobs[l].batch) * jobs[l].batch;
    double p = jobs[l].dropout;
    ((uint32_t *)&w->threshold)[l] = (uint32_t)(p * 4294967296.0);
    LANE(w->growth, l) = (float)(1.0 / (1.0 - p));
    copy_state(w, l, &jobs[l], 0);
  }
}

/* Bytes of the work area of ticks of so many parts. */
int64_t work_bytes(int64_t parts) {
  int64_t depth = 1;
  for (int64_t n = 1; n < parts; n *= 2) depth++;
  return (int64_t)sizeof(struct work) + (FUSED && !GRAD_NORM ? 0 : depth * PLACES * (int64_t)sizeof(vec));
}

/* Run every lane's ticks, in place; `work` is aligned to 64 bytes and was all 0 at first. */
void run(struct job *jobs, struct work *work) {
  fenv_t before;
  begin(work, jobs, &before);
  while (next(work, jobs)) {
  }
  for (int l = 0; l < LANES; l++)
    if (jobs[l].ticks) copy_state(work, l, &jobs[l], 1);
  fesetenv(&before);
}

#if LANES == 1
/* The outputs of a job's rows in order, [rows][OUTPUTS], and their mean loss, without dropout. */
void evaluate(struct job *job, struct work *w, float *outputs, float *loss) {
  fenv_t before;
  begin(w, job, &before);
  w->group[0] = 1;
  real strand[STRANDS] = {0};
  for (long row = 0; row < job->rows; row += TILE) {
    int n = job->rows - row < TILE ? (int)(job->rows - row) : TILE;
    fetch(w, job, row, n);
    forward(w, n, row, 0);
    for (int r = 0; r < n; r++)
      for (int k = 0; k < OUTPUTS; k++)
        outputs[(row + r) * OUTPUTS + k] = plain(ELEMENT(w->out + r * V(OUTPUTS), k, 0));
    losses(w, n, row, job->rows, w->out, strand);
  }
  *loss = (float)mean_of(strand, job->rows);
  fesetenv(&before);
}
#endif
