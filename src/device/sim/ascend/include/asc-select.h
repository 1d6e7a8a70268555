/**
 * Comparisons to bit masks, selection by them. A mask has one bit an element, low bit first; it lies in UB or in a
 * register of the vector unit. Main functions: `Compare`, `Select`.
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
/** Bits of `lane(i)` for i < n, eight to a byte, each with its own taint. */
template <class F>
void storeBits(sim::Memory& m, u64 addr, u32 n, F lane) {
  for (u32 b = 0; b * 8 < n; b++) {
    u8 bits = 0, tainted = 0;
    for (u32 i = 0; i < 8 && b * 8 + i < n; i++) {
      u8 taint = 0;
      bits |= u8(lane(b * 8 + i, taint) << i);
      tainted |= u8((taint != 0) << i);
    }
    store<u8>(m, addr + b, bits, 0);
    if constexpr (!isFast) m.setBits(addr + b, tainted);
  }
}
/** One bit of a mask. */
inline bool loadBit(const sim::Memory& m, u64 addr, u32 bit, u8& taint) {
  const u64 at = addr + bit / 8;
  if constexpr (!isFast)
    if ((m.bitsAt(at) >> (bit % 8)) & 1) taint |= m.taint[at] & sim::someBits ? sim::unwritten : m.taint[at];
  return (m.data[at] >> (bit % 8)) & 1;
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

/** From now on tensors end before the scratch; those that there are must, too. */
inline void takeScratch(Checked& k) {
  Core& c = self();
  if (isFast || c.usesScratch) return;
  c.usesScratch = true;
  for (const Root& r : c.roots)
    if (r.space == UB && r.end > usable(UB)) sim::fail("capacity", k.at, sim::format("UB[%u..%u)", r.start, r.end), sim::format("Select of modes 0 and 2 writes to the last %u bytes of UB; tensors end before %u", SCRATCH_BYTES, usable(UB)));
}
/** In mode 0 the first 64 or 128 bits serve every repeat; else bits go on. On 2201 modes 0 and 2 take the end of UB. */
template <class T, class U, class W>
void selectOp(Checked& k, const LocalTensor<T>& d, const LocalTensor<U>& bits, SELMODE mode, const Walk& w, Operand oa, Operand ob, T y, W place) {
  const u32 lanesPerRepeat = REPEAT_BYTES / sizeof(T);
  const bool reuses = mode == SELMODE::VSEL_CMPMASK_SPR;
  if (!is3510 && mode != SELMODE::VSEL_TENSOR_SCALAR_MODE) takeScratch(k);
  const u32 numLanes = w.isLinear ? w.count : w.repeats * lanesPerRepeat;
  need(k, bits, UB, 32, "mask");
  span(k, bits, 0, ((reuses ? std::min(numLanes, lanesPerRepeat) : numLanes) + 7) / 8, sim::reads);
  const Operand od = place(d);
  issueOn(PIPE_V, k, [=] {
    w.each([&](u32 r, u32 i) {
      u8 taint = 0;
      const u32 lane = w.isLinear ? i : r * lanesPerRepeat + i;
      const u32 bit = reuses ? lane % lanesPerRepeat : lane;
      const bool takesA = loadBit(*bits.memory, bits.addr, bit, taint);
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

/** The register of the mask as the vector unit sees it: read and written in order of its pipe, which a barrier gives. */
inline u64 noteMask(Checked& k, sim::TouchKind kind) {
  if constexpr (!isFast) k.spans.add(&self().registers, COMPARE_MASK, 16, kind);
  return COMPARE_MASK;
}
/** One repeat, its bits into the register. */
template <class T, bool setsMask = true, class M>
void Compare(const LocalTensor<T>& a, const LocalTensor<T>& b, CMPMODE mode, M mask, const BinaryRepeatParams& p, SIM_AT) {
  Checked k{"Compare", at, {}};
  checkCompare<T>(k, mode);
  const Walk w = maskWalk(k, sizeof(T), mask, 1, setsMask);
  const Operand oa = operand(k, w, a, p.src0BlkStride, p.src0RepStride, sim::reads, "first source"), ob = operand(k, w, b, p.src1BlkStride, p.src1RepStride, sim::reads, "second source");
  const u64 to = noteMask(k, sim::writes);
  sim::Memory& registers = self().registers;
  issueOn(PIPE_V, k, [=, &registers] {
    storeBits(registers, to, w.lanes, [&](u32 i, u8& taint) {
      if (!w.has(0, i)) return false;
      const T x = load<T>(*oa.memory, oa.at(0, i), taint);
      return compareOne<T>(x, load<T>(*ob.memory, ob.at(0, i), taint), mode);
    });
  });
}
/** 16 bytes between UB and the register. */
template <class T>
void moveMask(const char* op, const LocalTensor<T>& t, bool isGet, sim::At at) {
  Checked k{op, at, {}};
  need(k, t, UB, 16, isGet ? "destination" : "source");
  span(k, t, 0, 16, isGet ? sim::writes : sim::reads);
  const u64 place = noteMask(k, isGet ? sim::reads : sim::writes);
  sim::Memory& registers = self().registers;
  issueOn(PIPE_V, k, [=, &registers] {
    sim::Memory &from = isGet ? registers : *t.memory, &to = isGet ? *t.memory : registers;
    const u64 start = isGet ? place : t.addr, end = isGet ? t.addr : place;
    for (u32 i = 0; i < 16; i++) {
      to.data[end + i] = from.data[start + i];
      if constexpr (!isFast) to.setBits(end + i, from.bitsAt(start + i));
    }
  });
}
template <class T>
void GetCmpMask(const LocalTensor<T>& d, SIM_AT) { moveMask("GetCmpMask", d, true, at); }
template <class T>
void SetCmpMask(const LocalTensor<T>& a, SIM_AT) { moveMask("SetCmpMask", a, false, at); }
/** By the register, the same bits in every repeat; lanes of the mask register. */
template <class T, SELMODE mode = SELMODE::VSEL_CMPMASK_SPR>
void Select(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<T>& b, u8 repeats, const BinaryRepeatParams& p, SIM_AT) {
  ASC_TYPES("Select", T, half, float);
  static_assert(mode == SELMODE::VSEL_CMPMASK_SPR, "Select: without a mask tensor there is mode VSEL_CMPMASK_SPR only, no instruction for others");
  Checked k{"Select", at, {}};
  const Walk w = repeatWalk(k, sizeof(T), u64(0), repeats, false);
  const Operand oa = operand(k, w, a, p.src0BlkStride, p.src0RepStride, sim::reads, "first source"), ob = operand(k, w, b, p.src1BlkStride, p.src1RepStride, sim::reads, "second source");
  const Operand od = operand(k, w, d, p.dstBlkStride, p.dstRepStride, sim::writes, "destination");
  const u64 bits = noteMask(k, sim::reads);
  sim::Memory& registers = self().registers;
  issueOn(PIPE_V, k, [=, &registers] {
    w.each([&](u32 r, u32 i) {
      u8 taint = 0;
      const Operand& o = loadBit(registers, bits, i, taint) ? oa : ob;
      const T x = load<T>(*o.memory, o.at(r, i), taint);
      store<T>(*d.memory, od.at(r, i), x, taint);
    });
  });
}
}  // namespace AscendC
