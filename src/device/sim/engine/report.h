/**
 * What every simulator shares first: how a broken rule is reported, and cores as fibres of one thread.
 * Owns: `At` (where in the kernel's source), `fail` (ends the launch with a report), `Scheduler` (runs the cores, finds
 * deadlock). Knows no chip. Main function: `Scheduler::run`.
 */
#pragma once
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>
#include <sys/mman.h>
#include <ucontext.h>

namespace sim {
using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i64 = std::int64_t;

/** Where in the kernel's source a call stands: a default argument takes the caller's place. */
struct At {
  const char* file = "";
  int line = 0;
  static constexpr At here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
};
#define SIM_AT ::sim::At at = ::sim::At::here()

inline std::string format(const char* text, ...) {
  char out[1024];
  va_list list;
  va_start(list, text);
  std::vsnprintf(out, sizeof out, text, list);
  va_end(list);
  return out;
}

/** One core's program on a stack of its own. */
struct Fibre {
  static constexpr std::size_t STACK_BYTES = 1 << 20;
  ucontext_t context{};
  void* stack = nullptr;
  std::function<void()> body;
  /** Empty while the fibre can run; else it runs when this returns true. */
  std::function<bool()> ready;
  std::string waitsFor;
  /** The core it runs. */
  void* owner = nullptr;
  At at;
  bool isDone = false;
};

struct Scheduler {
  ucontext_t main{};
  std::vector<std::unique_ptr<Fibre>> fibres;
  Fibre* current = nullptr;
  /** Whether it is running, and not what chooses the next. */
  bool isInFibre = false;
  /** The call whose scalar code it runs, where that is known: a fault has no place of its own. */
  At inside;
  u64 state = 1;
  /** Lines `key=value`; empty while no rule was broken. */
  std::string report;

  u32 random() {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return u32(state >> 24);
  }
  void add(void* owner, std::function<void()> body) {
    auto f = std::make_unique<Fibre>();
    f->owner = owner, f->body = std::move(body);
    fibres.push_back(std::move(f));
  }
  static void enter();
  void start(Fibre& f) {
    f.stack = mmap(nullptr, Fibre::STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    mprotect(f.stack, 4096, PROT_NONE);
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack;
    f.context.uc_stack.ss_size = Fibre::STACK_BYTES;
    f.context.uc_link = nullptr;
    makecontext(&f.context, &Scheduler::enter, 0);
  }
  /** Gives up the processor until `ready`; without a condition, for one turn of the others. */
  void wait(std::string what, At at, std::function<bool()> ready) {
    Fibre& f = *current;
    f.ready = std::move(ready), f.waitsFor = std::move(what), f.at = at;
    swapcontext(&f.context, &main);
  }
  /** Runs all fibres to their ends, to a report, or to a deadlock. Which one runs next is drawn from the seed. */
  void run(u64 seed) {
    state = seed * 0x9E3779B97F4A7C15ull + 0x1234567;
    inside = {};
    std::vector<Fibre*> able;
    while (report.empty()) {
      able.clear();
      bool isAnyLeft = false;
      for (auto& f : fibres) {
        if (f->isDone) continue;
        isAnyLeft = true;
        if (!f->ready || f->ready()) able.push_back(f.get());
      }
      if (!isAnyLeft) break;
      if (able.empty()) {
        deadlock();
        break;
      }
      Fibre* next = seed == 0 ? able[0] : able[random() % able.size()];
      next->ready = nullptr;
      if (!next->stack) start(*next);
      current = next;
      isInFibre = true;
      swapcontext(&main, &next->context);
      isInFibre = false;
      // Only those that run hold a stack: a launch may have many blocks.
      if (next->isDone) release(*next);
    }
    for (auto& f : fibres) release(*f);
    fibres.clear();
    current = nullptr;
  }
  static void release(Fibre& f) {
    if (f.stack) munmap(f.stack, Fibre::STACK_BYTES);
    f.stack = nullptr;
  }
  void deadlock() {
    std::string who;
    At at;
    for (auto& f : fibres)
      if (!f->isDone) {
        if (who.size() < 300) who += (who.empty() ? "" : "; ") + f->waitsFor;
        at = f->at;
      }
    report = format("rule=deadlock\nline=%d\nbuffer=\nmessage=every core waits: %s\n", at.line, who.c_str());
  }
};
inline Scheduler scheduler;

inline void Scheduler::enter() {
  scheduler.current->body();
  scheduler.current->isDone = true;
  swapcontext(&scheduler.current->context, &scheduler.main);
}

/** Ends the launch: the report is what the launcher hands back; no core runs on. */
[[noreturn]] inline void fail(const char* rule, At at, const std::string& buffer, const std::string& message) {
  scheduler.report = format("rule=%s\nline=%d\nbuffer=%s\nmessage=", rule, at.line, buffer.c_str()) + message + "\n";
  swapcontext(&scheduler.current->context, &scheduler.main);
  __builtin_unreachable();
}
}  // namespace sim
