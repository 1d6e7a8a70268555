/**
 * What is no instruction: counters, bits of scalars, hints, names of the compiler's own, small helpers of kernels.
 */
#pragma once
#include <cassert>
#include "asc-cast.h"
#include "asc-fixpipe.h"

namespace AscendC {
/** What a kernel prints goes nowhere. */
template <class... A>
void printf(const char*, A...) {}
template <class... A>
void PRINTF(const char*, A...) {}
template <class T>
void DumpTensor(const T&, u32, u32) {}
template <class T>
void DumpAccChkPoint(const T&, u32, u32, u32) {}
inline void PrintTimeStamp(u32) {}

/** Units of the model of time (see engine/core.h), not cycles. */
inline i64 GetSystemCycle() { return i64(self().pipes[PIPE_S].time); }
inline i64 GetProgramCounter() { return 0; }
inline void Trap(SIM_AT) { sim::fail("trap", at, "", "the kernel called Trap"); }
/** Overlap with the kernels before and after: hints. */
inline void SetNextTaskStart() {}
inline void WaitPreTaskEnd() {}
template <int = 0, int = 0>
void SetCtrlSpr(i64) {}
constexpr u32 GetDataBlockSizeInBytes() { return 32; }
constexpr u32 GetVecLen() { return REPEAT_BYTES; }
constexpr u32 GetUBSizeInBytes() { return ASC_UB_BYTES; }

/** Bits of a scalar: how many are `value`, the first from below that is (-1: none), leading zeros, copies of the sign. */
template <int value>
i64 ScalarGetCountOfValue(u64 x) { return value ? __builtin_popcountll(x) : 64 - __builtin_popcountll(x); }
template <int value>
i64 ScalarGetSFFValue(u64 x) {
  const u64 bits = value ? x : ~x;
  return bits == 0 ? -1 : __builtin_ctzll(bits);
}
inline i64 ScalarCountLeadingZero(u64 x) { return x == 0 ? 64 : __builtin_clzll(x); }
inline i64 CountBitsCntSameAsSignBit(i64 x) { return __builtin_clrsbll(x); }
/** Scalar conversions between float and bf16. */
template <class D>
D Cast(const bfloat16_t& x) {
  static_assert(std::is_same_v<D, float>, "Cast: a bf16 scalar converts to float, there is no instruction for others");
  return float(x);
}
inline bfloat16_t Cast(const float& x) { return bfloat16_t(x); }

template <class A, class B>
struct IsSameType { static constexpr bool value = std::is_same_v<A, B>; };
template <class T, class... A>
constexpr bool SupportType() { return isOneOf<T, A...>; }
template <bool ok, class T = void>
struct enable_if : std::enable_if<ok, T> {};
constexpr u64 CeilDivision(u64 a, u64 b) { return (a + b - 1) / b; }
constexpr u64 CeilDiv(u64 a, u64 b) { return (a + b - 1) / b; }
constexpr u64 AlignUp(u64 a, u64 b) { return (a + b - 1) / b * b; }
constexpr u32 ONE_BLK_SIZE = 32, DEFAULT_BLK_NUM = 8, DEFAULT_REPEAT_STRIDE = 8, DEFAULT_BLK_STRIDE = 1, MAX_REPEAT_TIMES = 255, ONE_REPEAT_BYTE_SIZE = 256, BYTE_PER_C0 = 32, DEFAULT_C0_SIZE = 32, ONE_BYTE_BIT_SIZE = 8, HALF_FACTOR = 2;

namespace Std {
template <class A, class B>
constexpr auto min(A a, B b) { return b < a ? std::common_type_t<A, B>(b) : std::common_type_t<A, B>(a); }
template <class A, class B>
constexpr auto max(A a, B b) { return a < b ? std::common_type_t<A, B>(b) : std::common_type_t<A, B>(a); }
template <class A, class B>
using is_same = std::is_same<A, B>;
template <class A, class B>
constexpr bool is_same_v = std::is_same_v<A, B>;
template <bool c, class A, class B>
using conditional = std::conditional<c, A, B>;
template <bool c, class A, class B>
using conditional_t = std::conditional_t<c, A, B>;
template <bool ok, class T = void>
using enable_if_t = std::enable_if_t<ok, T>;
template <bool ok, class T = void>
using enable_if = std::enable_if<ok, T>;
template <class T, T v>
using integral_constant = std::integral_constant<T, v>;
}  // namespace Std

/** Flags between two pipes by numbers. */
template <pipe_t from, pipe_t to>
struct TQueSync {
  void SetFlag(TEventID id, SIM_AT) { set(id, at, true); }
  void WaitFlag(TEventID id, SIM_AT) { set(id, at, false); }

 private:
  static void set(TEventID id, sim::At at, bool isSet) {
    if constexpr (isFast) return;
    constexpr HardEvent e = eventBetween(from, to);
    sim::Flag& f = flagOf(e, id, at);
    if (isSet) self().setFlag(f, from, at, flagName(e, id).c_str());
    else self().waitFlag(f, to, at, flagName(e, id).c_str());
  }
};
/** The memory of a kernel's own, after what the system takes; nothing is taken here. */
inline GM_ADDR GetUserWorkspace(GM_ADDR workspace) { return workspace; }
inline void SetSysWorkspace(GM_ADDR) {}
inline GM_ADDR GetSysWorkSpacePtr() { return nullptr; }
}  // namespace AscendC

using AscendC::GetTPipePtr, AscendC::GetUserWorkspace, AscendC::PRINTF;
/** A kernel's own check ends the launch, not the process. */
#undef assert
#define assert(condition, ...) ((condition) ? (void)0 : ::sim::fail("assert", ::sim::At::here(), "", "the kernel's assertion failed: " #condition))
/** A scalar of either kind, as the device's compiler has them. */
template <class A, class B>
constexpr auto min(A a, B b) { return AscendC::Std::min(a, b); }
template <class A, class B>
constexpr auto max(A a, B b) { return AscendC::Std::max(a, b); }
inline std::int64_t get_block_idx() { return AscendC::self().block; }
inline std::int64_t get_block_num() { return AscendC::GetBlockNum(); }
inline std::int64_t get_subblockid() { return AscendC::self().sub; }
inline std::int64_t get_subblockdim() { return AscendC::GetSubBlockNum(); }
struct RawBlockNum {
  operator std::int64_t() const { return AscendC::GetBlockNum(); }
};
inline RawBlockNum block_num;
/** Flags between cores by the compiler's names: a word of 1, the mode from bit 4, the flag from bit 8. */
inline void ffts_cross_core_sync(pipe_t pipe, std::uint64_t config, SIM_AT) { AscendC::setCross(std::uint8_t(config >> 4 & 15), pipe, std::uint16_t(config >> 8 & 15), at); }
inline void wait_flag_dev(std::int64_t flag, SIM_AT) { AscendC::waitCross(std::uint16_t(flag), PIPE_ALL, at); }
inline void set_ffts_base_addr(std::uint64_t) {}
/** A struct that the host filled, read from device memory. */
#define GET_TILING_DATA_WITH_STRUCT(T, name, address) \
  T name;                                             \
  std::memcpy((void*)&name, address, sizeof(T))
#define REGISTER_TILING_DEFAULT(T) using TesseraTiling = T
#define GET_TILING_DATA(name, address) GET_TILING_DATA_WITH_STRUCT(TesseraTiling, name, address)
/** A kernel that was compiled once for each kind of core. */
template <auto onCube, auto onVector, class... A>
constexpr auto splitKernel(void (*)(A...)) {
  return +[](A... args) {
    if (AscendC::isAic()) onCube(args...);
    else onVector(args...);
  };
}
#define TESSERA_SIM_SPLIT_ENTRY(kernel, onCube, onVector) TESSERA_SIM_ENTRY_NAMED(kernel, (splitKernel<&onCube, &onVector>(&onCube)))
