// Atomic updates of device memory.
#pragma once
#include "types.h"

#define BANG_ATOMIC_OPS(X, T) X(add, T) X(max, T) X(min, T) X(exch, T)
#define BANG_ATOMIC_BIT_OPS(X, T) X(and, T) X(or, T) X(xor, T)
#define BANG_ATOMIC(op, T)                                                                                             \
  /* Each of n elements; dst in NRAM takes what was there before. */                                                   \
  void __bang_atomic_##op(T* dst, T* gdram, const T* nram, int n, BANG_LINE);                                          \
  void __bang_atomic_##op(T* dst, T* gdram, T value, BANG_LINE);
#define X(T)                                                                                                           \
  BANG_ATOMIC_OPS(BANG_ATOMIC, T)                                                                                      \
  /* n elements of NRAM into device memory, each as a whole. */                                                        \
  void __bang_atomic_reduce_add(T* gdram, const T* nram, int n, BANG_LINE);                                            \
  void __bang_atomic_reduce_max(T* gdram, const T* nram, int n, BANG_LINE);                                            \
  void __bang_atomic_reduce_min(T* gdram, const T* nram, int n, BANG_LINE);
#define BANG_ATOMIC_INTEGERS(X) X(int32_t) X(uint32_t)
BANG_FLOATS(X)
BANG_ATOMIC_INTEGERS(X)
#undef X
#define X(T) BANG_ATOMIC_BIT_OPS(BANG_ATOMIC, T)
BANG_ATOMIC_INTEGERS(X)
#undef X
#undef BANG_ATOMIC
