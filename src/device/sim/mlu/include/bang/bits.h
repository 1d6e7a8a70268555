// Ops on bits: n bytes at a time, by words of 32 bits, and masks of one bit for each element, the lowest first.
#pragma once
#include "types.h"

#define BANG_BIT_OPS(X) X(band) X(bor) X(bxor)
#define BANG_BYTES(X) X(char) X(int8_t) X(uint8_t)
#define BANG_WORDS(X) X(int32_t) X(uint32_t)
#define X(T)                                                                                                           \
  void __bang_band(T* dst, const T* a, const T* b, int n, BANG_LINE);                                                  \
  void __bang_bor(T* dst, const T* a, const T* b, int n, BANG_LINE);                                                   \
  void __bang_bxor(T* dst, const T* a, const T* b, int n, BANG_LINE);                                                  \
  void __bang_bnot(T* dst, const T* a, int n, BANG_LINE);                                                              \
  /* b, of n_b bytes, is repeated: n is a multiple of n_b. */                                                          \
  void __bang_cycle_band(T* dst, const T* a, const T* b, int n, int n_b, BANG_LINE);                                   \
  void __bang_cycle_bor(T* dst, const T* a, const T* b, int n, int n_b, BANG_LINE);                                    \
  void __bang_cycle_bxor(T* dst, const T* a, const T* b, int n, int n_b, BANG_LINE);
BANG_BYTES(X)
#undef X
#if __BANG_ARCH__ >= 592
// n words of 32 bits.
#define X(T)                                                                                                           \
  void __bang_band_scalar(T* dst, const T* a, T b, int n, BANG_LINE);                                                  \
  void __bang_bor_scalar(T* dst, const T* a, T b, int n, BANG_LINE);                                                   \
  void __bang_bxor_scalar(T* dst, const T* a, T b, int n, BANG_LINE);                                                  \
  void __bang_sll(T* dst, const T* a, int shift, int n, BANG_LINE);                                                    \
  void __bang_srl(T* dst, const T* a, int shift, int n, BANG_LINE);                                                    \
  void __bang_sra(T* dst, const T* a, int shift, int n, BANG_LINE);
BANG_WORDS(X)
#undef X
#endif

// n is a multiple of 8; a mask has n / 8 bytes, whatever the type of its pointer.
#define BANG_BIT_COMPARISONS(X, T)                                                                                     \
  X(ge_bitindex, ge, T) X(gt_bitindex, gt, T) X(le_bitindex, le, T) X(lt_bitindex, lt, T) X(eq_bitindex, eq, T)        \
  X(ne_bitindex, ne, T)
#define BANG_BIT_COMPARISON(op, base, T) void __bang_##op(T* mask, const T* a, const T* b, int n, BANG_LINE);
#define X(T)                                                                                                           \
  BANG_BIT_COMPARISONS(BANG_BIT_COMPARISON, T)                                                                         \
  /* As __bang_filter, __bang_select and the blend of __bang_maskmove, with a mask of bits. */                         \
  int __bang_filter_bitindex(T* dst, const T* src, const void* mask, int n, BANG_LINE);                                \
  void __bang_select_bitindex(T* dst, const T* src, const void* mask, int n, BANG_LINE);                               \
  void __bang_collect_bitindex(T* dst, const T* src, const void* mask, int n, BANG_LINE);                              \
  void __bang_maskmove_bitindex(T* dst, const T* src, const void* mask, int n, BANG_LINE);
BANG_FLOATS(X)
#undef X
int __bang_count_bitindex(const void* mask, int n, BANG_LINE);
