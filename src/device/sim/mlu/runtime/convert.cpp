// Conversions between element types, with every rounding that a name asks for.
#include "machine.h"
#include <algorithm>
#include <limits>

namespace bang {
namespace {
template <class I>
I saturated(double x, Round round) {
  const double v = rounded(x, round), low = std::numeric_limits<I>::min(), high = std::numeric_limits<I>::max();
  return v != v ? 0 : (I)std::min(high, std::max(low, v));
}
/// The float of 16 bits next to y, away from zero or towards it.
template <class T>
T beside(T y, int step) {
  uint16_t bits;
  memcpy(&bits, &y, 2);
  bits += step;
  memcpy(&y, &bits, 2);
  return y;
}
/// A float of 16 bits on the wished side of x.
template <class T>
T narrowed(float x, Round round) {
  const T y = (T)x;
  const float got = (float)y;
  if (round == NEAREST_EVEN || got == x || x != x) return y;
  const bool is_larger = std::fabs(got) > std::fabs(x);
  if (round == NEAREST_AWAY) {
    // Below a half the same; at a half the larger one.
    if (is_larger || std::isinf(got)) return y;
    const float next = (float)beside(y, 1);
    return !std::isinf(next) && std::fabs(next) - std::fabs(x) == std::fabs(x) - std::fabs(got) ? beside(y, 1) : y;
  }
  const bool wants_larger = round == FROM_ZERO || (round == UP && x > 0) || (round == DOWN && x < 0);
  if (is_larger == wants_larger) return y;
  return beside(y, wants_larger ? 1 : -1);
}
template <class D, class S>
D converted(S x, int exponent, Round round) {
  const double real = std::ldexp((double)(std::is_integral_v<S> ? (double)x : (double)(float)x), exponent);
  if constexpr (std::is_integral_v<D>) return saturated<D>(real, round);
  else if constexpr (sizeof(D) == 2) return narrowed<D>((float)real, round);
  else return (D)real;
}
}  // namespace

template <class D, class S>
void convert(const char* op, D* d, const S* s, int n, int exponent, Round round, int line) {
  if (!begin_vector(op, line, {writes(d, n, sizeof(D)), reads(s, n, sizeof(S))}, ELEMENTS, FORWARD)) return;
  const Known known(s, n, sizeof(S));
  // Element by element, since the two may share their bytes.
  for (int i = 0; i < n; i++) {
    const D x = converted<D>(s[i], exponent, round);
    memcpy((void*)(d + i), &x, sizeof(D));
  }
  if (known.all()) return settle(d, (int64_t)n * sizeof(D), true);
  for (int i = 0; i < n; i++) settle(d + i, sizeof(D), known[i]);
}
#define X(D, S) template void convert(const char*, D*, const S*, int, int, Round, int);
#define OF(T) X(T, int32_t) X(T, int16_t) X(T, int8_t) X(T, uint8_t) X(int32_t, T) X(int16_t, T) X(int8_t, T) X(uint8_t, T)
OF(float) OF(half) OF(bfloat16_t) X(float, half) X(half, float) X(float, bfloat16_t) X(bfloat16_t, float)
X(half, bfloat16_t) X(bfloat16_t, half) X(int16_t, int32_t) X(int8_t, int32_t) X(int32_t, int16_t) X(int8_t, int16_t)
X(int32_t, int8_t) X(int16_t, int8_t)
#undef OF
#undef X
}  // namespace bang
void __cn_vector_cast_f32_to_s32(int n, int32_t* d, const float* s, bang::Line line) { bang::convert("__cn_vector_cast_f32_to_s32", d, s, n, 0, bang::TO_ZERO, line); }
