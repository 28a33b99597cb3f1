/* Elementary functions, without a branch and without a library: exp, log, tanh, erf, logistic.

   Only + - * / of float32, comparisons and bits, in the order written, so that a value depends on the
   argument alone. Largest errors in units in the last place, held by a test against mpmath: exp 1.1,
   log 1, tanh 1.5, erf 1.5, logistic 2.5, where the value is a normal number. NaN gives NaN.
   Polynomials are minimax fits of our own. */

/* 2^n for whole n from -126 to 127, as float. */
INLINE vec power_of_two(ivec n) { return (vec)((n + 127) << 23); }

/* exp(x): 0 below -104 and infinity above 88.73, as float32 has it; below normal numbers too. */
INLINE vec exponential(vec x) {
  vec high = chosen(x > 89.0f, ZERO + 89.0f, x);
  vec low = chosen(high < -104.0f, ZERO - 104.0f, high);
  vec turns = low * 1.44269504f + 12582912.0f; /* 1.5 * 2^23: rounds to a whole number */
  vec n = turns - 12582912.0f;
  vec r = (low - n * 0.693359375f) - n * -2.12194440e-4f;
  vec p = 0.00139517174f * r + 0.00836959854f;
  p = p * r + 0.0416661873f;
  p = p * r + 0.166665122f;
  p = p * r + 0.5f;
  vec e = ((p * r) * r + r) + 1.0f;
  ivec whole = (ivec)turns - 0x4B400000;
  ivec some = whole >> 1; /* in two steps, or 2^n would leave the normal numbers */
  return (e * power_of_two(some)) * power_of_two(whole - some);
}

/* log(x) for positive normal x; log(0) is minus infinity, of NaN and infinity themselves. */
INLINE vec logarithm(vec x) {
  ivec bits = (ivec)x - 0x3F3504F3; /* the mantissa's cut at the root of a half */
  ivec n = bits >> 23;
  vec f = (vec)((bits & 0x007FFFFF) + 0x3F3504F3) - 1.0f;
  vec p = 0.0691536814f * f - 0.117898077f;
  p = p * f + 0.118729763f;
  p = p * f - 0.123843484f;
  p = p * f + 0.142186582f;
  p = p * f - 0.16669251f;
  p = p * f + 0.200022265f;
  p = p * f - 0.249999866f;
  p = p * f + 0.333333105f;
  vec e = __builtin_convertvector(n, vec);
  vec s = f * f;
  vec value = (p * f) * s + e * -2.12194440e-4f;
  value = ((value - 0.5f * s) + f) + e * 0.693359375f;
  value = chosen(x == 0.0f, ZERO - __builtin_inff(), value);
  return chosen((x < __builtin_inff()) & (x >= 0.0f), value, x);
}

INLINE vec magnitude(vec x) { return (vec)((ivec)x & 0x7FFFFFFF); }
INLINE vec signed_as(vec size, vec x) { return (vec)((ivec)size | ((ivec)x & (int32_t)0x80000000)); }

INLINE vec hyperbolic_tangent(vec x) {
  vec t = magnitude(x), s = x * x;
  vec p = -0.00566078071f * s + 0.020601999f;
  p = p * s - 0.0537292287f;
  p = p * s + 0.133313283f;
  p = p * s - 0.333332777f;
  vec small = (p * s) * x + x;
  vec large = 1.0f - 2.0f / (exponential(t + t) + 1.0f);
  return chosen(t < 0.625f, small, signed_as(large, x));
}

INLINE vec error_function(vec x) {
  vec t = magnitude(x), s = x * x;
  vec p = -0.000597665203f * s + 0.00499093346f;
  p = p * s - 0.0267655347f;
  p = p * s + 0.112818018f;
  p = p * s - 0.376124948f;
  p = p * s + 0.128379151f;
  vec small = p * x + x;
  vec u = chosen(t > 3.95f, ZERO + 3.95f, t);
  vec q = -2.0909556e-05f * u + 0.000432303001f;
  q = q * u - 0.00416052714f;
  q = q * u + 0.0250914972f;
  q = q * u - 0.108236618f;
  q = q * u - 0.633386672f;
  q = q * u - 1.12949514f;
  q = q * u + 0.000170552026f;
  vec large = 1.0f - exponential(q);
  return chosen(t > 0.93f, signed_as(large, x), small);
}

INLINE vec logistic(vec x) { return 1.0f / (1.0f + exponential(-x)); }
