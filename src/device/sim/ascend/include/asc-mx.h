/**
 * Factors with scales (950): 32 numbers along k of FP8 or FP4 have one power of two. Scales lie in fractals of 16 rows of
 * two, row after row of fractals, the same for both factors; they go to memories beside L0A and L0B and are never transposed.
 * Main functions: `LoadData` with LoadData2DMxParams, and `scaleAt`, which `Mmad` asks for each number.
 * Source: CANN 9.1, pages on Load2DMX and asc_copy_l12l0a_mx; catlass v1.6 on the layouts zZ and nN; chips spec B.6.
 */
#pragma once
#include "asc-load.h"

namespace AscendC {
/** FP8 in L0A and L0B, with scales beside it. */
struct mx_fp8_e4m3_t : fp8_e4m3fn_t {};
struct mx_fp8_e5m2_t : fp8_e5m2_t {};
template <class T>
constexpr bool isFp4 = isOneOf<T, fp4x2_e2m1_t, fp4x2_e1m2_t>;
template <class T>
constexpr bool isMx = is3510 && (isFp4<T> || isOneOf<T, mx_fp8_e4m3_t, mx_fp8_e5m2_t>);
/** What a type of L1 is called in L0A and L0B. */
template <class T>
using MxOf = std::conditional_t<std::is_same_v<T, fp8_e4m3fn_t>, mx_fp8_e4m3_t, std::conditional_t<std::is_same_v<T, fp8_e5m2_t>, mx_fp8_e5m2_t, T>>;
constexpr u32 MX_FRACTAL = 32, MX_ROWS = 16, MX_NUMBERS = 64;

/** The scales of a tensor in L0A or L0B. */
template <class T>
LocalTensor<fp8_e8m0_t> scalesOf(const LocalTensor<T>& t, sim::At at) {
  const Space s = t.memory == &self().memories[L0A] ? L0A_MX : L0B_MX;
  LocalTensor<fp8_e8m0_t> scales;
  scales.memory = &self().memory(s), scales.addr = t.addr / 16, scales.count = spaceBytes[s] - scales.addr;
  if constexpr (!isFast) scales.root = LocalTensor<fp8_e8m0_t>::addRoot(s, 0, spaceBytes[s], at);
  return scales;
}
/** Of row or column `i` at `d` of `depth` numbers. */
inline float scaleAt(const LocalTensor<fp8_e8m0_t>& scales, u32 i, u32 d, u32 depth, u8& taint) {
  const u64 fractal = u64(i / MX_ROWS) * ((depth + MX_NUMBERS - 1) / MX_NUMBERS) + d / MX_NUMBERS;
  return load<fp8_e8m0_t>(*scales.memory, scales.addr + fractal * MX_FRACTAL + i % MX_ROWS * 2 + d / 32 % 2, taint);
}
template <class U, class T>
void LoadData(const LocalTensor<U>& d, const LocalTensor<T>& a, const LocalTensor<fp8_e8m0_t>& mx, const LoadData2DParamsV2& p, const LoadData2DMxParams& x, SIM_AT) {
  static_assert(is3510 && sizeof(T) > 0, "LoadData: scales exist on 950 only");
  static_assert(isOneOf<T, fp8_e4m3fn_t, fp8_e5m2_t, fp4x2_e2m1_t, fp4x2_e1m2_t> && std::is_same_v<U, MxOf<T>>, "LoadData with scales: FP8 to the type of the same name with mx_, or FP4 to itself");
  LoadData(d.template ReinterpretCast<T>(), a, p, at);
  Checked k{"LoadData of scales", at, {}};
  const LocalTensor<fp8_e8m0_t> to = scalesOf(d, at);
  need(k, mx, L1, 32, "scales");
  const auto source = [=](u32 i, u32 j) { return (u64(x.xStartPosition + i) * x.srcStride + x.yStartPosition + j) * MX_FRACTAL; };
  const auto target = [=](u32 i, u32 j) { return (u64(i) * x.dstStride + j) * MX_FRACTAL; };
  for (u32 i = 0; i < x.xStep; i++) {
    span(k, mx, source(i, 0), x.yStep * u64(MX_FRACTAL), sim::reads);
    span(k, to, target(i, 0), x.yStep * u64(MX_FRACTAL), sim::writes);
  }
  issueOn(PIPE_MTE1, k, [=] {
    for (u32 i = 0; i < x.xStep; i++)
      for (u32 j = 0; j < x.yStep * MX_FRACTAL; j++) {
        u8 taint = 0;
        const u8 bits = load<u8>(*mx.memory, mx.addr + source(i, 0) + j, taint);
        store<u8>(*to.memory, to.addr + target(i, 0) + j, bits, taint);
      }
  });
}
}  // namespace AscendC
