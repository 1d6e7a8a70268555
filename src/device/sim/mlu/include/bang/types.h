// Qualifiers, element types, built-in variables and copy directions.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>

#ifndef __BANG_ARCH__
#error "expected -D__BANG_ARCH__=372 or 592"
#endif
// Kernels of one translation unit have their on-chip memories in sections of their own, so that each is measured alone:
// the unit defines ts_kernel as the name of the kernel at hand.
#define BANG_TEXT_OF(x) #x
#define BANG_TEXT(x) BANG_TEXT_OF(x)
#define BANG_MEMORY(memory) static __attribute__((section("bang_" memory "_" BANG_TEXT(ts_kernel)), aligned(128)))

#define __mlu_global__ __attribute__((noinline))
#define __mlu_entry__ __attribute__((noinline))
// Neither static nor inline: kernels say so themselves, before or after, or specialise a template.
#define __mlu_func__ __attribute__((unused))
#define __mlu_device__ __attribute__((unused))
#define __mlu_builtin__
#define __gdram__
#define __mlu_const__ static const
#define __nram__ BANG_MEMORY("nram")
#define __wram__ BANG_MEMORY("wram")
#define __mlu_shared__ BANG_MEMORY("sram")
#define __ldram__ static

// In KB, with what the tool chain keeps for itself.
#define __BANG__ 1
#if __BANG_ARCH__ >= 592
#define __MLU_NRAM_SIZE__ 512
#define __MLU_WRAM_SIZE__ 512
#define __MLU_SRAM_SIZE__ 2048
#else
#define __MLU_NRAM_SIZE__ 768
#define __MLU_WRAM_SIZE__ 1024
#define __MLU_SRAM_SIZE__ 4096
#endif

typedef _Float16 half;
typedef int8_t int8;
typedef int16_t int16;

/// The upper half of a float; narrowing rounds to nearest even.
struct bfloat16_t {
  uint16_t bits;
  bfloat16_t() = default;
  bfloat16_t(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    bits = x != x ? (uint16_t)((u >> 16) | 0x40) : (uint16_t)((u + 0x7fff + ((u >> 16) & 1)) >> 16);
  }
  operator float() const {
    uint32_t u = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &u, 4);
    return x;
  }
};
typedef bfloat16_t bfloat16;
static_assert(sizeof(bfloat16_t) == 2, "bf16 is two bytes");

// Set for the core that runs; x is the fastest axis of a task id.
extern "C" {
extern int taskDim, taskDimX, taskDimY, taskDimZ;
extern int taskId, taskIdX, taskIdY, taskIdZ;
/// Clusters of a job (0 for Block), this one's number in its job, cores of a cluster, this core (0x80: memory core).
extern int clusterDim, clusterId, coreDim, coreId;
}

enum mluMemcpyDirection_t {
  GDRAM2NRAM, GDRAM2WRAM, GDRAM2SRAM, LDRAM2NRAM, LDRAM2WRAM, LDRAM2SRAM, NRAM2GDRAM, NRAM2LDRAM, NRAM2NRAM, NRAM2WRAM,
  NRAM2SRAM, WRAM2GDRAM, WRAM2LDRAM, WRAM2NRAM, WRAM2SRAM, SRAM2GDRAM, SRAM2LDRAM, SRAM2NRAM, SRAM2WRAM, SRAM2SRAM,
  GDRAM2GDRAM, GDRAM2LDRAM, LDRAM2GDRAM, LDRAM2LDRAM,
};

// The line of the call, for messages. No number converts to it, so that an operand too many is an error.
namespace bang {
struct Line {
  int number;
  operator int() const { return number; }
};
}  // namespace bang
#define BANG_LINE bang::Line line = {__builtin_LINE()}
// Element types by architecture. bf16 is a vector on compute_50 only; integers of 32 bits have their full range there,
// before it what a float keeps of them [inferred: public kernels use them on MLU370, for indices].
#if __BANG_ARCH__ >= 592
#define BANG_ARITHMETIC(X) X(float) X(half) X(bfloat16_t) X(int32_t) X(uint32_t) X(int16_t) X(uint16_t)
#define BANG_FLOATS(X) X(float) X(half) X(bfloat16_t)
#else
#define BANG_ARITHMETIC(X) X(float) X(half) X(int32_t) X(int16_t)
#define BANG_FLOATS(X) X(float) X(half)
#endif
#define BANG_ANY(X) X(float) X(half) X(bfloat16_t) X(int32_t) X(uint32_t) X(int16_t) X(uint16_t) X(int8_t) X(uint8_t) X(char)

#define __bang_printf printf
#define MLULOG printf
