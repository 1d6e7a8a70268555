/**
 * Instructions between lanes of different places: comparison into masks, selection, logic of masks, conversion between
 * widths, sums and extremes of a register.
 * Facts: hiascend.com, API pages atlasascendc_api_07_0337 (masks), 0392 to 0415, 00237 to 00239 (CastTrait).
 */
#pragma once
#include "asc-register-ops.h"

namespace AscendC::Reg {
inline constexpr CastTrait castTrait{RegLayout::ZERO, SatMode::NO_SAT, MaskMergeMode::ZEROING, RoundMode::CAST_NONE};

template <CMPMODE mode, class T>
bool holds(T x, T y) {
  switch (mode) {
    case CMPMODE::LT: return x < y;
    case CMPMODE::GT: return x > y;
    case CMPMODE::GE: return x >= y;
    case CMPMODE::LE: return x <= y;
    case CMPMODE::NE: return x != y;
    default: return x == y;
  }
}
/** A lane is set where the mask has it and the comparison holds. */
template <class T = DefaultType, CMPMODE mode = CMPMODE::EQ, Register U>
void Compare(MaskReg& d, U& a, U& b, const MaskReg& mask, SIM_AT) {
  static_assert(isNamed<T, U>, "Compare: the registers are of another type than is named");
  using V = typename U::ActualT;
  ASC_TYPES("Compare of registers", V, ASC_REG_ALL);
  const bool isRunning = computes("Compare", at);
  MaskReg out = maskOf(sizeof(V), 0);
  follow(out, a, b, mask);
  for (u32 i = 0; i < U::lanes; i++)
    if (mask.mayHave(i, sizeof(V)))
      out.put(i, sizeof(V), isRunning && mask.has(i, sizeof(V)) && holds<mode>(a.get(i), b.get(i)), u8(a.taintOf(i) | b.taintOf(i) | mask.taintOf(i, sizeof(V))));
  d = out;
}
template <class T = DefaultType, CMPMODE mode = CMPMODE::EQ, Register U, class S>
void Compares(MaskReg& d, U& a, S scalar, const MaskReg& mask, SIM_AT) {
  U b;
  Duplicate(b, typename U::ActualT(scalar), at);
  Compare<T, mode>(d, a, b, mask, at);
}
template <class T = DefaultType, Register U>
void Select(U& d, U& a, U& b, const MaskReg& mask, SIM_AT) {
  static_assert(isNamed<T, U>, "Select: the registers are of another type than is named");
  using V = typename U::ActualT;
  const U x = a, y = b;
  follow(d, x, y, mask);
  if (!computes("Select", at)) return;
  for (u32 i = 0; i < U::lanes; i++) {
    const U& from = mask.has(i, sizeof(V)) ? x : y;
    d.put(i, from.get(i), u8(from.taintOf(i) | mask.taintOf(i, sizeof(V))));
  }
}
/** Logic of masks, bit by bit where `mask` has the bit. */
template <class F>
void maskLogic(const char* op, sim::At at, MaskReg& d, const MaskReg& a, const MaskReg& b, const MaskReg& mask, F f) {
  computes(op, at);
  MaskReg out = maskOf(1, 0);
  follow(out, a, b, mask);
  for (u32 i = 0; i < VL; i++) {
    const bool isDecided = (a.bits[i] | b.bits[i] | mask.bits[i]) & 4, on = mask.has(i, 1) && f(a.has(i, 1), b.has(i, 1));
    out.bits[i] = isDecided && mask.mayHave(i, 1) ? u8(6 | on) : on ? 3 : 0;
    if constexpr (!isFast) out.taint[i] = u8(a.taint[i] | b.taint[i] | mask.taint[i]);
  }
  d = out;
}
inline void And(MaskReg& d, const MaskReg& a, const MaskReg& b, const MaskReg& mask, SIM_AT) { maskLogic("And", at, d, a, b, mask, [](bool x, bool y) { return x && y; }); }
inline void Or(MaskReg& d, const MaskReg& a, const MaskReg& b, const MaskReg& mask, SIM_AT) { maskLogic("Or", at, d, a, b, mask, [](bool x, bool y) { return x || y; }); }
inline void Xor(MaskReg& d, const MaskReg& a, const MaskReg& b, const MaskReg& mask, SIM_AT) { maskLogic("Xor", at, d, a, b, mask, [](bool x, bool y) { return x != y; }); }
inline void Not(MaskReg& d, const MaskReg& a, const MaskReg& mask, SIM_AT) { maskLogic("Not", at, d, a, a, mask, [](bool x, bool) { return !x; }); }
inline void Select(MaskReg& d, const MaskReg& a, const MaskReg& b, const MaskReg& mask, SIM_AT) {
  MaskReg x, y, n;
  const MaskReg all = maskOf(1, VL);
  And(x, a, all, mask, at), Not(n, mask, all, at), And(y, b, all, n, at), Or(d, x, y, all, at);
}

/**
 * Conversion. Between widths the narrower register holds an element in one of the 2 (4, 8) places that a wider one
 * spans, `layoutMode` says which; the mask counts elements of the wider type; places that are not written become zero.
 */
template <class T = DefaultType, class S = DefaultType, const CastTrait& trait = castTrait, Register U, Register V>
void Cast(U& d, V& a, const MaskReg& mask, SIM_AT) {
  using D = typename U::ActualT;
  using F = typename V::ActualT;
  static_assert(isNamed<T, U> && isNamed<S, V>, "Cast: the registers are of other types than are named");
  static_assert(canCast<D, F>(), "Cast: no instruction between these element types on this architecture (go through half or float)");
  constexpr u32 wide = std::max(sizeof(D), sizeof(F)), narrow = std::min(sizeof(D), sizeof(F)), ratio = wide / narrow;
  static_assert(ratio == 1 || (int(trait.layoutMode) >= 0 && int(trait.layoutMode) < int(ratio)), "Cast: the layout names a place among the narrower elements");
  constexpr bool isLossy = sizeof(D) < sizeof(F) || (std::is_integral_v<D> && !std::is_integral_v<F>);
  static_assert(!isLossy || trait.roundMode != RoundMode::UNKNOWN, "Cast: a conversion that loses digits needs a rounding mode");
  constexpr RoundMode round = trait.roundMode == RoundMode::UNKNOWN ? RoundMode::CAST_NONE : trait.roundMode;
  constexpr u32 place = ratio == 1 ? 0 : u32(trait.layoutMode);
  const V x = a;
  const U old = d;
  follow(d, x, mask);
  if constexpr (trait.mrgMode == MaskMergeMode::MERGING) follow(d, d, old);
  if (!computes("Cast", at)) return;
  if constexpr (trait.mrgMode != MaskMergeMode::MERGING)
    for (u32 i = 0; i < U::lanes; i++) d.put(i, D{}, 0);
  for (u32 i = 0; i < VL / wide; i++) {
    const u32 from = sizeof(F) == narrow ? i * ratio + place : i, to = sizeof(D) == narrow ? i * ratio + place : i;
    const u8 taint = mask.taintOf(i, wide);
    if (mask.has(i, wide)) d.put(to, castOne<D, F>(x.get(from), round, 1.0f), u8(taint | x.taintOf(from)));
    else if (taint) d.put(to, d.get(to), taint);
  }
}

/** Lanes [first, first + n) that the mask has, as one value; `isEmpty` when there is none. */
template <ReduceType type, class D, class V>
Found<D> reduced(const V& a, const MaskReg& mask, u32 first, u32 n) {
  using F = typename V::ActualT;
  Found<D> f;
  D tree[VL] = {};
  for (u32 i = 0; i < n; i++) {
    const u32 lane = first + i;
    f.taint |= mask.taintOf(lane, sizeof(F));
    if (!mask.has(lane, sizeof(F))) continue;
    const D x = D(a.get(lane));
    f.taint |= a.taintOf(lane);
    if constexpr (type == ReduceType::SUM) tree[i] = x;
    else if (f.isEmpty || (type == ReduceType::MAX ? x > f.value : x < f.value) || x != x) f.value = x;
    f.isEmpty = false;
  }
  if constexpr (type == ReduceType::SUM) f.value = treeSum(tree, n);
  // What an extreme of nothing is has not been said.
  else if (f.isEmpty) f.taint = sim::unwritten;
  return f;
}
/** One value in the lowest lane, zero above; beside an extreme lies what the pages do not say. */
template <ReduceType type = ReduceType::SUM, class T = DefaultType, class S = DefaultType, MaskMergeMode mode = MaskMergeMode::ZEROING, Register U, Register V>
void Reduce(U& d, V a, MaskReg mask, SIM_AT) {
  using D = typename U::ActualT;
  using F = typename V::ActualT;
  static_assert(isNamed<T, U> && isNamed<S, V> && mode == MaskMergeMode::ZEROING, "Reduce: the registers are of other types than are named, or merging is asked for");
  static_assert(isOneOf<F, ASC_REG_INTS, half, float>, "Reduce of registers: no instruction for this element type on this architecture");
  static_assert(std::is_same_v<D, F> ? type != ReduceType::SUM || sizeof(F) > 2 || std::is_same_v<F, half>
                                     : type == ReduceType::SUM && ((std::is_same_v<F, std::int16_t> && std::is_same_v<D, std::int32_t>) || (std::is_same_v<F, std::uint16_t> && std::is_same_v<D, std::uint32_t>)),
                "Reduce: the result has the type of the elements; a sum of 16-bit integers is of 32 bits");
  follow(d, a, mask);
  if (!computes("Reduce", at)) return;
  const auto f = reduced<type, D>(a, mask, 0, V::lanes);
  for (u32 i = 0; i < U::lanes; i++) d.put(i, i ? D{} : f.value, i == 0 ? f.taint : u8(i == 1 && type != ReduceType::SUM ? sim::unwritten : 0));
}
/** One value of each 32 bytes, in the lowest lanes. */
template <ReduceType type = ReduceType::SUM, class T = DefaultType, MaskMergeMode mode = MaskMergeMode::ZEROING, Register U>
void ReduceDataBlock(U& d, U a, MaskReg mask, SIM_AT) {
  using V = typename U::ActualT;
  ASC_REG_CHECK(ReduceDataBlock, std::int16_t, std::uint16_t, half, std::int32_t, std::uint32_t, float);
  follow(d, a, mask);
  if (!computes("ReduceDataBlock", at)) return;
  constexpr u32 n = 32 / sizeof(V);
  for (u32 i = 0; i < U::lanes; i++) {
    const auto f = i < 8 ? reduced<type, V>(a, mask, i * n, n) : Found<V>{};
    d.put(i, f.value, f.taint);
  }
}
}  // namespace AscendC::Reg
