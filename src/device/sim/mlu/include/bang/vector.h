// Element-wise ops on NRAM: destination, sources, count of elements. Comparisons give 0 and 1 in the same type.
#pragma once
#include "types.h"

#define BANG_UNARY_OPS(X, T)                                                                                           \
  X(abs, T) X(square, T) X(sqrt, T) X(rsqrt, T) X(recip, T) X(log, T) X(log2, T) X(pow2, T) X(sin, T) X(cos, T)        \
  X(floor, T) X(ceil, T) X(neg, T) X(relu, T) X(active_exp, T) X(active_exphp, T) X(active_exp_less_0, T)    \
  X(active_log, T) X(active_loghp, T) X(active_sqrt, T) X(active_rsqrt, T) X(active_recip, T) X(active_reciphp, T)     \
  X(active_sigmoid, T) X(active_tanh, T) X(active_relu, T) X(active_gelu, T) X(active_gelup, T) X(active_sign, T)      \
  X(active_abs, T) X(active_cos, T) X(active_sin, T) X(active_pow2, T) X(active_sqrthp, T) X(active_rsqrthp, T)        \
  X(active_recip_greater_1, T) X(round, T) X(trunc, T)
#define BANG_BINARY_OPS(X, T)                                                                                          \
  X(add, T) X(sub, T) X(mul, T) X(maximum, T) X(minimum, T) X(nan_maximum, T) X(nan_minimum, T) X(maxequal, T)         \
  X(minequal, T) X(ge, T) X(gt, T) X(le, T) X(lt, T) X(eq, T) X(ne, T)
#define BANG_SCALAR_OPS(X, T)                                                                                          \
  X(add_scalar, add, T) X(sub_scalar, sub, T) X(mul_scalar, mul, T) X(add_const, add, T) X(sub_const, sub, T)          \
  X(mul_const, mul, T) X(max_scalar, maximum, T) X(min_scalar, minimum, T) X(ge_scalar, ge, T) X(gt_scalar, gt, T)     \
  X(le_scalar, le, T) X(lt_scalar, lt, T) X(eq_scalar, eq, T) X(ne_scalar, ne, T) X(maxeq_scalar, maximum, T)          \
  X(mineq_scalar, minimum, T) X(ge_const, ge, T) X(gt_const, gt, T) X(le_const, le, T) X(lt_const, lt, T)              \
  X(eq_const, eq, T) X(ne_const, ne, T)
#define BANG_CYCLE_OPS(X, T)                                                                                           \
  X(cycle_add, add, T) X(cycle_sub, sub, T) X(cycle_mul, mul, T) X(cycle_maxequal, maximum, T)                         \
  X(cycle_minequal, minimum, T) X(cycle_maximum, maximum, T) X(cycle_minimum, minimum, T) X(cycle_ge, ge, T)           \
  X(cycle_gt, gt, T) X(cycle_le, le, T) X(cycle_lt, lt, T) X(cycle_eq, eq, T) X(cycle_ne, ne, T) X(cycle_and, and_, T) \
  X(cycle_or, or_, T) X(cycle_xor, xor_, T)
#define BANG_DIVISIONS(BINARY, SCALAR, CYCLE, T) BINARY(div, T) SCALAR(div_scalar, div, T) CYCLE(cycle_div, div, T)
#define BANG_DIVIDED(X) X(float) X(half) X(int32_t)
#define BANG_REMAINDERS(X) X(float) X(int32_t) X(uint32_t)

#define BANG_UNARY(op, T) void __bang_##op(T* dst, const T* src, int n, BANG_LINE);
#define BANG_BINARY(op, T) void __bang_##op(T* dst, const T* a, const T* b, int n, BANG_LINE);
#define BANG_SCALAR(op, base, T) void __bang_##op(T* dst, const T* a, T b, int n, BANG_LINE);
// b is repeated: n is a multiple of n_b.
#define BANG_CYCLE(op, base, T) void __bang_##op(T* dst, const T* a, const T* b, int n, int n_b, BANG_LINE);

// Of masks, and of anything that counts as true where it is not 0.
#define BANG_LOGIC(T)                                                                                                  \
  void __bang_and(T* dst, const T* a, const T* b, int n, BANG_LINE);                                                   \
  void __bang_or(T* dst, const T* a, const T* b, int n, BANG_LINE);                                                    \
  void __bang_xor(T* dst, const T* a, const T* b, int n, BANG_LINE);                                                   \
  void __bang_not(T* dst, const T* src, int n, BANG_LINE);
#define X(T) BANG_UNARY_OPS(BANG_UNARY, T)
BANG_FLOATS(X)
#undef X
BANG_ARITHMETIC(BANG_LOGIC)
#define X(T) BANG_BINARY_OPS(BANG_BINARY, T) BANG_SCALAR_OPS(BANG_SCALAR, T) BANG_CYCLE_OPS(BANG_CYCLE, T)
BANG_ARITHMETIC(X)
#undef X
#if __BANG_ARCH__ >= 592
#define X(T) BANG_DIVISIONS(BANG_BINARY, BANG_SCALAR, BANG_CYCLE, T)
BANG_FLOATS(X)
#undef X
#define X(T) BANG_SCALAR(rem, rem, T)
BANG_REMAINDERS(X)
#undef X
// The divisor may be a number.
#define X(T) BANG_SCALAR(div, div, T)
BANG_DIVIDED(X)
#undef X
void __bang_abs(int32_t* dst, const int32_t* src, int n, BANG_LINE);
#endif

#define X(T)                                                                                                           \
  void __bang_write_value(T* dst, int n, T value, BANG_LINE);                                                          \
  void __nramset(T* dst, int n, T value, BANG_LINE);                                                                   \
  void __memset_nram(T* dst, int n, T value, BANG_LINE);                                                               \
  void __bang_write_zero(T* dst, int n, BANG_LINE);                                                                    \
  /* Runs of n elements, `stride` bytes from start to start, one more than `segments`; on the Move pipe [inferred]. */  \
  void __nramset_async(T* dst, int n, T value, int64_t stride, int64_t segments, BANG_LINE);
BANG_ANY(X)
#undef X
void __memset_nram(bool* dst, int n, bool value, BANG_LINE);
