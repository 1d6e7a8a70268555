// The way from the device into a kernel: TESSERA_SIM_ENTRY(kernel) defines `kernel_run`, which the device calls with the
// arguments as doubles, and says where the kernel's on-chip memories are.
#pragma once
#include "types.h"
#include <type_traits>
#include <utility>

extern "C" int bang_run(void (*call)(const double*), void (*memories)(char**), const double* args, const double* sizes,
                        int num_args, const double* launch, int arch, int is_checked, char* report, int report_bytes);

namespace sim {
/// Called where a mutant's text stands instead of the kernel's.
inline bool was_reached = false;
inline bool reached() { return was_reached = true; }
/// Of mutants: memory of the core is again as if nothing had been written there.
void forget(void* p, int64_t bytes);
}  // namespace sim

namespace bang {
template <class T>
T decode(double word) {
  if constexpr (std::is_pointer_v<T>) return (T)(uintptr_t)word;
  else return (T)word;
}
template <class... A, size_t... I>
void invoke(void (*kernel)(A...), const double* words, std::index_sequence<I...>) {
  kernel(decode<A>(words[I])...);
}
template <class... A>
void invoke(void (*kernel)(A...), const double* words) {
  invoke(kernel, words, std::index_sequence_for<A...>());
}
template <class... A>
constexpr int count_arguments(void (*)(A...)) {
  return (int)sizeof...(A);
}
}  // namespace bang

#ifdef SIM_FAST
#define BANG_CHECKED 0
#else
#define BANG_CHECKED 1
#endif
#define BANG_SECTION(memory, kernel)                                                                                   \
  extern "C" __attribute__((weak, visibility("hidden"))) char __start_bang_##memory##_##kernel[];                      \
  extern "C" __attribute__((weak, visibility("hidden"))) char __stop_bang_##memory##_##kernel[];
#define TESSERA_SIM_ENTRY(kernel) TESSERA_SIM_ENTRY_NAMED(kernel)
#define TESSERA_SIM_ENTRY_NAMED(kernel)                                                                                \
  BANG_SECTION(nram, kernel) BANG_SECTION(wram, kernel) BANG_SECTION(sram, kernel)                                     \
  extern "C" __attribute__((visibility("default"))) int kernel##_run(const double* words, const double* sizes,         \
                                                                     int num_args, const double* launch, char* report, \
                                                                     int report_bytes) {                               \
    const int want = bang::count_arguments(kernel);                                                                    \
    if (num_args != want) {                                                                                            \
      snprintf(report, report_bytes, "rule=arguments\nline=0\nbuffer=\nmessage=expected %d arguments, got %d\n", want, \
               num_args);                                                                                              \
      return 1;                                                                                                        \
    }                                                                                                                  \
    const auto call = [](const double* w) { bang::invoke(kernel, w); };                                                \
    const auto memories = [](char** out) {                                                                             \
      out[0] = __start_bang_nram_##kernel, out[1] = __stop_bang_nram_##kernel;                                         \
      out[2] = __start_bang_wram_##kernel, out[3] = __stop_bang_wram_##kernel;                                         \
      out[4] = __start_bang_sram_##kernel, out[5] = __stop_bang_sram_##kernel;                                         \
    };                                                                                                                 \
    ::sim::was_reached = false;                                                                                        \
    const int code = bang_run(call, memories, words, sizes, num_args, launch, __BANG_ARCH__, BANG_CHECKED, report, report_bytes); \
    return code != 0 ? 1 : ::sim::was_reached ? 2 : 0;                                                                 \
  }
