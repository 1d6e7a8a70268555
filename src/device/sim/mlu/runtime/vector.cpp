// Element-wise ops, fills and conversions. Each checks its operands, computes in float and rounds to its type.
#include "machine.h"
#include <algorithm>
#include <limits>

using namespace bang;

namespace {
template <class T>
struct Compute {
  using type = float;
};
template <>
struct Compute<int32_t> {
  using type = int32_t;
};

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
#undef UNARY
#define BINARY(name, expr)                                                                                             \
  template <class T>                                                                                                   \
  static T name(T a, T b) { return expr; }
  BINARY(add, a + b) BINARY(sub, a - b) BINARY(mul, a * b) BINARY(maximum, a > b ? a : b) BINARY(minimum, a < b ? a : b)
  BINARY(nan_maximum, a != a ? a : b != b ? b : a > b ? a : b) BINARY(nan_minimum, a != a ? a : b != b ? b : a < b ? a : b)
  BINARY(maxequal, a > b ? a : b) BINARY(minequal, a < b ? a : b) BINARY(ge, a >= b) BINARY(gt, a > b) BINARY(le, a <= b)
  BINARY(lt, a < b) BINARY(eq, a == b) BINARY(ne, a != b) BINARY(and_, a != 0 && b != 0) BINARY(or_, a != 0 || b != 0)
  BINARY(xor_, (a != 0) != (b != 0)) BINARY(div, a / b)
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
template <class T, C<T> (*f)(C<T>, C<T>)>
void binary(const char* op, T* d, const T* a, const T* b, int n, int line) {
  if (!begin_vector(op, line, {writes(d, n, sizeof(T)), reads(a, n, sizeof(T)), reads(b, n, sizeof(T))})) return;
  for (int i = 0; i < n; i++) d[i] = (T)f((C<T>)a[i], (C<T>)b[i]);
  spread(d, sizeof(T), n, {reads(a, n, sizeof(T)), reads(b, n, sizeof(T))});
}
template <class T, C<T> (*f)(C<T>, C<T>)>
void scalar(const char* op, T* d, const T* a, T b, int n, int line) {
  if (!begin_vector(op, line, {writes(d, n, sizeof(T)), reads(a, n, sizeof(T))})) return;
  const C<T> v = (C<T>)b;
  for (int i = 0; i < n; i++) d[i] = (T)f((C<T>)a[i], v);
  spread(d, sizeof(T), n, {reads(a, n, sizeof(T))});
}
template <class T, C<T> (*f)(C<T>, C<T>)>
void cycle(const char* op, T* d, const T* a, const T* b, int n, int nb, int line) {
  if (nb <= 0 || n % nb != 0) return report("count", op, line, "expected the long count to be a multiple of the short one, got " + std::to_string(n) + " and " + std::to_string(nb));
  if (!begin_vector(op, line, {writes(d, n, sizeof(T)), reads(a, n, sizeof(T)), reads(b, nb, sizeof(T))})) return;
  for (int i = 0; i < n; i++) d[i] = (T)f((C<T>)a[i], (C<T>)b[i % nb]);
  spread(d, sizeof(T), n, {reads(a, n, sizeof(T)), reads(b, nb, sizeof(T))});
}
template <class T>
void fill(const char* op, T* d, int n, T value, int line) {
  if (!begin_vector(op, line, {writes(d, n, sizeof(T))})) return;
  std::fill(d, d + n, value);
  if (machine.is_checked()) set_known(d, (int64_t)n * sizeof(T), true);
}
template <char (*f)(char, char)>
void bytes(const char* op, char* d, const char* a, const char* b, int n, int line) {
  if (!begin_vector(op, line, {writes(d, n, 1), reads(a, n, 1), reads(b, n, 1)})) return;
  const bool checked = machine.is_checked();
  if (checked) is_known(a, n, 4), is_known(b, n, 4);
  for (int i = 0; i < n; i++) d[i] = f(a[i], b[i]);
  spread(d, 4, n / 4, {reads(a, n / 4, 4), reads(b, n / 4, 4)});
}
char both(char a, char b) { return a & b; }
char any(char a, char b) { return a | b; }
char one(char a, char b) { return a ^ b; }

template <class D, class S, class F>
void convert(const char* op, D* d, const S* s, int n, int line, F f) {
  if (!begin_vector(op, line, {writes(d, n, sizeof(D)), reads(s, n, sizeof(S))})) return;
  const bool checked = machine.is_checked();
  const bool known = !checked || is_known((const char*)s, (int64_t)n * sizeof(S), sizeof(S));
  for (int i = 0; i < n; i++) d[i] = f(s[i]);
  if (checked && known) set_known(d, (int64_t)n * sizeof(D), true);
  else spread(d, sizeof(D), n, {reads(s, n, sizeof(S))});
}
template <class I>
I fixed(float x, int pos, float (*round)(float)) {
  const double v = round(std::ldexp(x, -pos));
  const double low = std::numeric_limits<I>::min(), high = std::numeric_limits<I>::max();
  return v != v ? 0 : (I)std::min(high, std::max(low, v));
}
float nearest(float x) { return std::nearbyint(x); }
float towards_zero(float x) { return std::trunc(x); }
float down(float x) { return std::floor(x); }
float up(float x) { return std::ceil(x); }
/// A narrow float on the wished side of x.
template <class T>
T directed(float x, float (*round)(float)) {
  T y = (T)x;
  if (round == nearest || (float)y == x || x != x || std::isinf((float)y)) return y;
  const bool wants_up = round == up || (round == towards_zero && x < 0);
  if (((float)y > x) == wants_up) return y;
  uint16_t bits;
  memcpy(&bits, &y, 2);
  bits += ((float)y > 0) == wants_up ? 1 : -1;
  memcpy(&y, &bits, 2);
  return y;
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
#define DEF_LOGIC(T)                                                                                                   \
  void __bang_and(T* d, const T* a, const T* b, int n, Line line) { binary<T, Ops::and_<C<T>>>("__bang_and", d, a, b, n, line); } \
  void __bang_or(T* d, const T* a, const T* b, int n, Line line) { binary<T, Ops::or_<C<T>>>("__bang_or", d, a, b, n, line); }    \
  void __bang_xor(T* d, const T* a, const T* b, int n, Line line) { binary<T, Ops::xor_<C<T>>>("__bang_xor", d, a, b, n, line); } \
  void __bang_not(T* d, const T* x, int n, Line line) { unary<T, Ops::not_>("__bang_not", d, x, n, line); }

#define X(T) BANG_UNARY_OPS(DEF_UNARY, T) DEF_LOGIC(T)
BANG_FLOATS(X)
#undef X
#define X(T) BANG_BINARY_OPS(DEF_BINARY, T) BANG_SCALAR_OPS(DEF_SCALAR, T) BANG_CYCLE_OPS(DEF_CYCLE, T)
BANG_ARITHMETIC(X)
#undef X
void __bang_div(float* d, const float* a, const float* b, int n, Line line) { binary<float, Ops::div<float>>("__bang_div", d, a, b, n, line); }
void __bang_div(half* d, const half* a, const half* b, int n, Line line) { binary<half, Ops::div<float>>("__bang_div", d, a, b, n, line); }

#define X(T)                                                                                                           \
  void __bang_write_value(T* d, int n, T v, Line line) { fill("__bang_write_value", d, n, v, line); }                   \
  void __nramset(T* d, int n, T v, Line line) { fill("__nramset", d, n, v, line); }                                     \
  void __bang_write_zero(T* d, int n, Line line) { fill("__bang_write_zero", d, n, (T)0, line); }
BANG_ANY(X)
#undef X

void __bang_band(char* d, const char* a, const char* b, int n, Line line) { bytes<both>("__bang_band", d, a, b, n, line); }
void __bang_bor(char* d, const char* a, const char* b, int n, Line line) { bytes<any>("__bang_bor", d, a, b, n, line); }
void __bang_bxor(char* d, const char* a, const char* b, int n, Line line) { bytes<one>("__bang_bxor", d, a, b, n, line); }
void __bang_bnot(char* d, const char* a, int n, Line line) {
  if (!begin_vector("__bang_bnot", line, {writes(d, n, 1), reads(a, n, 1)})) return;
  for (int i = 0; i < n; i++) d[i] = ~a[i];
  spread(d, 4, n / 4, {reads(a, n / 4, 4)});
}

void __bang_half2float(float* d, const half* s, int n, Line line) { convert("__bang_half2float", d, s, n, line, [](half x) { return (float)x; }); }
void __bang_bfloat162float(float* d, const bfloat16_t* s, int n, Line line) { convert("__bang_bfloat162float", d, s, n, line, [](bfloat16_t x) { return (float)x; }); }
#define DEF_NARROW(suffix, round)                                                                                      \
  void __bang_float2half##suffix(half* d, const float* s, int n, Line line) { convert("__bang_float2half" #suffix, d, s, n, line, [](float x) { return directed<half>(x, round); }); } \
  void __bang_float2bfloat16##suffix(bfloat16_t* d, const float* s, int n, Line line) { convert("__bang_float2bfloat16" #suffix, d, s, n, line, [](float x) { return directed<bfloat16_t>(x, round); }); } \
  void __bang_float2int32##suffix(int32_t* d, const float* s, int n, int pos, Line line) { convert("__bang_float2int32" #suffix, d, s, n, line, [=](float x) { return fixed<int32_t>(x, pos, round); }); } \
  void __bang_float2int16##suffix(int16_t* d, const float* s, int n, int pos, Line line) { convert("__bang_float2int16" #suffix, d, s, n, line, [=](float x) { return fixed<int16_t>(x, pos, round); }); } \
  void __bang_float2int8##suffix(int8_t* d, const float* s, int n, int pos, Line line) { convert("__bang_float2int8" #suffix, d, s, n, line, [=](float x) { return fixed<int8_t>(x, pos, round); }); }
DEF_NARROW(_rn, nearest)
DEF_NARROW(_tz, towards_zero)
DEF_NARROW(_rd, down)
DEF_NARROW(_ru, up)
void __bang_float2half(half* d, const float* s, int n, Line line) { convert("__bang_float2half", d, s, n, line, [](float x) { return (half)x; }); }
void __bang_float2bfloat16(bfloat16_t* d, const float* s, int n, Line line) { convert("__bang_float2bfloat16", d, s, n, line, [](float x) { return bfloat16_t(x); }); }
void __bang_int322float(float* d, const int32_t* s, int n, int pos, Line line) { convert("__bang_int322float", d, s, n, line, [=](int32_t x) { return std::ldexp((float)x, pos); }); }
void __bang_int162float(float* d, const int16_t* s, int n, int pos, Line line) { convert("__bang_int162float", d, s, n, line, [=](int16_t x) { return std::ldexp((float)x, pos); }); }
void __bang_int82float(float* d, const int8_t* s, int n, int pos, Line line) { convert("__bang_int82float", d, s, n, line, [=](int8_t x) { return std::ldexp((float)x, pos); }); }
void __bang_int82half(half* d, const int8_t* s, int n, int pos, Line line) { convert("__bang_int82half", d, s, n, line, [=](int8_t x) { return (half)std::ldexp((float)x, pos); }); }
