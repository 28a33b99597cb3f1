/* What an optimizer makes of a gradient, in torch's formulas; one block of parameters at a time.

   `give` takes the gradient of a place: where a tick is one row whose gradient nobody else reads
   (FUSED), it is applied at once; else it is kept until the tick's loss and norm are known. */

/* A new value where the lane's update counts, else the old one. */
INLINE vec counted(const struct work *w, vec yes, vec no, int masked) {
  if (masked) return chosen(w->active, yes, no);
  return yes;
}

INLINE void sgd(struct work *w, int i, vec g, int masked) {
  vec p = w->p[i];
  if (WEIGHT_DECAY && i < DECAYED) g = g + w->weight_decay * p;
  if (MOMENTUM) {
    vec m = w->momentum * w->first[i] + g; /* of +0 before the first tick */
    w->first[i] = counted(w, m, w->first[i], masked);
    if (NESTEROV) g = g + w->momentum * m;
    else g = m;
  }
  w->p[i] = counted(w, p - w->rate * g, p, masked);
}

/* rate: lr / (1 - beta1^step); root: sqrt(1 - beta2^step); kept: 1 - lr * weight_decay. */
INLINE void adam(struct work *w, int i, vec g, int masked) {
  vec p = w->p[i];
  if (WEIGHT_DECAY && i < DECAYED) {
    if (DECOUPLED) p = p * w->kept;
    else g = g + w->weight_decay * p;
  }
  vec m = w->first[i] + w->other1 * (g - w->first[i]);
  vec s = w->beta2 * w->second[i] + (w->other2 * g) * g;
  w->first[i] = counted(w, m, w->first[i], masked);
  w->second[i] = counted(w, s, w->second[i], masked);
  vec to = p - (w->rate * m) / (roots(s) / w->root + w->eps);
  w->p[i] = counted(w, to, w->p[i], masked);
}

INLINE void update(struct work *w, int i, vec g, int masked) {
  if (OPTIMIZER == SGD) sgd(w, i, g, masked);
  else adam(w, i, g, masked);
}

INLINE void give(struct work *w, int place, vec g, int masked) {
  if (FUSED) update(w, place, g, masked);
  if (!FUSED || GRAD_NORM) w->g[place] = g;
}

/* `give` for a linear layer, whose plain step is computed elsewhere. */
INLINE void keep(struct work *w, int place, vec g, int masked) {
  if (PLAIN) w->g[place] = g;
  else give(w, place, g, masked);
}

/* x^n for n >= 0 in float64, by squaring; 0 once it is too small to change 1 - x^n. */
INLINE double power(double x, long n) {
  double value = 1.0;
  for (; n > 0 && value > 0x1p-60; n >>= 1, x *= x)
    if (n & 1) value *= x;
  return value > 0x1p-60 ? value : 0.0;
}

/* Set lane l's numbers of a tick with this rate; `step` is Adam's count with this tick. */
INLINE void set_numbers(struct work *w, int l, const struct job *job, double rate, double step) {
  LANE(w->weight_decay, l) = (float)job->weight_decay;
  if (OPTIMIZER == SGD) {
    LANE(w->rate, l) = (float)rate;
    LANE(w->down, l) = -(float)rate;
    LANE(w->momentum, l) = (float)job->momentum;
    return;
  }
  LANE(w->rate, l) = (float)(rate / (1.0 - power(job->beta1, (long)step)));
  LANE(w->root, l) = (float)__builtin_sqrt(1.0 - power(job->beta2, (long)step));
  LANE(w->kept, l) = (float)(1.0 - rate * job->weight_decay);
  LANE(w->other1, l) = (float)(1.0 - job->beta1);
  LANE(w->other2, l) = (float)(1.0 - job->beta2);
  LANE(w->beta2, l) = (float)job->beta2;
  LANE(w->eps, l) = (float)job->eps;
}

/* The gradient's L2 norm: squares of a line, lines of a tensor, tensors, in order. */
INLINE real norm_of(const vec *g) {
  real total = whole(0.0f);
  for (int t = 0; t < TENSORS; t++) {
    const struct place *at = &PLACE[t];
    int blocks = V(at->width);
    real tensor = whole(0.0f);
    for (int k = 0; k < at->lines; k++)
      tensor += dot(g + at->place + k * blocks, g + at->place + k * blocks, at->width);
    total += tensor;
  }
  return root(total);
}

/* Scale the gradient so that its norm is at most clip, as torch does. */
INLINE void clip(vec *g, real norm, const struct job *jobs) {
  real by = whole(1.0f);
  for (int l = 0; l < LANES; l++) {
    float share = (float)jobs[l].clip / (LANE(norm, l) + 1e-6f);
    LANE(by, l) = share > 1.0f ? 1.0f : share;
  }
  for (int i = 0; i < PLACES; i++) g[i] *= by;
}
