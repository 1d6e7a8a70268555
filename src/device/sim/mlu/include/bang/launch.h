// The way from the device into a kernel: TESSERA_SIM_ENTRY(kernel) defines `kernel_run`, which the device calls with the
// arguments as doubles, and says where the kernel's on-chip memories are.
#pragma once
#include "types.h"
#include <type_traits>
#include <utility>

extern "C" int bang_run(void (*call)(const double*), void (*memories)(char**), const double* args, const double* sizes,
                        int num_args, const double* launch, int arch, int checks, bool has_memory_core, char* report, int report_bytes);

namespace sim {
/// Called where a mutant's text stands instead of the kernel's.
inline bool was_reached = false;
inline bool reached() { return was_reached = true; }
/// Of mutants: memory of the core is again as if nothing had been written there.
void forget(void* p, int64_t bytes);
}  // namespace sim

namespace bang {
/// Memory of variables in function templates, see runtime/pool.cpp.
bool register_pool(const char* base, int64_t size);
char* claim(char* pool, int64_t bytes, const char* name);

template <class T>
T decode(double word) {
  using V = std::remove_cv_t<std::remove_reference_t<T>>;
  if constexpr (std::is_pointer_v<T>) return (T)(uintptr_t)word;
  // A struct by value is given by address.
  else if constexpr (std::is_class_v<V> && !std::is_same_v<V, bfloat16_t>) return *(V*)(uintptr_t)word;
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

/// What is checked: 0 nothing, 1 every rule, 2 every rule but the padding of counts that public kernels go without.
enum BangChecks { bang_none, bang_strict, bang_lenient };
/// A kernel's own namespace may have another one. So it may say that there is no memory core: public kernels that never
/// name it run as if it were not there.
constexpr BangChecks bang_checks = bang_strict;
constexpr bool bang_has_memory_core = true;
// In a kernel's own namespace: a memory's pool, and BANG_PLACE(memory, type)(name), a variable in it.
#define BANG_POOL(memory, bytes)                                                                                       \
  BANG_MEMORY(#memory) char bang_pool_##memory[bytes];                                                                 \
  static const bool bang_has_pool_##memory = ::bang::register_pool(bang_pool_##memory, bytes);                         \
  template <class T, int id>                                                                                           \
  T& bang_place_##memory(const char* name) {                                                                           \
    static char* const at = ::bang::claim(bang_pool_##memory, sizeof(T), name);                                        \
    return *(T*)at;                                                                                                    \
  }
// Around a kernel's variables, wherever the compiler puts first what comes first.
#define BANG_RED_ZONE(memory, at) BANG_MEMORY(#memory) __attribute__((used)) char bang_red_##memory##_##at[128];
#define BANG_POOL_BYTES_nram ((__MLU_NRAM_SIZE__ - 128) * 1024)
#define BANG_POOL_BYTES_wram (__MLU_WRAM_SIZE__ * 1024)
#define BANG_POOL_BYTES_sram ((__MLU_SRAM_SIZE__ - 128) * 1024)

#ifdef SIM_FAST
#define BANG_CHECKED bang_none
#else
#define BANG_CHECKED bang_checks
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
    const int code = bang_run(call, memories, words, sizes, num_args, launch, __BANG_ARCH__, BANG_CHECKED, bang_has_memory_core, \
                              report, report_bytes);                                                                   \
    return code != 0 ? 1 : ::sim::was_reached ? 2 : 0;                                                                 \
  }
