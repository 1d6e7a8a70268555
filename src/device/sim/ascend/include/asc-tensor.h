/**
 * LocalTensor (a typed range of an on-chip memory) with its scalar accesses.
 * Main helpers for instructions: `span` (bounds, ownership, race bookkeeping), `load` and `store` (bytes with taint).
 */
#pragma once
#include "asc-core.h"

namespace AscendC {
/** An element that a scalar statement reads or writes. */
template <class Tensor>
struct Element {
  using T = typename Tensor::PrimType;
  Tensor tensor;
  u64 i;
  sim::At at;
  operator T() const { return tensor.GetValue(u32(i), at); }
  const Element& operator=(Same<T> value) const {
    const_cast<Tensor&>(tensor).SetValue(u32(i), value, at);
    return *this;
  }
  const Element& operator=(const Element& other) const { return *this = T(other); }
};
/** Kept for the kernel; no instruction reads it. */
struct ShapeInfo {
  u8 shapeDim = 0, originalShapeDim = 0;
  u32 shape[8] = {}, originalShape[8] = {};
  int dataFormat = 0;
};
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
    if constexpr (!isFast) root = addRoot(spaceOf(pos), byteAddr, bytesOf<T>(elements), at);
  }
  explicit LocalTensor(u32 byteAddr, SIM_AT) : LocalTensor(TPosition::VECCALC, byteAddr, u32(elementsIn<T>(usable(UB) - byteAddr)), at) {}

  static u32 addRoot(Space s, u32 start, u64 bytes, sim::At at) {
    Core& c = homeOf(s);
    if (start % spaceAlign[s]) sim::fail("alignment", at, sim::format("%s[%u]", spaceNames[s], start), sim::format("a tensor in %s starts at a multiple of %u bytes", spaceNames[s], spaceAlign[s]));
    const u64 end = start + (bytes + 31) / 32 * 32;
    if (end > usable(s)) sim::fail("capacity", at, sim::format("%s[%u..%llu)", spaceNames[s], start, (unsigned long long)end), sim::format("%s has %u bytes for kernels", spaceNames[s], usable(s)));
    for (u32 i = u32(c.roots.size()); i-- > 1;)
      if (c.roots[i].space == s && c.roots[i].start == start && c.roots[i].end == end) return i;
    c.roots.push_back({s, start, u32(end)});
    return u32(c.roots.size() - 1);
  }
  LocalTensor operator[](u32 offset) const {
    LocalTensor t = *this;
    t.addr += u32(bytesOf<T>(offset));
    t.count = offset < count ? count - offset : 0;
    return t;
  }
  template <class U>
  LocalTensor<U> ReinterpretCast() const {
    LocalTensor<U> t;
    t.memory = memory, t.addr = addr, t.count = u32(elementsIn<U>(bytesOf<T>(count))), t.root = root, t.position = position, t.buffer = buffer;
    return t;
  }
  template <class U>
  void SetAddrWithOffset(LocalTensor<U>& source, u32 offset) {
    *this = source.template ReinterpretCast<T>();
    addr = source.addr + u32(bytesOf<T>(offset));
  }
  u32 GetSize() const { return count; }
  u32 GetLength() const { return u32(bytesOf<T>(count)); }
  void SetSize(u32 n) { count = n; }
  void SetBufferLen(u32 n) { count = n; }
  TPosition GetPosition() const { return position; }
  /** For vector functions, which take addresses: the tensor is noted as one that they may touch. */
  T* GetPhyAddr(u32 offset = 0) const {
    if constexpr (!isFast)
      if (auto& known = self().addressed; memory == &self().memories[UB]) std::erase(known, root), known.push_back(root);
    return reinterpret_cast<T*>(memory->data + addr) + offset;
  }
  T GetValue(u32 i, SIM_AT) const;
  void SetValue(u32 i, Same<T> value, SIM_AT) const;
  /** tensor(i) reads and writes an element. */
  Element<LocalTensor> operator()(u64 i, SIM_AT) const { return {*this, i, at}; }
  /** tensor = a + b and the like: an instruction over all elements of the tensor, see asc-operators.h. */
  template <class E>
    requires requires(E e, LocalTensor t) { e.into(t); }
  LocalTensor& operator=(const E& expression) {
    expression.into(*this);
    return *this;
  }
  void SetShapeInfo(const ShapeInfo& s) { shape = s; }
  ShapeInfo GetShapeInfo() const { return shape; }
  void SetUserTag(int tag) { userTag = tag; }
  int GetUserTag() const { return userTag; }
  ShapeInfo shape;
  int userTag = 0;
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

/** What an instruction leaves in its scratch memory: nothing to rely on. */
template <class T>
void spoil(const LocalTensor<T>& work, u64 elements) {
  if constexpr (isFast) return;
  for (u64 i = 0; i < (elements * sizeof(T) + 31) / 32 * 32; i++) store<u8>(*work.memory, work.addr + i, sim::current.poison, sim::unwritten);
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
}  // namespace AscendC
