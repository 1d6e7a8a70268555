/**
 * Vector instructions without arithmetic: fills, sequences, copies, broadcasts of blocks, and the mask register.
 * Main functions: `Duplicate`, `Copy`, `CreateVecIndex`, `Brcb`, `SetVectorMask`.
 */
#pragma once
#include "asc-vector.h"

namespace AscendC {
template <class T, bool setsMask = true>
void Duplicate(const LocalTensor<T>& d, Same<T> value, int count, SIM_AT) {
  static_assert(sizeof(T) >= 2, "Duplicate: no instruction for this element type on this architecture (fill pairs as 16-bit elements)");
  Checked k{"Duplicate", at, {}};
  require(count >= 0, "range", k, "the count is %d", count);
  const Walk w = Walk::linear(u32(count));
  const auto f = [value] { return value; };
  lanes<T>(k, w, operand(k, w, d, 1, 8, sim::writes, "destination"), f);
}
/** Duplicate, dropped by a mutant. */
template <class T>
void Forget(const LocalTensor<T>& d, Same<T>, int count, SIM_AT) {
  Checked k{"what stands for a dropped Duplicate", at, {}};
  forgetOn(PIPE_V, k, d, u64(count) * sizeof(T));
}
template <class T, bool setsMask = true, class M>
void Duplicate(const LocalTensor<T>& d, Same<T> value, M mask, int repeats, u16 block, u8 repeat, SIM_AT) {
  static_assert(sizeof(T) >= 2, "Duplicate: no instruction for this element type on this architecture (fill pairs as 16-bit elements)");
  Checked k{"Duplicate", at, {}};
  Walk w;
  if constexpr (std::is_pointer_v<M>) w = repeatWalk(k, sizeof(T), (const u64*)mask, repeats, setsMask);
  else w = repeatWalk(k, sizeof(T), u64(mask), repeats, setsMask);
  const auto f = [value] { return value; };
  lanes<T>(k, w, operand(k, w, d, block, repeat, sim::writes, "destination"), f);
}
template <class T, bool setsMask = true, class M>
void Copy(const LocalTensor<T>& d, const LocalTensor<T>& a, M mask, int repeats, const CopyRepeatParams& p, SIM_AT) {
  static_assert(sizeof(T) == 2 || sizeof(T) == 4, "Copy: no instruction for this element type on this architecture");
  Checked k{"Copy", at, {}};
  Walk w;
  if constexpr (std::is_pointer_v<M>) w = repeatWalk(k, sizeof(T), (const u64*)mask, repeats, setsMask);
  else w = repeatWalk(k, sizeof(T), u64(mask), repeats, setsMask);
  const Operand oa = operand(k, w, a, p.srcStride, p.srcRepeatSize, sim::reads, "source");
  const auto f = [](T x) { return x; };
  lanes<T, decltype(f), T>(k, w, operand(k, w, d, p.dstStride, p.dstRepeatSize, sim::writes, "destination"), f, from<T>(oa));
}
/** first, first + 1, ... */
template <class T>
void CreateVecIndex(const LocalTensor<T>& d, Same<T> first, u32 count, SIM_AT) {
  ASC_TYPES("CreateVecIndex", T, int16_t, int32_t, half, float);
  Checked k{"CreateVecIndex", at, {}};
  const Walk w = Walk::linear(count);
  const Operand od = operand(k, w, d, 1, 8, sim::writes, "destination");
  issueOn(PIPE_V, k, [=] { w.each([&](u32, u32 i) { store<T>(*od.memory, od.at(0, i), T(first + T(i)), 0); }); });
}
template <class T, class M>
void CreateVecIndex(const LocalTensor<T>& d, Same<T> first, M mask, int repeats, u16 block, u8 repeat, SIM_AT) {
  ASC_TYPES("CreateVecIndex", T, int16_t, int32_t, half, float);
  Checked k{"CreateVecIndex", at, {}};
  const Walk w = maskWalk(k, sizeof(T), mask, repeats, true);
  const Operand od = operand(k, w, d, block, repeat, sim::writes, "destination");
  issueOn(PIPE_V, k, [=] { w.each([&](u32 r, u32 i) { store<T>(*od.memory, od.at(r, i), T(first + T(r * w.lanes + i)), 0); }); });
}
template <class T>
void ArithProgression(const LocalTensor<T>& d, Same<T> first, Same<T> step, int count, SIM_AT) {
  ASC_TYPES("ArithProgression", T, int16_t, int32_t, half, float);
  Checked k{"ArithProgression", at, {}};
  const Walk w = Walk::linear(u32(count));
  const Operand od = operand(k, w, d, 1, 8, sim::writes, "destination");
  issueOn(PIPE_V, k, [=] { w.each([&](u32, u32 i) { store<T>(*od.memory, od.at(0, i), T(first + step * T(i)), 0); }); });
}
template <class T>
void Arange(const LocalTensor<T>& d, Same<T> first, Same<T> step, int count, SIM_AT) { ArithProgression<T>(d, first, step, count, at); }

/** Eight elements of the source become eight blocks, in every repeat. */
template <class T>
void Brcb(const LocalTensor<T>& d, const LocalTensor<T>& a, u8 repeats, const BrcbRepeatParams& p, SIM_AT) {
  static_assert(sizeof(T) == 2 || sizeof(T) == 4, "Brcb: no instruction for this element type on this architecture");
  Checked k{"Brcb", at, {}};
  need(k, d, UB, 32, "destination"), need(k, a, UB, 32, "source");
  span(k, a, 0, u64(repeats) * 8 * sizeof(T), sim::reads);
  for (u32 r = 0; r < repeats; r++)
    for (u32 b = 0; b < 8; b++) span(k, d, (u64(r) * p.dstRepStride + b * p.dstBlkStride) * 32, 32, sim::writes);
  issueOn(PIPE_V, k, [=] {
    for (u32 r = 0; r < repeats; r++)
      for (u32 b = 0; b < 8; b++) {
        u8 taint = 0;
        const T x = load<T>(*a.memory, a.addr + (r * 8 + b) * sizeof(T), taint);
        for (u32 i = 0; i < 32 / sizeof(T); i++) store<T>(*d.memory, d.addr + (u64(r) * p.dstRepStride + b * p.dstBlkStride) * 32 + i * sizeof(T), x, taint);
      }
  });
}

inline void SetMaskNorm() { self().isCounting = false; }
inline void SetMaskCount() { self().isCounting = true; }
inline void ResetMask() { self().mask[0] = self().mask[1] = ~0ull; }
template <class T, MaskMode mode = MaskMode::NORMAL>
void SetVectorMask(u64 high, u64 low) {
  if (mode == MaskMode::COUNTER) self().maskCount = low;
  else self().mask[0] = low, self().mask[1] = high;
}
template <class T, MaskMode mode = MaskMode::NORMAL>
void SetVectorMask(int count) {
  if (mode == MaskMode::COUNTER) {
    self().maskCount = u64(count);
    return;
  }
  const Checked k{"SetVectorMask", self().running, {}};
  const Walk w = repeatWalk(k, sizeof(T), u64(count), 1, true);
  self().mask[0] = w.mask[0], self().mask[1] = w.mask[1];
}
}  // namespace AscendC
