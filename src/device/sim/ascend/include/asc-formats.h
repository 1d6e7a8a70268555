/**
 * Element types that the host compiler does not have: bf16, FP8, FP4 and int4 as bits that turn into floats and back.
 * Source: OCP MX specification v1.0 (E4M3, E5M2, E2M1, E8M0); E1M2: a sign, two digits behind the point, one before it.
 */
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

using half = _Float16;
/** bf16: the upper half of a float. Arithmetic has no instruction: convert. */
struct bfloat16_t {
  std::uint16_t bits = 0;
  bfloat16_t() = default;
  /** Whole literals convert by themselves, as in `x = 0`. */
  template <class I>
    requires std::is_integral_v<I>
  bfloat16_t(I x) : bfloat16_t(float(x)) {}
  explicit bfloat16_t(float x) {
    std::uint32_t u;
    std::memcpy(&u, &x, 4);
    if (x != x) bits = std::uint16_t((u >> 16) | 0x40);
    else bits = std::uint16_t((u + 0x7fff + ((u >> 16) & 1)) >> 16);
  }
  operator float() const {
    const std::uint32_t u = std::uint32_t(bits) << 16;
    float x;
    std::memcpy(&x, &u, 4);
    return x;
  }
};
/** E4M3 without infinities; only 950 has instructions for it. */
struct fp8_e4m3fn_t {
  std::uint8_t bits = 0;
  fp8_e4m3fn_t() = default;
  explicit fp8_e4m3fn_t(float x) {
    const std::uint8_t sign = std::signbit(x) ? 0x80 : 0;
    const float a = std::fabs(x);
    if (a != a) { bits = 0x7f | sign; return; }
    if (a >= 464) { bits = 0x7e | sign; return; }
    int e = a < 0.015625f ? -6 : std::ilogb(a);
    float m = std::nearbyint(std::ldexp(a, 3 - e));
    if (m >= 16) m = 8, e++;
    bits = std::uint8_t(sign | (m < 8 ? int(m) : ((e + 7) << 3) | (int(m) - 8)));
  }
  operator float() const {
    const int e = (bits >> 3) & 15, m = bits & 7;
    const float a = (bits & 0x7f) == 0x7f ? NAN : e == 0 ? std::ldexp(float(m), -9) : std::ldexp(float(8 + m), e - 10);
    return bits & 0x80 ? -a : a;
  }
};

/** E5M2 with infinities; 950 only, as a factor of scaled products. */
struct fp8_e5m2_t {
  std::uint8_t bits = 0;
  operator float() const {
    const int e = (bits >> 2) & 31, m = bits & 3;
    const float a = e == 31 ? (m ? NAN : INFINITY) : e == 0 ? std::ldexp(float(m), -16) : std::ldexp(float(4 + m), e - 17);
    return bits & 0x80 ? -a : a;
  }
};
/** A power of two, a scale of 32 numbers; 950 only. */
struct fp8_e8m0_t {
  std::uint8_t bits = 0;
  operator float() const { return bits == 0xff ? NAN : std::ldexp(1.0f, int(bits) - 127); }
};

/** Two E2M1 numbers, the low half first; 950 only. */
struct fp4x2_e2m1_t {
  std::uint8_t bits = 0;
  float number(int half) const {
    const int code = bits >> (4 * half) & 15, e = code >> 1 & 3, m = code & 1;
    const float a = e == 0 ? std::ldexp(float(m), -1) : std::ldexp(float(2 + m), e - 2);
    return code & 8 ? -a : a;
  }
};
/** Two E1M2 numbers, the low half first; 950 only. */
struct fp4x2_e1m2_t {
  std::uint8_t bits = 0;
  float number(int half) const {
    const int code = bits >> (4 * half) & 15;
    const float a = std::ldexp(float(code & 7), -2);
    return code & 8 ? -a : a;
  }
};

/** Two signed numbers of four bits in a byte, the low half first. Counts and offsets are in numbers, addresses in bytes. */
struct int4b_t {
  std::uint8_t bits = 0;
  static int number(std::uint8_t bits, int half) { return int(std::int8_t(bits << (half ? 0 : 4))) >> 4; }
};
