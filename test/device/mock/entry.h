// Put before a kernel by the mock compilers: MOCK_ENTRY(kernel) makes of a kernel, as the simulator's header compiles
// it, the two functions that the mock libraries look for: `_pack` reads the arguments as the kernel declares them,
// `_enter` turns device addresses into the host's and runs the simulator.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

namespace mock {
template <class A>
std::uint64_t packOne(const void* arg) {
  std::uint64_t word = 0;
  std::memcpy(&word, arg, sizeof(A));
  return word;
}
template <class... A, std::size_t... I>
int packAll(void (*)(A...), void* const* args, std::uint64_t* words, std::index_sequence<I...>) {
  ((words[I] = packOne<A>(args[I])), ...);
  return int(sizeof...(A));
}
template <class... A>
int packArgs(void (*k)(A...), void* const* args, std::uint64_t* words) {
  return packAll(k, args, words, std::index_sequence_for<A...>{});
}

typedef int (*Resolve)(std::uint64_t, std::uint64_t*, void**);
typedef int (*BlockAt)(int, std::uint64_t*, void**);
/// False when a pointer is no device memory.
template <class A>
bool unpackOne(std::uint64_t word, Resolve resolve, double* out, double* size) {
  *size = -1;
  if constexpr (std::is_pointer_v<A>) {
    std::uint64_t rest = 0;
    void* host = nullptr;
    if (resolve(word, &rest, &host)) return false;
    *out = double(std::uintptr_t(host)), *size = double(rest);
  } else {
    A value;
    std::memcpy(&value, &word, sizeof value);
    *out = double(value);
  }
  return true;
}
template <class... A, std::size_t... I>
int enterAll(void (*)(A...), int (*run)(const double*, const double*, int, const double*, char*, int), const std::uint64_t* words,
             Resolve resolve, BlockAt blockAt, int numBlocks, int kind, char* report, int bytes, std::index_sequence<I...>) {
  std::vector<double> values(sizeof...(A)), sizes(sizeof...(A));
  int bad = -1;
  ((unpackOne<A>(words[I], resolve, &values[I], &sizes[I]) ? 0 : (bad = int(I))), ...);
  if (bad >= 0) {
    std::snprintf(report, bytes, "argument %d: 0x%llx is no device memory", bad, (unsigned long long)words[bad]);
    return 2;
  }
  std::uint64_t size = 0;
  void* host = nullptr;
  for (int i = 0; blockAt(i, &size, &host) == 0; i++) values.push_back(double(std::uintptr_t(host))), sizes.push_back(double(size));
  const double launch[] = {double(numBlocks), double(kind), 0, 1, 0, -1, 0xff, 0, double(values.size()), double(numBlocks), 1, 1};
  return run(values.data(), sizes.data(), int(sizeof...(A)), launch, report, bytes);
}
template <class... A>
int enter(void (*k)(A...), int (*run)(const double*, const double*, int, const double*, char*, int), const std::uint64_t* words,
          Resolve resolve, BlockAt blockAt, int numBlocks, int kind, char* report, int bytes) {
  return enterAll(k, run, words, resolve, blockAt, numBlocks, kind, report, bytes, std::index_sequence_for<A...>{});
}
}  // namespace mock

/// kind: as the simulator numbers it; -1: as the launch says.
#define MOCK_ENTRY(kernel, declared)                                                                                        \
  TESSERA_SIM_ENTRY(kernel)                                                                                                 \
  extern "C" __attribute__((visibility("default"))) int kernel##_pack(void* const* args, std::uint64_t* words) {            \
    return mock::packArgs(kernel, args, words);                                                                             \
  }                                                                                                                         \
  extern "C" __attribute__((visibility("default"))) int kernel##_enter(const std::uint64_t* words, mock::Resolve resolve,   \
                                                                       mock::BlockAt blockAt, int numBlocks, int kind, char* report, int bytes) {  \
    return mock::enter(kernel, kernel##_run, words, resolve, blockAt, numBlocks, (declared) < 0 ? kind : (declared), report, bytes); \
  }

/// The vendor's library that a launcher starts kernels through.
extern "C" void tesseraMockLaunch(int (*enter)(const std::uint64_t*, mock::Resolve, mock::BlockAt, int, int, char*, int), int numBlocks, void* stream,
                                  const std::uint64_t* words, int numWords);
inline int blocksOf(unsigned blocks) { return int(blocks); }
template <class D>
int blocksOf(const D& dim) { return int(dim.x * dim.y * dim.z); }

/// What `kernel<<<blocks, x, stream>>>` becomes; the arguments follow.
#define MOCK_LAUNCH(kernel, blocks, extra, stream) mock::launch(kernel, kernel##_enter, blocksOf(blocks), (void*)(stream))
namespace mock {
template <class... A>
auto launch(void (*)(A...), int (*enter)(const std::uint64_t*, Resolve, BlockAt, int, int, char*, int), int numBlocks, void* stream) {
  return [=](A... args) {
    const std::uint64_t words[] = {packOne<A>(&args)...};
    tesseraMockLaunch(enter, numBlocks, stream, words, int(sizeof...(A)));
  };
}
}  // namespace mock
