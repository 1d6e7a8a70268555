/**
 * L1 to L0A and L0B in fractals of 512 bytes (16 rows of 32 bytes), as they lie or transposed.
 * Main functions: `LoadData` (see asc-conv.h for its form on feature maps), `LoadDataWithTranspose`.
 */
#pragma once
#include "asc-layout.h"

namespace AscendC {
constexpr u32 FRACTAL = 512;

template <class T>
void checkLoad(const Checked& k, const LocalTensor<T>& d, const LocalTensor<T>& a) {
  if constexpr (isFast) return;
  const bool toA = d.memory == &self().memories[L0A];
  need(k, d, toA ? L0A : L0B, 512, "destination"), need(k, a, L1, 32, "source");
}
/** Copies fractals, each transposed as a 16 x 16 square of 16-bit elements if asked. */
template <class T>
void loadFractals(Checked& k, const LocalTensor<T>& d, const LocalTensor<T>& a, u32 repeats, u64 start, u64 srcStride, u64 dstStride, bool transposes) {
  checkLoad(k, d, a);
  require(!transposes || sizeof(T) == 2, "range", k, "LoadData transposes 16-bit elements only (LoadDataWithTranspose takes others)%s", "");
  for (u32 r = 0; r < repeats; r++) {
    span(k, a, (start + r * srcStride) * FRACTAL, FRACTAL, sim::reads);
    span(k, d, r * dstStride * FRACTAL, FRACTAL, sim::writes);
  }
  issueOn(PIPE_MTE1, k, [=] {
    for (u32 r = 0; r < repeats; r++) {
      const u64 from = a.addr + (start + r * srcStride) * FRACTAL, to = d.addr + r * dstStride * FRACTAL;
      constexpr u32 columns = 32 / sizeof(T);
      for (u32 i = 0; i < FRACTAL / sizeof(T); i++) {
        u8 taint = 0;
        const u32 source = transposes ? (i % columns) * columns + i / columns : i;
        const T x = load<T>(*a.memory, from + source * sizeof(T), taint);
        store<T>(*d.memory, to + i * sizeof(T), x, taint);
      }
    }
  });
}
template <class T>
void LoadData(const LocalTensor<T>& d, const LocalTensor<T>& a, const LoadData2DParams& p, SIM_AT) {
  Checked k{"LoadData", at, {}};
  require(p.repeatTimes >= 1, "range", k, "repeatTimes is 1 to 255, got %d", p.repeatTimes);
  loadFractals(k, d, a, p.repeatTimes, p.startIndex, p.srcStride, 1ull + p.dstGap, p.ifTranspose);
}
/** From device memory, where fractals lie one after the other; 950 has no such path. */
template <class T>
void LoadData(const LocalTensor<T>& d, const GlobalTensor<T>& a, const LoadData2DParams& p, SIM_AT) {
  static_assert(!is3510 && sizeof(T) > 0, "LoadData: no path from device memory on this architecture");
  Checked k{"LoadData", at, {}};
  require(p.repeatTimes >= 1, "range", k, "repeatTimes is 1 to 255, got %d", p.repeatTimes);
  require(!p.ifTranspose, "range", k, "nothing is transposed on the way from device memory%s", "");
  const bool toL1 = d.memory == &self().memories[L1], toA = d.memory == &self().memories[L0A];
  need(k, d, toL1 ? L1 : toA ? L0A : L0B, toL1 ? 32 : 512, "destination");
  std::vector<u8*> sources;
  for (u32 r = 0; r < p.repeatTimes; r++) {
    sources.push_back(globalSpan(k, a, std::int64_t((p.startIndex + r * u64(p.srcStride)) * FRACTAL), FRACTAL, sim::reads));
    span(k, d, r * (1ull + p.dstGap) * FRACTAL, FRACTAL, sim::writes);
  }
  issueOn(PIPE_MTE2, k, [=, step = (1ull + p.dstGap) * FRACTAL] {
    for (std::size_t r = 0; r < sources.size(); r++) {
      std::memcpy(d.memory->data + d.addr + r * step, sources[r], FRACTAL);
      if constexpr (!isFast) std::memset(d.memory->taint + d.addr + r * step, 0, FRACTAL);
    }
  });
}
/** 950: a box of fractals; L0A keeps L1's order there. */
template <class T>
void LoadData(const LocalTensor<T>& d, const LocalTensor<T>& a, const LoadData2DParamsV2& p, SIM_AT) {
  static_assert(is3510 && sizeof(T) > 0, "LoadData: LoadData2DParamsV2 exists on 950 only");
  for (u32 j = 0; j < p.kStep; j++) {
    Checked k{"LoadData", at, {}};
    loadFractals(k, d[u32(j * p.dstStride * FRACTAL / sizeof(T))], a, p.mStep, p.mStartPosition + u64(p.kStartPosition + j) * u64(p.srcStride), 1, 1, p.ifTranspose);
  }
}
/**
 * Squares of 16 x 16 (16- and 32-bit), 32 x 32 (8-bit) or 64 x 64 (4-bit) elements, of one, two, two or four fractals.
 * Fractals of a square lie below each other, 32-bit ones side by side.
 */
template <class T>
void LoadDataWithTranspose(const LocalTensor<T>& d, const LocalTensor<T>& a, const LoadData2dTransposeParams& p, SIM_AT) {
  Checked k{"LoadDataWithTranspose", at, {}};
  checkLoad(k, d, a);
  require(p.repeatTimes >= 1, "range", k, "repeatTimes is 1 to 255, got %d", p.repeatTimes);
  constexpr u32 C0 = u32(elementsIn<T>(32)), side = C0 < 16 ? 16 : C0, fractals = side * side / (16 * C0);
  const u32 repeats = p.repeatTimes;
  const u64 square = fractals * FRACTAL, start = p.startIndex, srcStride = p.srcStride, next = (1ull + p.dstGap) * FRACTAL, part = (1ull + p.dstFracGap) * FRACTAL;
  for (u32 r = 0; r < repeats; r++) {
    span(k, a, (start + r * srcStride) * square, square, sim::reads);
    for (u32 f = 0; f < fractals; f++) span(k, d, r * next + f * part, FRACTAL, sim::writes);
  }
  issueOn(PIPE_MTE1, k, [=] {
    struct Place { u32 fractal, element; };
    const auto place = [](u32 row, u32 column) -> Place {
      if (C0 < 16) return {column / C0, row * C0 + column % C0};
      return {row / 16, (row % 16) * C0 + column};
    };
    for (u32 r = 0; r < repeats; r++)
      for (u32 row = 0; row < side; row++)
        for (u32 column = 0; column < side; column++) {
          const Place s = place(row, column), t = place(column, row);
          const u64 from = a.addr + (start + r * srcStride) * square + s.fractal * FRACTAL, to = d.addr + r * next + t.fractal * part;
          u8 taint = 0;
          if constexpr (isInt4<T>) {
            const u8 bits = load<u8>(*a.memory, from + s.element / 2, taint) >> (s.element % 2 * 4) & 15, old = d.memory->data[to + t.element / 2];
            // The second half of a byte comes to the first, with the taint of both.
            if constexpr (!isFast)
              if (t.element % 2) taint |= d.memory->taint[to + t.element / 2];
            store<u8>(*d.memory, to + t.element / 2, t.element % 2 ? u8((old & 15) | bits << 4) : u8((old & 0xf0) | bits), taint);
          } else {
            const T x = load<T>(*a.memory, from + s.element * sizeof(T), taint);
            store<T>(*d.memory, to + t.element * sizeof(T), x, taint);
          }
        }
  });
}
}  // namespace AscendC
