// Elementwise operators on consecutive floats, each value rounded as torch's own kernels round it.
//
// torch's vector code has fused products with AVX2 and AVX-512 and none without, so there are two
// tables. -ffp-contract=off keeps the compiler from fusing others. chain_check.py compares both with torch
// where they are to be used. The square root is torch's own: it comes from MKL's vector math, which
// is not the correctly rounded one.

#pragma once

#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/sqrt_cpu_dispatch.h>

#include <cmath>
#include <stdexcept>
#include <string>
#include <string_view>

namespace at {
std::string get_cpu_capability();  // of ATen/Version.h, which takes a second to compile
}

namespace tickforge {

// out may be a, b or c themselves, but overlap none of them otherwise
using Kernel = void (*)(float* out, const float* a, const float* b, const float* c, float number,
                        int64_t count);

// A tensor over memory of others.
class Window {
 public:
  at::Tensor& at(const float* memory, int64_t count) {
    auto* tensor = tensor_.unsafeGetTensorImpl();
    tensor_.storage().unsafeGetStorageImpl()->set_data_ptr_noswap(
        {const_cast<float*>(memory), c10::Device(c10::kCPU)});
    if (tensor->numel() != count) tensor->set_sizes_contiguous(count);
    return tensor_;
  }

 private:
  at::Tensor tensor_ = at::detail::empty_cpu({0}, at::kFloat);
};

inline void square_root(float* out, const float* a, const float*, const float*, float,
                        int64_t count) {
  thread_local Window from, into;
  at::cpu::sqrt_out(into.at(out, count), from.at(a, count));
}

struct Entry {
  std::string_view name;
  Kernel kernel;
};

#if defined(__clang__)
#define TICKFORGE_EACH _Pragma("clang loop vectorize(assume_safety)") for (int64_t i = 0; i < count; ++i)
#else
#define TICKFORGE_EACH _Pragma("GCC ivdep") for (int64_t i = 0; i < count; ++i)
#endif
#define TICKFORGE_KERNEL(name, value)                                                        \
  TICKFORGE_TARGET inline void name(float* out, const float* a, const float* b,              \
                                    const float* c, float number, int64_t count) {           \
    TICKFORGE_EACH out[i] = value;                                                           \
  }

// FMA(x, y, z) is x * y + z
#define TICKFORGE_KERNELS                                                                    \
  TICKFORGE_KERNEL(multiply, a[i] * number)                                                  \
  TICKFORGE_KERNEL(divide, a[i] / number)                                                    \
  TICKFORGE_KERNEL(add_number, a[i] + number)                                                \
  TICKFORGE_KERNEL(product, a[i] * b[i])                                                     \
  TICKFORGE_KERNEL(add, FMA(b[i], number, a[i]))                                             \
  TICKFORGE_KERNEL(add_product, FMA(number * b[i], c[i], a[i]))                              \
  TICKFORGE_KERNEL(add_quotient, a[i] + number * b[i] / c[i])                                \
  TICKFORGE_KERNEL(lerp_to_near, FMA(number, b[i] - a[i], a[i]))                             \
  TICKFORGE_KERNEL(lerp_to_far, FMA(number - 1, b[i] - a[i], b[i]))                          \
  TICKFORGE_KERNEL(threshold_gradient, b[i] <= number ? 0.0f : a[i])                         \
  TICKFORGE_KERNEL(relu, a[i] < 0.0f ? 0.0f : a[i])                                          \
  TICKFORGE_TARGET inline void lerp(float* out, const float* a, const float* b,              \
                                    const float* c, float number, int64_t count) {           \
    (std::fabs(number) < 0.5f ? lerp_to_near : lerp_to_far)(out, a, b, c, number, count);    \
  }                                                                                          \
  inline constexpr Entry kernels[] = {                                                       \
      {"multiply", multiply}, {"divide", divide}, {"add_number", add_number},                \
      {"product", product}, {"add", add}, {"add_product", add_product},                      \
      {"add_quotient", add_quotient}, {"lerp", lerp}, {"square_root", square_root},          \
      {"threshold_gradient", threshold_gradient}, {"relu", relu}};

namespace fused {
#if defined(__x86_64__)
#define TICKFORGE_TARGET __attribute__((target("avx2,fma")))
#else
#define TICKFORGE_TARGET
#endif
#define FMA(x, y, z) __builtin_fmaf(x, y, z)
TICKFORGE_KERNELS
#undef FMA
#undef TICKFORGE_TARGET
}  // namespace fused

namespace plain {
#define TICKFORGE_TARGET
#define FMA(x, y, z) ((x) * (y) + (z))
TICKFORGE_KERNELS
#undef FMA
#undef TICKFORGE_TARGET
}  // namespace plain

inline Kernel kernel_of(const std::string& name) {
  static const bool is_plain = at::get_cpu_capability() == "DEFAULT";
  for (const Entry& entry : is_plain ? plain::kernels : fused::kernels)
    if (entry.name == name) return entry.kernel;
  throw std::invalid_argument("no such kernel: " + name);
}

}  // namespace tickforge
