/**
 * Arithmetic between registers, by lanes of a mask: what the mask leaves out becomes zero (merging where it is said).
 * Comparison into masks, selection, conversion with a place among narrower elements, sums and extremes of a register.
 * Facts: hiascend.com, API pages atlasascendc_api_07_0344 to 0415 (one instruction each), 00237 to 00239 (CastTrait).
 */
#pragma once
#include "asc-reduce.h"
#include "asc-register-copy.h"

namespace AscendC::Reg {
enum class RegLayout { UNKNOWN = -1, ZERO, ONE, TWO, THREE };
enum class SatMode { UNKNOWN = -1, NO_SAT, SAT };
struct CastTrait {
  RegLayout layoutMode = RegLayout::UNKNOWN;
  SatMode satMode = SatMode::UNKNOWN;
  MaskMergeMode mrgMode = MaskMergeMode::UNKNOWN;
  RoundMode roundMode = RoundMode::UNKNOWN;
};
using AscendC::ReduceType;
enum class HighLowPart { LOWEST, HIGHEST };

enum class ExpAlgo { INTRINSIC, PRECISION_1ULP_FTZ_TRUE, PRECISION_1ULP_FTZ_FALSE };
struct ExpSpecificMode {
  MaskMergeMode mrgMode = MaskMergeMode::ZEROING;
  ExpAlgo algo = ExpAlgo::INTRINSIC;
};
enum class DivAlgo { INTRINSIC, DIFF_COMPENSATION, PRECISION_1ULP_FTZ_TRUE, PRECISION_0ULP_FTZ_TRUE, PRECISION_0ULP_FTZ_FALSE, PRECISION_1ULP_FTZ_FALSE };
struct DivSpecificMode {
  MaskMergeMode mrgMode = MaskMergeMode::ZEROING;
  bool precisionMode = false;
  DivAlgo algo = DivAlgo::INTRINSIC;
};
/** A mode is said by itself, or by the address of a struct that has it. All results are of full precision here. */
template <auto mode>
constexpr bool zeroes() {
  if constexpr (std::is_pointer_v<decltype(mode)>) return mode->mrgMode == MaskMergeMode::ZEROING;
  else return mode == MaskMergeMode::ZEROING;
}
template <class T, class U>
constexpr bool isNamed = std::is_same_v<T, DefaultType> || std::is_same_v<T, typename U::ActualT>;
/** dst[i] = f(sources...[i]) where the mask has the lane, else zero. A mask of poison gives poison. */
template <Register U, class F, class... S>
void lanesOf(const char* op, sim::At at, U& dst, const MaskReg& mask, F f, const S&... src) {
  using T = typename U::ActualT;
  follow(dst, mask, src...);
  if (!computes(op, at)) return;
  for (u32 i = 0; i < U::lanes; i++) {
    u8 taint = mask.taintOf(i, sizeof(T));
    if (mask.has(i, sizeof(T))) {
      const T x = f(src.get(i)...);
      dst.put(i, x, u8((taint | ... | src.taintOf(i))));
    } else dst.put(i, T{}, taint);
  }
}
#define ASC_REG_INTS std::int16_t, std::uint16_t, std::int32_t, std::uint32_t, std::int64_t, std::uint64_t
#define ASC_REG_ALL std::int8_t, std::uint8_t, ASC_REG_INTS, half, float, bfloat16_t
#define ASC_REG_CHECK(Name, ...)                                                                                          \
  static_assert(isNamed<T, U>, #Name ": the registers are of another type than is named");                               \
  static_assert(zeroes<mode>(), #Name ": merging is not supported, lanes outside the mask become zero");                   \
  ASC_TYPES(#Name " of registers", typename U::ActualT, __VA_ARGS__)
#define ASC_REG_UNARY(Name, expression, ...)                                                    \
  template <class T = DefaultType, auto mode = MaskMergeMode::ZEROING, Register U>        \
  void Name(U& d, U& a, const MaskReg& mask, SIM_AT) {                                          \
    ASC_REG_CHECK(Name, __VA_ARGS__);                                                           \
    using V = typename U::ActualT;                                                              \
    lanesOf(#Name, at, d, mask, [](V x) -> V { return expression; }, a);                        \
  }
#define ASC_REG_BINARY(Name, expression, ...)                                                   \
  template <class T = DefaultType, auto mode = MaskMergeMode::ZEROING, Register U>        \
  void Name(U& d, U& a, U& b, const MaskReg& mask, SIM_AT) {                                    \
    ASC_REG_CHECK(Name, __VA_ARGS__);                                                           \
    using V = typename U::ActualT;                                                              \
    lanesOf(#Name, at, d, mask, [](V x, V y) -> V { return expression; }, a, b);                \
  }
#define ASC_REG_SCALAR(Name, expression, ...)                                                   \
  template <class T = DefaultType, class S, MaskMergeMode mode = MaskMergeMode::ZEROING, Register U> \
  void Name(U& d, U& a, S scalar, const MaskReg& mask, SIM_AT) {                                \
    ASC_REG_CHECK(Name, __VA_ARGS__);                                                           \
    using V = typename U::ActualT;                                                              \
    lanesOf(#Name, at, d, mask, [y = V(scalar)](V x) -> V { return expression; }, a);           \
  }
#define ASC_REG_TERNARY(Name, expression, ...)                                                  \
  template <class T = DefaultType, auto mode = MaskMergeMode::ZEROING, Register U>        \
  void Name(U& d, U& a, U& b, const MaskReg& mask, SIM_AT) {                                    \
    ASC_REG_CHECK(Name, __VA_ARGS__);                                                           \
    using V = typename U::ActualT;                                                              \
    lanesOf(#Name, at, d, mask, [](V x, V y, V z) -> V { return expression; }, a, b, d);        \
  }
ASC_REG_BINARY(Add, wrap(x, y, [](auto p, auto q) { return decltype(p)(p + q); }), ASC_REG_ALL)
ASC_REG_BINARY(Sub, wrap(x, y, [](auto p, auto q) { return decltype(p)(p - q); }), ASC_REG_ALL)
ASC_REG_BINARY(Mul, wrap(x, y, [](auto p, auto q) { return decltype(p)(p * q); }), ASC_REG_INTS, half, float, bfloat16_t)
/** What a division by zero gives has not been said of integers: all bits. */
template <class V>
V quotient(V x, V y) {
  if constexpr (std::is_integral_v<V>) return y == V(0) ? V(~V(0)) : std::is_signed_v<V> && y == V(-1) ? V(0 - std::make_unsigned_t<V>(x)) : V(x / y);
  else return x / y;
}
ASC_REG_BINARY(Div, quotient(x, y), ASC_REG_INTS, half, float)
ASC_REG_BINARY(Max, x > y ? x : y, ASC_REG_ALL)
ASC_REG_BINARY(Min, x < y ? x : y, ASC_REG_ALL)
ASC_REG_BINARY(And, V(x & y), std::int8_t, std::uint8_t, ASC_REG_INTS)
ASC_REG_BINARY(Or, V(x | y), std::int8_t, std::uint8_t, ASC_REG_INTS)
ASC_REG_BINARY(Xor, V(x ^ y), std::int8_t, std::uint8_t, ASC_REG_INTS)
ASC_REG_SCALAR(Adds, wrap(x, y, [](auto p, auto q) { return decltype(p)(p + q); }), ASC_REG_ALL)
ASC_REG_SCALAR(Muls, wrap(x, y, [](auto p, auto q) { return decltype(p)(p * q); }), ASC_REG_INTS, half, float, bfloat16_t)
ASC_REG_SCALAR(Maxs, x > y ? x : y, ASC_REG_ALL)
ASC_REG_SCALAR(Mins, x < y ? x : y, ASC_REG_ALL)
ASC_REG_SCALAR(LeakyRelu, x > V(0) ? x : V(x * y), half, float)
ASC_REG_UNARY(Exp, V(std::exp(float(x))), half, float)
ASC_REG_UNARY(Ln, V(std::log(float(x))), half, float)
ASC_REG_UNARY(Sqrt, V(std::sqrt(float(x))), half, float)
ASC_REG_UNARY(Abs, x < V(0) ? V(-x) : x == V(0) ? V(0) : x, std::int8_t, std::int16_t, std::int32_t, half, float)
ASC_REG_UNARY(Neg, V(-x), std::int8_t, std::int16_t, std::int32_t, half, float)
ASC_REG_UNARY(Relu, x > V(0) ? x : V(0), std::int32_t, half, float)
ASC_REG_UNARY(Not, V(~x), std::int8_t, std::uint8_t, ASC_REG_INTS)
ASC_REG_TERNARY(MulAddDst, wrap(wrap(x, y, [](auto p, auto q) { return decltype(p)(p * q); }), z, [](auto p, auto q) { return decltype(p)(p + q); }), ASC_REG_INTS, half, float, bfloat16_t)
ASC_REG_TERNARY(MulDstAdd, wrap(wrap(z, x, [](auto p, auto q) { return decltype(p)(p * q); }), y, [](auto p, auto q) { return decltype(p)(p + q); }), half, float, bfloat16_t)
/** a * scalar is added to the destination. */
template <class T = DefaultType, class S, MaskMergeMode mode = MaskMergeMode::ZEROING, Register U>
void Axpy(U& d, U& a, S scalar, const MaskReg& mask, SIM_AT) {
  ASC_REG_CHECK(Axpy, half, float, std::int64_t, std::uint64_t);
  using V = typename U::ActualT;
  lanesOf("Axpy", at, d, mask, [y = V(scalar)](V x, V z) -> V { return V(x * y + z); }, a, d);
}

/** exp(a - b) in float; of half it takes the even or the odd elements. */
template <class T = DefaultType, class S = DefaultType, RegLayout layout = RegLayout::ZERO, MaskMergeMode mode = MaskMergeMode::ZEROING, Register U, Register V>
void ExpSub(U& d, V& a, V& b, const MaskReg& mask, SIM_AT) {
  static_assert(isNamed<S, V> && (layout == RegLayout::ZERO || layout == RegLayout::ONE), "ExpSub: the registers are of another type than is named, or the layout is not ZERO or ONE");
  ASC_REG_CHECK(ExpSub, float);
  ASC_TYPES("ExpSub of registers", typename V::ActualT, half, float);
  constexpr u32 ratio = sizeof(float) / sizeof(typename V::ActualT);
  const V x = a, y = b;
  follow(d, mask, x, y);
  if (!computes("ExpSub", at)) return;
  for (u32 i = 0; i < U::lanes; i++) {
    const u32 from = i * ratio + (ratio == 2 && layout == RegLayout::ONE);
    const u8 taint = mask.taintOf(i, 4);
    if (mask.has(i, 4)) d.put(i, std::exp(float(x.get(from)) - float(y.get(from))), u8(taint | x.taintOf(from) | y.taintOf(from)));
    else d.put(i, 0, taint);
  }
}

template <class T = DefaultType, class S, Register U>
void Duplicate(U& d, S scalar, SIM_AT)
  requires std::is_constructible_v<typename U::ActualT, S>
{
  static_assert(isNamed<T, U>, "Duplicate: the register is of another type than is named");
  using V = typename U::ActualT;
  lanesOf("Duplicate", at, d, maskOf(sizeof(V), VL), [x = V(scalar)]() -> V { return x; });
}
template <class T = DefaultType, MaskMergeMode mode = MaskMergeMode::ZEROING, class S, Register U>
void Duplicate(U& d, S scalar, const MaskReg& mask, SIM_AT)
  requires std::is_constructible_v<typename U::ActualT, S>
{
  static_assert(isNamed<T, U>, "Duplicate: the register is of another type than is named");
  using V = typename U::ActualT;
  const U old = d;
  lanesOf("Duplicate", at, d, mask, [x = V(scalar)]() -> V { return x; });
  if constexpr (mode == MaskMergeMode::MERGING) keep(d, old, mask);
}
/** The lowest element of another register. */
template <class T = DefaultType, HighLowPart part = HighLowPart::LOWEST, MaskMergeMode mode = MaskMergeMode::ZEROING, Register U>
void Duplicate(U& d, U& a, const MaskReg& mask, SIM_AT) {
  static_assert(isNamed<T, U> && part == HighLowPart::LOWEST, "Duplicate: it takes the lowest element, of the type that is named");
  const U old = d;
  U lowest = a;
  for (u32 i = 0; i < U::lanes; i++) lowest.put(i, a.get(0), a.taintOf(0));
  using V = typename U::ActualT;
  lanesOf("Duplicate", at, d, mask, [](V x) -> V { return x; }, lowest);
  if constexpr (mode == MaskMergeMode::MERGING) keep(d, old, mask);
}
/** Lanes outside the mask are again what they were. */
template <Register U>
void keep(U& d, const U& old, const MaskReg& mask) {
  follow(d, d, old);
  for (u32 i = 0; i < U::lanes; i++)
    if (!mask.has(i, sizeof(typename U::ActualT))) d.put(i, old.get(i), u8(old.taintOf(i) | mask.taintOf(i, sizeof(typename U::ActualT))));
}
}  // namespace AscendC::Reg
