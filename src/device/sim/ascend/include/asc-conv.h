/**
 * LoadData of feature maps: L1 holds channels in groups of 32 bytes (C1, H, W, C0), L0A and L0B get the matrix whose rows
 * are places of the filter and whose columns are (c1, filter row, filter column, c0). With a filter of 1 x 1 and W = 1
 * it loads a plain M x K matrix that lies in L1 by columns of fractals.
 * On the way to L0B rows become k of the product and columns n; to L0A `enTranspose` does the same with k and m.
 * Main function: `LoadData`; `SetFmatrix` and `SetLoadDataPaddingValue` give what the call may leave out.
 */
#pragma once
#include "asc-load.h"

namespace AscendC {
constexpr int PAD_SIZE = 4;
template <class T>
struct LoadData3DParamsV2 {
  LoadData3DParamsV2() { std::memset((void*)&padValue, 0, sizeof(T)); }
  LoadData3DParamsV2(const u8 pads[PAD_SIZE], u16 h, u16 w, u16 channels, u16 k, u16 m, u16 kStart, u16 mStart, u8 strideW, u8 strideH, u8 filterW, u8 filterH,
                     u8 dilationW, u8 dilationH, bool transposes, bool smallK, T pad, bool moreW = false, bool moreH = false, bool control = false)
      : l1H(h), l1W(w), channelSize(channels), kExtension(k), mExtension(m), kStartPt(kStart), mStartPt(mStart), strideW(strideW), strideH(strideH), filterW(filterW), filterH(filterH),
        dilationFilterW(dilationW), dilationFilterH(dilationH), enTranspose(transposes), enSmallK(smallK), padValue(pad), filterSizeW(moreW), filterSizeH(moreH), fMatrixCtrl(control) {
    std::memcpy(padList, pads, PAD_SIZE);
  }
  /** Left, right, top, bottom. */
  u8 padList[PAD_SIZE] = {};
  u16 l1H = 0, l1W = 0, channelSize = 0, kExtension = 0, mExtension = 0, kStartPt = 0, mStartPt = 0;
  u8 strideW = 1, strideH = 1, filterW = 1, filterH = 1, dilationFilterW = 1, dilationFilterH = 1;
  bool enTranspose = false, enSmallK = false;
  T padValue{};
  /** 256 more columns and rows of the filter. */
  bool filterSizeW = false, filterSizeH = false;
  /** Which register of SetFmatrix holds, where the call does not set it. */
  bool fMatrixCtrl = false;
};
struct IsResetLoad3dConfig { bool isSetFMatrix = true, isSetPadding = true; };
inline constexpr IsResetLoad3dConfig IS_RESER_LOAD3D_DEFAULT_CONFIG{true, true};

inline void SetFmatrix(u16 h, u16 w, const u8 pads[PAD_SIZE], const FmatrixMode& mode, SIM_AT) {
  const Checked k{"SetFmatrix", at, {}};
  require(h >= 1 && h <= 32767 && w >= 1 && w <= 32767, "range", k, "height and width are 1 to 32767, got %d and %d", h, w);
  FeatureMap& f = self().featureMaps[int(mode)];
  f.isSet = true, f.h = h, f.w = w;
  std::memcpy(f.pads, pads, PAD_SIZE);
}
template <class T>
void SetLoadDataPaddingValue(const T value) { std::memcpy(&self().loadPadding, &value, sizeof(T)); }
/** Where reading of L1 wraps around, in bytes; 0: nowhere, which is all that is modelled. */
inline void SetLoadDataBoundary(u32 bytes, SIM_AT) {
  const Checked k{"SetLoadDataBoundary", at, {}};
  require(bytes == 0, "range", k, "only 0 (no wrapping) is modelled, got %u", bytes);
}

/** The geometry of one load: where element (row, column) of the matrix lies in L1, or that it is padding. */
struct Im2Col {
  u32 h, w, pads[PAD_SIZE], strideW, strideH, filterW, filterH, dilationW, dilationH, C0, channels;
  u32 reachW() const { return dilationW * (filterW - 1) + 1; }
  u32 reachH() const { return dilationH * (filterH - 1) + 1; }
  u32 outW() const { return (w + pads[0] + pads[1] - reachW()) / strideW + 1; }
  u32 outH() const { return (h + pads[2] + pads[3] - reachH()) / strideH + 1; }
  u32 columns() const { return (channels + C0 - 1) / C0 * C0 * filterW * filterH; }
  /** Index of the group of C0 elements that holds columns [k, k + C0) of a row, or -1. */
  std::int64_t group(u32 row, u32 k) const {
    const u32 tap = k / C0, place = tap % (filterW * filterH), c1 = tap / (filterW * filterH);
    const std::int64_t y = std::int64_t(row / outW()) * strideH + std::int64_t(place / filterW) * dilationH - pads[2];
    const std::int64_t x = std::int64_t(row % outW()) * strideW + std::int64_t(place % filterW) * dilationW - pads[0];
    return row >= outW() * outH() || y < 0 || x < 0 || y >= h || x >= w ? -1 : (std::int64_t(c1) * h + y) * w + x;
  }
};

template <class T>
Im2Col geometry(const Checked& k, const LoadData3DParamsV2<T>& p, bool setsMap) {
  FeatureMap f{true, p.l1H, p.l1W, {p.padList[0], p.padList[1], p.padList[2], p.padList[3]}};
  if (!setsMap) f = self().featureMaps[p.fMatrixCtrl];
  require(f.isSet, "range", k, "the call takes its feature map from SetFmatrix, which was not called%s", "");
  Im2Col g{f.h, f.w, {f.pads[0], f.pads[1], f.pads[2], f.pads[3]}, p.strideW, p.strideH, p.filterW + p.filterSizeW * 256u, p.filterH + p.filterSizeH * 256u, p.dilationFilterW, p.dilationFilterH, u32(elementsIn<T>(32)), p.channelSize};
  require(g.h >= 1 && g.h <= 32767 && g.w >= 1 && g.w <= 32767, "range", k, "l1H and l1W are 1 to 32767, got %u and %u", g.h, g.w);
  require(g.strideW >= 1 && g.strideW <= 63 && g.strideH >= 1 && g.strideH <= 63, "range", k, "strides are 1 to 63, got %u and %u", g.strideW, g.strideH);
  require(g.filterW >= 1 && g.filterH >= 1 && g.filterW <= 511 && g.filterH <= 511, "range", k, "a filter has 1 to 511 columns and rows, got %u and %u", g.filterW, g.filterH);
  require(g.dilationW >= 1 && g.dilationH >= 1, "range", k, "dilations are 1 to 255, got %u and %u", g.dilationW, g.dilationH);
  require(g.w + g.pads[0] + g.pads[1] >= g.reachW() && g.h + g.pads[2] + g.pads[3] >= g.reachH(), "range", k, "the filter (%u x %u with its dilation) is larger than the padded map", g.reachH(), g.reachW());
  require(g.channels >= 1 && g.channels % g.C0 == 0, "range", k, "channelSize is whole groups of %u channels (parts of one are not modelled), got %u", g.C0, g.channels);
  // Whole fractals, but for the last ones.
  const u32 rows = g.outW() * g.outH(), endRow = u32(p.mStartPt) + p.mExtension, endColumn = u32(p.kStartPt) + p.kExtension;
  require(p.mExtension >= 1 && p.mStartPt % 16 == 0 && (p.mExtension % 16 == 0 || endRow >= rows), "range", k, "mExtension and mStartPt are multiples of 16, got %d and %d", p.mExtension, p.mStartPt);
  require(p.kExtension >= 1 && p.kStartPt % g.C0 == 0 && (p.kExtension % g.C0 == 0 || endColumn >= g.columns()), "range", k, "kExtension and kStartPt are whole blocks of 32 bytes (%u elements), got %d and %d", g.C0, p.kExtension, p.kStartPt);
  require(endColumn <= g.columns(), "range", k, "columns %u to %u of a matrix of %u", u32(p.kStartPt), endColumn, g.columns());
  require(p.mStartPt < rows && endRow <= (rows + 15) / 16 * 16, "range", k, "rows %u to %u of a matrix of %u", u32(p.mStartPt), endRow, rows);
  require(!p.enSmallK, "range", k, "enSmallK is reserved%s", "");
  return g;
}

template <class T, const IsResetLoad3dConfig& config = IS_RESER_LOAD3D_DEFAULT_CONFIG>
void LoadData(const LocalTensor<T>& d, const LocalTensor<T>& a, const LoadData3DParamsV2<std::type_identity_t<T>>& p, SIM_AT) {
  ASC_TYPES("LoadData 3D", T, half, bfloat16_t, float, int32_t, uint32_t, int8_t, uint8_t, int4b_t);
  Checked k{"LoadData 3D", at, {}};
  checkLoad(k, d, a);
  const bool toB = d.memory == &self().memories[L0B], transposes = toB || p.enTranspose;
  require(!toB || sizeof(T) >= 2, "dtype", k, "there is no load of %zu-byte elements into L0B (LoadDataWithTranspose has one)", sizeof(T));
  require(toB || !p.enTranspose || sizeof(T) == 2, "dtype", k, "enTranspose is for 16-bit elements, got %zu bytes", sizeof(T));
  const Im2Col g = geometry(k, p, config.isSetFMatrix);
  u64 pad = 0;
  if constexpr (config.isSetPadding) std::memcpy(&pad, &p.padValue, sizeof(T));
  else pad = self().loadPadding;
  const u32 rows = (p.mExtension + 15u) / 16 * 16, groups = (p.kExtension + g.C0 - 1) / g.C0, firstRow = p.mStartPt, firstColumn = p.kStartPt;
  require(!transposes || groups * g.C0 % 16 == 0, "range", k, "a transposed load takes multiples of 16 columns, got %d", p.kExtension);
  for (u32 c = 0; c < groups; c++)
    for (u32 r = 0; r < rows; r++) {
      const std::int64_t at32 = g.group(firstRow + r, firstColumn + c * g.C0);
      if (at32 >= 0) span(k, a, u64(at32) * 32, 32, sim::reads);
    }
  span(k, d, 0, u64(rows) * groups * 32, sim::writes);
  issueOn(PIPE_MTE1, k, [=] {
    constexpr u32 perGroup = 32 / sizeof(T);
    const u32 columns = groups * perGroup, C0 = g.C0;
    for (u32 c = 0; c < groups; c++)
      for (u32 r = 0; r < rows; r++) {
        const std::int64_t at32 = g.group(firstRow + r, firstColumn + c * C0);
        for (u32 e = 0; e < perGroup; e++) {
          u8 taint = 0;
          T x;
          std::memcpy(&x, &pad, sizeof(T));
          // Rows after the last fill a fractal with anything.
          if (firstRow + r >= g.outW() * g.outH()) taint = sim::padTail;
          if (at32 >= 0) x = load<T>(*a.memory, a.addr + u64(at32) * 32 + e * sizeof(T), taint);
          // Not transposed: fractals by rows (by columns on 950). L0B: by rows of k with n inside, 16 n a fractal. L0A
          // transposed: element (r, column) of the map becomes (column, r), 16-bit.
          const u32 column = c * perGroup + e;
          u64 to;
          if (toB) to = (u64(r / perGroup) * (columns / 16) + column / 16) * FRACTAL + (column % 16) * 32 + (r % perGroup) * sizeof(T);
          else if (transposes) to = (is3510 ? u64(r / perGroup) * (columns / 16) + column / 16 : u64(column / 16) * (rows / perGroup) + r / perGroup) * FRACTAL + (column % 16) * 32 + (r % perGroup) * sizeof(T);
          else to = (is3510 ? u64(c) * (rows / 16) + r / 16 : u64(r / 16) * groups + c) * FRACTAL + (r % 16) * 32 + e * sizeof(T);
          store<T>(*d.memory, d.addr + to, x, taint);
        }
      }
  });
}
}  // namespace AscendC
