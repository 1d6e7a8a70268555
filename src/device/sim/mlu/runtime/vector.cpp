// Element-wise ops and fills. Each checks its operands, computes in float, integers in their own type, and rounds.
#include "machine.h"
#include <algorithm>
#include <limits>

using namespace bang;

namespace {
template <class T>
struct Compute {
  using type = float;
};
#define OWN(T)                                                                                                         \
  template <>                                                                                                          \
  struct Compute<T> {                                                                                                  \
    using type = T;                                                                                                    \
  };
OWN(int32_t) OWN(uint32_t) OWN(int16_t) OWN(uint16_t)
#undef OWN

float remainder(float a, float b) { return std::fmod(a, b); }
template <class T>
T remainder(T a, T b) {
  return b == 0 ? a : (T)(a % b);
}

struct Ops {
#define UNARY(name, expr)                                                                                              \
  static float name(float x) { return expr; }
  UNARY(abs, std::fabs(x)) UNARY(square, x * x) UNARY(sqrt, std::sqrt(x)) UNARY(rsqrt, 1 / std::sqrt(x)) UNARY(recip, 1 / x)
  UNARY(log, std::log(x)) UNARY(log2, std::log2(x)) UNARY(pow2, std::exp2(x)) UNARY(sin, std::sin(x)) UNARY(cos, std::cos(x))
  UNARY(floor, std::floor(x)) UNARY(ceil, std::ceil(x)) UNARY(neg, -x) UNARY(relu, x > 0 ? x : 0) UNARY(not_, x == 0 ? 1.0f : 0.0f)
  UNARY(active_exp, std::exp(x)) UNARY(active_exphp, std::exp(x)) UNARY(active_exp_less_0, std::exp(x)) UNARY(active_log, std::log(x))
  UNARY(active_loghp, std::log(x)) UNARY(active_sqrt, std::sqrt(x)) UNARY(active_rsqrt, 1 / std::sqrt(x)) UNARY(active_recip, 1 / x)
  UNARY(active_reciphp, 1 / x) UNARY(active_sigmoid, 1 / (1 + std::exp(-x))) UNARY(active_tanh, std::tanh(x)) UNARY(active_relu, x > 0 ? x : 0)
  UNARY(active_gelu, 0.5f * x * (1 + std::erf(x * 0.70710678f))) UNARY(active_gelup, 0.5f * x * (1 + std::erf(x * 0.70710678f)))
  UNARY(active_sign, x > 0 ? 1.0f : x < 0 ? -1.0f : 0.0f) UNARY(active_abs, std::fabs(x)) UNARY(active_cos, std::cos(x)) UNARY(active_sin, std::sin(x))
  UNARY(active_pow2, std::exp2(x)) UNARY(active_sqrthp, std::sqrt(x)) UNARY(active_rsqrthp, 1 / std::sqrt(x)) UNARY(active_recip_greater_1, 1 / x)
  UNARY(round, std::round(x)) UNARY(trunc, std::trunc(x))
#undef UNARY
#define BINARY(name, expr)                                                                                             \
  template <class T>                                                                                                   \
  static T name(T a, T b) { return expr; }
  BINARY(add, a + b) BINARY(sub, a - b) BINARY(mul, a * b) BINARY(maximum, a > b ? a : b) BINARY(minimum, a < b ? a : b)
  BINARY(nan_maximum, a != a ? a : b != b ? b : a > b ? a : b) BINARY(nan_minimum, a != a ? a : b != b ? b : a < b ? a : b)
  BINARY(maxequal, a > b ? a : b) BINARY(minequal, a < b ? a : b) BINARY(ge, a >= b) BINARY(gt, a > b) BINARY(le, a <= b)
  BINARY(lt, a < b) BINARY(eq, a == b) BINARY(ne, a != b) BINARY(and_, a != 0 && b != 0) BINARY(or_, a != 0 || b != 0)
  BINARY(xor_, (a != 0) != (b != 0)) BINARY(div, a / b) BINARY(rem, remainder(a, b))
#undef BINARY
};

template <class T, float (*f)(float)>
void unary(const char* op, T* d, const T* x, int n, int line) {
  if (!begin_vector(op, line, {writes(d, n, sizeof(T)), reads(x, n, sizeof(T))})) return;
  for (int i = 0; i < n; i++) d[i] = (T)f((float)x[i]);
  spread(d, sizeof(T), n, {reads(x, n, sizeof(T))});
}
template <class T>
using C = typename Compute<T>::type;
/// What the vector unit works with: before compute_50 an integer of 32 bits is as exact as a float.
template <class T>
C<T> operand(T x) {
  if constexpr (std::is_same_v<T, int32_t>) return machine.config.arch >= 592 ? x : (int32_t)std::min(2147483520.0f, (float)x);
  else return (C<T>)x;
}
template <class T, C<T> (*f)(C<T>, C<T>)>
void binary(const char* op, T* d, const T* a, const T* b, int n, int line) {
  if (!begin_vector(op, line, {writes(d, n, sizeof(T)), reads(a, n, sizeof(T)), reads(b, n, sizeof(T))})) return;
  for (int i = 0; i < n; i++) d[i] = (T)operand<T>((T)f(operand<T>(a[i]), operand<T>(b[i])));
  spread(d, sizeof(T), n, {reads(a, n, sizeof(T)), reads(b, n, sizeof(T))});
}
template <class T, C<T> (*f)(C<T>, C<T>)>
void scalar(const char* op, T* d, const T* a, T b, int n, int line) {
  if (!begin_vector(op, line, {writes(d, n, sizeof(T)), reads(a, n, sizeof(T))})) return;
  const C<T> v = operand<T>(b);
  for (int i = 0; i < n; i++) d[i] = (T)operand<T>((T)f(operand<T>(a[i]), v));
  spread(d, sizeof(T), n, {reads(a, n, sizeof(T))});
}
template <class T, C<T> (*f)(C<T>, C<T>)>
void cycle(const char* op, T* d, const T* a, const T* b, int n, int nb, int line) {
  if (nb <= 0 || n % nb != 0) return report("count", op, line, "expected the long count to be a multiple of the short one, got " + std::to_string(n) + " and " + std::to_string(nb));
  if (!begin_vector(op, line, {writes(d, n, sizeof(T)), reads(a, n, sizeof(T)), reads(b, nb, sizeof(T))})) return;
  for (int i = 0; i < n; i++) d[i] = (T)operand<T>((T)f(operand<T>(a[i]), operand<T>(b[i % nb])));
  spread(d, sizeof(T), n, {reads(a, n, sizeof(T)), reads(b, nb, sizeof(T))});
}
template <class T>
void fill(const char* op, T* d, int n, T value, int line) {
  if (!begin_vector(op, line, {writes(d, n, sizeof(T))})) return;
  std::fill(d, d + n, value);
  if (machine.is_checked()) set_known(d, (int64_t)n * sizeof(T), true);
}
template <class T>
void fill_runs(const char* op, T* d, int n, T value, int64_t stride, int64_t count, int line) {
  const Use use{{(const char*)d, n * (int64_t)sizeof(T), stride, count}, true, sizeof(T)};
  const auto run = [=] {
    for (int64_t i = 0; i < count; i++) {
      T* to = (T*)((char*)d + i * stride);
      std::fill(to, to + n, value);
      settle(to, n * (int64_t)sizeof(T), true);
    }
  };
  spend(MOVE, (use.region.bytes + unit_bytes - 1) / unit_bytes * count);
  if (!machine.is_checked()) return run();
  if (!is_inside(op, line, use.region, NRAM, true)) return;
  check_pending(op, line, &use, 1, MOVE);
  for (int64_t i = 0; i < count; i++) drop_tags((char*)d + i * stride, use.region.bytes);
  machine.core->pending.push_back({MOVE, {use}, run, op, line});
}
}  // namespace

#define DEF_UNARY(op, T)                                                                                               \
  void __bang_##op(T* d, const T* x, int n, Line line) { unary<T, Ops::op>("__bang_" #op, d, x, n, line); }
#define DEF_BINARY(op, T)                                                                                              \
  void __bang_##op(T* d, const T* a, const T* b, int n, Line line) { binary<T, Ops::op<C<T>>>("__bang_" #op, d, a, b, n, line); }
#define DEF_SCALAR(op, base, T)                                                                                        \
  void __bang_##op(T* d, const T* a, T b, int n, Line line) { scalar<T, Ops::base<C<T>>>("__bang_" #op, d, a, b, n, line); }
#define DEF_CYCLE(op, base, T)                                                                                         \
  void __bang_##op(T* d, const T* a, const T* b, int n, int nb, Line line) { cycle<T, Ops::base<C<T>>>("__bang_" #op, d, a, b, n, nb, line); }

#define X(T) BANG_UNARY_OPS(DEF_UNARY, T)
BANG_FLOATS(X)
#undef X
#define X(T)                                                                                                           \
  void __bang_and(T* d, const T* a, const T* b, int n, Line line) { binary<T, Ops::and_<C<T>>>("__bang_and", d, a, b, n, line); } \
  void __bang_or(T* d, const T* a, const T* b, int n, Line line) { binary<T, Ops::or_<C<T>>>("__bang_or", d, a, b, n, line); } \
  void __bang_xor(T* d, const T* a, const T* b, int n, Line line) { binary<T, Ops::xor_<C<T>>>("__bang_xor", d, a, b, n, line); } \
  void __bang_not(T* d, const T* x, int n, Line line) { unary<T, Ops::not_>("__bang_not", d, x, n, line); }
BANG_ARITHMETIC(X)
#undef X
#define X(T) BANG_BINARY_OPS(DEF_BINARY, T) BANG_SCALAR_OPS(DEF_SCALAR, T) BANG_CYCLE_OPS(DEF_CYCLE, T)
BANG_ARITHMETIC(X)
#undef X
#define X(T) BANG_DIVISIONS(DEF_BINARY, DEF_SCALAR, DEF_CYCLE, T)
BANG_FLOATS(X)
#undef X
#define X(T) DEF_SCALAR(rem, rem, T)
BANG_REMAINDERS(X)
#undef X
#define X(T)                                                                                                           \
  void __bang_div(T* d, const T* a, T b, int n, Line line) {                                                           \
    if (std::is_integral_v<T> && b == 0) return report("count", "__bang_div", line, "expected a divisor that is not 0"); \
    scalar<T, Ops::div<C<T>>>("__bang_div", d, a, b, n, line);                                                         \
  }
BANG_DIVIDED(X)
#undef X
void __bang_abs(int32_t* d, const int32_t* x, int n, Line line) {
  if (!begin_vector("__bang_abs", line, {writes(d, n, 4), reads(x, n, 4)})) return;
  for (int i = 0; i < n; i++) d[i] = x[i] < 0 ? -(uint32_t)x[i] : x[i];
  spread(d, 4, n, {reads(x, n, 4)});
}

#define X(T)                                                                                                           \
  void __bang_write_value(T* d, int n, T v, Line line) { fill("__bang_write_value", d, n, v, line); }                   \
  void __nramset(T* d, int n, T v, Line line) { fill("__nramset", d, n, v, line); }                                     \
  void __memset_nram(T* d, int n, T v, Line line) { fill("__memset_nram", d, n, v, line); }                             \
  void __bang_write_zero(T* d, int n, Line line) { fill("__bang_write_zero", d, n, (T)0, line); }                       \
  void __nramset_async(T* d, int n, T v, int64_t stride, int64_t segments, Line line) { fill_runs("__nramset_async", d, n, v, stride, segments + 1, line); }
BANG_ANY(X)
#undef X
void __memset_nram(bool* d, int n, bool v, Line line) { fill("__memset_nram", d, n, v, line); }

#define X(name)                                                                                                        \
  static float library_##name(float x) { return std::name(x); }                                                        \
  void __cn_vector_##name##_f32(int n, float* d, const float* x, Line line) { unary<float, library_##name>("__cn_vector_" #name "_f32", d, x, n, line); } \
  void __cn_vector_##name##_f16(int n, half* d, const half* x, Line line) { unary<half, library_##name>("__cn_vector_" #name "_f16", d, x, n, line); }
BANG_LIBRARY(X)
#undef X
static float library_hypot(float a, float b) { return std::hypot(a, b); }
static float library_pow(float a, float b) { return std::pow(a, b); }
void __cn_vector_hypot_f32(int n, float* d, const float* a, const float* b, Line line) { binary<float, library_hypot>("__cn_vector_hypot_f32", d, a, b, n, line); }
void __cn_vector_pow_f32(int n, float* d, const float* a, const float* b, Line line) { binary<float, library_pow>("__cn_vector_pow_f32", d, a, b, n, line); }
