/**
 * DMA: device memory to and from UB and L1, UB to L1, L1 to the bias table; with padding, strides and ND to NZ layout.
 * Gaps run from the end of a block to the start of the next. The tail that a padded copy does not fill is poison, and
 * poison must not reach device memory. Main functions: `DataCopy`, `DataCopyPad`.
 */
#pragma once
#include "asc-fill.h"

namespace AscendC {
enum AtomicOp { noAtomic, atomicAdd, atomicMax, atomicMin };
template <class T>
void SetAtomicAdd() {
  static_assert(isOneOf<T, float, half, bfloat16_t, int32_t, int16_t, int8_t>, "SetAtomicAdd: no instruction for this element type on this architecture");
  self().atomicOp = atomicAdd;
}
template <class T>
void SetAtomicMax() {
  static_assert(isOneOf<T, float, half, bfloat16_t, int32_t, int16_t, int8_t>, "SetAtomicMax: no instruction for this element type on this architecture");
  self().atomicOp = atomicMax;
}
template <class T>
void SetAtomicMin() {
  static_assert(isOneOf<T, float, half, bfloat16_t, int32_t, int16_t, int8_t>, "SetAtomicMin: no instruction for this element type on this architecture");
  self().atomicOp = atomicMin;
}
/** The element type, the operation stays. */
template <class T>
void SetAtomicType() {
  static_assert(isOneOf<T, float, half, bfloat16_t, int32_t, int16_t, int8_t>, "SetAtomicType: no instruction for this element type on this architecture");
}
inline void SetAtomicNone() { self().atomicOp = noAtomic; }
inline void DisableDmaAtomic() { self().atomicOp = noAtomic; }

template <class T>
T combine(T old, T x, int op) {
  if (op == noAtomic) return x;
  if constexpr (isInt4<T>) return x;
  else if constexpr (std::is_same_v<T, bfloat16_t> || std::is_same_v<T, fp8_e4m3fn_t>) {
    const float a = float(old), b = float(x);
    return T(op == atomicAdd ? a + b : op == atomicMax ? std::max(a, b) : std::min(a, b));
  } else return op == atomicAdd ? T(old + x) : op == atomicMax ? (x > old ? x : old) : (x < old ? x : old);
}
/** The last stop of poison. */
template <class T>
void storeGlobal(u8* p, T x, u8 taint, int op, const char* name, sim::At at, const std::string& from) {
  if (!isFast && taint) sim::fail(sim::taintRule(taint), at, from, sim::format("%s takes %s to device memory", name, sim::taintName(taint)));
  if (op != noAtomic) {
    T old;
    std::memcpy(&old, p, sizeof(T));
    x = combine(old, x, op);
  }
  std::memcpy(p, &x, sizeof(T));
}

/** Blocks of bytes with their pitches. */
struct Blocks {
  u32 count = 1;
  u64 bytes = 0, from = 0, to = 0;
};
template <class T>
void loadBlocks(Checked& k, const LocalTensor<T>& d, const GlobalTensor<T>& a, const Blocks& b) {
  need(k, d, d.memory == &self().memories[L1] ? L1 : UB, 32, "destination");
  std::vector<u8*> sources;
  for (u32 i = 0; i < b.count; i++) {
    sources.push_back(globalSpan(k, a, std::int64_t(i * b.from), b.bytes, sim::reads));
    span(k, d, i * b.to, b.bytes, sim::writes);
  }
  issueOn(PIPE_MTE2, k, [=] {
    for (u32 i = 0; i < b.count; i++) {
      std::memcpy(d.memory->data + d.addr + i * b.to, sources[i], b.bytes);
      if constexpr (!isFast) std::memset(d.memory->taint + d.addr + i * b.to, 0, b.bytes);
    }
  });
}
template <class T>
void storeBlocks(Checked& k, const GlobalTensor<T>& d, const LocalTensor<T>& a, const Blocks& b) {
  need(k, a, a.memory == &self().memories[L1] ? L1 : UB, 32, "source");
  const int op = self().atomicOp;
  std::vector<u8*> targets;
  for (u32 i = 0; i < b.count; i++) {
    span(k, a, i * b.from, b.bytes, sim::reads);
    targets.push_back(globalSpan(k, d, std::int64_t(i * b.to), b.bytes, op == noAtomic ? sim::writes : sim::adds));
  }
  const char* name = k.op;
  const sim::At at = k.at;
  issueOn(PIPE_MTE3, k, [=] {
    for (u32 i = 0; i < b.count; i++) {
      const u64 start = a.addr + i * b.from;
      if (isFast && op == noAtomic) {
        std::memcpy(targets[i], a.memory->data + start, b.bytes);
        continue;
      }
      for (u64 e = 0; e < b.bytes; e += sizeof(T)) {
        u8 taint = 0;
        const T x = load<T>(*a.memory, start + e, taint);
        storeGlobal<T>(targets[i] + e, x, taint, op, name, at, taint ? a.memory->range(start + e, sizeof(T)) : std::string());
      }
    }
  });
}
inline void checkParams(const Checked& k, const DataCopyParams& p) {
  require(p.blockCount >= 1 && p.blockCount <= 4095, "range", k, "blockCount is 1 to 4095, got %d", p.blockCount);
  require(p.blockLen >= 1, "range", k, "blockLen (in 32 bytes) is at least 1, got %d", p.blockLen);
}
inline Blocks blocksOf(const DataCopyParams& p) {
  const u64 bytes = p.blockLen * 32ull;
  return {p.blockCount, bytes, bytes + p.srcGap * 32ull, bytes + p.dstGap * 32ull};
}
template <class T>
Blocks wholeBlock(const Checked& k, u64 count) {
  require(bytesOf<T>(count) % 32 == 0, "copy-size", k, "count * sizeof must be a multiple of 32 bytes, got %llu bytes (the rest would be dropped; DataCopyPad takes any size)", (unsigned long long)bytesOf<T>(count));
  const u64 bytes = bytesOf<T>(count) / 32 * 32;
  return {1, bytes, bytes, bytes};
}
template <class T>
void DataCopy(const LocalTensor<T>& d, const GlobalTensor<T>& a, u32 count, SIM_AT) {
  Checked k{"DataCopy", at, {}};
  loadBlocks(k, d, a, wholeBlock<T>(k, count));
}
template <class T>
void DataCopy(const LocalTensor<T>& d, const GlobalTensor<T>& a, const DataCopyParams& p, SIM_AT) {
  Checked k{"DataCopy", at, {}};
  checkParams(k, p);
  loadBlocks(k, d, a, blocksOf(p));
}
template <class T>
void DataCopy(const GlobalTensor<T>& d, const LocalTensor<T>& a, u32 count, SIM_AT) {
  Checked k{"DataCopy", at, {}};
  storeBlocks(k, d, a, wholeBlock<T>(k, count));
}
template <class T>
void DataCopy(const GlobalTensor<T>& d, const LocalTensor<T>& a, const DataCopyParams& p, SIM_AT) {
  Checked k{"DataCopy", at, {}};
  checkParams(k, p);
  storeBlocks(k, d, a, blocksOf(p));
}

/** Between on-chip memories: which pair goes over which pipe. */
inline pipe_t pipeBetween(const Checked& k, const sim::Memory* from, const sim::Memory* to) {
  Core& c = self();
  const auto is = [&c](const sim::Memory* m, Space s) { return m == &c.memories[s]; };
  const auto isAcross = [](const sim::Memory* m, Space s) { return m && &homeOf(s) != &self() && m == &homeOf(s).memories[s]; };
  if (is(from, UB) && is(to, UB)) return PIPE_V;
  // 950: between a vector core and the cube core of its block.
  if (is(from, UB) && isAcross(to, L1)) return PIPE_MTE3;
  if (is(from, L1) && isAcross(to, UB)) return PIPE_MTE1;
  if (is(from, L1) && is(to, BT)) return PIPE_MTE1;
  if (is(from, L1) && is(to, FB)) return PIPE_FIX;
  require(false, "memory-space", k, "there is no copy from %s to %s", from ? from->name.c_str() : "nowhere", to ? to->name.c_str() : "nowhere");
  return PIPE_V;
}
template <class T>
void copyBlocks(Checked& k, const LocalTensor<T>& d, const LocalTensor<T>& a, const Blocks& b) {
  const pipe_t pipe = pipeBetween(k, a.memory, d.memory);
  k.isAcross = a.memory && d.memory && a.memory->core != d.memory->core;
  for (u32 i = 0; i < b.count; i++) span(k, a, i * b.from, b.bytes, sim::reads), span(k, d, i * b.to, b.bytes, sim::writes);
  issueOn(pipe, k, [=] {
    for (u32 i = 0; i < b.count; i++) {
      std::memmove(d.memory->data + d.addr + i * b.to, a.memory->data + a.addr + i * b.from, b.bytes);
      if constexpr (!isFast) std::memmove(d.memory->taint + d.addr + i * b.to, a.memory->taint + a.addr + i * b.from, b.bytes);
    }
  });
}
template <class T>
void DataCopy(const LocalTensor<T>& d, const LocalTensor<T>& a, u32 count, SIM_AT) {
  Checked k{"DataCopy", at, {}};
  copyBlocks(k, d, a, wholeBlock<T>(k, count));
}
template <class T>
void DataCopy(const LocalTensor<T>& d, const LocalTensor<T>& a, const DataCopyParams& p, SIM_AT) {
  Checked k{"DataCopy", at, {}};
  checkParams(k, p);
  Blocks b = blocksOf(p);
  // The bias table counts in blocks of 64 bytes.
  if (d.memory == &self().memories[BT]) b = {p.blockCount, p.blockLen * 64ull, p.blockLen * 64ull + p.srcGap * 32ull, p.blockLen * 64ull + p.dstGap * 32ull};
  copyBlocks(k, d, a, b);
}

/** Device memory to UB or L1 in blocks of any size; every block lands on a multiple of 32 bytes. */
template <class T, PaddingMode mode = PaddingMode::Normal>
void DataCopyPad(const LocalTensor<T>& d, const GlobalTensor<T>& a, const DataCopyExtParams& p, const DataCopyPadExtParams<T>& pad, SIM_AT) {
  static_assert(mode == PaddingMode::Normal, "DataCopyPad: PaddingMode::Compact is not modelled, and there is no instruction for it on 2201");
  Checked k{"DataCopyPad", at, {}};
  require(p.blockCount >= 1 && p.blockCount <= 4095, "range", k, "blockCount is 1 to 4095, got %d", p.blockCount);
  require(p.blockLen >= 1 && p.blockLen <= 2097151, "range", k, "blockLen (in bytes) is 1 to 2097151, got %u", p.blockLen);
  require(bytesOf<T>(pad.leftPadding + pad.rightPadding) <= 32, "range", k, "padding is 32 bytes at most, got %d and %d elements", pad.leftPadding, pad.rightPadding);
  require(p.blockLen % sizeof(T) == 0, "range", k, "blockLen is in bytes and must hold whole elements, got %u", p.blockLen);
  need(k, d, d.memory == &self().memories[L1] ? L1 : UB, 32, "destination");
  const u64 left = pad.isPad ? bytesOf<T>(pad.leftPadding) : 0, right = pad.isPad ? bytesOf<T>(pad.rightPadding) : 0;
  const u64 landed = (left + p.blockLen + right + 31) / 32 * 32, pitch = landed + p.dstStride * 32ull;
  std::vector<u8*> sources;
  for (u32 i = 0; i < p.blockCount; i++) {
    sources.push_back(globalSpan(k, a, std::int64_t(i * (u64(p.blockLen) + p.srcStride)), p.blockLen, sim::reads));
    span(k, d, i * pitch, landed, sim::writes);
  }
  const T value = pad.paddingValue;
  const u64 bytes = p.blockLen;
  issueOn(PIPE_MTE2, k, [=] {
    for (u32 i = 0; i < sources.size(); i++) {
      const u64 to = d.addr + i * pitch;
      for (u64 e = 0; e < left; e += sizeof(T)) store<T>(*d.memory, to + e, value, 0);
      std::memcpy(d.memory->data + to + left, sources[i], bytes);
      if constexpr (!isFast) std::memset(d.memory->taint + to + left, 0, bytes);
      for (u64 e = 0; e < right; e += sizeof(T)) store<T>(*d.memory, to + left + bytes + e, value, 0);
      if constexpr (!isFast)
        for (u64 e = left + bytes + right; e < landed; e++) store<u8>(*d.memory, to + e, sim::current.poison, sim::padTail);
    }
  });
}
template <class T>
void DataCopyPad(const LocalTensor<T>& d, const GlobalTensor<T>& a, const DataCopyParams& p, const DataCopyPadParams& pad, SIM_AT) {
  T value{};
  std::memcpy(&value, &pad.paddingValue, sizeof(T));
  DataCopyPad(d, a, DataCopyExtParams{p.blockCount, p.blockLen, p.srcStride, p.dstStride, 0}, DataCopyPadExtParams<T>{pad.isPad, pad.leftPadding, pad.rightPadding, value}, at);
}
/** UB or L1 to device memory; the tail of each 32-byte block stays behind. */
template <class T>
void DataCopyPad(const GlobalTensor<T>& d, const LocalTensor<T>& a, const DataCopyExtParams& p, SIM_AT) {
  Checked k{"DataCopyPad", at, {}};
  require(p.blockCount >= 1 && p.blockCount <= 4095, "range", k, "blockCount is 1 to 4095, got %d", p.blockCount);
  require(p.blockLen >= 1 && p.blockLen <= 2097151, "range", k, "blockLen (in bytes) is 1 to 2097151, got %u", p.blockLen);
  require(p.blockLen % sizeof(T) == 0, "range", k, "blockLen is in bytes and must hold whole elements, got %u", p.blockLen);
  const u64 landed = (u64(p.blockLen) + 31) / 32 * 32;
  storeBlocks(k, d, a, Blocks{p.blockCount, p.blockLen, landed + p.srcStride * 32ull, u64(p.blockLen) + p.dstStride});
}
template <class T>
void DataCopyPad(const GlobalTensor<T>& d, const LocalTensor<T>& a, const DataCopyParams& p, SIM_AT) {
  DataCopyPad(d, a, DataCopyExtParams{p.blockCount, p.blockLen, p.srcStride, p.dstStride, 0}, at);
}
}  // namespace AscendC
