/**
 * Comparisons to bit masks, selection by them, gathers. A mask has one bit an element, low bit first; gather offsets
 * are bytes from the source's start. Main functions: `Compare`, `Select`, `Gather`, `GatherMask`.
 */
#pragma once
#include "asc-reduce.h"

namespace AscendC {
template <class T>
bool compareOne(T x, T y, CMPMODE mode) {
  switch (mode) {
    case CMPMODE::LT: return x < y;
    case CMPMODE::GT: return x > y;
    case CMPMODE::EQ: return x == y;
    case CMPMODE::LE: return x <= y;
    case CMPMODE::GE: return x >= y;
    default: return x != y;
  }
}
template <class T>
void checkCompare(const Checked& k, CMPMODE mode) {
  ASC_TYPES("Compare", T, half, float, int32_t);
  require(!std::is_same_v<T, int32_t> || mode == CMPMODE::EQ || is3510, "dtype", k, "of int32 only EQ is an instruction");
}
/** Bits of `lane(i)` for i < n, eight to a byte; a byte is tainted when one of its elements is. */
template <class F>
void storeBits(sim::Memory& m, u64 addr, u32 n, F lane) {
  for (u32 b = 0; b * 8 < n; b++) {
    u8 bits = 0, taint = 0;
    for (u32 i = 0; i < 8 && b * 8 + i < n; i++) bits |= u8(lane(b * 8 + i, taint) << i);
    store<u8>(m, addr + b, bits, taint);
  }
}
template <class T, class U, class B>
void compareLinear(const char* op, const LocalTensor<U>& d, const LocalTensor<T>& a, CMPMODE mode, u32 count, sim::At at, const LocalTensor<T>* b, B y) {
  Checked k{op, at, {}};
  checkCompare<T>(k, mode);
  require(count * sizeof(T) % REPEAT_BYTES == 0, "range", k, "count * sizeof must be a multiple of 256 bytes, got %u elements of %zu", count, sizeof(T));
  const Walk w = Walk::linear(count);
  const Operand oa = operand(k, w, a, 1, 8, sim::reads, "first source");
  Operand ob;
  if (b) ob = operand(k, w, *b, 1, 8, sim::reads, "second source");
  need(k, d, UB, 32, "destination");
  span(k, d, 0, (count + 7) / 8, sim::writes);
  issueOn(PIPE_V, k, [=] {
    storeBits(*d.memory, d.addr, count, [&](u32 i, u8& taint) {
      const T x = load<T>(*oa.memory, oa.at(0, i), taint);
      return compareOne<T>(x, ob.memory ? load<T>(*ob.memory, ob.at(0, i), taint) : y, mode);
    });
  });
}
template <class T, class U, class M>
void compareRepeat(const char* op, const LocalTensor<U>& d, const LocalTensor<T>& a, CMPMODE mode, M mask, int repeats, u32 blockA, u32 repeatA, sim::At at, const LocalTensor<T>* b, u32 blockB, u32 repeatB, T y) {
  Checked k{op, at, {}};
  checkCompare<T>(k, mode);
  const Walk w = maskWalk(k, sizeof(T), mask, repeats, true);
  const Operand oa = operand(k, w, a, blockA, repeatA, sim::reads, "first source");
  Operand ob;
  if (b) ob = operand(k, w, *b, blockB, repeatB, sim::reads, "second source");
  need(k, d, UB, 32, "destination");
  span(k, d, 0, u64(w.repeats) * w.lanes / 8, sim::writes);
  issueOn(PIPE_V, k, [=] {
    for (u32 r = 0; r < w.repeats; r++)
      storeBits(*d.memory, d.addr + r * w.lanes / 8, w.lanes, [&](u32 i, u8& taint) {
        if (!w.has(r, i)) return false;
        const T x = load<T>(*oa.memory, oa.at(r, i), taint);
        return compareOne<T>(x, ob.memory ? load<T>(*ob.memory, ob.at(r, i), taint) : y, mode);
      });
  });
}
template <class T, class U>
void Compare(const LocalTensor<U>& d, const LocalTensor<T>& a, const LocalTensor<T>& b, CMPMODE mode, u32 count, SIM_AT) { compareLinear<T>("Compare", d, a, mode, count, at, &b, T{}); }
template <class T, class U, bool setsMask = true, class M>
void Compare(const LocalTensor<U>& d, const LocalTensor<T>& a, const LocalTensor<T>& b, CMPMODE mode, M mask, int repeats, const BinaryRepeatParams& p, SIM_AT) {
  compareRepeat<T>("Compare", d, a, mode, mask, repeats, p.src0BlkStride, p.src0RepStride, at, &b, p.src1BlkStride, p.src1RepStride, T{});
}
template <class T, class U>
void CompareScalar(const LocalTensor<U>& d, const LocalTensor<T>& a, Same<T> y, CMPMODE mode, u32 count, SIM_AT) { compareLinear<T>("CompareScalar", d, a, mode, count, at, (const LocalTensor<T>*)nullptr, T(y)); }
template <class T, class U, bool setsMask = true, class M>
void CompareScalar(const LocalTensor<U>& d, const LocalTensor<T>& a, Same<T> y, CMPMODE mode, M mask, int repeats, const UnaryRepeatParams& p, SIM_AT) {
  compareRepeat<T>("CompareScalar", d, a, mode, mask, repeats, p.srcBlkStride, p.srcRepStride, at, (const LocalTensor<T>*)nullptr, 0, 0, T(y));
}
template <class T, class U>
void Compares(const LocalTensor<U>& d, const LocalTensor<T>& a, Same<T> y, CMPMODE mode, u32 count, SIM_AT) { compareLinear<T>("Compares", d, a, mode, count, at, (const LocalTensor<T>*)nullptr, T(y)); }
template <class T, class U, bool setsMask = true, class M>
void Compares(const LocalTensor<U>& d, const LocalTensor<T>& a, Same<T> y, CMPMODE mode, M mask, int repeats, const UnaryRepeatParams& p, SIM_AT) {
  compareRepeat<T>("Compares", d, a, mode, mask, repeats, p.srcBlkStride, p.srcRepStride, at, (const LocalTensor<T>*)nullptr, 0, 0, T(y));
}

/** In mode 0 the first 64 or 128 bits serve every repeat; else bits go on. Mode 0 and 2 take 8 KB of UB's end as scratch. */
template <class T, class U, class W>
void selectOp(Checked& k, const LocalTensor<T>& d, const LocalTensor<U>& bits, SELMODE mode, const Walk& w, Operand oa, Operand ob, T y, W place) {
  const u32 lanesPerRepeat = REPEAT_BYTES / sizeof(T);
  const bool reuses = mode == SELMODE::VSEL_CMPMASK_SPR;
  const u32 numLanes = w.isLinear ? w.count : w.repeats * lanesPerRepeat;
  need(k, bits, UB, 32, "mask");
  span(k, bits, 0, ((reuses ? std::min(numLanes, lanesPerRepeat) : numLanes) + 7) / 8, sim::reads);
  const Operand od = place(d);
  issueOn(PIPE_V, k, [=] {
    w.each([&](u32 r, u32 i) {
      u8 taint = 0;
      const u32 lane = w.isLinear ? i : r * lanesPerRepeat + i;
      const u32 bit = reuses ? lane % lanesPerRepeat : lane;
      const bool takesA = (load<u8>(*bits.memory, bits.addr + bit / 8, taint) >> (bit % 8)) & 1;
      const T x = takesA ? load<T>(*oa.memory, oa.at(r, i), taint) : ob.memory ? load<T>(*ob.memory, ob.at(r, i), taint) : y;
      store<T>(*d.memory, od.at(r, i), x, taint);
    });
  });
}
template <class T, class U>
void Select(const LocalTensor<T>& d, const LocalTensor<U>& bits, const LocalTensor<T>& a, const LocalTensor<T>& b, SELMODE mode, u32 count, SIM_AT) {
  ASC_TYPES("Select", T, half, float);
  Checked k{"Select", at, {}};
  const Walk w = Walk::linear(count);
  const Operand oa = operand(k, w, a, 1, 8, sim::reads, "first source"), ob = operand(k, w, b, 1, 8, sim::reads, "second source");
  selectOp(k, d, bits, mode, w, oa, ob, T{}, [&](auto& t) { return operand(k, w, t, 1, 8, sim::writes, "destination"); });
}
template <class T, class U>
void Select(const LocalTensor<T>& d, const LocalTensor<U>& bits, const LocalTensor<T>& a, Same<T> y, SELMODE mode, u32 count, SIM_AT) {
  ASC_TYPES("Select", T, half, float);
  Checked k{"Select", at, {}};
  const Walk w = Walk::linear(count);
  const Operand oa = operand(k, w, a, 1, 8, sim::reads, "first source");
  selectOp(k, d, bits, mode, w, oa, Operand{}, T(y), [&](auto& t) { return operand(k, w, t, 1, 8, sim::writes, "destination"); });
}
template <class T, class U, bool setsMask = true, class M>
void Select(const LocalTensor<T>& d, const LocalTensor<U>& bits, const LocalTensor<T>& a, const LocalTensor<T>& b, SELMODE mode, M mask, int repeats, const BinaryRepeatParams& p, SIM_AT) {
  ASC_TYPES("Select", T, half, float);
  Checked k{"Select", at, {}};
  const Walk w = maskWalk(k, sizeof(T), mask, repeats, setsMask);
  const Operand oa = operand(k, w, a, p.src0BlkStride, p.src0RepStride, sim::reads, "first source"), ob = operand(k, w, b, p.src1BlkStride, p.src1RepStride, sim::reads, "second source");
  selectOp(k, d, bits, mode, w, oa, ob, T{}, [&](auto& t) { return operand(k, w, t, p.dstBlkStride, p.dstRepStride, sim::writes, "destination"); });
}
template <class T, class U, bool setsMask = true, class M>
void Select(const LocalTensor<T>& d, const LocalTensor<U>& bits, const LocalTensor<T>& a, Same<T> y, SELMODE mode, M mask, int repeats, const BinaryRepeatParams& p, SIM_AT) {
  ASC_TYPES("Select", T, half, float);
  Checked k{"Select", at, {}};
  const Walk w = maskWalk(k, sizeof(T), mask, repeats, setsMask);
  const Operand oa = operand(k, w, a, p.src0BlkStride, p.src0RepStride, sim::reads, "first source");
  selectOp(k, d, bits, mode, w, oa, Operand{}, T(y), [&](auto& t) { return operand(k, w, t, p.dstBlkStride, p.dstRepStride, sim::writes, "destination"); });
}

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
}  // namespace AscendC
