/**
 * Copies that change the layout to fractals (ND to NZ, DN to NZ) on the way into L1, and fills of device memory, L1, L0A
 * and L0B. Main functions: `DataCopy` with Nd2NzParams or Dn2NzParams, `InitGlobalMemory`, `InitConstValue`.
 */
#pragma once
#include "asc-copy.h"

namespace AscendC {
/** A piece of a row: where it is read, relative to the source, and where it goes. */
struct RowPart {
  u64 from, to, bytes;
};
template <class T>
std::vector<RowPart> rowParts(const Checked& k, const Nd2NzParams& p) {
  constexpr u32 C0 = u32(elementsIn<T>(32));
  require(p.nValue <= 16384, "range", k, "nValue is 16384 at most, got %d", p.nValue);
  require(p.dstNzC0Stride >= 1 && p.dstNzC0Stride <= 16384, "range", k, "dstNzC0Stride is 1 to 16384, got %d", p.dstNzC0Stride);
  std::vector<RowPart> parts;
  for (u32 nd = 0; nd < p.ndNum; nd++)
    for (u32 row = 0; row < p.nValue; row++) {
      const u64 from = bytesOf<T>(u64(nd) * p.srcNdMatrixStride + u64(row) * p.srcDValue);
      for (u32 column = 0; column < p.dValue; column += C0)
        parts.push_back({from + bytesOf<T>(column), bytesOf<T>(u64(nd) * p.dstNzMatrixStride) + (u64(column / C0) * p.dstNzC0Stride + u64(row) * p.dstNzNStride) * 32, bytesOf<T>(std::min<u64>(C0, p.dValue - column))});
    }
  return parts;
}
/** Notes what is written, column by column, so that neighbours in L1 are one range. */
template <class T>
void noteWrites(Checked& k, const LocalTensor<T>& d, std::vector<RowPart> parts) {
  need(k, d, L1, 32, "destination");
  if constexpr (isFast) return;
  std::sort(parts.begin(), parts.end(), [](const RowPart& x, const RowPart& y) { return x.to < y.to; });
  for (const RowPart& r : parts) span(k, d, r.to, r.bytes, sim::writes);
}
/** Rows of device memory to fractals in L1. Elements beyond the last column of a group stay what they were. */
template <class T>
void DataCopy(const LocalTensor<T>& d, const GlobalTensor<T>& a, const Nd2NzParams& p, SIM_AT) {
  Checked k{"DataCopy ND to NZ", at, {}};
  const std::vector<RowPart> parts = rowParts<T>(k, p);
  std::vector<u8*> sources;
  for (const RowPart& r : parts) sources.push_back(globalSpan(k, a, std::int64_t(r.from), r.bytes, sim::reads));
  noteWrites(k, d, parts);
  issueOn(PIPE_MTE2, k, [=] {
    for (std::size_t i = 0; i < parts.size(); i++) {
      std::memcpy(d.memory->data + d.addr + parts[i].to, sources[i], parts[i].bytes);
      if constexpr (!isFast) std::memset(d.memory->taint + d.addr + parts[i].to, 0, parts[i].bytes);
    }
  });
}
/** The same from UB, over MTE3. */
template <class T>
void DataCopy(const LocalTensor<T>& d, const LocalTensor<T>& a, const Nd2NzParams& p, SIM_AT) {
  Checked k{"DataCopy ND to NZ", at, {}};
  need(k, a, UB, 32, "source");
  const std::vector<RowPart> parts = rowParts<T>(k, p);
  for (const RowPart& r : parts) span(k, a, r.from, r.bytes, sim::reads);
  noteWrites(k, d, parts);
  issueOn(PIPE_MTE3, k, [=] {
    for (const RowPart& r : parts) {
      std::memcpy(d.memory->data + d.addr + r.to, a.memory->data + a.addr + r.from, r.bytes);
      if constexpr (!isFast) std::memcpy(d.memory->taint + d.addr + r.to, a.memory->taint + a.addr + r.from, r.bytes);
    }
  });
}
/** 950: rows of device memory whose columns become the rows of fractals. Elements beyond the last row of a group stay what they were. */
template <class T>
void DataCopy(const LocalTensor<T>& d, const GlobalTensor<T>& a, const Dn2NzParams& p, SIM_AT) {
  static_assert(is3510 && sizeof(T) <= 4, "DataCopy: DN to NZ exists on 950 only");
  constexpr u32 C0 = 32 / sizeof(T);
  Checked k{"DataCopy DN to NZ", at, {}};
  require(p.dnNum <= 4095 && p.nValue <= 16384, "range", k, "dnNum is 4095 and nValue 16384 at most, got %d, %d", p.dnNum, p.nValue);
  require(p.srcDValue >= 1 && p.dstNzC0Stride >= 1 && p.dstNzNStride >= 1, "range", k, "srcDValue, dstNzC0Stride and dstNzNStride are 1 or more, got %llu, %d, %d", (unsigned long long)p.srcDValue, p.dstNzC0Stride, p.dstNzNStride);
  std::vector<RowPart> parts;
  std::vector<u8*> rows;
  for (u32 dn = 0; dn < p.dnNum; dn++)
    for (u32 row = 0; row < p.dValue; row++) {
      const u64 from = (dn * p.srcDnMatrixStride + row * p.srcDValue) * sizeof(T);
      rows.push_back(globalSpan(k, a, std::int64_t(from), u64(p.nValue) * sizeof(T), sim::reads));
      if (row % C0) continue;
      for (u32 n = 0; n < p.nValue; n++)
        parts.push_back({0, dn * u64(p.dstNzMatrixStride) * sizeof(T) + (u64(row / C0) * p.dstNzC0Stride + u64(n) * p.dstNzNStride) * 32, std::min<u64>(C0, p.dValue - row) * sizeof(T)});
    }
  noteWrites(k, d, parts);
  issueOn(PIPE_MTE2, k, [=] {
    for (std::size_t i = 0; i < rows.size(); i++)
      for (u32 n = 0; n < p.nValue; n++) {
        const u32 dn = u32(i / p.dValue), row = u32(i % p.dValue);
        const u64 to = d.addr + dn * u64(p.dstNzMatrixStride) * sizeof(T) + (u64(row / C0) * p.dstNzC0Stride + u64(n) * p.dstNzNStride) * 32 + row % C0 * sizeof(T);
        T x;
        std::memcpy(&x, rows[i] + n * sizeof(T), sizeof(T));
        store<T>(*d.memory, to, x, 0);
      }
  });
}
/** Fills device memory with one value. */
template <class T>
void InitGlobalMemory(const GlobalTensor<T>& d, u64 count, Same<T> value, SIM_AT) {
  Checked k{"InitGlobalMemory", at, {}};
  u8* p = globalSpan(k, d, 0, count * sizeof(T), sim::writes);
  issueOn(PIPE_MTE3, k, [=] {
    for (u64 i = 0; i < count; i++) std::memcpy(p + i * sizeof(T), &value, sizeof(T));
  });
}
/** The same by other names. */
template <class T>
void InitOutput(const GlobalTensor<T>& d, u32 count, Same<T> value = T(0), SIM_AT) { InitGlobalMemory(d, count, value, at); }
template <class T>
void Fill(const GlobalTensor<T>& d, u64 count, Same<T> value, SIM_AT) { InitGlobalMemory(d, count, value, at); }
/** Fills L1 (blocks of 32 bytes) or L0A and L0B (of 512) with one value. */
template <class T>
void InitConstValue(const LocalTensor<T>& d, const InitConstValueParams<T>& p, SIM_AT) {
  Checked k{"InitConstValue", at, {}};
  const bool isL1 = d.memory == &self().memories[L1];
  const u64 unit = isL1 ? 32 : 512;
  for (u32 r = 0; r < p.repeatTimes; r++) span(k, d, r * (u64(p.blockNum) + p.dstGap) * unit, p.blockNum * unit, sim::writes);
  issueOn(isL1 ? PIPE_MTE2 : PIPE_MTE1, k, [=] {
    for (u32 r = 0; r < p.repeatTimes; r++)
      for (u64 e = 0; e < p.blockNum * unit; e += sizeof(T)) store<T>(*d.memory, d.addr + r * (u64(p.blockNum) + p.dstGap) * unit + e, p.initValue, 0);
  });
}
/** InitConstValue of one stretch, dropped by a mutant. */
template <class T>
void Forget(const LocalTensor<T>& d, const InitConstValueParams<T>& p, SIM_AT) {
  Checked k{"what stands for a dropped InitConstValue", at, {}};
  const bool isL1 = d.memory == &self().memories[L1];
  require(p.repeatTimes == 1, "range", k, "expected one stretch, got %d", int(p.repeatTimes));
  forgetOn(isL1 ? PIPE_MTE2 : PIPE_MTE1, k, d, u64(p.blockNum) * (isL1 ? 32 : 512));
}
template <class T>
void Fill(const LocalTensor<T>& d, const InitConstValueParams<T>& p, SIM_AT) { InitConstValue(d, p, at); }
}  // namespace AscendC
