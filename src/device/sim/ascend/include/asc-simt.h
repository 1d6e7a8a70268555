/**
 * Threads of a vector core of 950 (NpuArch 3510): a function of scalars that up to 2048 threads run, over UB and device
 * memory alike. Plain addresses cannot be watched, so memory is compared instead: what a run changes it wrote, what
 * another order of the threads gives otherwise is a race, and what another filling of unwritten bytes gives otherwise
 * was read before it was written. It runs when it is issued, after everything that the vector pipe was given.
 * Not seen: accesses outside the memory that was given which find other memory, and stores of what was there already.
 * Facts: hiascend.com, API pages atlasascendc_api_07_10303 (asc_vf_call), 10306 (asc_syncthreads), 10375
 * (asc_atomic_add), 10838 and 10844 (indices). Main functions: `asc_vf_call`, `asc_syncthreads`, `ThreadBlock::run`.
 */
#pragma once
#include <csignal>
#include "asc-vector-function.h"

#define __simt_vf__
#define __simt_callee__
#define __launch_bounds__(...)

struct dim3 {
  std::uint32_t x, y, z;
  constexpr dim3(std::uint32_t dimx = 1, std::uint32_t dimy = 1, std::uint32_t dimz = 1) : x(dimx), y(dimy), z(dimz) {}
};
inline dim3 threadIdx, blockIdx, blockDim, gridDim;
inline constexpr int warpSize = 32;

namespace AscendC {
namespace Simt {
using Dim3 = ::dim3;
constexpr u32 MAX_THREADS = 2048;
constexpr std::size_t STACK_BYTES = 1 << 16;

/** The threads of one call; each has a stack while it is on its way. */
struct ThreadBlock {
  struct Thread {
    ucontext_t context{};
    u8* stack = nullptr;
    bool isWaiting = false;
    sim::At at;
  };
  dim3 size;
  std::function<void()> body;
  std::vector<Thread> threads;
  ucontext_t scheduler{};
  u32 now = 0;
  bool hasRoundedAtomics = false;
  sim::At at;

  static std::vector<u8*>& stacks() {
    static std::vector<u8*> free;
    return free;
  }
  static void enter() {
    activeThreads->body();
    // A thread that has ended hands its stack on.
    ThreadBlock& b = *activeThreads;
    Thread& t = b.threads[b.now];
    stacks().push_back(t.stack);
    t.stack = nullptr, t.isWaiting = false;
    swapcontext(&t.context, &b.scheduler);
  }
  void begin(Thread& t) {
    if (stacks().empty()) stacks().push_back(static_cast<u8*>(mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)));
    t.stack = stacks().back();
    stacks().pop_back();
    getcontext(&t.context);
    t.context.uc_stack.ss_sp = t.stack, t.context.uc_stack.ss_size = STACK_BYTES, t.context.uc_link = nullptr;
    makecontext(&t.context, &ThreadBlock::enter, 0);
  }
  /** All threads to their ends, those that meet at a barrier in phases. */
  void run(bool isBackwards) {
    const u32 n = size.x * size.y * size.z;
    threads.assign(n, Thread{});
    activeThreads = this, sim::scheduler.inside = at;
    blockDim = size, gridDim = dim3(u32(GetBlockNum() * self().numSubs())), blockIdx = dim3(u32(GetBlockIdx()), 0, 0);
    for (bool isFirst = true;; isFirst = false) {
      u32 waiting = 0;
      for (u32 i = 0; i < n; i++) {
        now = isBackwards ? n - 1 - i : i;
        Thread& t = threads[now];
        if (isFirst) begin(t);
        threadIdx = dim3(now % size.x, now / size.x % size.y, now / size.x / size.y);
        swapcontext(&scheduler, &t.context);
        waiting += t.isWaiting;
      }
      if (!waiting) break;
      for (u32 i = 0; i < n && waiting < n; i++)
        if (threads[i].isWaiting) sim::fail("deadlock", threads[i].at, "", sim::format("asc_syncthreads: %u of %u threads came, the others have ended: the block hangs", waiting, n));
    }
    activeThreads = nullptr, sim::scheduler.inside = {};
  }
};

/** Memory that the threads can reach, as it is before and after their runs. */
struct Reach {
  sim::Memory* memory;
  /** Of the elements that its argument points to. */
  u32 element;
  std::vector<u8> before, first, now{};
  void keep(std::vector<u8>& copy) const { copy.assign(memory->data, memory->data + memory->sizeBytes); }
  void reset(u8 (*filling)(u64)) const {
    std::memcpy(memory->data, before.data(), before.size());
    for (u64 i = 0; memory->taint && i < before.size(); i++)
      if (memory->taint[i]) memory->data[i] = filling(i);
  }
};
struct Call {
  Core& core;
  Reg::VectorFunction function;
  std::vector<Reach> reached;
  ThreadBlock block;
  Call(dim3 size, std::function<void()> body) : core(self()), function(core, "asc_vf_call (threads)"), block{size, std::move(body), {}, {}} {
    reached.push_back({&core.memory(UB), 1, {}, {}});
  }
  template <class P>
  void mayUse(P p) {
    function.mayUse(p);
    if constexpr (std::is_pointer_v<P>)
      for (auto& m : deviceMemory) {
        const u64 at = u64(reinterpret_cast<const u8*>(p) - m->data);
        bool isKnown = at >= m->sizeBytes;
        for (const Reach& r : reached) isKnown |= r.memory == m.get();
        if (!isKnown) reached.push_back({m.get(), sizeof(*p), {}, {}});
      }
  }
  void runOn(u8 (*filling)(u64), bool isBackwards) {
    for (Reach& r : reached) r.reset(filling);
    block.run(isBackwards);
    for (Reach& r : reached) r.keep(r.now);
  }
  void differs(const char* rule, const Reach& r, u64 i, const char* text) const { sim::fail(rule, function.k.at, r.memory->range(i / 4 * 4, 4), text); }
  void run() {
    Reg::VectorFunction& f = function;
    if (core.isCube) sim::fail("core-kind", f.k.at, "", "asc_vf_call runs on a vector core only");
    core.drainTo(PIPE_V, core.pipes[PIPE_V].end());
    for (Reach& r : reached) r.keep(r.before);
    // Words of 0, 1 and all bits: an index that is used shows before it may leave memory, a float shows by NaN.
    const auto zero = [](u64) { return u8(0); };
    const auto one = [](u64 i) { return u8(i % 4 == 0); };
    const auto ones = [](u64) { return u8(0xff); };
    runOn(zero, false);
    for (Reach& r : reached) r.first = r.now;
    runOn(one, false);
    for (Reach& r : reached) compare(r, zero, one);
    runOn(zero, true);
    for (Reach& r : reached)
      for (u64 i = 0; i < r.now.size() && sim::current.racesCount && !block.hasRoundedAtomics; i++)
        if (r.now[i] != r.first[i]) differs("race-threads", r, i, "the result depends on the order of the threads: asc_syncthreads or an atomic operation is missing");
    runOn(ones, false);
    for (Reach& r : reached) compare(r, zero, ones), note(r, ones);
    f.k.foreign.clear();
    issueOn(PIPE_V, f.k, [] {});
  }
  /** Two fillings give the same, but where nothing was written. */
  void compare(const Reach& r, u8 (*filling)(u64), u8 (*other)(u64)) const {
    for (u64 i = 0; i < r.now.size(); i++)
      if (r.first[i] != r.now[i] && !(r.memory->taint && r.memory->taint[i] && r.first[i] == filling(i) && r.now[i] == other(i))) differs("uninitialised", r, i, "threads read bytes that nothing wrote");
  }
  /** What was written counts as touched and is clean; the rest is as before. */
  void note(Reach& r, u8 (*filling)(u64)) {
    sim::Memory& m = *r.memory;
    const bool isUb = m.taint;
    bool isRead = isUb || !m.mustBeWritten;
    for (u32 root : function.roots)
      if (isUb) touch(root, core.roots[root].start, core.roots[root].end - core.roots[root].start, sim::reads);
    u64 start = 0, end = 0;
    const auto flush = [&] {
      if (end > start) wrote(m, start, end - start);
      isRead &= isUb || end == start;
    };
    for (u64 i = 0; i < r.now.size(); i++) {
      const u8 t = isUb ? m.taint[i] : 0;
      const bool isOpen = t && r.first[i] == 0 && r.now[i] == filling(i);
      m.data[i] = isOpen ? r.before[i] : r.first[i];
      if (isOpen || (!t && r.first[i] == r.before[i])) continue;
      if (isUb) m.taint[i] = 0;
      // Elements are written as a whole, whichever of their bytes change.
      const u64 from = i / r.element * r.element;
      if (from > end || end == start) flush(), start = from;
      end = from + r.element;
    }
    flush();
    if (!isUb && isRead) function.k.spans.add(&m, 0, m.sizeBytes, sim::reads);
  }
  void touch(u32 root, u64 start, u64 bytes, sim::TouchKind kind) {
    LocalTensor<u8> t;
    t.memory = &core.memory(UB), t.root = root;
    span(function.k, t, start, bytes, kind);
  }
  void wrote(sim::Memory& m, u64 start, u64 bytes) {
    if (!m.taint) return function.k.spans.add(&m, start, std::min(bytes, m.sizeBytes - start), sim::writes);
    for (u32 root : function.roots) {
      const u64 from = std::max<u64>(start, core.roots[root].start), to = std::min<u64>(start + bytes, core.roots[root].end);
      if (from >= to) continue;
      touch(root, from, to - from, sim::writes);
      if (from > start) wrote(m, start, from - start);
      if (to < start + bytes) wrote(m, to, start + bytes - to);
      return;
    }
    sim::fail("out-of-bounds", function.k.at, m.range(start, bytes), "threads write outside the tensors whose addresses they were given");
  }
};

template <auto f, class... P, class... A>
void callThreads(sim::At at, dim3 size, void (*)(P...), A&&... a) {
  static_assert(sizeof...(P) == sizeof...(A), "asc_vf_call: as many arguments as the function of the threads takes");
  static_assert((!std::is_reference_v<P> && ...), "asc_vf_call: threads take addresses and numbers by value");
  const u64 n = u64(size.x) * size.y * size.z;
  if (!isFast && (n == 0 || n > MAX_THREADS)) sim::fail("range", at, "", sim::format("asc_vf_call: a block has 1 to %u threads, got %llu", MAX_THREADS, (unsigned long long)n));
  const std::tuple<P...> args(static_cast<P>(a)...);
  if constexpr (isFast) ThreadBlock{size, [=] { std::apply(f, args); }, {}, {}}.run(false);
  else {
    Call call(size, [=] { std::apply(f, args); });
    call.function.k.at = call.block.at = at;
    std::apply([&](auto... p) { (call.mayUse(p), ...); }, args);
    call.run();
  }
}
/** The number of threads, with the place of the call. */
struct Threads : dim3 {
  sim::At at;
  Threads(dim3 n, SIM_AT) : dim3(n), at(at) {}
};
template <auto f, class... A>
void VF_CALL(Threads n, A&&... a) { callThreads<f>(n.at, n, f, std::forward<A>(a)...); }

template <class T>
T atomicAdd(T* p, T v) {
  static_assert(isOneOf<T, std::int32_t, std::uint32_t, float, std::int64_t, std::uint64_t, half, bfloat16_t>, "asc_atomic_add: no instruction for this element type on this architecture");
  if constexpr (!std::is_integral_v<T>) activeThreads->hasRoundedAtomics = true;
  const T old = *p;
  *p = T(old + v);
  return old;
}
}  // namespace Simt
}  // namespace AscendC

template <auto f, class... A>
void asc_vf_call(AscendC::Simt::Threads n, A&&... a) { ::AscendC::Simt::VF_CALL<f>(n, std::forward<A>(a)...); }
/** Every thread of the block comes here before any goes on. */
inline void asc_syncthreads(SIM_AT) {
  using AscendC::Simt::ThreadBlock;
  ThreadBlock* b = AscendC::activeThreads;
  if (!b) sim::fail("vector-scope", at, "", "asc_syncthreads stands in a __simt_vf__ function called by asc_vf_call");
  ThreadBlock::Thread& t = b->threads[b->now];
  t.isWaiting = true, t.at = at;
  swapcontext(&t.context, &b->scheduler);
  t.isWaiting = false;
}
inline void asc_threadfence() {}
inline void asc_threadfence_block() {}
template <class T>
T asc_atomic_add(T* address, std::common_type_t<T> value) { return AscendC::Simt::atomicAdd(address, value); }
