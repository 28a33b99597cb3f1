/* Losses of rows, and their gradients. A row's loss goes into strand (row mod 8) of its part. */

/* Squares of n rows from `row` of `count`; y becomes dloss/dy. The sum is over rows and outputs. */
INLINE void squares(struct work *w, int n, long row, long count, vec *y, real *strand) {
  const float by = 2.0f / (float)(count * OUTPUTS);
  for (int r = 0; r < n; r++) {
    vec *at = y + r * V(OUTPUTS);
    for (int v = 0; v < V(OUTPUTS); v++) at[v] -= w->target[r * V(OUTPUTS) + v];
    strand[(row + r) % STRANDS] += dot(at, at, OUTPUTS);
    for (int v = 0; v < V(OUTPUTS); v++) at[v] *= by;
  }
}

/* Cross entropies of n rows of logits, each log(sum of exp(y - top)) - (y[class] - top). */
INLINE void surprises(struct work *w, int n, long row, long count, vec *y, real *strand) {
  const float share = 1.0f / (float)count;
  for (int r = 0; r < n; r++) {
    vec *at = y + r * V(OUTPUTS);
    const int32_t *is = w->class + r * LANES;
    real top, own;
    for (int l = 0; l < LANES; l++) {
      float most = ELEMENT(at, 0, l);
      for (int k = 1; k < OUTPUTS; k++)
        most = ELEMENT(at, k, l) > most ? ELEMENT(at, k, l) : most;
      LANE(top, l) = most;
      LANE(own, l) = ELEMENT(at, is[l], l) - most;
    }
    for (int v = 0; v < V(OUTPUTS); v++) at[v] = tail(exponential(at[v] - top), v, OUTPUTS);
    real all = sum(at, OUTPUTS);
    strand[(row + r) % STRANDS] += first(logarithm(block(all))) - own;
    for (int v = 0; v < V(OUTPUTS); v++) at[v] = at[v] / all;
    for (int l = 0; l < LANES; l++) ELEMENT(at, is[l], l) -= 1.0f;
    for (int v = 0; v < V(OUTPUTS); v++) at[v] *= share;
  }
}

INLINE void losses(struct work *w, int n, long row, long count, vec *y, real *strand) {
  if (OBJECTIVE == MSE) squares(w, n, row, count, y, strand);
  else surprises(w, n, row, count, y, strand);
}

/* The mean that the strands of `count` rows make. */
INLINE real mean_of(const real *strand, long count) {
  return joined(strand) / (float)(OBJECTIVE == MSE ? count * OUTPUTS : count);
}
