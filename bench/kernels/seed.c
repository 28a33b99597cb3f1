/* The yardstick that the native engine is measured by: the seed's net (10-50-LayerNorm-ReLU-50-1,
   mean squared error, SGD, one row a tick) by hand, as one loop. Arrays are the file's own. */
#include <math.h>
#define INPUTS 10
#define HIDDEN 50
#define ROWS 100
#define MOST_TICKS 1000000

/* In torch's order: weight0, bias0, gamma, beta, weight1, bias1. */
float parameters[INPUTS * HIDDEN + 4 * HIDDEN + 1];
float inputs[ROWS * INPUTS], targets[ROWS], losses[MOST_TICKS];

void run(long ticks, float rate) {
  float *w0 = parameters, *b0 = w0 + INPUTS * HIDDEN, *gamma = b0 + HIDDEN;
  float *beta = gamma + HIDDEN, *w1 = beta + HIDDEN, *b1 = w1 + HIDDEN;
  float h[HIDDEN], a[HIDDEN], d[HIDDEN];
  for (long t = 0; t < ticks; t++) {
    const float *x = inputs + t % ROWS * INPUTS;
    float mean = 0, variance = 0, y = *b1, along = 0, all = 0;
    for (int j = 0; j < HIDDEN; j++) {
      float z = b0[j];
      for (int k = 0; k < INPUTS; k++) z += w0[j * INPUTS + k] * x[k];
      h[j] = z;
      mean += z;
    }
    mean *= 1.0f / HIDDEN;
    for (int j = 0; j < HIDDEN; j++) {
      h[j] -= mean;
      variance += h[j] * h[j];
    }
    float scale = 1.0f / sqrtf(variance * (1.0f / HIDDEN) + 1e-5f);
    for (int j = 0; j < HIDDEN; j++) {
      h[j] *= scale;
      float v = h[j] * gamma[j] + beta[j];
      a[j] = v > 0 ? v : 0;
      y += a[j] * w1[j];
    }
    float e = y - targets[t % ROWS], g = 2 * e;
    losses[t] = e * e;
    for (int j = 0; j < HIDDEN; j++) {
      float back = a[j] > 0 ? g * w1[j] : 0;
      w1[j] -= rate * (g * a[j]);
      d[j] = back * gamma[j];
      all += d[j];
      along += d[j] * h[j];
      gamma[j] -= rate * (back * h[j]);
      beta[j] -= rate * back;
    }
    *b1 -= rate * g;
    all *= 1.0f / HIDDEN;
    along *= 1.0f / HIDDEN;
    for (int j = 0; j < HIDDEN; j++) {
      float by = rate * ((d[j] - all - h[j] * along) * scale);
      b0[j] -= by;
      for (int k = 0; k < INPUTS; k++) w0[j * INPUTS + k] -= by * x[k];
    }
  }
}
