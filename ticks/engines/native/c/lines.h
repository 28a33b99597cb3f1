/* Products of small matrices, held as lines: `lines` of `width` elements each, vec[lines][V(width)].

   Rows come n at a time. What is added to one element is added in the order of lines or rows; the
   tiles, which only keep numbers in registers, change no order. */

/* out[r] = start + sum over k of AT(c[r], k) * line[k], for R rows, T vecs of the width from v on. */
INLINE void combine_tile(const int R, const int T, int v, int lines, int width, const vec *c,
                         int c_step, const vec *line, const vec *start, vec *out) {
  vec a[4][8];
  UNROLL
  for (int r = 0; r < R; r++) UNROLL
    for (int t = 0; t < T; t++) a[r][t] = start ? start[v + t] : ZERO;
  for (int k = 0; k < lines; k++) UNROLL
    for (int r = 0; r < R; r++) {
      real by = AT(c + r * c_step, k);
      UNROLL
      for (int t = 0; t < T; t++) a[r][t] += by * line[k * V(width) + v + t];
    }
  UNROLL
  for (int r = 0; r < R; r++) UNROLL
    for (int t = 0; t < T; t++) out[r * V(width) + v + t] = tail(a[r][t], v + t, width);
}

INLINE void combine_rows(const int R, int lines, int width, const vec *c, int c_step,
                         const vec *line, const vec *start, vec *out) {
  const int T = R == 1 ? 8 : 4, rest = V(width) % T;
  for (int v = 0; v + T <= V(width); v += T)
    combine_tile(R, T, v, lines, width, c, c_step, line, start, out);
  if (rest) combine_tile(R, rest, V(width) - rest, lines, width, c, c_step, line, start, out);
}

INLINE void combine(int n, int lines, int width, const vec *c, const vec *line, const vec *start,
                    vec *out) {
  int r = 0;
  if (LANES == 1)
    for (; r + 4 <= n; r += 4)
      combine_rows(4, lines, width, c + r * V(lines), V(lines), line, start, out + r * V(width));
  for (; r < n; r++)
    combine_rows(1, lines, width, c + r * V(lines), V(lines), line, start, out + r * V(width));
}

/* Element k of out[r] = dot(line[k], c[r]), plus start where there is one. */
INLINE void dots(int n, int lines, int width, const vec *c, const vec *line, const vec *start,
                 vec *out) {
  for (int r = 0; r < n; r++) {
    vec *to = out + r * V(lines);
    if (LANES == 1) to[V(lines) - 1] = ZERO;
    for (int k = 0; k < lines; k++) {
      real value = dot(line + k * V(width), c + r * V(width), width);
      if (start) value += AT(start, k);
      PUT(to, k, value);
    }
  }
}

/* Gradient of the lines from `place` on: of line k the sum over rows of AT(c[r], k) * d[r]. */
INLINE void outer_tile(struct work *w, const int K, const int T, int k, int v, int n, int lines,
                       int width, const vec *c, const vec *d, int place, int fresh, int masked) {
  vec g[4][4];
  UNROLL
  for (int i = 0; i < K; i++) UNROLL
    for (int t = 0; t < T; t++) {
      vec one = AT(c, k + i) * d[v + t];
      if (fresh) g[i][t] = one;
      else g[i][t] = w->g[place + (k + i) * V(width) + v + t] + one;
    }
  for (int r = 1; r < n; r++) UNROLL
    for (int i = 0; i < K; i++) UNROLL
      for (int t = 0; t < T; t++)
        g[i][t] += AT(c + r * V(lines), k + i) * d[r * V(width) + v + t];
  UNROLL
  for (int i = 0; i < K; i++) UNROLL
    for (int t = 0; t < T; t++)
      keep(w, place + (k + i) * V(width) + v + t, tail(g[i][t], v + t, width), masked);
}

INLINE void outer(struct work *w, int n, int lines, int width, const vec *c, const vec *d,
                  int place, int fresh, int masked) {
  int k = 0;
  for (; k + 4 <= lines; k += 4) {
    int v = 0;
    for (; v + 2 <= V(width); v += 2)
      outer_tile(w, 4, 2, k, v, n, lines, width, c, d, place, fresh, masked);
    if (v < V(width)) outer_tile(w, 4, 1, k, v, n, lines, width, c, d, place, fresh, masked);
  }
  for (; k < lines; k++)
    for (int v = 0; v < V(width); v++)
      outer_tile(w, 1, 1, k, v, n, lines, width, c, d, place, fresh, masked);
}

/* Gradient at `place`: the sum over rows of d[r]. */
INLINE void rows_sum(struct work *w, int n, int width, const vec *d, int place, int fresh,
                     int masked) {
  for (int v = 0; v < V(width); v++) {
    vec g = d[v];
    if (!fresh) g = w->g[place + v] + g;
    for (int r = 1; r < n; r++) g += d[r * V(width) + v];
    keep(w, place + v, g, masked);
  }
}

/* dloss/dz of a layer's outputs; behind a norm d is dloss/dh, and h, mean, along, scale the norm's. */
struct back {
  int centred;
  const vec *d, *h;
  real mean, along, scale;
};

INLINE vec back_through(const struct back *of, int v, int size) {
  vec rest = of->d[v];
  if (!of->h) return rest;
  if (of->centred) rest -= of->mean;
  return tail((rest - of->h[v] * of->along) * of->scale, v, size);
}

/* `by` is minus the rate times the gradient. */
INLINE void plain_step(struct work *w, int i, vec by, int masked) {
  w->p[i] = counted(w, w->p[i] + by, w->p[i], masked);
}

/* The plain step of a layer, of one row: bias += by, and line += x * by, where by = -rate * d.

   With `coming`, the next row of inputs, its products go to `out`, as `combine` makes them, and
   their sum to w->summed: each weight is loaded once a tick. */
INLINE void step_tile(struct work *w, const int T, int v, int lines, int width, const vec *x,
                      const struct back *back, int place, int bias, const vec *coming, vec *out,
                      vec *sums, int masked) {
  vec a[8], by[8];
  UNROLL
  for (int t = 0; t < T; t++) {
    by[t] = w->down * back_through(back, v + t, width);
    a[t] = counted(w, w->p[bias + v + t] + by[t], w->p[bias + v + t], masked);
    w->p[bias + v + t] = a[t];
  }
  for (int k = 0; k < lines; k++) {
    vec *line = w->p + place + k * V(width) + v;
    real now = AT(x, k), then = coming ? AT(coming, k) : now;
    UNROLL
    for (int t = 0; t < T; t++) {
      vec to = line[t] + tail(now * by[t], v + t, width);
      line[t] = counted(w, to, line[t], masked);
      if (coming) a[t] += then * to;
    }
  }
  UNROLL
  for (int t = 0; t < T && coming; t++) {
    out[v + t] = tail(a[t], v + t, width);
    STRAND(sums, t) += out[v + t];
  }
}

INLINE void step_columns(struct work *w, int lines, int width, const vec *x, struct back back,
                         int place, int bias, const vec *coming, vec *out, int masked) {
  const int rest = V(width) % 8;
  STRANDED(s);
  int v = 0;
  for (; v + 8 <= V(width); v += 8)
    step_tile(w, 8, v, lines, width, x, &back, place, bias, coming, out, s, masked);
  if (rest) step_tile(w, rest, v, lines, width, x, &back, place, bias, coming, out, s, masked);
  if (coming) w->summed = SUM(s);
}

INLINE void step_bias(struct work *w, int width, const vec *d, int bias, int masked) {
  for (int v = 0; v < V(width); v++) plain_step(w, bias + v, w->down * d[v], masked);
}

INLINE void step_rows(struct work *w, int lines, int width, const vec *x, const vec *d, int place,
                      int bias, int masked) {
  for (int k = 0; k < lines; k++) {
    real by = w->down * AT(d, k);
    vec *line = w->p + place + k * V(width);
    for (int v = 0; v < V(width); v++)
      line[v] = counted(w, line[v] + tail(x[v] * by, v, width), line[v], masked);
  }
  step_bias(w, lines, d, bias, masked);
}

/* All of the way back, for whoever needs d more than once. */
INLINE void back_all(struct back *back, int width, vec *d) {
  for (int v = 0; v < V(width); v++) d[v] = back_through(back, v, width);
  back->h = 0;
}
