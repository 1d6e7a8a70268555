// Reductions and rearrangements in NRAM. Their granularity is 64 bytes.
#pragma once
#include "types.h"

#define X(T)                                                                                                           \
  /* Windows of an [h,w,channel] block: a reduction over rows where w = kw = 1. sx is the step along w, as public       \
     kernels with unequal steps have it. */                                                                            \
  void __bang_sumpool(T* dst, const T* src, int channel, int h, int w, int kh, int kw, int sx, int sy, BANG_LINE);     \
  void __bang_maxpool(T* dst, const T* src, int channel, int h, int w, int kh, int kw, int sx, int sy, BANG_LINE);     \
  void __bang_minpool(T* dst, const T* src, int channel, int h, int w, int kh, int kw, int sx, int sy, BANG_LINE);     \
  void __bang_avgpool(T* dst, const T* src, int channel, int h, int w, int kh, int kw, int sx, int sy, BANG_LINE);     \
  /* Every group of 128 bytes is summed into its own first element. */                                                \
  void __bang_reduce_sum(T* dst, const T* src, int n, BANG_LINE);                                                      \
  /* dst[0] is the value; the next four bytes that follow it in steps of its size hold the position as uint32. */      \
  void __bang_argmax(T* dst, const T* src, int n, BANG_LINE);                                                          \
  void __bang_argmin(T* dst, const T* src, int n, BANG_LINE);                                                          \
  void __bang_max(T* dst, const T* src, int n, BANG_LINE);                                                             \
  void __bang_min(T* dst, const T* src, int n, BANG_LINE);                                                             \
  /* What the mask keeps, close together: from dst[0] on, with its count returned. */                                  \
  int __bang_filter(T* dst, const T* src, const T* mask, int n, BANG_LINE);                                            \
  /* The older form: the count at the start as uint32, the elements from byte 128 on. Not a blend. */                  \
  void __bang_select(T* dst, const T* src, const T* mask, int n, BANG_LINE);                                           \
  /* What the mask keeps, close together, without a count; and a move of what it keeps in its place. */               \
  void __bang_collect(T* dst, const T* src, const T* mask, int n, BANG_LINE);                                          \
  void __bang_maskmove(T* dst, const T* src, const T* mask, int n, BANG_LINE);                                         \
  int __bang_count(const T* src, int n, BANG_LINE);                                                                    \
  int __bang_findfirst1(const T* src, int n, BANG_LINE);                                                               \
  int __bang_findlast1(const T* src, int n, BANG_LINE);
BANG_FLOATS(X)
#undef X
float __bang_sum(const float* src, int n, BANG_LINE);
half __bang_sum(const half* src, int n, BANG_LINE);

#define X(T) void __bang_transpose(T* dst, const T* src, int h, int w, BANG_LINE);
BANG_ANY(X)
#undef X
