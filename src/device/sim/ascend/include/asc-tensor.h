/**
 * LocalTensor (a typed range of an on-chip memory) and GlobalTensor (of device memory), with the scalar accesses of both.
 * Scalar accesses of device memory go through the core's own data cache, which no DMA and no other core sees.
 * Main helpers for instructions: `span` (bounds, ownership, race bookkeeping), `load` and `store` (bytes with taint).
 */
#pragma once
#include "asc-core.h"

namespace AscendC {
template <class T>
struct LocalTensor {
  using PrimType = T;
  sim::Memory* memory = nullptr;
  u32 addr = 0, count = 0;
  u32 root = 0;
  TPosition position = TPosition::MAX;
  /** Buffer of the queue it came from, plus one. */
  void* buffer = nullptr;

  LocalTensor() = default;
  LocalTensor(TPosition pos, u32 byteAddr, u32 elements, SIM_AT) : memory(&homeOf(spaceOf(pos)).memory(spaceOf(pos))), addr(byteAddr), count(elements), position(pos) {
    if constexpr (!isFast) root = addRoot(spaceOf(pos), byteAddr, elements * sizeof(T), at);
  }
  explicit LocalTensor(u32 byteAddr, SIM_AT) : LocalTensor(TPosition::VECCALC, byteAddr, u32((spaceBytes[UB] - byteAddr) / sizeof(T)), at) {}

  static u32 addRoot(Space s, u32 start, u64 bytes, sim::At at) {
    Core& c = homeOf(s);
    if (start % spaceAlign[s]) sim::fail("alignment", at, sim::format("%s[%u]", spaceNames[s], start), sim::format("a tensor in %s starts at a multiple of %u bytes", spaceNames[s], spaceAlign[s]));
    const u64 end = start + (bytes + 31) / 32 * 32;
    if (end > spaceBytes[s]) sim::fail("capacity", at, sim::format("%s[%u..%llu)", spaceNames[s], start, (unsigned long long)end), sim::format("%s has %u bytes", spaceNames[s], spaceBytes[s]));
    for (u32 i = u32(c.roots.size()); i-- > 1;)
      if (c.roots[i].space == s && c.roots[i].start == start && c.roots[i].end == end) return i;
    c.roots.push_back({s, start, u32(end)});
    return u32(c.roots.size() - 1);
  }
  LocalTensor operator[](u32 offset) const {
    LocalTensor t = *this;
    t.addr += u32(offset * sizeof(T));
    t.count = offset < count ? count - offset : 0;
    return t;
  }
  template <class U>
  LocalTensor<U> ReinterpretCast() const {
    LocalTensor<U> t;
    t.memory = memory, t.addr = addr, t.count = u32(u64(count) * sizeof(T) / sizeof(U)), t.root = root, t.position = position, t.buffer = buffer;
    return t;
  }
  template <class U>
  void SetAddrWithOffset(LocalTensor<U>& source, u32 offset) {
    *this = source.template ReinterpretCast<T>();
    addr = source.addr + u32(offset * sizeof(T));
  }
  u32 GetSize() const { return count; }
  u32 GetLength() const { return u32(count * sizeof(T)); }
  void SetSize(u32 n) { count = n; }
  void SetBufferLen(u32 n) { count = n; }
  TPosition GetPosition() const { return position; }
  T* GetPhyAddr(u32 offset = 0) const { return reinterpret_cast<T*>(memory->data + addr) + offset; }
  T GetValue(u32 i, SIM_AT) const;
  void SetValue(u32 i, Same<T> value, SIM_AT) const;
};

struct Checked {
  const char* op;
  sim::At at;
  sim::Spans spans;
  /** Parts of what it reads that were last written through a tensor that overlaps the one it reads through. */
  std::vector<sim::Span> foreign;
  /** Units of time, where bytes do not tell. */
  double cost = 0;
  /** Goes from a memory of one core to a memory of another. */
  bool isAcross = false;
};
template <class T>
std::string rangeOf(const LocalTensor<T>& t, u64 offset, u64 bytes) {
  return t.memory ? t.memory->range(t.addr + offset, bytes) : std::string("no memory");
}
/** Notes that an operation touches bytes of a tensor: they lie in it; what another tensor's write left there is marked. */
template <class T>
void span(Checked& k, const LocalTensor<T>& t, u64 offset, u64 bytes, sim::TouchKind kind) {
  if constexpr (isFast) return;
  if (bytes == 0) return;
  if (!t.memory) sim::fail("no-memory", k.at, "", sim::format("%s takes a tensor that was never given memory", k.op));
  Core& c = *cores[std::size_t(t.memory->core)];
  if (&c != &self() && !k.isAcross) sim::fail("memory-space", k.at, rangeOf(t, offset, bytes), sim::format("%s reaches only memories of its own core", k.op));
  const Root& r = c.roots[t.root];
  const u64 start = t.addr + offset;
  if (start + bytes > r.end || start < r.start)
    sim::fail("out-of-bounds", k.at, rangeOf(t, offset, bytes), sim::format("%s leaves its tensor %s[%u..%u)", k.op, spaceNames[r.space], r.start, r.end));
  auto& owners = c.owners[r.space];
  if (owners.empty()) owners.resize(spaceBytes[r.space] / 32);
  for (u64 b = start / 32; b * 32 < start + bytes; b++) {
    if (kind != sim::reads) {
      owners[b] = t.root;
      continue;
    }
    const Root& o = c.roots[owners[b]];
    const bool isNested = owners[b] == 0 || (o.start <= r.start && o.end >= r.end) || (r.start <= o.start && r.end >= o.end);
    // Padding may hold anything; only when such bytes reach device memory is the overlap a fault.
    if (!isNested) k.foreign.push_back({t.memory, std::max(start, b * 32), std::min(start + bytes, b * 32 + 32) - std::max(start, b * 32), sim::reads});
  }
  k.spans.add(t.memory, start, bytes, kind);
}
template <class T>
void need(const Checked& k, const LocalTensor<T>& t, Space s, u32 align, const char* role) {
  if constexpr (isFast) return;
  if (!t.memory) sim::fail("no-memory", k.at, "", sim::format("%s: the %s was never given memory", k.op, role));
  if (t.memory != &self().memories[s]) sim::fail("memory-space", k.at, rangeOf(t, 0, t.count * sizeof(T)), sim::format("%s: the %s must be in %s", k.op, role, spaceNames[s]));
  if (t.addr % align) sim::fail("alignment", k.at, rangeOf(t, 0, t.count * sizeof(T)), sim::format("%s: the %s must start at a multiple of %u bytes", k.op, role, align));
}
template <class... X>
void require(bool ok, const char* rule, const Checked& k, const char* text, X... x) {
  if constexpr (isFast) return;
  if (!ok) sim::fail(rule, k.at, "", std::string(k.op) + ": " + sim::format(text, x...));
}

/** Reads an element and gathers the taint of its bytes. */
template <class T>
T load(const sim::Memory& m, u64 addr, u8& taint) {
  T x;
  std::memcpy(&x, m.data + addr, sizeof(T));
  if constexpr (!isFast)
    for (u32 i = 0; i < sizeof(T); i++) taint |= m.taint[addr + i];
  return x;
}
template <class T>
void store(sim::Memory& m, u64 addr, T x, u8 taint) {
  std::memcpy(m.data + addr, &x, sizeof(T));
  if constexpr (!isFast) std::memset(m.taint + addr, taint, sizeof(T));
}

/** Runs an operation while the foreign parts of what it reads are tainted. */
template <class F>
void runTainted(const std::vector<sim::Span>& foreign, const sim::Spans& spans, F& run) {
  std::vector<std::vector<u8>> kept;
  for (const sim::Span& f : foreign) {
    u8* taint = f.memory->taint + f.start;
    kept.emplace_back(taint, taint + f.bytes);
    for (u64 i = 0; i < f.bytes; i++) taint[i] |= sim::foreign;
  }
  run();
  const auto isWritten = [&](const sim::Memory* m, u64 at) {
    for (const sim::Span& s : spans.list)
      if (s.kind != sim::reads && s.memory == m && at >= s.start && at < s.start + s.bytes) return true;
    return false;
  };
  for (std::size_t n = 0; n < foreign.size(); n++)
    for (u64 i = 0; i < foreign[n].bytes; i++)
      if (!isWritten(foreign[n].memory, foreign[n].start + i)) foreign[n].memory->taint[foreign[n].start + i] = kept[n][i];
}

template <class F>
void issueOn(pipe_t pipe, Checked& k, F&& run) {
  if constexpr (isFast) {
    run();
    return;
  }
  Core& c = self();
  const bool onCube = pipe == PIPE_M || pipe == PIPE_MTE1 || pipe == PIPE_FIX;
  if (onCube && !c.isCube) sim::fail("core-kind", k.at, "", sim::format("%s runs on the cube core only", k.op));
  if (pipe == PIPE_V && c.isCube) sim::fail("core-kind", k.at, "", sim::format("%s runs on a vector core only", k.op));
  if (k.foreign.empty()) c.issue(pipe, k.op, k.at, k.spans, std::forward<F>(run), k.cost);
  else c.issue(pipe, k.op, k.at, k.spans, [run, foreign = k.foreign, spans = k.spans]() mutable { runTainted(foreign, spans, run); });
}

/** What a mutant has instead of a fill: the same bytes are written, with what memory holds that nothing wrote. */
template <class T>
void forgetOn(pipe_t pipe, Checked& k, const LocalTensor<T>& d, u64 bytes) {
  if constexpr (isFast) return;
  span(k, d, 0, bytes, sim::writes);
  issueOn(pipe, k, [=] {
    std::memset(d.memory->data + d.addr, sim::current.poison, bytes);
    std::memset(d.memory->taint + d.addr, sim::unwritten, bytes);
  });
}

/** The scalar unit works at once; with automatic synchronisation the compiler waits for the vector and copy pipes. */
inline void scalarSync() {
  if constexpr (!isFast)
    if (sim::current.autoSync) self().barrierAll();
}
template <class T>
T LocalTensor<T>::GetValue(u32 i, sim::At at) const {
  if constexpr (isFast) return GetPhyAddr()[i];
  scalarSync();
  Checked k{"GetValue", at};
  span(k, *this, u64(i) * sizeof(T), sizeof(T), sim::reads);
  T x{};
  issueOn(PIPE_S, k, [&] {
    u8 taint = 0;
    x = load<T>(*memory, addr + u64(i) * sizeof(T), taint);
    if (taint) sim::fail(sim::taintRule(taint), at, rangeOf(*this, u64(i) * sizeof(T), sizeof(T)), sim::format("GetValue reads %s", sim::taintName(taint)));
  });
  return x;
}
template <class T>
void LocalTensor<T>::SetValue(u32 i, Same<T> value, sim::At at) const {
  if constexpr (isFast) {
    GetPhyAddr()[i] = value;
    return;
  }
  scalarSync();
  Checked k{"SetValue", at};
  span(k, *this, u64(i) * sizeof(T), sizeof(T), sim::writes);
  self().issue(sim::current.autoSync ? int(PIPE_S) : sim::SCALAR_STORES, k.op, k.at, k.spans, [&] { store<T>(*memory, addr + u64(i) * sizeof(T), value, 0); });
}

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
  void SetGlobalBuffer(T* p) { SetGlobalBuffer(p, ~0ull / sizeof(T)); }
  GlobalTensor operator[](u64 i) const {
    GlobalTensor t = *this;
    t.base += i, t.count = i < count ? count - i : 0;
    return t;
  }
  u64 GetSize() const { return count; }
  T* GetPhyAddr(u64 i = 0) const { return base + i; }
  void SetL2CacheHint(CacheMode) {}
  template <CacheMode mode = CacheMode::CACHE_MODE_NORMAL>
  void SetL2CacheHint(CacheMode) {}
  T GetValue(u64 i, SIM_AT) const;
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
  if (start < 0 || start + bytes > m.sizeBytes || byteOffset < 0 || u64(byteOffset) + bytes > t.count * sizeof(T))
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
