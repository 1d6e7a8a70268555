// Blocks of elements in another order, in NRAM, and fills of the other memories.
#pragma once
#include "types.h"

#define X(T)                                                                                                           \
  /* dst [top+h+bottom, left+w+right, channel]: zeros around src [h,w,channel]. */                                     \
  void __bang_pad(T* dst, const T* src, int channel, int h, int w, int top, int bottom, int left, int right, BANG_LINE); \
  /* src [h,w], clockwise [the direction is inferred from the name]; by 90 and 270 degrees dst is [w,h]. */             \
  void __bang_rotate90(T* dst, const T* src, int h, int w, BANG_LINE);                                                 \
  void __bang_rotate180(T* dst, const T* src, int h, int w, BANG_LINE);                                                \
  void __bang_rotate270(T* dst, const T* src, int h, int w, BANG_LINE);                                                \
  /* Left and right exchanged. */                                                                                      \
  void __bang_mirror(T* dst, const T* src, int h, int w, BANG_LINE);
BANG_ANY(X)
#undef X
/// n bytes within NRAM, by the vector unit.
void __bang_move(void* dst, const void* src, int n, BANG_LINE);
/// Runs of n bytes; one more than `segments`.
void __bang_move(void* dst, const void* src, int n, int dst_stride, int src_stride, int segments, BANG_LINE);
/// dst[i] = table[index[i]]; the table is in NRAM.
#define X(T, I) void __bang_lut(T* dst, const I* index, const T* table, int n, int table_length, BANG_LINE);
#define BANG_TABLES(X) X(int32_t, uint32_t) X(uint32_t, uint32_t) X(float, uint32_t) X(int16_t, uint16_t) X(uint16_t, uint16_t) X(half, uint16_t)
BANG_TABLES(X)
#undef X
/// 0, 1, 2, ...
#define X(T) void __bang_incseq(T* dst, int n, BANG_LINE);
#define BANG_SEQUENCES(X) X(int32_t) X(uint32_t) X(int16_t) X(float) X(half)
#if __BANG_ARCH__ >= 592
BANG_SEQUENCES(X)
#endif
#undef X
/// n elements of device memory and of SRAM.
#define X(T)                                                                                                           \
  void __gdramset(T* dst, int64_t n, T value, BANG_LINE);                                                              \
  void __sramset(T* dst, int64_t n, T value, BANG_LINE);
BANG_ANY(X)
#undef X
