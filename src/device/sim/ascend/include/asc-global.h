/**
 * GlobalTensor (a typed range of device memory) and its scalar accesses, which go through the core's own data cache that no
 * DMA and no other core sees. Main functions: `globalSpan` (bounds, bookkeeping of what a copy touches),
 * `DataCacheCleanAndInvalid`.
 */
#pragma once
#include "asc-tensor.h"

namespace AscendC {
/** A typed range of device memory. It stays bound to the argument its first pointer came from. */
template <class T>
struct GlobalTensor {
  using PrimType = T;
  T* base = nullptr;
  u64 offset = 0, count = 0;
  int region = -1;

  void SetGlobalBuffer(T* p, u64 elements) {
    base = p, offset = 0, count = elements, region = -1;
    if constexpr (isFast) return;
    const auto at = reinterpret_cast<std::uintptr_t>(p);
    for (std::size_t i = 0; i < regions.size(); i++) {
      const auto start = reinterpret_cast<std::uintptr_t>(regions[i].base);
      if (at >= start && at < start + regions[i].sizeBytes) region = int(i);
    }
    // One past the end, of a core with nothing to do.
    for (std::size_t i = 0; i < regions.size() && region < 0; i++)
      if (at == reinterpret_cast<std::uintptr_t>(regions[i].base) + regions[i].sizeBytes) region = int(i);
  }
  void SetGlobalBuffer(T* p) { SetGlobalBuffer(p, elementsIn<T>(~0ull / 2)); }
  GlobalTensor operator[](u64 i) const {
    GlobalTensor t = *this;
    t.base += isInt4<T> ? i / 2 : i, t.count = i < count ? count - i : 0;
    return t;
  }
  u64 GetSize() const { return count; }
  T* GetPhyAddr(u64 i = 0) const { return base + i; }
  void SetL2CacheHint(CacheMode) {}
  template <CacheMode mode = CacheMode::CACHE_MODE_NORMAL>
  void SetL2CacheHint(CacheMode) {}
  T GetValue(u64 i, SIM_AT) const;
  Element<GlobalTensor> operator()(u64 i, SIM_AT) const { return {*this, i, at}; }
  void SetShapeInfo(const ShapeInfo& s) { shape = s; }
  ShapeInfo GetShapeInfo() const { return shape; }
  ShapeInfo shape;
  void SetValue(u64 i, Same<T> value, SIM_AT) const;
};

/** Bytes of device memory that an operation touches; returns their place. Red zones are the ends of the argument. */
template <class T>
u8* globalSpan(Checked& k, const GlobalTensor<T>& t, std::int64_t byteOffset, u64 bytes, sim::TouchKind kind) {
  u8* p = reinterpret_cast<u8*>(t.base) + byteOffset;
  if constexpr (isFast) return p;
  if (bytes == 0) return p;
  (kind == sim::reads ? sim::figures.bytesIn : sim::figures.bytesOut) += bytes;
  if (t.region < 0) sim::fail("no-memory", k.at, "device memory", sim::format("%s: the global tensor does not point into an argument of the kernel", k.op));
  sim::Memory& m = *deviceMemory[std::size_t(t.region)];
  const std::int64_t start = p - m.data;
  if (start < 0 || start + bytes > m.sizeBytes || byteOffset < 0 || u64(byteOffset) + bytes > bytesOf<T>(t.count))
    sim::fail("out-of-bounds", k.at, sim::format("%s[%lld..%lld)", m.name.c_str(), (long long)start, (long long)(start + bytes)),
              sim::format("%s leaves its global tensor: the argument has %llu bytes", k.op, (unsigned long long)m.sizeBytes));
  if (reinterpret_cast<std::uintptr_t>(p) % alignof(T)) sim::fail("alignment", k.at, m.range(u64(start), bytes), sim::format("%s: device memory must be aligned to its element", k.op));
  k.spans.add(&m, u64(start), bytes, kind);
  return p;
}

inline Line& cacheLine(Core& c, sim::Memory& m, u64 lineStart) {
  const u64 key = reinterpret_cast<std::uintptr_t>(m.data) + lineStart;
  auto found = c.cache.find(key);
  if (found != c.cache.end()) return found->second;
  Line& l = c.cache[key];
  l.bytes = u32(std::min<u64>(64, m.sizeBytes - lineStart));
  std::memcpy(l.data, m.data + lineStart, l.bytes);
  return l;
}
template <class T>
T GlobalTensor<T>::GetValue(u64 i, sim::At at) const {
  if constexpr (isFast) return base[i];
  scalarSync();
  Checked k{"GlobalTensor::GetValue", at};
  const u8* p = globalSpan(k, *this, std::int64_t(i * sizeof(T)), sizeof(T), sim::reads);
  sim::figures.bytesIn -= sizeof(T), sim::figures.scalarReads++;
  sim::Memory& m = *deviceMemory[std::size_t(region)];
  T x{};
  issueOn(PIPE_S, k, [&] {
    const u64 start = u64(p - m.data), low = start % 64;
    Line& l = cacheLine(self(), m, start - low);
    std::memcpy(&x, l.data + low, sizeof(T));
    const u64 bits = ((sizeof(T) == 8 ? 0xffull : (1ull << sizeof(T)) - 1) << low);
    if (!(l.dirty & bits) && std::memcmp(l.data + low, p, sizeof(T)))
      sim::fail("dcache-stale", at, m.range(start, sizeof(T)), "GetValue sees an old copy in the core's data cache: DataCacheCleanAndInvalid is missing");
  });
  return x;
}
template <class T>
void GlobalTensor<T>::SetValue(u64 i, Same<T> value, sim::At at) const {
  if constexpr (isFast) {
    base[i] = value;
    return;
  }
  scalarSync();
  Checked k{"GlobalTensor::SetValue", at};
  const u8* p = globalSpan(k, *this, std::int64_t(i * sizeof(T)), sizeof(T), sim::writes);
  sim::Memory& m = *deviceMemory[std::size_t(region)];
  // The bytes arrive when the line is flushed, so that is when they count as written.
  k.spans.list.clear();
  issueOn(PIPE_S, k, [&] {
    const u64 start = u64(p - m.data), low = start % 64;
    Line& l = cacheLine(self(), m, start - low);
    std::memcpy(l.data + low, &value, sizeof(T));
    l.dirty |= ((sizeof(T) == 8 ? 0xffull : (1ull << sizeof(T)) - 1) << low);
    l.at = at;
  });
}
inline void flushLine(Core& c, u64 key, Line& l, sim::At at) {
  for (auto& m : deviceMemory) {
    const u64 start = key - reinterpret_cast<std::uintptr_t>(m->data);
    if (key < reinterpret_cast<std::uintptr_t>(m->data) || start >= m->sizeBytes) continue;
    if (!l.dirty) return;
    Checked k{"DataCacheCleanAndInvalid (writes the whole 64-byte line)", at};
    k.spans.add(m.get(), start, l.bytes, sim::writes);
    c.issue(sim::SCALAR_STORES, k.op, k.at, k.spans, [&] { std::memcpy(m->data + start, l.data, l.bytes); });
    return;
  }
}
/** UB has no copies in the data cache. */
template <class T, CacheLine kind, DcciDst dst = DcciDst::CACHELINE_ALL>
void DataCacheCleanAndInvalid(const LocalTensor<T>&) {}
/** A hint. */
template <class T>
void DataCachePreload(const GlobalTensor<T>&, i64) {}
template <class T, CacheLine kind, DcciDst dst = DcciDst::CACHELINE_OUT>
void DataCacheCleanAndInvalid(const GlobalTensor<T>& t, SIM_AT) {
  if constexpr (isFast) return;
  Core& c = self();
  if (kind == CacheLine::ENTIRE_DATA_CACHE) {
    for (auto& [key, l] : c.cache) flushLine(c, key, l, at);
    c.cache.clear();
    return;
  }
  // Lines are counted from the argument's start, which a device aligns to 64 bytes.
  if (t.region < 0) return;
  const auto start = reinterpret_cast<std::uintptr_t>(deviceMemory[std::size_t(t.region)]->data);
  const u64 key = start + (reinterpret_cast<std::uintptr_t>(t.base) - start) / 64 * 64;
  auto found = c.cache.find(key);
  if (found == c.cache.end()) return;
  flushLine(c, key, found->second, at);
  c.cache.erase(found);
}
}  // namespace AscendC
