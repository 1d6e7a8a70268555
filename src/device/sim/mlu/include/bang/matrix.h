// Products with the right operand in WRAM. Its layout there is the hardware's own: only `__bang_reshape_filter` and
// `__bang_load_matrix` produce it.
#pragma once
#include "types.h"

#if __BANG_ARCH__ >= 592
#define BANG_FACTORS(X) X(float) X(half) X(int8_t) X(int16_t) X(bfloat16_t)
#define BANG_PRODUCTS(X) X(float, float) X(float, half) X(half, half) X(float, bfloat16_t) X(bfloat16_t, bfloat16_t)
#else
#define BANG_FACTORS(X) X(float) X(half) X(int8_t) X(int16_t)
#define BANG_PRODUCTS(X) X(float, float) X(float, half) X(half, half)
#endif
// Of integers: real = integer * 2^pos, pos the sum of both factors' exponents.
#define BANG_FIXED_PRODUCTS(X) X(float, int8_t) X(half, int8_t) X(int32_t, int8_t) X(float, int16_t) X(half, int16_t) X(int32_t, int16_t)
#define X(T)                                                                                                           \
  /* [n,h,w,c] in NRAM, rearranged for WRAM, still in NRAM. n a multiple of 64, a row of 64 bytes. */                  \
  void __bang_reshape_filter(T* dst, const T* src, int n, int h, int w, int c, BANG_LINE);                             \
  /* Straight from NRAM to WRAM: [n,k] rows, or [k,n] if transposed. */                                                \
  void __bang_load_matrix(T* wram, const T* nram, mluMemcpyDirection_t dir, int k, int n, int pitch,                   \
                          bool transposed = false, BANG_LINE);
BANG_FACTORS(X)
#undef X
// dst [m,n] = a [m,k] . b^T, b [n,k]; sums in f32, of integers in f64.
#define BANG_MATMUL(D, T, ...) void __bang_matmul(D* dst, const T* a, const T* b_wram, int m, int k, int n, __VA_ARGS__);
// NHWC; the filter is [co, kh*kw*ci]; sx is the step along w.
#define BANG_CONV(D, T, ...)                                                                                           \
  void __bang_conv(D* dst, const T* src, const T* filter_wram, int ci, int h, int w, int kh, int kw, int sx, int sy,   \
                   int co, __VA_ARGS__);
// dst [width] = vector [height] . filter^T, filter [width,height].
#define BANG_MLP(D, T, ...) void __bang_mlp(D* dst, const T* vector, const T* filter_wram, int height, int width, __VA_ARGS__);
#define X(D, T) BANG_MATMUL(D, T, BANG_LINE) BANG_CONV(D, T, BANG_LINE) BANG_MLP(D, T, BANG_LINE)
BANG_PRODUCTS(X)
#undef X
#define X(D, T) BANG_MATMUL(D, T, int pos, BANG_LINE) BANG_CONV(D, T, int pos, BANG_LINE) BANG_MLP(D, T, int pos, BANG_LINE)
BANG_FIXED_PRODUCTS(X)
#undef X
#define X(T) BANG_MATMUL(float, T, BANG_LINE) BANG_CONV(float, T, BANG_LINE) BANG_MLP(float, T, BANG_LINE)
X(int8_t) X(int16_t)
#undef X
