// Numbers of the scalar unit: conversions by name, plain loads and stores by name, functions of the device library.
#pragma once
#include "convert.h"
#include "types.h"

#define BANG_SCALAR_CONVERSION(name, D, S, round)                                                                      \
  inline D __##name(S x) { return (D)bang::rounded((float)x, bang::round); }
#define BANG_SCALAR_CONVERSIONS(S, name)                                                                               \
  BANG_ROUNDINGS(BANG_SCALAR_CONVERSION, name##2int, int, S)                                                           \
  BANG_ROUNDINGS(BANG_SCALAR_CONVERSION, name##2int32, int32_t, S)                                                     \
  BANG_ROUNDINGS(BANG_SCALAR_CONVERSION, name##2int16, int16_t, S)                                                     \
  BANG_ROUNDINGS(BANG_SCALAR_CONVERSION, name##2short, short, S)                                                       \
  BANG_ROUNDINGS(BANG_SCALAR_CONVERSION, name##2int8, int8_t, S)
BANG_SCALAR_CONVERSIONS(float, float)
BANG_SCALAR_CONVERSIONS(half, half)
inline float __half2float(half x) { return (float)x; }
inline half __float2half(float x) { return (half)x; }
inline half __float2half_rn(float x) { return (half)x; }
inline float __bfloat162float(bfloat16_t x) { return (float)x; }
inline bfloat16_t __float2bfloat16(float x) { return bfloat16_t(x); }
inline bfloat16_t __float2bfloat16_rn(float x) { return bfloat16_t(x); }
inline float __int2float(int x) { return (float)x; }
inline half __int2half(int x) { return (half)x; }

// What the host's library has for float only, or not in its namespace; <math.h> makes it known without the namespace.
namespace std {
using ::ceilf, ::floorf, ::roundf, ::truncf, ::sqrtf, ::fabsf, ::expf, ::logf, ::log2f, ::powf, ::fmaxf, ::fminf;
#define X(name) inline half name(half x) { return (half)std::name((float)x); }
X(sin) X(cos) X(exp) X(log) X(sqrt) X(floor) X(ceil) X(round) X(fabs) X(tanh)
#undef X
inline bool isnan(half x) { return x != x; }
inline bool isinf(half x) { return std::isinf((float)x); }
}  // namespace std
#include <math.h>

template <class T>
inline T __load_nram(const T* p) { return *p; }
template <class T>
inline T __load_sram(const T* p) { return *p; }
template <class T>
inline T __load_gdram(const T* p) { return *p; }
template <class T>
inline void __store_nram(T* p, T x) { *p = x; }
template <class T>
inline void __store_sram(T* p, T x) { *p = x; }
template <class T>
inline void __store_gdram(T* p, T x) { *p = x; }

// Device library: a number, or n elements of NRAM (n, destination, source).
#define BANG_LIBRARY(X) X(sin) X(cos) X(tan) X(exp) X(exp2) X(log) X(log2) X(log10) X(sqrt) X(tanh) X(erf) X(floor) X(ceil) X(round) X(trunc)
#define X(name)                                                                                                        \
  inline float __cn_scalar_##name##_f32(float x) { return std::name(x); }                                              \
  inline half __cn_scalar_##name##_f16(half x) { return (half)std::name((float)x); }                                   \
  void __cn_vector_##name##_f32(int n, float* dst, const float* src, BANG_LINE);                                       \
  void __cn_vector_##name##_f16(int n, half* dst, const half* src, BANG_LINE);
BANG_LIBRARY(X)
#undef X
inline float __cn_scalar_pow_f32(float x, float y) { return std::pow(x, y); }
inline float __cn_scalar_hypot_f32(float x, float y) { return std::hypot(x, y); }
void __cn_vector_cast_f32_to_s32(int n, int32_t* dst, const float* src, BANG_LINE);
void __cn_vector_hypot_f32(int n, float* dst, const float* a, const float* b, BANG_LINE);
void __cn_vector_pow_f32(int n, float* dst, const float* a, const float* b, BANG_LINE);
