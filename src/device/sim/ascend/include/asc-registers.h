/**
 * Registers of 950 (NpuArch 3510): 256 bytes of elements with the taint of each byte, masks of a bit per byte, offsets.
 * Facts: hiascend.com, API pages atlasascendc_api_07_0313 to 0317. Main functions: `CreateMask`, `UpdateMask`.
 */
#pragma once
#include "asc-cast.h"

namespace AscendC {
namespace Reg {
constexpr u32 VL = 256;
struct DefaultType {};
struct RegTrait { int regNum = 1; };
inline constexpr RegTrait RegTraitNumOne{1}, RegTraitNumTwo{2};
enum class MaskMergeMode { UNKNOWN = -1, MERGING, ZEROING };
enum class PostLiteral { POST_MODE_NORMAL, POST_MODE_UPDATE };
enum class MaskPattern { ALL, VL1, VL2, VL3, VL4, VL8, VL16, VL32, VL64, VL128, M3, M4, H, Q, ALLF = 15 };


/** Numbers of earlier loads that a value came from: what is stored of it comes after them without a barrier. */
struct Origin {
  u32 id = 0;
  std::vector<u32> loads;
  Origin() = default;
  Origin(const Origin&) = default;
  /** Another register takes the value. */
  Origin& operator=(const Origin& other) {
    loads = other.loads;
    return *this;
  }
};
struct NoOrigin {};
using RegOrigin = std::conditional_t<isFast, NoOrigin, Origin>;

template <class O>
void born(O& o) {
  if constexpr (std::is_same_v<O, Origin>) {
    // Numbers of registers differ between functions too: a copy is the same register, another variable is not.
    static u32 last = 0;
    o.id = ++last;
  }
}

/** 256 bytes of elements. Until it is written it holds poison. */
template <class T, const RegTrait& trait = RegTraitNumOne>
struct RegTensor {
  static_assert(is3510, "registers: only 950 (NpuArch 3510) has vector functions");
  static_assert(trait.regNum == 1, "RegTensor: pairs of registers (RegTraitNumTwo) are not simulated");
  using ActualT = T;
  static constexpr u32 lanes = VL / sizeof(T);
  alignas(32) u8 data[VL];
  u8 taint[isFast ? 1 : VL];
  RegOrigin origin;
  RegTensor() {
    if constexpr (!isFast) std::memset(data, sim::current.poison, VL), std::memset(taint, sim::unwritten, VL);
    born(origin);
  }
  T get(u32 i) const {
    T x;
    std::memcpy(&x, data + i * sizeof(T), sizeof(T));
    return x;
  }
  u8 taintOf(u32 i) const {
    u8 t = 0;
    if constexpr (!isFast)
      for (u32 b = 0; b < sizeof(T); b++) t |= taint[i * sizeof(T) + b];
    return t;
  }
  void put(u32 i, T x, u8 t) {
    std::memcpy(data + i * sizeof(T), &x, sizeof(T));
    if constexpr (!isFast) std::memset(taint + i * sizeof(T), t, sizeof(T));
  }
};
template <class U>
concept Register = requires { typename U::ActualT; };
/** A bit per byte of a register; the lowest bit of an element's bytes stands for it. */
struct MaskReg {
  /** 1: set; 2: may be set, for all that the first run can tell; 4: numbers decide, which the first run has not got. */
  u8 bits[VL];
  u8 taint[isFast ? 1 : VL];
  RegOrigin origin;
  /** Until it is written it may have any bit. */
  MaskReg() {
    std::memset(bits, isFast ? 0 : 6, VL);
    if constexpr (!isFast) std::memset(taint, sim::unwritten, VL);
    born(origin);
  }
  bool has(u32 lane, u32 bytes) const { return bits[lane * bytes] & 1; }
  bool mayHave(u32 lane, u32 bytes) const { return bits[lane * bytes] & 2; }
  u8 taintOf(u32 lane, u32 bytes) const { return isFast ? 0 : taint[lane * bytes]; }
  /** A lane that numbers decide. */
  void put(u32 lane, u32 bytes, bool on, u8 t) {
    bits[lane * bytes] = u8(6 | on);
    if constexpr (!isFast) taint[lane * bytes] = t;
  }
};
/** Destination values come from the sources' loads. */
template <class D, class... S>
void follow(D& dst, const S&... src) {
  if constexpr (!isFast) {
    std::vector<u32> all;
    const auto add = [&](const Origin& o) {
      std::vector<u32> both;
      std::set_union(all.begin(), all.end(), o.loads.begin(), o.loads.end(), std::back_inserter(both));
      all.swap(both);
    };
    (add(src.origin), ...);
    dst.origin.loads.swap(all);
  }
}

/** The first `count` lanes of elements of `bytes`. */
inline MaskReg maskOf(u32 bytes, u32 count) {
  MaskReg m;
  if constexpr (!isFast) std::memset(m.taint, 0, VL);
  for (u32 i = 0; i < VL / bytes; i++) m.bits[i * bytes] = i < count ? 3 : 0;
  return m;
}
template <class T, MaskPattern pattern = MaskPattern::ALL, const RegTrait& trait = RegTraitNumOne>
MaskReg CreateMask() {
  static_assert(trait.regNum == 1, "CreateMask: pairs of registers (RegTraitNumTwo) are not simulated");
  constexpr u32 all = VL / sizeof(T), b = sizeof(T);
  constexpr u32 counts[] = {all, 1, 2, 3, 4, 8, 16, 32, 64, 128, 0, 0, all / 2, all / 4, 0, 0};
  MaskReg m = maskOf(b, counts[int(pattern)]);
  if constexpr (pattern == MaskPattern::M3 || pattern == MaskPattern::M4)
    for (u32 i = 0; i < all; i += pattern == MaskPattern::M3 ? 3 : 4) m.bits[i * b] = 3;
  return m;
}
/** The lanes of the next register of `count` elements left, which it counts down. */
template <class T, const RegTrait& trait = RegTraitNumOne>
MaskReg UpdateMask(u32& count) {
  static_assert(trait.regNum == 1, "UpdateMask: pairs of registers (RegTraitNumTwo) are not simulated");
  constexpr u32 all = VL / sizeof(T);
  const MaskReg m = maskOf(sizeof(T), count);
  count = count < all ? 0 : count - all;
  return m;
}

/** Offset of an address in elements. */
struct AddrReg { u64 elements = 0; };
template <class T>
AddrReg CreateAddrReg(u16 i0, u32 s0, u16 i1 = 0, u32 s1 = 0, u16 i2 = 0, u32 s2 = 0, u16 i3 = 0, u32 s3 = 0) {
  return {u64(i0) * s0 + u64(i1) * s1 + u64(i2) * s2 + u64(i3) * s3};
}
}  // namespace Reg
namespace MicroAPI = Reg;
}  // namespace AscendC
