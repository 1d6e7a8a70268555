/**
 * Conversions of numbers that lie two in a byte: int4 from and to half, FP4 to bf16 (950). Counts are of numbers; a block
 * of 32 bytes holds 64 of them. Main function: `castPairs`, called by `Cast`.
 */
#pragma once
#include "asc-fill.h"

namespace AscendC {
template <class T>
constexpr bool isPacked = isOneOf<T, int4b_t, fp4x2_e2m1_t>;
/** Where the byte of a lane lies. */
inline u64 pairAt(const Operand& o, u32 r, u32 i) {
  if (o.isLinear) return o.addr + i / 2;
  return o.addr + (u64(r) * o.repeat + u64(i / 64) * o.block) * BLOCK_BYTES + i % 64 / 2;
}
template <class T>
Operand pairOperand(Checked& k, const Walk& w, const LocalTensor<T>& t, u32 block, u32 repeat, sim::TouchKind kind, const char* role) {
  if constexpr (!isPacked<T>) return operand(k, w, t, block, repeat, kind, role);
  need(k, t, UB, BLOCK_BYTES, role);
  const Operand o{t.memory, t.addr, 1, block, repeat, w.isLinear};
  if constexpr (isFast) return o;
  w.each([&](u32 r, u32 i) {
    const u64 at = pairAt(o, r, i) - t.addr;
    if (i % 2 == 0 || !(w.isLinear || w.has(r, i - 1))) span(k, t, at, 1, kind);
  });
  return o;
}
template <class T>
u64 laneAt(const Operand& o, u32 r, u32 i) { return isPacked<T> ? pairAt(o, r, i) : o.at(r, i); }

inline int4b_t withNumber(int4b_t old, u32 i, int x) {
  old.bits = std::uint8_t(i % 2 ? (old.bits & 15) | (x & 15) << 4 : (old.bits & 0xf0) | (x & 15));
  return old;
}
/** One of `D` and `S` is packed. `round`: a half to the nearest number of int4 that the mode allows. */
template <class D, class S, class F>
void castPairs(Checked& k, const Walk& w, const LocalTensor<D>& d, const LocalTensor<S>& a, u32 dstBlock, u32 dstRepeat, u32 srcBlock, u32 srcRepeat, F round) {
  const Operand oa = pairOperand(k, w, a, srcBlock, srcRepeat, sim::reads, "source"), od = pairOperand(k, w, d, dstBlock, dstRepeat, sim::writes, "destination");
  issueOn(PIPE_V, k, [=] {
    w.each([&](u32 r, u32 i) {
      u8 taint = 0;
      const S x = load<S>(*oa.memory, laneAt<S>(oa, r, i), taint);
      const u64 to = laneAt<D>(od, r, i);
      if constexpr (isInt4<D>) {
        u8 before = 0;
        const D old = load<D>(*od.memory, to, before);
        // The first number of a byte does not ask what was there.
        store<D>(*od.memory, to, withNumber(old, i, round(x)), i % 2 ? u8(taint | before) : taint);
      } else if constexpr (isInt4<S>) store<D>(*od.memory, to, D(int4b_t::number(x.bits, i % 2)), taint);
      else store<D>(*od.memory, to, D(x.number(i & 1)), taint);
    });
  });
}
}  // namespace AscendC
