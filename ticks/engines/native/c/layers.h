/* What lies between the linear layers: norms, activations and dropout, of n rows and back. */

/* 0 where y is not above 0; NaN passes. */
INLINE vec where_above(vec y, vec value) { return (vec)((ivec)value & ~(y <= 0.0f)); }

/* f(y) and, beside it, what a gradient is multiplied by on its way back (not relu's). */
INLINE vec activated(vec y, vec *slope) {
  if (ACTIVATION == RELU) return where_above(y, y);
  if (ACTIVATION == TANH) {
    vec a = hyperbolic_tangent(y);
    *slope = 1.0f - a * a;
    return a;
  }
  if (ACTIVATION == GELU) {
    vec below = 0.5f * (1.0f + error_function(y * 0.707106781f));
    *slope = below + y * (0.398942280f * exponential(-0.5f * (y * y)));
    return y * below;
  }
  vec a = logistic(y);
  if (ACTIVATION == SIGMOID) {
    *slope = a * (1.0f - a);
    return a;
  }
  *slope = a * (1.0f + y * (1.0f - a));
  return y * a;
}

/* dloss/dy from d = dloss/da. */
INLINE vec through(vec a, vec slope, vec d) {
  if (ACTIVATION == RELU) return where_above(a, d); /* a > 0 where y > 0 */
  return d * slope;
}

INLINE void activate(int n, int width, vec *y, vec *slope) {
  for (int r = 0; r < n; r++)
    for (int v = 0; v < V(width); v++) {
      int i = r * V(width) + v;
      y[i] = tail(activated(y[i], &slope[i]), v, width);
    }
}

INLINE void activate_back(int n, int width, const vec *a, const vec *slope, vec *d) {
  for (int i = 0; i < n * V(width); i++) d[i] = through(a[i], slope[i], d[i]);
}

#define EPS 1e-5f

/* A slice's mean (if centred) and what makes its variance 1; its elements less their mean. */
struct spread {
  int centred;
  real mean, scale;
};

INLINE vec centred(const struct spread *of, vec z, int v, int size) {
  return of->centred ? tail(z - of->mean, v, size) : z;
}

INLINE struct spread spread(int size, int is_centred, const vec *z, const real *summed) {
  const float share = 1.0f / size;
  struct spread of = {is_centred};
  if (is_centred) of.mean = (summed ? *summed : sum(z, size)) * share;
  STRANDED(s);
  EACH(v, size, vec h = centred(&of, z[v], v, size); STRAND(s, v_) += h * h;)
  of.scale = 1.0f / root(SUM(s) * share + EPS);
  return of;
}

/* The way back through a slice's norm: d is dloss/dh and becomes dloss/dz. */
INLINE void slice_back(int size, int centred, const vec *h, real scale, vec *d) {
  const float share = 1.0f / size;
  struct back back = {centred, d, h, .scale = scale};
  if (centred) back.mean = sum(d, size) * share;
  back.along = dot(d, h, size) * share;
  for (int v = 0; v < V(size); v++) d[v] = back_through(&back, v, size);
}

/* Whether each of the groups of a row begins with a block of its own. */
#define ALIGNED(size) (LANES > 1 || (size) % BLOCK == 0)

INLINE void take_slice(int at, int size, const vec *row, vec *slice) {
  slice[V(size) - 1] = ZERO;
  memcpy(slice, (const char *)row + 4 * LANES * (long)at, 4 * LANES * (long)size);
}

INLINE void put_slice(int at, int size, const vec *slice, vec *row) {
  memcpy((char *)row + 4 * LANES * (long)at, slice, 4 * LANES * (long)size);
}

/* Norm each of the groups of a row. */
INLINE void norm_groups(int width, int groups, int centre, vec *row, real *scale) {
  const int size = width / groups;
  for (int g = 0; g < groups; g++) {
    vec apart[V(size)], *slice = ALIGNED(size) ? row + g * V(size) : apart;
    if (!ALIGNED(size)) take_slice(g * size, size, row, slice);
    struct spread of = spread(size, centre, slice, 0);
    scale[g] = of.scale;
    for (int v = 0; v < V(size); v++)
      slice[v] = tail(centred(&of, slice[v], v, size) * of.scale, v, size);
    if (!ALIGNED(size)) put_slice(g * size, size, slice, row);
  }
}

/* z becomes h, normed in groups; a = f(gamma * h + beta), with f's slope. scale[n][groups]. */
INLINE void norm_forward(int n, int width, int groups, int centre, const vec *gamma,
                         const vec *beta, const real *summed, vec *z, real *scale, vec *a,
                         vec *slope) {
  for (int r = 0; r < n; r++, z += V(width), a += V(width), slope += V(width), scale += groups) {
    struct spread of;
    if (groups > 1) norm_groups(width, groups, centre, z, scale);
    else of = spread(width, centre, z, summed), *scale = of.scale;
    EACH(v, width, {
      if (groups == 1) z[v] = tail(centred(&of, z[v], v, width) * of.scale, v, width);
      vec y = z[v] * gamma[v];
      if (beta) y += beta[v];
      a[v] = tail(activated(y, &slope[v]), v, width);
    })
  }
}

/* One row's way back to h, each parameter stepping at once. With `lines`, d[v] is made as `combine`
   does from c and those of the next layer, which step too. Leaves the rest of the way to `back_through`. */
INLINE struct back plain_back(struct work *w, int width, int centred, int gamma, int beta,
                              const vec *h, real scale, const vec *a, const vec *slope, vec *d,
                              const vec *c, int lines, int place, int masked) {
  const float share = 1.0f / width;
  const real down = w->down;
  STRANDED(s);
  STRANDED(t);
  EACH(v, width, {
    vec from = lines ? ZERO : d[v];
    for (int k = 0; k < lines; k++) {
      int at = place + k * V(width) + v;
      real by = AT(c, k);
      from += by * w->p[at];
      plain_step(w, at, tail(a[v] * (down * by), v, width), masked);
    }
    vec back = through(a[v], slope[v], from), one = back * w->p[gamma + v];
    plain_step(w, gamma + v, down * (back * h[v]), masked);
    if (beta >= 0) plain_step(w, beta + v, down * back, masked);
    d[v] = one;
    STRAND(s, v_) += one;
    STRAND(t, v_) += one * h[v];
  })
  struct back back = {centred, d, h, SUM(s) * share, SUM(t) * share, scale};
  return back;
}

INLINE void row_back(int width, int groups, int centred, const vec *h, const real *scale, vec *d) {
  const int size = width / groups;
  for (int g = 0; g < groups; g++) {
    if (groups == 1 || ALIGNED(size)) {
      slice_back(size, centred, h + g * V(size), scale[g], d + g * V(size));
      continue;
    }
    vec slice[V(size)], other[V(size)];
    take_slice(g * size, size, h, slice);
    take_slice(g * size, size, d, other);
    slice_back(size, centred, slice, scale[g], other);
    put_slice(g * size, size, other, d);
  }
}

/* d, dloss/da, becomes dloss/dz; gives the gradients at gamma's place and (if >= 0) at beta's. */
INLINE void norm_backward(struct work *w, int n, int width, int groups, int centred, int gamma,
                          int beta, const vec *h, const real *scale, const vec *a,
                          const vec *slope, vec *d, int fresh, int masked) {
  for (int v = 0; v < V(width); v++) {
    vec by = w->p[gamma + v], of_gamma = ZERO, of_beta = ZERO;
    for (int i = v, r = 0; r < n; r++, i += V(width)) {
      vec back = through(a[i], slope[i], d[i]);
      d[i] = back * by;
      if (r == 0 && fresh) of_gamma = back * h[i], of_beta = back;
      else if (r == 0) of_gamma = w->g[gamma + v] + back * h[i];
      else of_gamma += back * h[i];
      if (beta < 0) continue;
      if (r == 0 && !fresh) of_beta = w->g[beta + v] + back;
      else if (r > 0) of_beta += back;
    }
    give(w, gamma + v, of_gamma, masked);
    if (beta >= 0) give(w, beta + v, of_beta, masked);
  }
  for (int r = 0; r < n; r++, h += V(width), scale += groups, d += V(width))
    row_back(width, groups, centred, h, scale, d);
}

/* The finaliser of splitmix64 (Steele et al. 2014): scatters 64 bits, one to one. */
INLINE uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

/* A one-to-one scattering of 32 bits: xor-shift, multiply, thrice (constants of C. Wellons). */
INLINE uvec scattered(uvec x) {
  x = (x ^ (x >> 16)) * 0x7FEB352Du;
  x = (x ^ (x >> 15)) * 0x846CA68Bu;
  return x ^ (x >> 16);
}

/* Dropout. A number is kept if its 32 random bits, as a whole number, are at least p * 2^32, and
   then grows by 1 / (1 - p). The bits of unit i of row r of a part are those of the counter
   r * width + i under the 64-bit key mixed(mixed(mixed(mixed(seed) + tick) + part) + layer). */
INLINE void drop(struct work *w, int n, long row, int width, int layer, vec *a, vec *kept) {
  ureal low, high;
  for (int l = 0; l < LANES; l++) {
    uint64_t key = mixed(w->key[l] + layer);
    ((uint32_t *)&low)[l] = (uint32_t)key;
    ((uint32_t *)&high)[l] = (uint32_t)(key >> 32);
  }
#if LANES == 1
  const uvec ahead = {0, 1, 2, 3, 4, 5, 6, 7};
#else
  const uvec ahead = {0};
#endif
  for (int r = 0; r < n; r++)
    for (int v = 0; v < V(width); v++) {
      uvec counter = ahead + (uint32_t)((row + r) * width + v * BLOCK);
      uvec bits = scattered(scattered(counter ^ low) + high);
      int i = r * V(width) + v;
      kept[i] = chosen((ivec)(bits >= w->threshold), ZERO + w->growth, ZERO);
      a[i] *= kept[i];
    }
}

INLINE void drop_back(int n, int width, const vec *kept, vec *d) {
  for (int i = 0; i < n * V(width); i++) d[i] *= kept[i];
}
