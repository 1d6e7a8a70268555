/**
 * A vector function of 950 (NpuArch 3510) as one operation of the vector pipe. A call runs twice: when it is issued,
 * without numbers, so that the bytes it touches are known to the race checks; and when it executes, as late as the order
 * allows. A scope in place runs once, at issue. Inside, stores and loads of the same bytes need an order of their own.
 * Facts: hiascend.com, API pages atlasascendc_api_07_00267 (asc_vf_call), 00231 (LocalMemBar), and the programming
 * guide's page atlas_ascendc_10_10071. Main functions: `asc_vf_call`, `__VEC_SCOPE__`, `VectorFunction::touch`.
 */
#pragma once
#include <tuple>
#include <unordered_map>
#include "asc-registers.h"

#define __simd_vf__
#define __simd_callee__

namespace AscendC {
namespace Reg {
enum class MemType { VEC_STORE, VEC_LOAD, SCALAR_STORE, SCALAR_LOAD, VEC_ALL, SCALAR_ALL };

/** A register instruction that touched bytes, for the order inside a vector function. */
struct Seen {
  u32 number, id, mask;
  bool isStore;
  int line;
};
/** Where an access lies. */
struct Place {
  u8 *data, *taint;
  /** Bytes of the range that lie in the tensor; what a load takes behind them is nobody's. */
  u64 usable;
  bool isForeign;
};
/** One call of a vector function. */
struct VectorFunction {
  Core& core;
  Checked k;
  bool records = false, runs = false;
  /** Tensors whose addresses it was given. */
  std::vector<u32> roots;
  struct Access {
    u64 start, usable;
    sim::TouchKind kind;
  };
  /** What the first run touched; the second must do the same. */
  std::vector<Access> log;
  std::size_t next = 0;
  std::unordered_map<u64, std::vector<Seen>> blocks;
  u32 number = 0;
  /** [is the earlier one a store][is the later one a store]: instructions up to this number are waited for. */
  u32 barriers[2][2] = {};
  /** Stores whose last bytes still lie in an unaligned register. */
  int pendingStores = 0;
  VectorFunction* outer = nullptr;

  VectorFunction(Core& c, const char* op) : core(c), k{op, {}, {}} {}
  sim::Memory& ub() { return core.memory(UB); }
  /** The tensor that an argument points into: the last one whose address was taken there. */
  template <class P>
  void mayUse(P p) {
    if constexpr (std::is_pointer_v<P>) {
      const u64 at = u64(reinterpret_cast<const u8*>(p) - ub().data);
      for (std::size_t i = core.addressed.size(); i-- > 0;) {
        const Root& r = core.roots[core.addressed[i]];
        if (at < r.start || at >= r.end) continue;
        roots.push_back(core.addressed[i]);
        return;
      }
    }
  }
  /** Checks and notes bytes that a register instruction touches for its register `reg`, or finds them in the log. */
  Place touch(const char* op, const void* p, u64 bytes, u32 align, sim::TouchKind kind, Origin& reg, sim::At at) {
    sim::Memory& m = ub();
    const u64 start = u64(static_cast<const u8*>(p) - m.data);
    if (!k.at.line) k.at = at;
    if (start >= m.sizeBytes) sim::fail("memory-space", at, "", sim::format("%s: registers are loaded from and stored to UB only (LocalTensor::GetPhyAddr)", op));
    if (start % align) sim::fail("alignment", at, m.range(start, bytes), sim::format("%s: the address must be a multiple of %u bytes", op, align));
    Place place{m.data + start, m.taint + start, bytes, false};
    if (!records) {
      if (next == log.size() || log[next].start != start || log[next].kind != kind) sim::fail("data-dependent", at, m.range(start, bytes), "which bytes a vector function touches must not depend on data in UB");
      place.usable = log[next++].usable;
      return place;
    }
    const Root* root = nullptr;
    LocalTensor<u8> t;
    for (u32 r : roots)
      if (start >= core.roots[r].start && start < core.roots[r].end) root = &core.roots[r], t.root = r;
    const bool isInside = root && start + bytes <= root->end;
    if (!root || start + bytes > m.sizeBytes || (kind != sim::reads && !isInside))
      sim::fail("out-of-bounds", at, m.range(start, bytes), sim::format("%s leaves the tensors whose addresses the vector function was given", op));
    if (!isInside) place.usable = root->end - start;
    const std::size_t known = k.foreign.size();
    t.memory = &m;
    span(k, t, start, place.usable, kind);
    place.isForeign = k.foreign.size() > known;
    log.push_back({start, place.usable, kind});
    order(op, start, place.usable, kind != sim::reads, reg, at);
    return place;
  }
  /** Bytes from an address to the end of its tensor. */
  u64 rest(const void* p) {
    const u64 start = u64(static_cast<const u8*>(p) - ub().data);
    u64 end = start + 1;
    for (u32 r : roots)
      if (start >= core.roots[r].start && start < core.roots[r].end) end = core.roots[r].end;
    return end - start;
  }
  /** Two instructions of one function may finish in any order unless they share a register, or a barrier stands between. */
  void order(const char* op, u64 start, u64 bytes, bool isStore, Origin& reg, sim::At at) {
    number++;
    for (u64 block = start / 32; block * 32 < start + bytes; block++) {
      u32 mask = 0;
      for (u64 b = 0; b < 32; b++) mask |= u32(block * 32 + b >= start && block * 32 + b < start + bytes) << b;
      auto& list = blocks[block];
      std::size_t kept = 0;
      for (std::size_t i = 0; i < list.size(); i++) {
        const Seen& s = list[i];
        const bool isOrdered = (!s.isStore && !isStore) || !(s.mask & mask) || s.number <= barriers[s.isStore][isStore] || s.id == reg.id ||
                               (!s.isStore && std::binary_search(reg.loads.begin(), reg.loads.end(), s.number));
        if (!isOrdered && sim::current.racesCount && !sim::current.autoSync)
          sim::fail("local-mem-bar", at, ub().range(block * 32, 32), sim::format("%s touches what an instruction before it (line %d) %s through another register, and no LocalMemBar stands between the two", op, s.line, s.isStore ? "stores" : "loads"));
        // Whoever comes after this one comes after what it covers, be it by this one or by the barrier between.
        const bool isConflict = (s.isStore || isStore) && (s.mask & mask);
        const bool isCovered = isConflict && !(s.mask & ~mask) && (isStore || s.number <= barriers[1][0]);
        if (!isCovered && !(s.isStore == isStore && s.id == reg.id && s.mask == mask)) list[kept++] = s;
      }
      list.resize(kept);
      list.push_back({number, reg.id, mask, isStore, at.line});
    }
    if (!isStore) reg.loads = {number};
  }
  void end() {
    if (pendingStores) sim::fail("unaligned-store-left", k.at, "", "StoreUnAlignPost is missing: the last bytes of an unaligned store stay in its register");
    active() = outer;
  }
  template <class F>
  void enter(bool isRecording, F&& body) {
    outer = active();
    active() = this;
    records = isRecording, runs = !isRecording, next = 0, pendingStores = 0;
    body();
    if (runs && next != log.size()) sim::fail("data-dependent", k.at, "", "which bytes a vector function touches must not depend on data in UB");
    blocks.clear();
    end();
  }
  /** The one that runs; registers exist in it only. */
  static VectorFunction*& active() { return activeVectorFunction; }
};
/** The function that a register instruction stands in. */
inline VectorFunction& inFunction(const char* op, sim::At at) {
  if (!VectorFunction::active()) sim::fail("vector-scope", at, "", sim::format("%s: register instructions stand in a __simd_vf__ function called by asc_vf_call, or in a __VEC_SCOPE__", op));
  return *VectorFunction::active();
}
inline bool computes(const char* op, sim::At at) {
  if constexpr (isFast) return true;
  else return inFunction(op, at).runs;
}

/** Instructions of `dst` after it wait for those of `src` before it. */
template <MemType src, MemType dst>
void LocalMemBar(SIM_AT) {
  constexpr bool fromStore = src == MemType::VEC_STORE, fromLoad = src == MemType::VEC_LOAD, toStore = dst == MemType::VEC_STORE, toLoad = dst == MemType::VEC_LOAD;
  constexpr bool toScalar = dst == MemType::SCALAR_STORE || (dst == MemType::SCALAR_LOAD && fromStore);
  static_assert(((fromStore || fromLoad) && (toStore || toScalar || (toLoad && fromStore))) || (src == MemType::SCALAR_STORE && (toLoad || toStore)) || (src == MemType::SCALAR_LOAD && toStore) ||
                    (src == MemType::VEC_ALL && (dst == MemType::VEC_ALL || dst == MemType::SCALAR_ALL)) || (src == MemType::SCALAR_ALL && dst == MemType::VEC_ALL),
                "LocalMemBar: no instruction for this pair of pipelines");
  if constexpr (!isFast) {
    VectorFunction& f = inFunction("LocalMemBar", at);
    if (src == MemType::VEC_ALL && dst == MemType::VEC_ALL) f.barriers[0][1] = f.barriers[1][0] = f.barriers[1][1] = f.number;
    if ((fromStore && (toLoad || toStore)) || (fromLoad && toStore)) f.barriers[fromStore][toStore] = f.number;
  }
}

/** Code in place: it runs when it is issued, after everything that the vector pipe was given. */
struct Scope {
  std::unique_ptr<VectorFunction> function;
  bool isOpen = true;
  explicit Scope(sim::At at) {
    if constexpr (isFast) return;
    if (VectorFunction::active()) return;
    Core& c = self();
    function = std::make_unique<VectorFunction>(c, "__VEC_SCOPE__");
    function->k.at = at;
    if (!c.isCube) c.drainTo(PIPE_V, c.pipes[PIPE_V].end());
    function->roots = c.addressed, function->records = function->runs = true;
    VectorFunction::active() = function.get();
  }
  ~Scope() {
    if (!function) return;
    function->end();
    function->k.foreign.clear();
    issueOn(PIPE_V, function->k, [] {});
  }
};

template <auto f, class... P, class... A>
void callVector(void (*)(P...), A&&... a) {
  static_assert(is3510, "asc_vf_call: only 950 (NpuArch 3510) has vector functions");
  static_assert(sizeof...(P) == sizeof...(A), "asc_vf_call: as many arguments as the vector function takes");
  static_assert((!std::is_reference_v<P> && ...), "asc_vf_call: a vector function takes addresses and numbers by value");
  if constexpr (isFast) f(static_cast<P>(a)...);
  else {
    const std::tuple<P...> args(static_cast<P>(a)...);
    const auto call = std::make_shared<VectorFunction>(self(), "asc_vf_call");
    std::apply([&](auto... p) { (call->mayUse(p), ...); }, args);
    call->enter(true, [&] { std::apply(f, args); });
    issueOn(PIPE_V, call->k, [call, args] { call->enter(false, [&] { std::apply(f, args); }); });
  }
}
}  // namespace Reg
}  // namespace AscendC

/** Enqueues a vector function with its arguments as they are now. */
template <auto f, class... A>
  requires std::is_invocable_v<decltype(f), A...>
void asc_vf_call(A&&... a) { ::AscendC::Reg::callVector<f>(f, std::forward<A>(a)...); }

#define __VEC_SCOPE__ for (::AscendC::Reg::Scope vectorScope(::sim::At::here()); vectorScope.isOpen; vectorScope.isOpen = false)
