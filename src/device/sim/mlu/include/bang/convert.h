// Conversions. `pos` is the exponent of a fixed-point integer: real = integer * 2^pos. Suffix of the rounding: rn nearest,
// even at a half; rd nearest, away from zero at a half; tz towards zero; oz away from it; dn (and rounding down) to
// minus infinity; up (ru) to plus infinity. That rd is "round" and no direction follows from dn and up beside it. Without
// a suffix it is rn [inferred].
#pragma once
#include <cmath>
#include "types.h"

namespace bang {
enum Round { NEAREST_EVEN, NEAREST_AWAY, TO_ZERO, FROM_ZERO, DOWN, UP };
/// To a whole number.
inline double rounded(double x, Round round) {
  switch (round) {
    case NEAREST_EVEN: return std::nearbyint(x);
    case NEAREST_AWAY: return std::round(x);
    case TO_ZERO: return std::trunc(x);
    case FROM_ZERO: return x < 0 ? std::floor(x) : std::ceil(x);
    case DOWN: return std::floor(x);
    case UP: return std::ceil(x);
  }
  return x;
}
/// dst[i] = src[i] * 2^exponent, rounded; integers saturate.
template <class D, class S>
void convert(const char* op, D* dst, const S* src, int n, int exponent, Round round, int line);
}  // namespace bang

#define BANG_ROUNDINGS(X, name, D, S)                                                                                  \
  X(name, D, S, NEAREST_EVEN) X(name##_rn, D, S, NEAREST_EVEN) X(name##_rd, D, S, NEAREST_AWAY)                        \
  X(name##_tz, D, S, TO_ZERO) X(name##_oz, D, S, FROM_ZERO) X(name##_dn, D, S, DOWN) X(name##_up, D, S, UP)            \
  X(name##_ru, D, S, UP)
#define BANG_PLAIN(name, D, S, round)                                                                                  \
  inline void __bang_##name(D* dst, const S* src, int n, BANG_LINE) { bang::convert("__bang_" #name, dst, src, n, 0, bang::round, line); }
#define BANG_TO_FIXED(name, D, S, round)                                                                               \
  inline void __bang_##name(D* dst, const S* src, int n, int pos, BANG_LINE) { bang::convert("__bang_" #name, dst, src, n, -pos, bang::round, line); }
#define BANG_OF_FIXED(name, D, S, round)                                                                               \
  inline void __bang_##name(D* dst, const S* src, int n, int pos, BANG_LINE) { bang::convert("__bang_" #name, dst, src, n, pos, bang::round, line); }
#define BANG_BETWEEN(name, D, S, round)                                                                                \
  inline void __bang_##name(D* dst, const S* src, int n, int dst_pos, int src_pos, BANG_LINE) { bang::convert("__bang_" #name, dst, src, n, src_pos - dst_pos, bang::round, line); }

BANG_PLAIN(half2float, float, half, NEAREST_EVEN)
BANG_PLAIN(bfloat162float, float, bfloat16_t, NEAREST_EVEN)
BANG_ROUNDINGS(BANG_PLAIN, float2half, half, float)
BANG_ROUNDINGS(BANG_PLAIN, float2bfloat16, bfloat16_t, float)
#define BANG_FIXED(S, name)                                                                                            \
  BANG_ROUNDINGS(BANG_TO_FIXED, name##2int32, int32_t, S)                                                              \
  BANG_ROUNDINGS(BANG_TO_FIXED, name##2int16, int16_t, S)                                                              \
  BANG_ROUNDINGS(BANG_TO_FIXED, name##2int8, int8_t, S)                                                                \
  BANG_ROUNDINGS(BANG_PLAIN, name##2uchar, uint8_t, S)                                                                 \
  BANG_ROUNDINGS(BANG_OF_FIXED, int322##name, S, int32_t)                                                              \
  BANG_ROUNDINGS(BANG_OF_FIXED, int162##name, S, int16_t)                                                              \
  BANG_ROUNDINGS(BANG_OF_FIXED, int82##name, S, int8_t)                                                                \
  BANG_PLAIN(short2##name, S, int16_t, NEAREST_EVEN)                                                                   \
  BANG_PLAIN(uchar2##name, S, uint8_t, NEAREST_EVEN)
BANG_FIXED(float, float)
BANG_FIXED(half, half)
#if __BANG_ARCH__ >= 592
BANG_FIXED(bfloat16_t, bfloat16)
BANG_PLAIN(half2bfloat16, bfloat16_t, half, NEAREST_EVEN)
BANG_PLAIN(bfloat162half, half, bfloat16_t, NEAREST_EVEN)
#endif
BANG_BETWEEN(int322int16, int16_t, int32_t, NEAREST_EVEN)
BANG_BETWEEN(int322int8, int8_t, int32_t, NEAREST_EVEN)
BANG_BETWEEN(int162int32, int32_t, int16_t, NEAREST_EVEN)
BANG_BETWEEN(int162int8, int8_t, int16_t, NEAREST_EVEN)
BANG_BETWEEN(int82int32, int32_t, int8_t, NEAREST_EVEN)
BANG_BETWEEN(int82int16, int16_t, int8_t, NEAREST_EVEN)
