/**
 * Gathers: by byte offsets from the start of a source in UB, by blocks of 32 bytes, and by a pattern or a mask that packs
 * what it takes. Main functions: `Gather`, `Gatherb`, `GatherMask`.
 */
#pragma once
#include "asc-select.h"

namespace AscendC {
/** dst[i] = the element at byte base + offsets[i] of the source. */
template <class T>
void gatherOp(Checked& k, const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<u32>& offsets, u32 base, const Walk& w, const Operand& od) {
  static_assert(sizeof(T) == 2 || sizeof(T) == 4, "Gather: no instruction for this element type on this architecture");
  const Operand oo = operand(k, w.isLinear ? w : Walk::linear(w.repeats * w.lanes), offsets, 1, 8, sim::reads, "offsets");
  need(k, a, UB, 32, "source");
  span(k, a, 0, u64(a.count) * sizeof(T), sim::reads);
  const sim::At at = k.at;
  issueOn(PIPE_V, k, [=] {
    w.each([&](u32 r, u32 i) {
      u8 taint = 0;
      const u32 offset = base + load<u32>(*oo.memory, oo.at(0, w.isLinear ? i : r * w.lanes + i), taint);
      if (!isFast && taint) sim::fail("uninitialised", at, oo.memory->range(oo.at(0, i), 4), sim::format("Gather takes an offset from %s", sim::taintName(taint)));
      if (!isFast && (offset % sizeof(T) || u64(offset) + sizeof(T) > u64(a.count) * sizeof(T)))
        sim::fail("out-of-bounds", at, rangeOf(a, offset, sizeof(T)), sim::format("Gather: byte offset %u is not an element of the source (%zu bytes)", offset, a.count * sizeof(T)));
      const T x = load<T>(*a.memory, a.addr + offset, taint);
      store<T>(*d.memory, od.at(r, i), x, taint);
    });
  });
}
template <class T>
void Gather(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<u32>& offsets, u32 base, u32 count, SIM_AT) {
  Checked k{"Gather", at, {}};
  const Walk w = Walk::linear(count);
  const Operand od = operand(k, w, d, 1, 8, sim::writes, "destination");
  gatherOp(k, d, a, offsets, base, w, od);
}
template <class T, class M>
void Gather(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<u32>& offsets, u32 base, M mask, int repeats, u16 repeatStride, SIM_AT) {
  Checked k{"Gather", at, {}};
  const Walk w = maskWalk(k, sizeof(T), mask, repeats, true);
  const Operand od = operand(k, w, d, 1, repeatStride, sim::writes, "destination");
  gatherOp(k, d, a, offsets, base, w, od);
}
/** Blocks of 32 bytes, eight a repeat. */
template <class T>
void Gatherb(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<u32>& offsets, u8 repeats, const GatherRepeatParams& p, SIM_AT) {
  Checked k{"Gatherb", at, {}};
  need(k, d, UB, 32, "destination"), need(k, a, UB, 32, "source"), need(k, offsets, UB, 32, "offsets");
  span(k, a, 0, u64(a.count) * sizeof(T), sim::reads);
  span(k, offsets, 0, u64(repeats) * 32, sim::reads);
  for (u32 r = 0; r < repeats; r++)
    for (u32 b = 0; b < 8; b++) span(k, d, (u64(r) * p.dstRepStride + b * p.dstBlkStride) * 32, 32, sim::writes);
  issueOn(PIPE_V, k, [=] {
    for (u32 r = 0; r < repeats; r++)
      for (u32 b = 0; b < 8; b++) {
        u8 unused = 0;
        const u32 offset = load<u32>(*offsets.memory, offsets.addr + (r * 8 + b) * 4, unused);
        if (!isFast && (offset % 32 || u64(offset) + 32 > u64(a.count) * sizeof(T))) sim::fail("out-of-bounds", at, rangeOf(a, offset, 32), "Gatherb: the offset is not a block of the source");
        for (u32 i = 0; i < 32; i++) {
          u8 taint = unused;
          const u8 x = load<u8>(*a.memory, a.addr + offset + i, taint);
          store<u8>(*d.memory, d.addr + (u64(r) * p.dstRepStride + b * p.dstBlkStride) * 32 + i, x, taint);
        }
      }
  });
}

/** Whether built-in pattern 1..7 takes element i: even, odd, one of four, all. */
inline bool patternTakes(u8 pattern, u32 i) {
  switch (pattern) {
    case 1: return i % 2 == 0;
    case 2: return i % 2 == 1;
    case 3: case 4: case 5: case 6: return i % 4 == u32(pattern - 3);
    default: return true;
  }
}
template <class T, class F>
void gatherMaskOp(Checked& k, const LocalTensor<T>& d, const LocalTensor<T>& a, bool counts, u32 mask, const GatherMaskParams& p, u64& taken, F takes) {
  static_assert(sizeof(T) == 2 || sizeof(T) == 4, "GatherMask: no instruction for this element type on this architecture");
  const u32 perRepeat = counts ? mask : REPEAT_BYTES / sizeof(T), perBlock = 32 / sizeof(T);
  const auto at = [=](u32 r, u32 i) { return a.addr + (u64(r) * p.src0RepeatStride + u64(i / perBlock) * p.src0BlockStride) * 32 + (i % perBlock) * sizeof(T); };
  need(k, d, UB, 32, "destination"), need(k, a, UB, 32, "source");
  taken = 0;
  for (u32 r = 0; r < p.repeatTimes; r++)
    for (u32 i = 0; i < perRepeat; i++) {
      if (i % perBlock == 0) span(k, a, at(r, i) - a.addr, std::min(perBlock, perRepeat - i) * sizeof(T), sim::reads);
      taken += takes(r, i);
    }
  self().maskTaken = taken;
  span(k, d, 0, taken * sizeof(T), sim::writes);
  issueOn(PIPE_V, k, [=, repeats = p.repeatTimes] {
    u64 n = 0;
    std::vector<std::pair<T, u8>> kept;
    for (u32 r = 0; r < repeats; r++)
      for (u32 i = 0; i < perRepeat; i++)
        if (takes(r, i)) {
          u8 taint = 0;
          const T x = load<T>(*a.memory, at(r, i), taint);
          kept.push_back({x, taint});
        }
    for (auto& [x, taint] : kept) store<T>(*d.memory, d.addr + n++ * sizeof(T), x, taint);
  });
}
template <class T>
void GatherMask(const LocalTensor<T>& d, const LocalTensor<T>& a, u8 pattern, bool counts, u32 mask, const GatherMaskParams& p, u64& taken, SIM_AT) {
  Checked k{"GatherMask", at, {}};
  require(pattern >= 1 && pattern <= 7, "range", k, "built-in patterns are 1 to 7, got %d", pattern);
  gatherMaskOp(k, d, a, counts, mask, p, taken, [pattern](u32, u32 i) { return patternTakes(pattern, i); });
}
/** By a mask tensor: the number taken comes back to the scalar unit, so everything before is complete. */
template <class T, class U>
void GatherMask(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<U>& bits, bool counts, u32 mask, const GatherMaskParams& p, u64& taken, SIM_AT) {
  static_assert(sizeof(U) == sizeof(T), "GatherMask: the mask has the element size of the data");
  Checked k{"GatherMask", at, {}};
  const u32 perRepeat = counts ? mask : REPEAT_BYTES / sizeof(T);
  need(k, bits, UB, 32, "mask");
  const u32 stride = p.src1RepeatStride * 32;
  for (u32 r = 0; r < p.repeatTimes; r++) span(k, bits, u64(r) * stride, (perRepeat + 7) / 8, sim::reads);
  if constexpr (!isFast) self().drainTo(PIPE_V, self().pipes[PIPE_V].end());
  std::vector<bool> chosen;
  for (u32 r = 0; r < p.repeatTimes; r++)
    for (u32 i = 0; i < perRepeat; i++) chosen.push_back((bits.memory->data[bits.addr + r * stride + i / 8] >> (i % 8)) & 1);
  gatherMaskOp(k, d, a, counts, mask, p, taken, [chosen, perRepeat](u32 r, u32 i) { return bool(chosen[r * perRepeat + i]); });
}
/** How many elements the last GatherMask of this core took. */
inline i64 GetGatherMaskRemainCount() { return i64(self().maskTaken); }
}  // namespace AscendC
