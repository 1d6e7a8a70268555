/**
 * Instructions that move lanes: interleaving, packing and unpacking of halves, of registers and of masks; collecting by
 * an index from UB or from a register; counting up; masks as bits of UB.
 * Facts: hiascend.com, API pages atlasascendc_api_07_0325, 0326 and 0335 to 0339 (masks), 0401, 0405 to 0408, 0422, 0423.
 */
#pragma once
#include "asc-register-masks.h"

namespace AscendC::Reg {
enum class IndexOrder { INCREASE_ORDER, DECREASE_ORDER };

/** Elements of two registers in turn, over both destinations; and back. */
template <class T = DefaultType, Register U>
void Interleave(U& d0, U& d1, U& a, U& b, SIM_AT) {
  const U x = a, y = b;
  follow(d0, x, y), follow(d1, x, y);
  if (!computes("Interleave", at)) return;
  for (u32 i = 0; i < 2 * U::lanes; i++) {
    const U& from = i % 2 ? y : x;
    (i < U::lanes ? d0 : d1).put(i % U::lanes, from.get(i / 2), from.taintOf(i / 2));
  }
}
template <class T = DefaultType, Register U>
void DeInterleave(U& d0, U& d1, U& a, U& b, SIM_AT) {
  const U x = a, y = b;
  follow(d0, x, y), follow(d1, x, y);
  if (!computes("DeInterleave", at)) return;
  for (u32 i = 0; i < 2 * U::lanes; i++) {
    const U& from = i < U::lanes ? x : y;
    (i % 2 ? d1 : d0).put(i / 2, from.get(i % U::lanes), from.taintOf(i % U::lanes));
  }
}
/** Bits in groups of an element's width, of two masks in turn; and back. */
template <class F>
void moveBits(MaskReg& d, const MaskReg& a, const MaskReg& b, F&& from) {
  MaskReg out = maskOf(1, 0);
  follow(out, a, b);
  for (u32 i = 0; i < VL; i++) {
    const auto [source, bit] = from(i);
    if (!source) continue;
    out.bits[i] = source->bits[bit];
    if constexpr (!isFast) out.taint[i] = source->taint[bit];
  }
  d = out;
}
using Bit = std::pair<const MaskReg*, u32>;
template <class T>
void Interleave(MaskReg& d0, MaskReg& d1, const MaskReg& a, const MaskReg& b) {
  const MaskReg x = a, y = b;
  constexpr u32 w = sizeof(T);
  const auto from = [&](u32 i) -> Bit { return {i / w % 2 ? &y : &x, i / w / 2 * w + i % w}; };
  moveBits(d0, x, y, from), moveBits(d1, x, y, [&](u32 i) { return from(VL + i); });
}
template <class T>
void DeInterleave(MaskReg& d0, MaskReg& d1, const MaskReg& a, const MaskReg& b) {
  const MaskReg x = a, y = b;
  constexpr u32 w = sizeof(T);
  const auto from = [&](u32 i, u32 odd) -> Bit {
    const u32 all = (i / w * 2 + odd) * w + i % w;
    return {all < VL ? &x : &y, all % VL};
  };
  moveBits(d0, x, y, [&](u32 i) { return from(i, 0); }), moveBits(d1, x, y, [&](u32 i) { return from(i, 1); });
}
/** Every second bit into half a mask: lanes of an element become lanes of one half as wide. */
template <HighLowPart part = HighLowPart::LOWEST>
void Pack(MaskReg& d, const MaskReg& a) {
  const MaskReg x = a;
  constexpr u32 base = part == HighLowPart::LOWEST ? 0 : VL / 2;
  moveBits(d, x, x, [&](u32 i) -> Bit { return {i / (VL / 2) == base / (VL / 2) ? &x : nullptr, 2 * (i - base)}; });
}
template <HighLowPart part = HighLowPart::LOWEST>
void UnPack(MaskReg& d, const MaskReg& a) {
  const MaskReg x = a;
  constexpr u32 base = part == HighLowPart::LOWEST ? 0 : VL / 2;
  moveBits(d, x, x, [&](u32 i) -> Bit { return {i % 2 ? nullptr : &x, base + i / 2}; });
}
/** The low half of every element into half a register, zero in the other half. */
template <class T = DefaultType, class S = DefaultType, HighLowPart part = HighLowPart::LOWEST, Register U, Register V>
void Pack(U& d, V& a, SIM_AT) {
  using D = typename U::ActualT;
  static_assert(isNamed<T, U> && isNamed<S, V> && isOneOf<D, std::uint8_t, std::uint16_t, std::uint32_t> && isOneOf<typename V::ActualT, ASC_REG_INTS> && 2 * sizeof(D) == sizeof(typename V::ActualT), "Pack: no instruction between these element types on this architecture");
  const V x = a;
  follow(d, x);
  if (!computes("Pack", at)) return;
  constexpr u32 base = part == HighLowPart::LOWEST ? 0 : V::lanes;
  for (u32 i = 0; i < U::lanes; i++) d.put(i, D{}, 0);
  for (u32 i = 0; i < V::lanes; i++) d.put(base + i, D(x.get(i)), x.taintOf(i));
}
/** Half a register's elements, twice as wide; signed ones keep their sign. */
template <class T = DefaultType, class S = DefaultType, HighLowPart part = HighLowPart::LOWEST, Register U, Register V>
void UnPack(U& d, V& a, SIM_AT) {
  using D = typename U::ActualT;
  using F = typename V::ActualT;
  static_assert(isNamed<T, U> && isNamed<S, V> && std::is_integral_v<D> && std::is_integral_v<F> && std::is_signed_v<D> == std::is_signed_v<F> && sizeof(D) == 2 * sizeof(F), "UnPack: no instruction between these element types on this architecture");
  const V x = a;
  follow(d, x);
  if (!computes("UnPack", at)) return;
  constexpr u32 base = part == HighLowPart::LOWEST ? 0 : U::lanes;
  for (u32 i = 0; i < U::lanes; i++) d.put(i, D(x.get(base + i)), x.taintOf(base + i));
}

/** Elements of UB at `p[index]`. Which they are is not known when the call is issued: the rest of the tensor counts as read. */
template <class T = DefaultType, class P, class I = DefaultType, Register U, Register X>
void Gather(U& d, P* p, X& index, const MaskReg& mask, SIM_AT) {
  static_assert(isNamed<T, U> && isNamed<I, X> && std::is_same_v<typename U::ActualT, P> && std::is_unsigned_v<typename X::ActualT> && sizeof(P) == sizeof(typename X::ActualT) && (sizeof(P) == 2 || sizeof(P) == 4), "Gather: no instruction for these element types on this architecture");
  Place place{reinterpret_cast<u8*>(p), nullptr, ~0ull, false};
  const X x = index;
  if constexpr (!isFast) {
    VectorFunction& f = inFunction("Gather", at);
    place = f.touch("Gather", p, f.rest(p), sizeof(P), sim::reads, d.origin, at);
    const U loaded = d;
    follow(d, loaded, x, mask);
    if (!f.runs) return;
  }
  for (u32 i = 0; i < U::lanes; i++) {
    u8 taint = mask.taintOf(i, sizeof(P));
    P value{};
    if (mask.has(i, sizeof(P))) {
      taint |= x.taintOf(i);
      const u64 from = u64(x.get(i)) * sizeof(P);
      const bool isInside = from + sizeof(P) <= place.usable;
      if (!isInside && !taint) sim::fail("out-of-bounds", at, "UB", sim::format("Gather: index %llu leaves the tensor", (unsigned long long)x.get(i)));
      if (isInside) std::memcpy(&value, place.data + from, sizeof(P));
      for (u32 b = 0; !isFast && isInside && b < sizeof(P); b++) taint |= u8(place.taint[from + b] | (place.isForeign ? sim::foreign : 0));
    }
    d.put(i, value, taint);
  }
}
/** Lanes of a register at the places that another one says. */
template <class T = DefaultType, class I = DefaultType, Register U, Register X>
void Gather(U& d, U& a, X& index, SIM_AT) {
  static_assert(isNamed<T, U> && isNamed<I, X> && std::is_unsigned_v<typename X::ActualT> && sizeof(typename U::ActualT) == sizeof(typename X::ActualT), "Gather: no instruction for these element types on this architecture");
  const U from = a;
  const X x = index;
  follow(d, from, x);
  if (!computes("Gather", at)) return;
  for (u32 i = 0; i < U::lanes; i++) {
    const u64 lane = x.get(i);
    // What a place outside gives has not been said.
    d.put(i, from.get(u32(lane % U::lanes)), lane < U::lanes ? u8(x.taintOf(i) | from.taintOf(u32(lane))) : u8(sim::unwritten));
  }
}
/** first, first + 1, ... */
template <class T = DefaultType, IndexOrder order = IndexOrder::INCREASE_ORDER, class S, Register U>
void Arange(U& d, S first, SIM_AT) {
  using V = typename U::ActualT;
  static_assert(isNamed<T, U> && isOneOf<V, std::int8_t, std::int16_t, std::int32_t, half, float, std::int64_t>, "Arange of registers: no instruction for this element type on this architecture");
  static_assert(order == IndexOrder::INCREASE_ORDER, "Arange: counting down is not simulated");
  follow(d);
  if (!computes("Arange", at)) return;
  for (u32 i = 0; i < U::lanes; i++) d.put(i, V(V(first) + V(i)), 0);
}

enum class MaskDist { DIST_NORM, DIST_US, DIST_DS, DIST_PACK };
/** The taint of one bit: of a byte, those of its bits that were not known when they were written. */
inline u8 bitTaint(const sim::Memory& m, const u8* data, u32 bit) {
  const u64 at = u64(data - m.data) + bit / 8;
  return m.bitsAt(at) >> bit % 8 & 1 ? m.taint[at] : 0;
}
/** A mask from bits of UB, the lowest first; each twice, or every second. */
template <class T = DefaultType, MaskDist dist = MaskDist::DIST_NORM, class P>
void LoadAlign(MaskReg& d, P* p, SIM_AT) {
  static_assert(dist != MaskDist::DIST_PACK, "LoadAlign: this distribution is one of stores");
  constexpr u32 bytes = dist == MaskDist::DIST_US ? VL / 16 : dist == MaskDist::DIST_DS ? VL / 4 : VL / 8;
  Place place{reinterpret_cast<u8*>(p), nullptr, bytes, false};
  MaskReg out;
  bool isRunning = true;
  if constexpr (!isFast) {
    VectorFunction& f = inFunction("LoadAlign", at);
    place = f.touch("LoadAlign", p, bytes, bytes < 32 ? bytes : 32, sim::reads, out.origin, at);
    isRunning = f.runs;
  }
  for (u32 i = 0; i < VL && isRunning; i++) {
    const u32 bit = dist == MaskDist::DIST_US ? i / 2 : dist == MaskDist::DIST_DS ? 2 * i : i;
    const bool isInside = bit / 8 < place.usable;
    u8 taint = isInside ? 0 : u8(sim::unwritten);
    if constexpr (!isFast)
      if (isInside) taint = place.isForeign ? u8(sim::foreign) : bitTaint(inFunction("LoadAlign", at).ub(), place.data, bit);
    out.put(i, 1, isInside && (place.data[bit / 8] >> bit % 8 & 1), taint);
  }
  d = out;
}
template <class T = DefaultType, PostLiteral post, MaskDist dist = MaskDist::DIST_NORM, class P>
void LoadAlign(MaskReg& d, P*& p, std::int32_t stride, SIM_AT) { LoadAlign<T, dist>(d, moved<post>(p, stride), at); }
template <class T = DefaultType, MaskDist dist = MaskDist::DIST_NORM, class P>
void LoadAlign(MaskReg& d, P* p, AddrReg offset, SIM_AT) { LoadAlign<T, dist>(d, p + offset.elements, at); }
/** A mask to bits of UB; all, or every second. */
template <class T = DefaultType, MaskDist dist = MaskDist::DIST_NORM, class P>
void StoreAlign(P* p, const MaskReg& a, SIM_AT) {
  static_assert(dist == MaskDist::DIST_NORM || dist == MaskDist::DIST_PACK, "StoreAlign: this distribution is one of loads");
  constexpr u32 step = dist == MaskDist::DIST_PACK ? 2 : 1, bytes = VL / 8 / step;
  u8* to = reinterpret_cast<u8*>(p);
  Stored stored{a.origin};
  if constexpr (!isFast) {
    VectorFunction& f = inFunction("StoreAlign", at);
    to = f.touch("StoreAlign", p, bytes, bytes, sim::writes, stored.origin, at).data;
    if (!f.runs) return;
  }
  for (u32 i = 0; i < bytes; i++) {
    u8 value = 0, tainted = 0;
    for (u32 b = 0; b < 8; b++) value |= u8(a.has((i * 8 + b) * step, 1) << b), tainted |= u8((a.taintOf((i * 8 + b) * step, 1) != 0) << b);
    to[i] = value;
    if constexpr (!isFast) {
      sim::Memory& m = inFunction("StoreAlign", at).ub();
      m.setBits(u64(to + i - m.data), tainted);
    }
  }
}
template <class T = DefaultType, PostLiteral post, MaskDist dist = MaskDist::DIST_NORM, class P>
void StoreAlign(P*& p, const MaskReg& a, std::int32_t stride, SIM_AT) { StoreAlign<T, dist>(moved<post>(p, stride), a, at); }
template <class T = DefaultType, MaskDist dist = MaskDist::DIST_NORM, class P>
void StoreAlign(P* p, const MaskReg& a, AddrReg offset, SIM_AT) { StoreAlign<T, dist>(p + offset.elements, a, at); }
}  // namespace AscendC::Reg
