/**
 * The vendor's library between numbers and int8 codes, one scale for all (AscendQuant) or one for each column (AscendDequant).
 * Steps and roundings as the public pages give them: quantisation in half, the other way in float.
 */
#pragma once
#include "asc-axes.h"

namespace AscendC {
/** dst[i] = int8(half(src[i]) * scale + offset), to the nearest, ties to even; the scratch tensor is lost. */
template <class T>
void quantOp(sim::At at, const LocalTensor<u8>* tmp, const LocalTensor<int8_t>& d, const LocalTensor<T>& a, float scale, float offset, u32 count) {
  static_assert(isOneOf<T, half, float>, "AscendQuant: no instruction for this element type on this architecture");
  Checked k{"AscendQuant", at, {}};
  require(count <= a.GetSize(), "range", k, "the count %u is more than the source's %u elements", count, a.GetSize());
  const Walk w = Walk::linear(count);
  if (tmp) scratch(k, *tmp, tmp->GetSize());
  const Operand source = operand(k, w, a, 1, 8, sim::reads, "source"), target = operand(k, w, d, 1, 8, sim::writes, "destination");
  const auto code = [s = half(scale), o = half(offset)](T x) -> int8_t {
    const half scaled = half(float(half(x)) * float(s));
    return int8_t(std::clamp(std::nearbyint(float(half(float(scaled) + float(o)))), -128.0f, 127.0f));
  };
  lanes<int8_t, decltype(code), T>(k, w, target, code, from<T>(source));
}
template <class T, bool reuses = false>
void AscendQuant(const LocalTensor<int8_t>& d, const LocalTensor<T>& a, const LocalTensor<u8>& tmp, const float scale, const float offset, const u32 count, SIM_AT) { quantOp(at, &tmp, d, a, scale, offset, count); }
template <class T, bool reuses = false>
void AscendQuant(const LocalTensor<int8_t>& d, const LocalTensor<T>& a, const LocalTensor<u8>& tmp, const float scale, const float offset, SIM_AT) { quantOp(at, &tmp, d, a, scale, offset, a.GetSize()); }
template <class T, bool reuses = false>
void AscendQuant(const LocalTensor<int8_t>& d, const LocalTensor<T>& a, const float scale, const float offset, const u32 count, SIM_AT) { quantOp(at, noScratch(), d, a, scale, offset, count); }
template <class T, bool reuses = false>
void AscendQuant(const LocalTensor<int8_t>& d, const LocalTensor<T>& a, const float scale, const float offset, SIM_AT) { quantOp(at, noScratch(), d, a, scale, offset, a.GetSize()); }

/** Rows, numbers of a row, and how many of each row are computed. */
struct DequantParams { u32 m = 0, n = 0, calCount = 0; };
/** Of one row: by default it is taken as several of `calCount` where it can be. */
enum class DeQuantMode : std::uint8_t { DEQUANT_WITH_SINGLE_ROW, DEQUANT_WITH_MULTI_ROW };
/** A scale of 64 bits holds a float in its lower half. */
template <class S>
float scaleOf(S s) {
  if constexpr (sizeof(S) == 8) {
    const u32 low = u32(s);
    float x;
    std::memcpy(&x, &low, 4);
    return x;
  } else return float(s);
}
/** dst[row, j] = src[row, j] * scale[j]; rows of the destination begin at blocks of 32 bytes, and what is behind `calCount` there has no value. */
template <class D, DeQuantMode mode, class F>
void dequantOp(Checked& k, const LocalTensor<u8>* tmp, const LocalTensor<D>& d, const LocalTensor<int32_t>& a, DequantParams p, F scale) {
  static_assert(isOneOf<D, half, float, bfloat16_t>, "AscendDequant: no instruction for this element type on this architecture");
  constexpr u32 each = 32 / sizeof(D);
  require(p.n % 8 == 0, "range", k, "rows of the source are whole blocks of 32 bytes, got n = %u", p.n);
  require(p.calCount <= p.n, "range", k, "calCount is n at most, got %u of %u", p.calCount, p.n);
  if (mode == DeQuantMode::DEQUANT_WITH_SINGLE_ROW && p.m == 1 && p.calCount && p.calCount % each == 0 && p.n % p.calCount == 0) p = {p.n / p.calCount, p.calCount, p.calCount};
  need(k, a, UB, 32, "source"), need(k, d, UB, 32, "destination");
  if (tmp) scratch(k, *tmp, tmp->GetSize());
  const u32 pitch = (p.n + each - 1) / each * each;
  for (u32 row = 0; row < p.m; row++) span(k, a, u64(row) * p.n * 4, p.calCount * 4ull, sim::reads);
  span(k, d, 0, u64(p.m) * pitch * sizeof(D), sim::writes);
  issueOn(PIPE_V, k, [=] {
    for (u32 row = 0; row < p.m; row++)
      for (u32 j = 0; j < pitch; j++) {
        u8 taint = j < p.calCount ? 0 : u8(sim::unwritten);
        const float x = j < p.calCount ? float(load<int32_t>(*a.memory, a.addr + (u64(row) * p.n + j) * 4, taint)) * scale(j, taint) : NAN;
        store<D>(*d.memory, d.addr + (u64(row) * pitch + j) * sizeof(D), D(x), taint);
      }
  });
}
template <class D, class S, DeQuantMode mode>
void dequantByColumns(sim::At at, const LocalTensor<u8>* tmp, const LocalTensor<D>& d, const LocalTensor<int32_t>& a, const LocalTensor<S>& scales, const DequantParams& p) {
  Checked k{"AscendDequant", at, {}};
  need(k, scales, UB, 32, "scales");
  require(p.calCount <= scales.GetSize(), "range", k, "calCount is the number of scales at most, got %u of %u", p.calCount, scales.GetSize());
  span(k, scales, 0, u64(p.calCount) * sizeof(S), sim::reads);
  dequantOp<D, mode>(k, tmp, d, a, p, [=](u32 j, u8& taint) { return scaleOf(load<S>(*scales.memory, scales.addr + j * sizeof(S), taint)); });
}
template <class D, class S, DeQuantMode mode = DeQuantMode::DEQUANT_WITH_SINGLE_ROW>
void AscendDequant(const LocalTensor<D>& d, const LocalTensor<int32_t>& a, const LocalTensor<S>& scales, const LocalTensor<u8>& tmp, DequantParams p, SIM_AT) { dequantByColumns<D, S, mode>(at, &tmp, d, a, scales, p); }
template <class D, class S, DeQuantMode mode = DeQuantMode::DEQUANT_WITH_SINGLE_ROW>
void AscendDequant(const LocalTensor<D>& d, const LocalTensor<int32_t>& a, const LocalTensor<S>& scales, DequantParams p, SIM_AT) { dequantByColumns<D, S, mode>(at, noScratch(), d, a, scales, p); }
template <class D, class S, DeQuantMode mode = DeQuantMode::DEQUANT_WITH_SINGLE_ROW>
void AscendDequant(const LocalTensor<D>& d, const LocalTensor<int32_t>& a, const S scale, const LocalTensor<u8>& tmp, DequantParams p, SIM_AT) {
  Checked k{"AscendDequant", at, {}};
  dequantOp<D, mode>(k, &tmp, d, a, p, [s = scaleOf(scale)](u32, u8&) { return s; });
}
template <class D, class S, DeQuantMode mode = DeQuantMode::DEQUANT_WITH_SINGLE_ROW>
void AscendDequant(const LocalTensor<D>& d, const LocalTensor<int32_t>& a, const S scale, DequantParams p, SIM_AT) {
  Checked k{"AscendDequant", at, {}};
  dequantOp<D, mode>(k, noScratch(), d, a, p, [s = scaleOf(scale)](u32, u8&) { return s; });
}
}  // namespace AscendC
