/**
 * What would end this process: a division by zero of scalar code, an address where no memory is, a full stack, no more
 * memory on this machine. While a `Traps` lives, it ends a fibre's launch with a report.
 */
#pragma once
#include <array>
#include <csignal>
#include <new>
#include "report.h"

namespace sim {
class Traps {
  static constexpr int signals[] = {SIGFPE, SIGSEGV, SIGBUS};
  struct sigaction before[3];
  stack_t stackBefore;
  std::new_handler newBefore;

  /** What was blocked on the way here is what it was before in the context that goes on. */
  static void leave(const char* rule, const char* message) {
    scheduler.report = format("rule=%s\nline=%d\nbuffer=\nmessage=%s\n", rule, scheduler.inside.line, message);
    setcontext(&scheduler.main);
  }
  static void fault(int number) {
    // One of ours ends the process, as it would have.
    if (!scheduler.isInFibre) std::signal(number, SIG_DFL);
    else if (number == SIGFPE) leave("arithmetic", "scalar code divides by zero");
    else leave("out-of-bounds", "scalar code touches an address where no memory is, or its stack is full");
  }
  /** Says nothing of the kernel (violation.ts). */
  static void noMemory() {
    std::set_new_handler(nullptr);
    if (scheduler.isInFibre) leave("host-memory", "the simulator has no more memory on this machine");
  }

 public:
  Traps() {
    // A fibre whose stack is full has no room for a handler.
    static std::array<char, 64 << 10> room;
    stack_t own{};
    own.ss_sp = room.data(), own.ss_size = room.size();
    sigaltstack(&own, &stackBefore);
    struct sigaction action{};
    action.sa_handler = fault, action.sa_flags = SA_ONSTACK;
    for (int i = 0; i < 3; i++) sigaction(signals[i], &action, &before[i]);
    newBefore = std::set_new_handler(noMemory);
  }
  ~Traps() {
    std::set_new_handler(newBefore);
    for (int i = 0; i < 3; i++) sigaction(signals[i], &before[i], nullptr);
    sigaltstack(&stackBefore, nullptr);
  }
  Traps(const Traps&) = delete;
};
}  // namespace sim
