/**
 * The way from the device into a kernel: `TESSERA_SIM_ENTRY(kernel)` defines `kernel_run`, which the device calls with
 * the arguments as doubles. A kernel takes pointers, numbers or plain structs (given by address).
 * A simulator defines `sim::launchCores(body, regions)`; main function: `enterKernel`.
 */
#pragma once
#include <type_traits>
#include "core.h"

namespace sim {
/** Device memory of one argument. */
struct Region {
  u8* base;
  u64 sizeBytes;
  int argument;
};

template <class A>
A unpack(double word) {
  using V = std::remove_cv_t<std::remove_reference_t<A>>;
  if constexpr (std::is_pointer_v<V>) return reinterpret_cast<V>(std::uintptr_t(word));
  else if constexpr (std::is_class_v<V>) return *reinterpret_cast<V*>(std::uintptr_t(word));
  else return V(word);
}
template <class... A, std::size_t... I>
std::function<void()> bindWords(void (*kernel)(A...), const double* words, std::index_sequence<I...>) {
  return [=] { kernel(unpack<A>(words[I])...); };
}

/** Runs the cores of one launch; provided by the simulator. */
void launchCores(const std::function<void()>& body, const std::vector<Region>& regions);

/** Called where a mutant's text stands instead of the kernel's. */
inline bool wasReached = false;
inline bool reached() { return wasReached = true; }
/** Of loops of such a text: which turn they came to at most. `turned` stands after a loop's step, just before its condition. */
struct Turns {
  /** By core. */
  std::map<const Fibre*, int> now;
  int most = 0;
};
inline std::vector<Turns> loops;
inline bool isNextTurn = false;
inline void turned() { isNextTurn = true; }
inline bool goesOn(std::size_t loop, bool isSo) {
  if (loops.size() <= loop) loops.resize(loop + 1);
  Turns& own = loops[loop];
  int& now = own.now[scheduler.current];
  now = isNextTurn ? now + 1 : 1;
  if (isSo) own.most = std::max(own.most, now);
  isNextTurn = false;
  return isSo;
}
/** Those that came to a third turn, by number: ",0,3". */
inline std::string repeatedLoops() {
  std::string out;
  for (std::size_t i = 0; i < loops.size(); i++)
    if (loops[i].most > 2) out += format(",%d", int(i));
  return out;
}

/** Arguments of the launch that the device asked for. */
inline std::vector<Region> given;
/** What stands for `k<<<blocks, ub, stream>>>(args)` in a host function that is itself the entry. */
struct Host {
  int numBlocks;
  template <class B, class... Rest>
  Host(B blocks, Rest...) : numBlocks(int(blocks)) {}
  template <class... A, class... X>
  void run(void (*kernel)(A...), X... args) {
    if (!scheduler.report.empty()) return;
    current.numBlocks = numBlocks;
    launchCores([=] { kernel(A(args)...); }, given);
  }
};

/**
 * launch: blocks (0: a host function that launches), kind, seed, report races, vendor's automatic synchronisation, argument not yet written (or -1),
 * poison, audit, how many words there are (those after the arguments are memory that the kernel reaches by addresses it reads).
 * sizes: bytes behind a pointer, -1 for a number. Returns 1 and a report when a rule was broken, else the figures of
 * the run and 0, or 2 when the text that a mutant has instead was reached.
 */
template <class... A>
int enterKernel(void (*kernel)(A...), const double* words, const double* sizes, int numArgs, const double* launch, char* report, int reportBytes) {
  if (numArgs != int(sizeof...(A))) {
    std::snprintf(report, reportBytes, "rule=arguments\nline=0\nbuffer=\nmessage=expected %d arguments, got %d\n", int(sizeof...(A)), numArgs);
    return 1;
  }
  current = {int(launch[0]), int(launch[1]), u64(launch[2]), launch[3] != 0, launch[4] != 0, int(launch[5]), u8(launch[6]), launch[7] != 0};
  std::vector<Region> regions;
  for (int i = 0; i < int(launch[8]); i++)
    if (sizes[i] >= 0) regions.push_back({reinterpret_cast<u8*>(std::uintptr_t(words[i])), u64(sizes[i]), i});
  scheduler.report.clear();
  sites.clear();
  figures = {};
  wasReached = isNextTurn = false;
  loops.clear();
  const auto body = bindWords(kernel, words, std::index_sequence_for<A...>{});
  given = regions;
  // Zero blocks: the function is of the host and launches kernels itself.
  if (current.numBlocks == 0) body();
  else launchCores(body, regions);
  if (!scheduler.report.empty()) {
    std::snprintf(report, reportBytes, "%s", scheduler.report.c_str());
    return 1;
  }
  std::snprintf(report, reportBytes, "makespan=%.0f\nwork=%.0f\nsyncs=%llu\nbytesIn=%llu\nbytesOut=%llu\nscalarReads=%llu\nrepeated=%s\n", figures.makespan, figures.work, (unsigned long long)figures.syncs, (unsigned long long)figures.bytesIn, (unsigned long long)figures.bytesOut, (unsigned long long)figures.scalarReads, repeatedLoops().c_str());
  return wasReached ? 2 : 0;
}
}  // namespace sim

#define TESSERA_SIM_ENTRY(kernel) TESSERA_SIM_ENTRY_NAMED(kernel, kernel)
#define TESSERA_SIM_ENTRY_NAMED(kernel, function)                                                                                          \
  extern "C" __attribute__((visibility("default"))) int kernel##_run(const double* words, const double* sizes, int numArgs,     \
                                                                     const double* launch, char* report, int reportBytes) {     \
    return ::sim::enterKernel(function, words, sizes, numArgs, launch, report, reportBytes);                                      \
  }
