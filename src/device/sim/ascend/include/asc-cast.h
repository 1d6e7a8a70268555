/**
 * Conversions between element types with a rounding mode. Which pairs exist is a table; the rest does not compile:
 * half and bf16, or float and int8, go through a third type. Main function: `Cast`.
 */
#pragma once
#include "asc-pairs.h"

namespace AscendC {
template <class D, class S>
constexpr bool canCast() {
  if constexpr (std::is_same_v<S, half>) return isOneOf<D, float, int4b_t, int8_t, uint8_t, int16_t, int32_t>;
  else if constexpr (std::is_same_v<S, float>) return isOneOf<D, float, half, bfloat16_t, int16_t, int32_t, int64_t> || (is3510 && isOneOf<D, fp8_e4m3fn_t>);
  else if constexpr (std::is_same_v<S, bfloat16_t>) return isOneOf<D, float, int32_t>;
  else if constexpr (std::is_same_v<S, int32_t>) return isOneOf<D, float, int16_t, int64_t, half>;
  else if constexpr (std::is_same_v<S, int16_t>) return isOneOf<D, half, float>;
  else if constexpr (isOneOf<S, int4b_t, int8_t, uint8_t>) return isOneOf<D, half>;
  else if constexpr (std::is_same_v<S, int64_t>) return isOneOf<D, int32_t, float>;
  else if constexpr (std::is_same_v<S, fp8_e4m3fn_t>) return is3510 && isOneOf<D, float>;
  else if constexpr (std::is_same_v<S, fp4x2_e2m1_t>) return is3510 && isOneOf<D, bfloat16_t>;
  else return false;
}
inline double roundBy(double x, RoundMode mode) {
  switch (mode) {
    case RoundMode::CAST_FLOOR: return std::floor(x);
    case RoundMode::CAST_CEIL: return std::ceil(x);
    case RoundMode::CAST_ROUND: return std::round(x);
    case RoundMode::CAST_TRUNC: return std::trunc(x);
    default: return std::nearbyint(x);
  }
}
/** To a float with `bits` mantissa bits, smallest normal exponent `low`. */
inline double roundMantissa(double x, int bits, int low, RoundMode mode) {
  if (x == 0 || !std::isfinite(x)) return x;
  int e = std::ilogb(x);
  if (e < low) e = low;
  const double q = std::ldexp(x, bits - e);
  if (mode == RoundMode::CAST_ODD) {
    const double t = std::trunc(q);
    return std::ldexp(t == q || std::fmod(t, 2) != 0 ? t : t + std::copysign(1.0, q), e - bits);
  }
  return std::ldexp(roundBy(q, mode), e - bits);
}
template <class D, class S>
D castOne(S value, RoundMode mode, float scale) {
  if constexpr (std::is_integral_v<D>) {
    if constexpr (std::is_integral_v<S>) {
      const auto low = std::int64_t(std::numeric_limits<D>::min()), high = std::int64_t(std::numeric_limits<D>::max()), v = std::int64_t(value);
      return D(v < low ? low : v > high ? high : v);
    } else {
      const double x = roundBy(double(float(value)), mode);
      if (x != x) return 0;
      const double low = double(std::numeric_limits<D>::min()), high = double(std::numeric_limits<D>::max());
      return x <= low ? std::numeric_limits<D>::min() : x >= high ? std::numeric_limits<D>::max() : D(x);
    }
  } else if constexpr (std::is_same_v<D, S>) return D(roundBy(double(value), mode));
  else if constexpr (std::is_same_v<D, float>) {
    if constexpr (std::is_integral_v<S>) return mode == RoundMode::CAST_NONE || mode == RoundMode::CAST_RINT ? float(value) : float(roundMantissa(double(value), 23, -126, mode));
    else return float(value);
  } else if constexpr (std::is_same_v<D, half>) {
    const double x = std::is_same_v<S, int32_t> ? double(value) * scale : double(value);
    return mode == RoundMode::CAST_NONE || mode == RoundMode::CAST_RINT ? half(x) : half(roundMantissa(x, 10, -14, mode));
  } else if constexpr (std::is_same_v<D, bfloat16_t>)
    return mode == RoundMode::CAST_NONE || mode == RoundMode::CAST_RINT ? D(float(value)) : D(float(roundMantissa(double(value), 7, -126, mode)));
  else return D(float(value));
}
template <class D, class S>
void checkCast(const Checked& k, RoundMode mode, u32 count) {
  static_assert(canCast<D, S>(), "Cast: no instruction between these element types on this architecture (go through half or float)");
  require(!isPacked<S> || mode == RoundMode::CAST_NONE, "range", k, "numbers of four bits widen with CAST_NONE, got mode %d", int(mode));
  require(!(isPacked<S> || isPacked<D>) || count % 2 == 0, "range", k, "numbers of four bits go in whole pairs, got %u of them", count);
}
/** To int4: saturates at -8 and 7. */
inline int roundInt4(float x, RoundMode mode) {
  const double v = roundBy(double(x), mode);
  return v != v ? 0 : int(v < -8 ? -8 : v > 7 ? 7 : v);
}
template <class D, class S>
void Cast(const LocalTensor<D>& d, const LocalTensor<S>& a, RoundMode mode, u32 count, SIM_AT) {
  Checked k{"Cast", at, {}};
  checkCast<D, S>(k, mode, count);
  const Walk w = Walk::linear(count);
  // A narrowing cast in place writes behind what it has read.
  if (bytesOf<D>(64) > bytesOf<S>(64) && !isFast && d.memory == a.memory && d.addr < a.addr + bytesOf<S>(count) && a.addr < d.addr + bytesOf<D>(count))
    sim::fail("partial-overlap", at, rangeOf(d, 0, bytesOf<D>(count)), "Cast: a wider destination lies over its source");
  if constexpr (isPacked<D> || isPacked<S>) castPairs(k, w, d, a, 1, 8, 1, 8, [mode](S x) {
    if constexpr (isInt4<D>) return roundInt4(float(x), mode);
    else return 0;
  });
  else {
    const float scale = self().deqScale;
    const auto f = [mode, scale](S x) { return castOne<D, S>(x, mode, scale); };
    const Operand oa = operand(k, w, a, 1, 8, sim::reads, "source");
    lanes<D, decltype(f), S>(k, w, operand(k, w, d, 1, 8, sim::writes, "destination"), f, from<S>(oa));
  }
}
template <class D, class S, bool setsMask = true, class M>
void Cast(const LocalTensor<D>& d, const LocalTensor<S>& a, RoundMode mode, M mask, int repeats, const UnaryRepeatParams& p, SIM_AT) {
  Checked k{"Cast", at, {}};
  checkCast<D, S>(k, mode, 0);
  if constexpr (isPacked<D> || isPacked<S>) castPairs(k, maskWalk(k, 2, mask, repeats, setsMask), d, a, p.dstBlkStride, p.dstRepStride, p.srcBlkStride, p.srcRepStride, [mode](S x) {
    if constexpr (isInt4<D>) return roundInt4(float(x), mode);
    else return 0;
  });
  else {
    const float scale = self().deqScale;
    const auto f = [mode, scale](S x) { return castOne<D, S>(x, mode, scale); };
    if constexpr (std::is_pointer_v<M>) unaryRepeat("Cast", d, a, (const u64*)mask, repeats, p, setsMask, at, f);
    else unaryRepeat("Cast", d, a, u64(mask), repeats, p, setsMask, at, f);
  }
}
inline void SetDeqScale(half scale) { self().deqScale = float(scale); }
/** For CastDeq: a scale and an offset; `isSigned`: the result is int8, else uint8. */
inline void SetDeqScale(float scale, std::int16_t offset, bool isSigned) { self().deqScale = scale, self().deqOffset = offset, self().deqSigned = isSigned; }
/** int16 * scale + offset, to the nearest whole number of int8 or uint8. */
template <class D, class S, bool isVector = false, bool half = true>
void CastDeq(const LocalTensor<D>& d, const LocalTensor<S>& a, u32 count, SIM_AT) {
  static_assert(std::is_same_v<S, std::int16_t> && isOneOf<D, std::int8_t, std::uint8_t> && !isVector, "CastDeq: no instruction but int16 to int8 or uint8 with one scale");
  Core& c = self();
  Checked k{"CastDeq", at, {}};
  require(c.deqSigned == std::is_same_v<D, std::int8_t>, "dtype", k, "SetDeqScale asked for the other sign of the result%s", "");
  const Walk w = Walk::linear(count);
  const auto f = [scale = c.deqScale, offset = c.deqOffset](S x) -> D {
    const float v = std::nearbyint(float(x) * scale) + float(offset), low = float(std::numeric_limits<D>::min()), high = float(std::numeric_limits<D>::max());
    return D(v < low ? low : v > high ? high : v);
  };
  const Operand oa = operand(k, w, a, 1, 8, sim::reads, "source");
  lanes<D, decltype(f), S>(k, w, operand(k, w, d, 1, 8, sim::writes, "destination"), f, from<S>(oa));
}
inline float ToFloat(bfloat16_t x) { return float(x); }
inline bfloat16_t ToBfloat16(float x) { return bfloat16_t(x); }
template <class D, class S, RoundMode mode>
D ScalarCast(S x) { return castOne<D, S>(x, mode, 1.0f); }
}  // namespace AscendC
