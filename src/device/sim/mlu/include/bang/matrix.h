// Products with the right operand in WRAM. Its layout there is the hardware's own: only `__bang_reshape_filter` and
// `__bang_load_matrix` produce it.
#pragma once
#include "types.h"

#if __BANG_ARCH__ >= 592
#define BANG_FACTORS(X) X(float) X(half) X(int8_t) X(bfloat16_t)
#else
#define BANG_FACTORS(X) X(float) X(half) X(int8_t)
#endif
#define X(T)                                                                                                           \
  /* [n,h,w,c] in NRAM, rearranged for WRAM, still in NRAM. n a multiple of 64, a row of 64 bytes. */                  \
  void __bang_reshape_filter(T* dst, const T* src, int n, int h, int w, int c, BANG_LINE);                             \
  /* Straight from NRAM to WRAM: [n,k] rows, or [k,n] if transposed. */                                                \
  void __bang_load_matrix(T* wram, const T* nram, mluMemcpyDirection_t dir, int k, int n, int pitch,                   \
                          bool transposed = false, BANG_LINE);                                                         \
  /* dst [m,n] = a [m,k] . b^T, b [n,k]; sums in f32. */                                                               \
  void __bang_matmul(float* dst, const T* a, const T* b_wram, int m, int k, int n, BANG_LINE);                         \
  /* NHWC; the filter is [co, kh*kw*ci]. */                                                                            \
  void __bang_conv(float* dst, const T* src, const T* filter_wram, int ci, int h, int w, int kh, int kw, int sx,       \
                   int sy, int co, BANG_LINE);                                                                         \
  /* dst [width] = vector [height] . filter^T, filter [width,height]. */                                               \
  void __bang_mlp(float* dst, const T* vector, const T* filter_wram, int height, int width, BANG_LINE);
BANG_FACTORS(X)
#undef X
#define X(T) void __bang_matmul(T* dst, const T* a, const T* b_wram, int m, int k, int n, BANG_LINE);
X(half)
#if __BANG_ARCH__ >= 592
X(bfloat16_t)
#endif
#undef X
