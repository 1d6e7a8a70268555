/**
 * Element types, pipes, events and parameter structs of Ascend C, by their public names.
 * Source: the public Ascend C documentation of CANN 9.1, as facts about names, orders and units.
 */
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include "asc-formats.h"
#include "launch.h"

#define __aicore__
#define __global__
#define __gm__
#define __ubuf__
#define __cbuf__
#define __ca__
#define __cb__
#define __cc__
#define __fbuf__
#define __vector__
#define __cube__
#define __mix__(...)
#define __schedmode__(...)
#define __inout_pipe__(...)
#define __in_pipe__(...)
#define __out_pipe__(...)
#ifndef __forceinline__
#define __forceinline__ inline __attribute__((always_inline))
#endif
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define __sync_alias__
#define __sync_noalias__
#ifndef GM_ADDR
#define GM_ADDR __gm__ uint8_t*
#endif
/** A kernel's kind is known to the launcher before it starts. */
#define KERNEL_TASK_TYPE_DEFAULT(...)
#define KERNEL_TASK_TYPE(...)
#define ASSERT(...)
#define ASCENDC_ASSERT(...)

enum pipe_t { PIPE_S, PIPE_V, PIPE_M, PIPE_MTE1, PIPE_MTE2, PIPE_MTE3, PIPE_FIX, PIPE_ALL };
enum event_t { EVENT_ID0, EVENT_ID1, EVENT_ID2, EVENT_ID3, EVENT_ID4, EVENT_ID5, EVENT_ID6, EVENT_ID7 };
enum QuantMode_t { NoQuant, F322F16, F322BF16, DEQF16, VDEQF16, QF322B8_PRE, VQF322B8_PRE, REQ8, VREQ8 };

namespace AscendC {
using ::PIPE_S, ::PIPE_V, ::PIPE_M, ::PIPE_MTE1, ::PIPE_MTE2, ::PIPE_MTE3, ::PIPE_FIX, ::PIPE_ALL;
using ::bfloat16_t, ::int4b_t, ::fp4x2_e1m2_t, ::fp4x2_e2m1_t, ::fp8_e4m3fn_t, ::fp8_e5m2_t, ::fp8_e8m0_t, ::half, ::pipe_t, ::event_t, ::QuantMode_t;
using TEventID = std::int8_t;
using sim::i64, sim::u16, sim::u32, sim::u64, sim::u8;

constexpr bool is3510 = __NPU_ARCH__ == 3510;
#ifdef SIM_FAST
constexpr bool isFast = true;
#else
constexpr bool isFast = false;
#endif

enum class TPosition : std::uint8_t { GM, A1, A2, B1, B2, C1, C2, CO1, CO2, VECIN, VECOUT, VECCALC, LCM = VECCALC, SPM, SHM = SPM, TSCM, C2PIPE2GM, C2PIPE2LOCAL, MAX };
using QuePosition = TPosition;
enum class Hardware : std::uint8_t { GM, UB, L1, L0A, L0B, L0C, BIAS, FIXBUF, MAX };
enum class HardEvent : std::uint8_t {
  S_V, S_MTE2, S_MTE3, S_M, S_MTE1, S_FIX, V_S, V_MTE2, V_MTE3, V_V, MTE2_S, MTE2_V, MTE2_MTE1, MTE2_MTE3, MTE2_M, MTE2_FIX, MTE3_S, MTE3_V,
  MTE3_MTE2, MTE3_MTE1, M_S, M_MTE1, M_MTE2, M_FIX, M_V, MTE1_S, MTE1_M, MTE1_MTE2, MTE1_MTE3, MTE1_FIX, FIX_S, FIX_M, FIX_MTE1, FIX_MTE2, FIX_MTE3, FIX_V, MTE1_V, V_M, V_MTE1, MAX
};
enum class ReduceType : std::uint8_t { SUM, MAX, MIN };
enum class RoundMode : std::uint8_t { CAST_NONE, CAST_RINT, CAST_FLOOR, CAST_CEIL, CAST_ROUND, CAST_TRUNC, CAST_ODD, UNKNOWN = 0xff };
enum class CMPMODE : std::uint8_t { LT, GT, EQ, LE, GE, NE };
enum class SELMODE : std::uint8_t { VSEL_CMPMASK_SPR, VSEL_TENSOR_SCALAR_MODE, VSEL_TENSOR_TENSOR_MODE };
enum class ReduceOrder : std::uint8_t { ORDER_VALUE_INDEX, ORDER_INDEX_VALUE, ORDER_ONLY_VALUE, ORDER_ONLY_INDEX };
enum class MaskMode : std::uint8_t { NORMAL, COUNTER };
enum class CacheLine : std::uint8_t { SINGLE_CACHE_LINE, ENTIRE_DATA_CACHE };
enum class DcciDst : std::uint8_t { CACHELINE_ALL, CACHELINE_UB, CACHELINE_OUT, CACHELINE_ATOMIC };
enum class CacheMode : std::uint8_t { CACHE_MODE_DISABLE, CACHE_MODE_NORMAL, CACHE_MODE_LAST, CACHE_MODE_PERSISTENT };
enum class FmatrixMode : std::uint8_t { FMATRIX_LEFT, FMATRIX_RIGHT };
enum CoreType { AIC, AIV };
template <class T>
constexpr bool isInt4 = std::is_same_v<T, int4b_t>;
/** Bytes of `n` elements, and elements in `bytes`. */
template <class T>
constexpr u64 bytesOf(u64 n) { return isInt4<T> ? (n + 1) / 2 : n * sizeof(T); }
template <class T>
constexpr u64 elementsIn(u64 bytes) { return isInt4<T> ? bytes * 2 : bytes / sizeof(T); }
constexpr u64 MASK_PLACEHOLDER = 0;

struct BinaryRepeatParams {
  BinaryRepeatParams() = default;
  BinaryRepeatParams(u8 db, u8 s0b, u8 s1b, u8 dr, u8 s0r, u8 s1r) : dstBlkStride(db), src0BlkStride(s0b), src1BlkStride(s1b), dstRepStride(dr), src0RepStride(s0r), src1RepStride(s1r) {}
  u8 dstBlkStride = 1, src0BlkStride = 1, src1BlkStride = 1, dstRepStride = 8, src0RepStride = 8, src1RepStride = 8;
};
struct UnaryRepeatParams {
  UnaryRepeatParams() = default;
  UnaryRepeatParams(u16 db, u16 sb, u8 dr, u8 sr) : dstBlkStride(db), srcBlkStride(sb), dstRepStride(dr), srcRepStride(sr) {}
  u16 dstBlkStride = 1, srcBlkStride = 1;
  u8 dstRepStride = 8, srcRepStride = 8;
};
struct CopyRepeatParams { u16 dstStride = 1, srcStride = 1, dstRepeatSize = 8, srcRepeatSize = 8; };
struct BrcbRepeatParams { u16 dstBlkStride = 1, dstRepStride = 8; };
struct GatherRepeatParams { u8 dstBlkStride = 1, dstRepStride = 8; };
struct GatherMaskParams { u8 src0BlockStride = 1; u16 repeatTimes = 1, src0RepeatStride = 8; u8 src1RepeatStride = 1; };
struct TransDataTo5HDParams { bool dstHighHalf = false, srcHighHalf = false; u8 repeatTimes = 1; u16 dstRepStride = 0, srcRepStride = 0; };
struct DataCopyParams {
  DataCopyParams() = default;
  DataCopyParams(u16 count, u16 len, u16 src, u16 dst) : blockCount(count), blockLen(len), srcGap(src), dstGap(dst) {}
  u16 blockCount = 1, blockLen = 0;
  union { u16 srcGap = 0; u16 srcStride; };
  union { u16 dstGap = 0; u16 dstStride; };
};
struct DataCopyExtParams { u16 blockCount = 1; u32 blockLen = 0, srcStride = 0, dstStride = 0, rsv = 0; };
template <class T>
struct DataCopyPadExtParams { bool isPad = false; u8 leftPadding = 0, rightPadding = 0; T paddingValue{}; };
struct DataCopyPadParams { bool isPad = false; u8 leftPadding = 0, rightPadding = 0; u64 paddingValue = 0; };
/** Compact (950): blocks follow each other without gaps, and only the last is filled up to 32 bytes. */
enum class PaddingMode : std::uint8_t { Normal, Compact };
struct Nd2NzParams {
  Nd2NzParams() = default;
  Nd2NzParams(u16 nds, u16 rows, u16 columns, u32 srcNd, u16 srcRow, u16 dstC0, u16 dstRow, u32 dstNd)
      : ndNum(nds), nValue(rows), dValue(columns), srcNdMatrixStride(srcNd), srcDValue(srcRow), dstNzC0Stride(dstC0), dstNzNStride(dstRow), dstNzMatrixStride(dstNd) {}
  u16 ndNum = 1, nValue = 0, dValue = 0;
  u32 srcNdMatrixStride = 0;
  u16 srcDValue = 0, dstNzC0Stride = 0, dstNzNStride = 0;
  u32 dstNzMatrixStride = 0;
};
/** 950: rows of `nValue` elements whose columns become the rows of fractals; strides of the source in elements, of the destination in blocks of 32 bytes. */
struct Dn2NzParams {
  Dn2NzParams() = default;
  Dn2NzParams(u16 dns, u16 columns, u32 rows, u64 srcDn, u64 srcRow, u16 dstC0, u16 dstColumn, u32 dstDn)
      : dnNum(dns), nValue(columns), dValue(rows), srcDnMatrixStride(srcDn), srcDValue(srcRow), dstNzC0Stride(dstC0), dstNzNStride(dstColumn), dstNzMatrixStride(dstDn) {}
  u16 dnNum = 1, nValue = 0;
  u32 dValue = 0;
  u64 srcDnMatrixStride = 0, srcDValue = 0;
  u16 dstNzC0Stride = 0, dstNzNStride = 0;
  u32 dstNzMatrixStride = 0;
};
struct LoadData2DParams { u16 startIndex = 0; u8 repeatTimes = 1; u16 srcStride = 0; u8 sid = 0; u16 dstGap = 0; bool ifTranspose = false; u8 addrMode = 0; };
struct LoadData2DParamsV2 {
  LoadData2DParamsV2() = default;
  LoadData2DParamsV2(u32 m, u32 k, u16 ms, u16 ks, int src, u16 dst, bool transposes, u8 id)
      : mStartPosition(m), kStartPosition(k), mStep(ms), kStep(ks), srcStride(src), dstStride(dst), ifTranspose(transposes), sid(id) {}
  u32 mStartPosition = 0, kStartPosition = 0;
  u16 mStep = 0, kStep = 0;
  int srcStride = 0;
  u16 dstStride = 0;
  bool ifTranspose = false;
  u8 sid = 0;
};
/** 950: scales to L0A and L0B, `x` along rows and `y` along k, in fractals of 32 bytes: 16 rows of two numbers. */
struct LoadData2DMxParams {
  LoadData2DMxParams() = default;
  LoadData2DMxParams(u16 x, u16 y, u8 xs, u8 ys, u16 src, u16 dst) : xStartPosition(x), yStartPosition(y), xStep(xs), yStep(ys), srcStride(src), dstStride(dst) {}
  u16 xStartPosition = 0, yStartPosition = 0;
  u8 xStep = 0, yStep = 0;
  u16 srcStride = 0, dstStride = 0;
};
struct LoadData2dTransposeParams { u16 startIndex = 0; u8 repeatTimes = 1; u16 srcStride = 0, dstGap = 0, dstFracGap = 0; u8 addrMode = 0; };
struct MmadParams {
  MmadParams() = default;
  MmadParams(u16 m, u16 n, u16 k, u8 unitFlag = 0, bool cmatrixSource = false, bool cmatrixInitVal = true) : m(m), n(n), k(k), unitFlag(unitFlag), cmatrixSource(cmatrixSource), cmatrixInitVal(cmatrixInitVal) {}
  MmadParams(u16 m, u16 n, u16 k, bool bias, int offset, bool sparse, bool winogradA, bool winogradB, u8 unitFlag = 0, bool align = false)
      : m(m), n(n), k(k), isBias(bias), fmOffset(offset), enSsparse(sparse), enWinogradA(winogradA), enWinogradB(winogradB), unitFlag(unitFlag), kDirectionAlign(align), cmatrixInitVal(!bias) {}
  u16 m = 0, n = 0, k = 0;
  bool isBias = false;
  int fmOffset = 0;
  bool enSsparse = false, enWinogradA = false, enWinogradB = false;
  u8 unitFlag = 0;
  bool kDirectionAlign = false, cmatrixSource = false, cmatrixInitVal = true;
};
struct FixpipeParamsV220 {
  FixpipeParamsV220() = default;
  FixpipeParamsV220(u16 n, u16 m, u16 src, u32 dst, bool relu, QuantMode_t quant = NoQuant, u64 scale = 0, u16 nd = 1, u16 srcNd = 0, u16 dstNd = 0, u8 unit = 0)
      : nSize(n), mSize(m), srcStride(src), dstStride(dst), quantPre(quant), deqScalar(scale), ndNum(nd), srcNdStride(srcNd), dstNdStride(dstNd), reluEn(relu), unitFlag(unit) {}
  u16 nSize = 0, mSize = 0, srcStride = 0;
  u32 dstStride = 0;
  QuantMode_t quantPre = NoQuant;
  u64 deqScalar = 0;
  u16 ndNum = 1, srcNdStride = 0, dstNdStride = 0;
  bool reluEn = false;
  u8 unitFlag = 0;
  bool isChannelSplit = false;
};
using FixpipeParams = FixpipeParamsV220;
enum class CO2Layout : std::uint8_t { NZ, ROW_MAJOR, COLUMN_MAJOR };
struct FixpipeConfig { CO2Layout format; };
inline constexpr FixpipeConfig CFG_NZ{CO2Layout::NZ};
inline constexpr FixpipeConfig CFG_ROW_MAJOR{CO2Layout::ROW_MAJOR};
template <class T>
struct InitConstValueParams {
  InitConstValueParams() = default;
  InitConstValueParams(u16 repeats, u16 blocks, u16 gap, T value) : repeatTimes(repeats), blockNum(blocks), dstGap(gap), initValue(value) {}
  u16 repeatTimes = 1, blockNum = 1, dstGap = 0;
  T initValue{};
};
struct MrgSort4Info {
  MrgSort4Info() = default;
  MrgSort4Info(const u16 lengths[4], bool suspension, u16 valid, u16 repeats) : ifExhaustedSuspension(suspension), validBit(valid), repeatTimes(repeats) { std::memcpy(elementLengths, lengths, 8); }
  u16 elementLengths[4] = {};
  bool ifExhaustedSuspension = false;
  u16 validBit = 15;
  u16 repeatTimes = 1;
};

template <class T, class... A>
constexpr bool isOneOf = (std::is_same_v<T, A> || ...);
/** Scalars take the tensor's element type whatever literal is written. */
template <class T>
using Same = std::common_type_t<T>;
}  // namespace AscendC

/** The table of element types of an instruction; 950 adds bf16, int8 and int64 where the second list is given. */
#define ASC_TYPES(op, T, ...) static_assert(::AscendC::isOneOf<T, __VA_ARGS__>, op ": no instruction for this element type on this architecture (cast first)")
#define ASC_TYPES_950(op, T, ...)                                                                                               \
  static_assert(::AscendC::isOneOf<T, __VA_ARGS__> || (::AscendC::is3510 && ::AscendC::isOneOf<T, bfloat16_t, int8_t, int64_t>), \
                op ": no instruction for this element type on this architecture (cast first)")
