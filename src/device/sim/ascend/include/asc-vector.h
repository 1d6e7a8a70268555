/**
 * Element-wise vector instructions: binary, unary, with a scalar, and those that read their destination too.
 * Which element types one has is its table; integers wrap around.
 */
#pragma once
#include "asc-walk.h"

namespace AscendC {
/** Integers wrap around. */
template <class T, class F>
T wrap(T x, T y, F f) {
  if constexpr (std::is_integral_v<T>) return T(f(std::int64_t(x), std::int64_t(y)));
  else if constexpr (std::is_same_v<T, bfloat16_t>) return T(f(float(x), float(y)));
  else return f(x, y);
}
ASC_BINARY(Add, wrap(x, y, [](auto p, auto q) { return decltype(p)(p + q); }), ASC_TYPES_950, half, float, int16_t, int32_t)
ASC_BINARY(Sub, wrap(x, y, [](auto p, auto q) { return decltype(p)(p - q); }), ASC_TYPES_950, half, float, int16_t, int32_t)
ASC_BINARY(Mul, wrap(x, y, [](auto p, auto q) { return decltype(p)(p * q); }), ASC_TYPES_950, half, float, int16_t, int32_t)
ASC_BINARY(Max, x > y ? x : y, ASC_TYPES_950, half, float, int16_t, int32_t)
ASC_BINARY(Min, x < y ? x : y, ASC_TYPES_950, half, float, int16_t, int32_t)
ASC_BINARY(Div, x / y, ASC_TYPES, half, float)
ASC_BINARY(And, T(x & y), ASC_TYPES, int16_t, uint16_t)
ASC_BINARY(Or, T(x | y), ASC_TYPES, int16_t, uint16_t)
ASC_BINARY(AddRelu, wrap(x, y, [](auto p, auto q) { return p + q > 0 ? decltype(p)(p + q) : decltype(p)(0); }), ASC_TYPES, half, float, int16_t)
ASC_BINARY(SubRelu, wrap(x, y, [](auto p, auto q) { return p - q > 0 ? decltype(p)(p - q) : decltype(p)(0); }), ASC_TYPES, half, float, int16_t)

/** The estimates of 2201 have about the precision of half. */
inline float estimate(float x) {
  if (is3510) return x;
  u32 u;
  std::memcpy(&u, &x, 4);
  u &= ~0xfffu;
  std::memcpy(&x, &u, 4);
  return x;
}
ASC_UNARY(Exp, T(std::exp(float(x))), ASC_TYPES, half, float)
ASC_UNARY(Ln, T(std::log(float(x))), ASC_TYPES, half, float)
ASC_UNARY(Abs, T(std::fabs(float(x))), ASC_TYPES, half, float)
ASC_UNARY(Sqrt, T(std::sqrt(float(x))), ASC_TYPES, half, float)
ASC_UNARY(Rsqrt, T(estimate(1.0f / std::sqrt(float(x)))), ASC_TYPES, half, float)
ASC_UNARY(Reciprocal, T(estimate(1.0f / float(x))), ASC_TYPES, half, float)
ASC_UNARY(Relu, x > T(0) ? x : T(0), ASC_TYPES, half, float, int32_t)
ASC_UNARY(Not, T(~x), ASC_TYPES, int16_t, uint16_t)

ASC_SCALAR(Adds, wrap(x, T(y), [](auto p, auto q) { return decltype(p)(p + q); }), ASC_TYPES_950, half, float, int16_t, int32_t)
ASC_SCALAR(Muls, wrap(x, T(y), [](auto p, auto q) { return decltype(p)(p * q); }), ASC_TYPES_950, half, float, int16_t, int32_t)
ASC_SCALAR(Maxs, x > y ? x : y, ASC_TYPES_950, half, float, int16_t, int32_t)
ASC_SCALAR(Mins, x < y ? x : y, ASC_TYPES_950, half, float, int16_t, int32_t)
ASC_SCALAR(LeakyRelu, x >= T(0) ? x : T(x * y), ASC_TYPES, half, float)
ASC_SCALAR(ShiftLeft, T(std::make_unsigned_t<T>(x) << y), ASC_TYPES, int16_t, uint16_t, int32_t, uint32_t)
ASC_SCALAR(ShiftRight, T(x >> y), ASC_TYPES, int16_t, uint16_t, int32_t, uint32_t)
/** `rounds`: half of the last bit that falls out is added first. */
template <class T, bool setsMask = true, class M>
void ShiftRight(const LocalTensor<T>& d, const LocalTensor<T>& a, Same<T> y, M mask, int repeats, const UnaryRepeatParams& p, bool rounds, SIM_AT) {
  ASC_TYPES("ShiftRight", T, int16_t, uint16_t, int32_t, uint32_t);
  const auto f = [y, rounds](T x) -> T { return T((i64(x) + (rounds && y > 0 ? i64(1) << (y - 1) : 0)) >> y); };
  if constexpr (std::is_pointer_v<M>) unaryRepeat("ShiftRight", d, a, (const u64*)mask, repeats, p, setsMask, at, f);
  else unaryRepeat("ShiftRight", d, a, u64(mask), repeats, p, setsMask, at, f);
}

/** Instructions that read their destination too. */
#define ASC_TERNARY(Name, expression, ...)                                                                                                               \
  template <class T, class U = T, bool setsMask = true>                                                                                                  \
  void Name(const LocalTensor<T>& d, const LocalTensor<U>& a, const LocalTensor<U>& b, int count, SIM_AT) {                                              \
    ASC_TYPES(#Name, T, __VA_ARGS__);                                                                                                                    \
    Checked k{#Name, at, {}};                                                                                                                            \
    const Walk w = Walk::linear(u32(count));                                                                                                             \
    exactOverlap(k, w, d, a), exactOverlap(k, w, d, b);                                                                                                  \
    const Operand oa = operand(k, w, a, 1, 8, sim::reads, "first source"), ob = operand(k, w, b, 1, 8, sim::reads, "second source");                     \
    const Operand od = operand(k, w, d, 1, 8, sim::reads, "destination");                                                                                \
    operand(k, w, d, 1, 8, sim::writes, "destination");                                                                                                  \
    const auto f = [](U x, U y, T z) -> T { return expression; };                                                                                        \
    lanes<T, decltype(f), U, U, T>(k, w, od, f, from<U>(oa), from<U>(ob), from<T>(od));                                                                  \
  }                                                                                                                                                      \
  template <class T, class U = T, bool setsMask = true, class M>                                                                                         \
  void Name(const LocalTensor<T>& d, const LocalTensor<U>& a, const LocalTensor<U>& b, M mask, int repeats, const BinaryRepeatParams& p, SIM_AT) {       \
    ASC_TYPES(#Name, T, __VA_ARGS__);                                                                                                                    \
    Checked k{#Name, at, {}};                                                                                                                            \
    Walk w;                                                                                                                                              \
    if constexpr (std::is_pointer_v<M>) w = repeatWalk(k, sizeof(T), (const u64*)mask, repeats, setsMask);                                               \
    else w = repeatWalk(k, sizeof(T), u64(mask), repeats, setsMask);                                                                                     \
    const Operand oa = operand(k, w, a, p.src0BlkStride, p.src0RepStride, sim::reads, "first source");                                                   \
    const Operand ob = operand(k, w, b, p.src1BlkStride, p.src1RepStride, sim::reads, "second source");                                                  \
    const Operand od = operand(k, w, d, p.dstBlkStride, p.dstRepStride, sim::reads, "destination");                                                      \
    operand(k, w, d, p.dstBlkStride, p.dstRepStride, sim::writes, "destination");                                                                        \
    const auto f = [](U x, U y, T z) -> T { return expression; };                                                                                        \
    lanes<T, decltype(f), U, U, T>(k, w, od, f, from<U>(oa), from<U>(ob), from<T>(od));                                                                  \
  }
ASC_TERNARY(MulAddDst, T(T(x) * T(y) + z), half, float)
ASC_TERNARY(FusedMulAdd, T(T(x) * z + T(y)), half, float)
ASC_TERNARY(FusedMulAddRelu, T(x) * z + T(y) > T(0) ? T(T(x) * z + T(y)) : T(0), half, float)

ASC_TERNARY(MulAddRelu, T(T(x) * T(y) + z) > T(0) ? T(T(x) * T(y) + z) : T(0), half, float)

template <class T, class U>
void axpy(Checked& k, const Walk& w, const LocalTensor<T>& d, const LocalTensor<U>& a, U y, const UnaryRepeatParams& p) {
  ASC_TYPES("Axpy", T, half, float);
  static_assert(std::is_same_v<T, U> || (std::is_same_v<T, float> && std::is_same_v<U, half>), "Axpy: no instruction for these element types on this architecture");
  const Operand oa = operand(k, w, a, p.srcBlkStride, p.srcRepStride, sim::reads, "source"), od = operand(k, w, d, p.dstBlkStride, p.dstRepStride, sim::reads, "destination");
  operand(k, w, d, p.dstBlkStride, p.dstRepStride, sim::writes, "destination");
  const auto f = [y](U x, T z) -> T { return T(T(x) * T(y) + z); };
  lanes<T, decltype(f), U, T>(k, w, od, f, from<U>(oa), from<T>(od));
}
template <class T, class U, bool setsMask = true>
void Axpy(const LocalTensor<T>& d, const LocalTensor<U>& a, Same<U> y, int count, SIM_AT) {
  Checked k{"Axpy", at, {}};
  require(count >= 0, "range", k, "the count is %d", count);
  const Walk w = Walk::linear(u32(count));
  exactOverlap(k, w, d, a);
  axpy(k, w, d, a, U(y), {});
}
template <class T, class U, bool setsMask = true, class M>
void Axpy(const LocalTensor<T>& d, const LocalTensor<U>& a, Same<U> y, M mask, int repeats, const UnaryRepeatParams& p, SIM_AT) {
  Checked k{"Axpy", at, {}};
  axpy(k, maskWalk(k, sizeof(T), mask, repeats, setsMask), d, a, U(y), p);
}

/** Two sources to a narrower type: the result is rounded once to nearest even, and saturates where it is an integer. */
template <class D, class S, class F>
void narrowing(const char* op, const LocalTensor<D>& d, const LocalTensor<S>& a, const LocalTensor<S>& b, const Walk& w, Checked& k, const BinaryRepeatParams& p, F value) {
  (void)op;
  const Operand oa = operand(k, w, a, p.src0BlkStride, p.src0RepStride, sim::reads, "first source"), ob = operand(k, w, b, p.src1BlkStride, p.src1RepStride, sim::reads, "second source");
  const auto f = [value](S x, S y) -> D {
    const float v = value(x, y);
    if constexpr (!std::is_integral_v<D>) return D(v);
    const float r = std::nearbyint(v), low = float(std::numeric_limits<D>::min()), high = float(std::numeric_limits<D>::max());
    return r != r ? D(0) : D(r < low ? low : r > high ? high : r);
  };
  lanes<D, decltype(f), S, S>(k, w, operand(k, w, d, p.dstBlkStride, p.dstRepStride, sim::writes, "destination"), f, from<S>(oa), from<S>(ob));
}
template <class D, class S, class... Pair>
constexpr bool isPairOf = ((std::is_same_v<D, typename Pair::first_type> && std::is_same_v<S, typename Pair::second_type>) || ...);
#define ASC_NARROWING(Name, expression, ...)                                                                                                             \
  template <class D, class S, bool setsMask = true>                                                                                                      \
  void Name(const LocalTensor<D>& d, const LocalTensor<S>& a, const LocalTensor<S>& b, u32 count, SIM_AT) {                                              \
    static_assert(isPairOf<D, S, __VA_ARGS__>, #Name ": no instruction for these element types on this architecture");                                   \
    Checked k{#Name, at, {}};                                                                                                                            \
    const float scale = self().deqScale;                                                                                                                 \
    narrowing(#Name, d, a, b, Walk::linear(count), k, {}, [scale](S x, S y) -> float { (void)scale; return expression; });                               \
  }                                                                                                                                                      \
  template <class D, class S, bool setsMask = true, class M>                                                                                             \
  void Name(const LocalTensor<D>& d, const LocalTensor<S>& a, const LocalTensor<S>& b, M mask, int repeats, const BinaryRepeatParams& p, SIM_AT) {       \
    static_assert(isPairOf<D, S, __VA_ARGS__>, #Name ": no instruction for these element types on this architecture");                                   \
    Checked k{#Name, at, {}};                                                                                                                            \
    const float scale = self().deqScale;                                                                                                                 \
    narrowing(#Name, d, a, b, maskWalk(k, sizeof(S), mask, repeats, setsMask), k, p, [scale](S x, S y) -> float { (void)scale; return expression; });    \
  }
#define ASC_PAIR(D, S) std::pair<D, S>
ASC_NARROWING(AddReluCast, std::max(0.0f, float(S(x + y))), ASC_PAIR(half, float), ASC_PAIR(int8_t, half), ASC_PAIR(int8_t, int16_t))
ASC_NARROWING(SubReluCast, std::max(0.0f, float(S(x - y))), ASC_PAIR(half, float), ASC_PAIR(int8_t, half), ASC_PAIR(int8_t, int16_t))
ASC_NARROWING(MulCast, float(S(x * y)), ASC_PAIR(int8_t, half), ASC_PAIR(uint8_t, half))
ASC_NARROWING(AddDeqRelu, std::max(0.0f, float(x + y) * scale), ASC_PAIR(half, int32_t))
#undef ASC_PAIR
}  // namespace AscendC
