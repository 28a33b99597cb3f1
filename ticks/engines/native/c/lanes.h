/* Numbers of one job or of many: the two types everything else is written in.

   A `real` is one number of each lane. A `vec` is a block of BLOCK consecutive elements of each lane.
   One lane: real is float, and a vec is 8 elements of an array. Many lanes: both are one element of
   every lane. An array of n elements is `vec a[V(n)]`; element k of lane l is float k * LANES + l of it.
   With one lane the last vec may be longer than the array: the elements beyond it are +0, always.

   Sums over elements have one order, whatever the lanes: strand s (of 8) starts at +0 and adds the
   elements s, s + 8, s + 16 ...; then ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7)). A strand that
   starts at +0 is never -0, so elements +0 beyond the end change no bit. */
#include <fenv.h>
#include <stdint.h>
#include <string.h>

#ifndef LANES
#define LANES 1
#endif
#define STRANDS 8
#define BLOCK (LANES == 1 ? STRANDS : 1)
#define V(n) (((n) + BLOCK - 1) / BLOCK)
#define WIDE (LANES == 1 ? STRANDS : LANES)
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")

typedef float vec __attribute__((vector_size(4 * WIDE), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * WIDE), may_alias));
typedef uint32_t uvec __attribute__((vector_size(4 * WIDE), may_alias));
#if LANES == 1
typedef float real;
typedef uint32_t ureal;
#else
typedef vec real;
typedef uvec ureal;
#endif

typedef float number __attribute__((may_alias));
#define ELEMENT(a, k, l) (((number *)(a))[(long)(k) * LANES + (l)])
#define LANE(a, l) (((number *)&(a))[l])
/* Element k of an array, of every lane. */
#if LANES == 1
#define AT(a, k) (((const number *)(a))[k])
#define PUT(a, k, value) (((number *)(a))[k] = (value))
#else
#define AT(a, k) ((a)[k])
#define PUT(a, k, value) ((a)[k] = (value))
#endif
#define ZERO ((vec){0})

INLINE vec block(real a) { return a + ZERO; } /* a number as a block; -0 becomes +0 */

INLINE real whole(float a) {
#if LANES == 1
  return a;
#else
  return a + ZERO;
#endif
}

/* The first lane's element of a block, or the block: the inverse of `block`. */
INLINE real first(vec a) {
#if LANES == 1
  return a[0];
#else
  return a;
#endif
}

INLINE vec chosen(ivec where, vec yes, vec no) {
  return (vec)((where & (ivec)yes) | (~where & (ivec)no));
}

/* Block v of an array of n elements with +0 beyond its end. */
INLINE vec tail(vec a, int v, int n) {
  if (LANES > 1 || n % BLOCK == 0 || v != V(n) - 1) return a;
#if LANES == 1
  ivec within = (ivec){0, 1, 2, 3, 4, 5, 6, 7} < (int32_t)(n % BLOCK);
  return (vec)((ivec)a & within);
#else
  return a;
#endif
}

INLINE vec roots(vec a) {
  vec root;
  for (int i = 0; i < WIDE; i++) root[i] = __builtin_sqrtf(a[i]);
  return root;
}

INLINE real root(real a) {
#if LANES == 1
  return __builtin_sqrtf(a);
#else
  return roots(a);
#endif
}

/* The eight strands, in their tree. */
INLINE real joined(const real *s) {
  return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

#if LANES == 1
typedef float half __attribute__((vector_size(16), may_alias));

INLINE real folded(vec s) {
  half low, high;
  memcpy(&low, &s, 16);
  memcpy(&high, (char *)&s + 16, 16);
  half four = low + high;
  return (four[0] + four[2]) + (four[1] + four[3]);
}

#define SUM(s) folded((s)[0])
#define STRAND(s, v) (s)[0]
#define STRANDED(s) vec s[1] = {0}
#else
#define SUM(s) joined(s)
#define STRAND(s, v) (s)[v]
#define STRANDED(s) vec s[STRANDS] = {0}
#endif

/* Do something for every block v of an array of n elements: eight at a time, so that STRAND(s, v)
   stays in a register. */
#define EACH(v, n, ...)                                         \
  {                                                             \
    int from = 0;                                               \
    for (; from + STRANDS <= V(n); from += STRANDS) UNROLL      \
      for (int v_ = 0; v_ < STRANDS; v_++) {                    \
        const int v = from + v_;                                \
        __VA_ARGS__                                             \
      }                                                         \
    UNROLL                                                      \
    for (int v_ = 0; v_ < STRANDS - 1; v_++)                    \
      if (v_ < V(n) - from) {                                   \
        const int v = from + v_;                                \
        __VA_ARGS__                                             \
      }                                                         \
  }

INLINE real sum(const vec *a, int n) {
  STRANDED(s);
  EACH(v, n, STRAND(s, v_) += a[v];)
  return SUM(s);
}

INLINE real dot(const vec *a, const vec *b, int n) {
  STRANDED(s);
  EACH(v, n, STRAND(s, v_) += a[v] * b[v];)
  return SUM(s);
}
