/**
 * Fixpipe: products out of L0C to device memory or L1, as rows or as columns of 16, converted and scaled on the way.
 */
#pragma once
#include "asc-cube.h"

namespace AscendC {
/** The scale word keeps a float of 1 sign, 8 exponent and 10 mantissa bits. */
inline float scaleOf(u64 word) {
  const u32 bits = u32(word) & ~0x1fffu;
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}
template <class D, class S>
D fixpipeOne(S x, QuantMode_t mode, u64 word, bool relu) {
  if (relu && x < S(0)) x = S(0);
  if constexpr (std::is_same_v<D, S>) return x;
  else if constexpr (std::is_same_v<D, half>) return half(std::is_same_v<S, int32_t> ? float(x) * scaleOf(word) : float(x));
  else if constexpr (std::is_same_v<D, bfloat16_t>) return bfloat16_t(float(x));
  else {
    const int offset = int((word >> 37) & 0x1ff) << 23 >> 23;
    const float v = std::nearbyint(float(x) * scaleOf(word)) + float(offset);
    (void)mode;
    const float low = float(std::numeric_limits<D>::min()), high = float(std::numeric_limits<D>::max());
    return D(v < low ? low : v > high ? high : v);
  }
}
/** Columns that lie together where the destination is not in rows: 8 floats if split, else 16, or 32 of 8 bits. */
template <class D>
u32 columnGroup(const FixpipeParamsV220& p) { return sizeof(D) == 1 ? 32 : sizeof(D) == 4 && p.isChannelSplit ? 8 : 16; }
template <class D, class S>
void checkQuant(const Checked& k, QuantMode_t mode, bool hasVector) {
  static_assert(!(std::is_same_v<S, int32_t> && std::is_same_v<D, bfloat16_t>) || is3510, "Fixpipe: int32 to bf16 has no instruction on this architecture");
  static_assert(isOneOf<D, S, half, bfloat16_t, int8_t, uint8_t>, "Fixpipe: no conversion to this element type");
  const bool fits = std::is_same_v<D, S> ? mode == NoQuant
                    : std::is_same_v<S, int32_t> && std::is_same_v<D, half> ? mode == DEQF16 || mode == VDEQF16
                    : std::is_same_v<S, int32_t> ? mode == REQ8 || mode == VREQ8
                    : std::is_same_v<D, half> ? mode == F322F16
                    : std::is_same_v<D, bfloat16_t> ? mode == F322BF16 : mode == QF322B8_PRE || mode == VQF322B8_PRE;
  require(fits, "quant-mode", k, "quantPre %d does not turn the product's element type into the destination's", int(mode));
  const bool isVector = mode == VDEQF16 || mode == VREQ8 || mode == VQF322B8_PRE;
  require(isVector == hasVector, "quant-mode", k, "quantPre %d %s", int(mode), isVector ? "needs a tensor of scales" : "takes one scale, not a tensor");
}
template <class D, class S, class Place>
void fixpipe(Checked& k, const LocalTensor<S>& a, const LocalTensor<u64>* scales, const FixpipeParamsV220& p, Place place) {
  need(k, a, L0C, 64, "source");
  checkQuant<D, S>(k, p.quantPre, scales != nullptr);
  require(!p.isChannelSplit || std::is_same_v<D, float>, "range", k, "channels are split in float only%s", "");
  require(p.unitFlag == 0 || p.unitFlag == 2 || p.unitFlag == 3, "range", k, "unitFlag is 0, 2 or 3, got %d", p.unitFlag);
  require(p.mSize >= 1 && p.nSize >= 1, "range", k, "mSize and nSize are at least 1, got %d and %d", p.mSize, p.nSize);
  for (u32 g = 0; g < (p.nSize + 15u) / 16; g++) span(k, a, u64(g) * p.srcStride * 64, u64(p.mSize) * 64, sim::reads);
  LocalTensor<u64> table;
  if (scales) {
    table = *scales;
    need(k, table, FB, 128, "scales");
    span(k, table, 0, p.nSize * 8ull, sim::reads);
  }
  if (p.unitFlag) follow(PIPE_FIX, PIPE_M);
  const auto put = place();
  issueOn(PIPE_FIX, k, [=] {
    for (u32 i = 0; i < p.mSize; i++)
      for (u32 j = 0; j < p.nSize; j++) {
        u8 taint = 0;
        const u64 from = a.addr + u64(j / 16) * p.srcStride * 64 + i * 64 + (j % 16) * 4;
        const S x = load<S>(*a.memory, from, taint);
        const u64 word = table.memory ? load<u64>(*table.memory, table.addr + j * 8, taint) : p.deqScalar;
        put(i, j, fixpipeOne<D, S>(x, p.quantPre, word, p.reluEn), taint, from);
      }
  });
}
template <class D, class S>
void fixpipeGlobal(Checked& k, const GlobalTensor<D>& d, const LocalTensor<S>& a, const LocalTensor<u64>* scales, const FixpipeParamsV220& p, CO2Layout layout) {
  const int op = self().atomicOp;
  const sim::At at = k.at;
  for (u32 nd = 0; nd < p.ndNum; nd++) {
    Checked part{k.op, k.at, {}};
    // Matrices in L0C follow each other in units of a fractal of 1024 bytes.
    const LocalTensor<S> source = a[u32(nd) * p.srcNdStride * 256u];
    const GlobalTensor<D> target = d[u64(nd) * p.dstNdStride];
    fixpipe<D, S>(part, source, scales, p, [&] {
      const u32 group = columnGroup<D>(p);
      const auto offset = [=](u32 i, u32 j) -> u64 {
        if (layout == CO2Layout::ROW_MAJOR) return (u64(i) * p.dstStride + j) * sizeof(D);
        return u64(j / group) * p.dstStride * 32 + (u64(i) * group + j % group) * sizeof(D);
      };
      u8* base = reinterpret_cast<u8*>(target.base);
      if constexpr (!isFast)
        for (u32 i = 0; i < p.mSize; i++)
          for (u32 j = 0; j < p.nSize; j += group) globalSpan(part, target, std::int64_t(offset(i, j)), std::min<u32>(group, p.nSize - j) * sizeof(D), op == noAtomic ? sim::writes : sim::adds);
      return [=](u32 i, u32 j, D x, u8 taint, u64 from) { storeGlobal<D>(base + offset(i, j), x, taint, op, "Fixpipe", at, taint ? source.memory->range(from, 4) : std::string()); };
    });
  }
}
template <class D, class S>
void fixpipeLocal(Checked& k, const LocalTensor<D>& d, const LocalTensor<S>& a, const LocalTensor<u64>* scales, const FixpipeParamsV220& p, CO2Layout layout) {
  // 950: straight to the UB of the block's vector core, in rows.
  if (d.memory && &homeOf(UB) != &self() && d.memory == &homeOf(UB).memories[UB]) {
    k.isAcross = true;
    require(layout == CO2Layout::ROW_MAJOR, "layout", k, "a product in UB is in rows%s", "");
    require(d.addr % 32 == 0 && p.dstStride * sizeof(D) % 32 == 0, "alignment", k, "rows in UB start at multiples of 32 bytes, got a pitch of %u elements", p.dstStride);
    fixpipe<D, S>(k, a, scales, p, [&] {
      for (u32 i = 0; i < p.mSize; i++) span(k, d, u64(i) * p.dstStride * sizeof(D), p.nSize * sizeof(D), sim::writes);
      return [=](u32 i, u32 j, D x, u8 taint, u64) { store<D>(*d.memory, d.addr + (u64(i) * p.dstStride + j) * sizeof(D), x, taint); };
    });
    return;
  }
  need(k, d, L1, 32, "destination");
  fixpipe<D, S>(k, a, scales, p, [&] {
    const u32 group = columnGroup<D>(p);
    for (u32 g = 0; g < (p.nSize + group - 1) / group; g++) span(k, d, u64(g) * p.dstStride * 32, u64(p.mSize) * group * sizeof(D), sim::writes);
    return [=](u32 i, u32 j, D x, u8 taint, u64) { store<D>(*d.memory, d.addr + u64(j / group) * p.dstStride * 32 + (u64(i) * group + j % group) * sizeof(D), x, taint); };
  });
}
template <class D, class S, const FixpipeConfig& config = CFG_ROW_MAJOR>
void Fixpipe(const GlobalTensor<D>& d, const LocalTensor<S>& a, const FixpipeParamsV220& p, SIM_AT) {
  Checked k{"Fixpipe", at, {}};
  fixpipeGlobal(k, d, a, (const LocalTensor<u64>*)nullptr, p, config.format);
}
template <class D, class S, const FixpipeConfig& config = CFG_ROW_MAJOR>
void Fixpipe(const GlobalTensor<D>& d, const LocalTensor<S>& a, const LocalTensor<u64>& scales, const FixpipeParamsV220& p, SIM_AT) {
  Checked k{"Fixpipe", at, {}};
  fixpipeGlobal(k, d, a, &scales, p, config.format);
}
template <class D, class S, const FixpipeConfig& config = CFG_NZ>
void Fixpipe(const LocalTensor<D>& d, const LocalTensor<S>& a, const FixpipeParamsV220& p, SIM_AT) {
  Checked k{"Fixpipe", at, {}};
  fixpipeLocal(k, d, a, (const LocalTensor<u64>*)nullptr, p, config.format);
}
template <class D, class S, const FixpipeConfig& config = CFG_NZ>
void Fixpipe(const LocalTensor<D>& d, const LocalTensor<S>& a, const LocalTensor<u64>& scales, const FixpipeParamsV220& p, SIM_AT) {
  Checked k{"Fixpipe", at, {}};
  fixpipeLocal(k, d, a, &scales, p, config.format);
}

/** The older way: DataCopy out of L0C, with what is not in its parameters set beforehand. */
struct DataCopyCO12DstParams {
  DataCopyCO12DstParams() = default;
  DataCopyCO12DstParams(u16 n, u16 m, u32 dst, u16 src, QuantMode_t quant, u8 relu, bool split, bool rows)
      : nSize(n), mSize(m), dstStride(dst), srcStride(src), quantPre(quant), reluPre(relu), channelSplit(split), nz2ndEn(rows) {}
  u8 sid = 0;
  u16 nSize = 0, mSize = 0;
  u32 dstStride = 0;
  u16 srcStride = 0;
  u8 unitFlag = 0, clipReluPre = 0, eltWiseOp = 0;
  QuantMode_t quantPre = NoQuant;
  u8 reluPre = 0;
  bool channelSplit = false, nz2ndEn = false;
};
inline void SetFixpipeNz2ndFlag(u16 ndNum, u16 srcStride, u16 dstStride) { self().fixNdNum = ndNum, self().fixSrcNd = srcStride, self().fixDstNd = dstStride; }
inline void SetFixpipePreQuantFlag(u64 word) { self().fixScale = word; }
inline FixpipeParamsV220 fixpipeParamsOf(const Checked& k, const DataCopyCO12DstParams& p) {
  const Core& c = self();
  require(p.clipReluPre == 0 && p.eltWiseOp == 0 && p.reluPre <= 1, "range", k, "clipped relu, leaky relu and element-wise operations are not of this architecture%s", "");
  FixpipeParamsV220 f(p.nSize, p.mSize, p.srcStride, p.dstStride, p.reluPre == 1, p.quantPre, c.fixScale, p.nz2ndEn ? c.fixNdNum : u16(1), c.fixSrcNd, c.fixDstNd, p.unitFlag);
  f.isChannelSplit = p.channelSplit;
  return f;
}
template <class D, class S>
void DataCopy(const GlobalTensor<D>& d, const LocalTensor<S>& a, const DataCopyCO12DstParams& p, SIM_AT) {
  Checked k{"DataCopy out of L0C", at, {}};
  fixpipeGlobal(k, d, a, (const LocalTensor<u64>*)nullptr, fixpipeParamsOf(k, p), p.nz2ndEn ? CO2Layout::ROW_MAJOR : CO2Layout::NZ);
}
template <class D, class S>
void DataCopy(const LocalTensor<D>& d, const LocalTensor<S>& a, const DataCopyCO12DstParams& p, SIM_AT) {
  Checked k{"DataCopy out of L0C", at, {}};
  fixpipeLocal(k, d, a, (const LocalTensor<u64>*)nullptr, fixpipeParamsOf(k, p), p.nz2ndEn ? CO2Layout::ROW_MAJOR : CO2Layout::NZ);
}
}  // namespace AscendC
