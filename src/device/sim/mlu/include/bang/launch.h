// What a translation unit adds behind a kernel so that the runtime can call it: arguments from 64-bit words, and where
// the kernel's memories are. Use: BANG_KERNEL(name, unit) after the kernel, BANG_UNIT still as it was.
#pragma once
#include "types.h"
#include <utility>

namespace bang {
template <class T>
T decode(uint64_t word) {
  T out;
  memcpy(&out, &word, sizeof(T));
  return out;
}
template <class... A, size_t... I>
void invoke(void (*kernel)(A...), const uint64_t* words, std::index_sequence<I...>) {
  kernel(decode<A>(words[I])...);
}
template <class... A>
void invoke(void (*kernel)(A...), const uint64_t* words) {
  invoke(kernel, words, std::make_index_sequence<sizeof...(A)>());
}
}  // namespace bang

#define BANG_SECTION(memory, unit)                                                                                     \
  extern "C" __attribute__((weak, visibility("hidden"))) char __start_bang_##memory##_##unit[];                        \
  extern "C" __attribute__((weak, visibility("hidden"))) char __stop_bang_##memory##_##unit[];
#define BANG_KERNEL(name, unit)                                                                                        \
  BANG_SECTION(nram, unit) BANG_SECTION(wram, unit) BANG_SECTION(sram, unit)                                           \
  extern "C" void bang_call_##unit(const uint64_t* words) { bang::invoke(name, words); }                               \
  extern "C" void bang_memories_##unit(char** out) {                                                                   \
    out[0] = __start_bang_nram_##unit, out[1] = __stop_bang_nram_##unit;                                               \
    out[2] = __start_bang_wram_##unit, out[3] = __stop_bang_wram_##unit;                                               \
    out[4] = __start_bang_sram_##unit, out[5] = __stop_bang_sram_##unit;                                               \
  }
