/**
 * The cube path: L1 to L0A and L0B in fractals of 512 bytes (16 rows of 32 bytes), products into L0C, Fixpipe out of it.
 * Layouts: L0A by rows of fractals (by columns on 950), L0B by rows of k with n inside, L0C by columns of 16 x 16.
 * With m = 1 the cube reads A as one plain row (GEMV). Main functions: `LoadData`, `Mmad`, `Fixpipe`.
 */
#pragma once
#include "asc-copy.h"

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
/** 950: a box of fractals; L0A keeps L1's order there. */
template <class T>
void LoadData(const LocalTensor<T>& d, const LocalTensor<T>& a, const LoadData2DParamsV2& p, SIM_AT) {
  static_assert(is3510 && sizeof(T) > 0, "LoadData: LoadData2DParamsV2 exists on 950 only");
  for (u32 j = 0; j < p.kStep; j++) {
    Checked k{"LoadData", at, {}};
    loadFractals(k, d[u32(j * p.dstStride * FRACTAL / sizeof(T))], a, p.mStep, p.mStartPosition + u64(p.kStartPosition + j) * u64(p.srcStride), 1, 1, p.ifTranspose);
  }
}
/** Squares of 16 x 16 (16- and 32-bit) or 32 x 32 (8-bit) elements, each of one or two fractals. */
template <class T>
void LoadDataWithTranspose(const LocalTensor<T>& d, const LocalTensor<T>& a, const LoadData2dTransposeParams& p, SIM_AT) {
  Checked k{"LoadDataWithTranspose", at, {}};
  checkLoad(k, d, a);
  constexpr u32 fractals = sizeof(T) == 2 ? 1 : 2, C0 = 32 / sizeof(T), side = sizeof(T) == 1 ? 32 : 16;
  const u32 repeats = p.repeatTimes;
  const u64 square = fractals * FRACTAL, start = p.startIndex, srcStride = p.srcStride, next = (1ull + p.dstGap) * FRACTAL, part = (1ull + p.dstFracGap) * FRACTAL;
  for (u32 r = 0; r < repeats; r++) {
    span(k, a, (start + r * srcStride) * square, square, sim::reads);
    for (u32 f = 0; f < fractals; f++) span(k, d, r * next + f * part, FRACTAL, sim::writes);
  }
  issueOn(PIPE_MTE1, k, [=] {
    // 8-bit fractals lie below each other, 32-bit ones side by side.
    const auto place = [](u32 row, u32 column) -> std::pair<u32, u32> {
      if (sizeof(T) == 4) return {column / C0, (row * C0 + column % C0) * u32(sizeof(T))};
      return {row / 16, ((row % 16) * C0 + column) * u32(sizeof(T))};
    };
    for (u32 r = 0; r < repeats; r++)
      for (u32 row = 0; row < side; row++)
        for (u32 column = 0; column < side; column++) {
          const auto [sf, so] = place(row, column);
          const auto [df, d0] = place(column, row);
          u8 taint = 0;
          const T x = load<T>(*a.memory, a.addr + (start + r * srcStride) * square + sf * FRACTAL + so, taint);
          store<T>(*d.memory, d.addr + r * next + df * part + d0, x, taint);
        }
  });
}

/** Lets a pipe start after another has finished what it has: the unit flag of Mmad and Fixpipe. */
inline void follow(pipe_t to, pipe_t from) {
  if constexpr (isFast) return;
  Core& c = self();
  c.pipes[to].known.join(c.snapshot(from));
  c.pipes[to].queue.push_back({sim::Entry::wait, 0, nullptr, from, c.pipes[from].end()});
}
template <class C, class A, class B>
constexpr bool canMultiply() {
  if constexpr (!std::is_same_v<A, B>) return false;
  else if constexpr (std::is_same_v<A, int8_t>) return std::is_same_v<C, int32_t>;
  else return std::is_same_v<C, float> && (isOneOf<A, half, bfloat16_t, float> || (is3510 && isOneOf<A, fp8_e4m3fn_t>));
}
template <class C, class A, class B>
void mmad(Checked& k, const LocalTensor<C>& c, const LocalTensor<A>& a, const LocalTensor<B>& b, const LocalTensor<C>* bias, const MmadParams& p) {
  static_assert(canMultiply<C, A, B>(), "Mmad: the cube has no product of these element types on this architecture");
  constexpr u32 C0 = 32 / sizeof(A);
  const u32 m = p.m, n = p.n, depth = p.k;
  require(m >= 1 && n >= 1 && depth >= 1 && m <= 4095 && n <= 4095 && depth <= 4095, "range", k, "m, n and k are 1 to 4095, got %u, %u, %u", m, n, depth);
  need(k, a, L0A, 512, "left operand"), need(k, b, L0B, 512, "right operand"), need(k, c, L0C, 1024, "product");
  const u32 rows = (m + 15) / 16, columns = (n + 15) / 16;
  const u32 parts = p.kDirectionAlign && sizeof(A) == 4 ? (depth + 15) / 16 * 2 : (depth + C0 - 1) / C0;
  const bool isGemv = m == 1;
  span(k, a, 0, isGemv ? u64(depth) * sizeof(A) : u64(rows) * parts * FRACTAL, sim::reads);
  span(k, b, 0, u64(columns) * parts * FRACTAL, sim::reads);
  const bool accumulates = !bias && !p.cmatrixInitVal;
  if (accumulates) span(k, c, 0, u64(rows) * columns * 1024, sim::reads);
  span(k, c, 0, u64(rows) * columns * 1024, sim::writes);
  LocalTensor<C> table;
  if (bias) {
    table = *bias;
    need(k, table, BT, 64, "bias");
    span(k, table, 0, u64(n) * sizeof(C), sim::reads);
  }
  if (p.unitFlag) follow(PIPE_M, PIPE_FIX);
  // A unit for each product of two fractals.
  k.cost = double(rows) * columns * parts;
  issueOn(PIPE_M, k, [=] {
    using Sum = std::conditional_t<std::is_same_v<C, int32_t>, std::int64_t, float>;
    using Factor = std::conditional_t<std::is_same_v<C, int32_t>, std::int64_t, float>;
    std::vector<Factor> left(std::size_t(m) * depth), right(std::size_t(depth) * n);
    std::vector<u8> rowTaint(m), columnTaint(n);
    for (u32 i = 0; i < m; i++)
      for (u32 d = 0; d < depth; d++) {
        const u64 fractal = is3510 ? u64(d / C0) * rows + i / 16 : u64(i / 16) * parts + d / C0;
        const u64 at = isGemv ? u64(d) * sizeof(A) : fractal * FRACTAL + (i % 16) * 32 + (d % C0) * sizeof(A);
        left[std::size_t(i) * depth + d] = Factor(load<A>(*a.memory, a.addr + at, rowTaint[i]));
      }
    for (u32 j = 0; j < n; j++)
      for (u32 d = 0; d < depth; d++) {
        const u64 at = (u64(d / C0) * columns + j / 16) * FRACTAL + (j % 16) * 32 + (d % C0) * sizeof(B);
        right[std::size_t(d) * n + j] = Factor(load<B>(*b.memory, b.addr + at, columnTaint[j]));
      }
    std::vector<Sum> sums(n);
    for (u32 i = 0; i < m; i++) {
      const auto place = [&](u32 j) { return c.addr + (u64(j / 16) * rows + i / 16) * 1024 + (i % 16) * 64 + (j % 16) * 4; };
      std::vector<u8> taint(n);
      for (u32 j = 0; j < n; j++) {
        taint[j] = rowTaint[i] | columnTaint[j];
        sums[j] = accumulates ? Sum(load<C>(*c.memory, place(j), taint[j])) : table.memory ? Sum(load<C>(*table.memory, table.addr + j * sizeof(C), taint[j])) : Sum(0);
      }
      for (u32 d = 0; d < depth; d++) {
        const Factor x = left[std::size_t(i) * depth + d];
        const Factor* y = &right[std::size_t(d) * n];
        for (u32 j = 0; j < n; j++) sums[j] += x * y[j];
      }
      for (u32 j = 0; j < n; j++) store<C>(*c.memory, place(j), C(sums[j]), taint[j]);
    }
  });
  // Small products overlap: only from ten fractals on is the first done before the next needs it.
  if constexpr (!isFast)
    if (rows * columns >= 10) self().goesOnSettled(PIPE_M);
}
template <class C, class A, class B>
void Mmad(const LocalTensor<C>& c, const LocalTensor<A>& a, const LocalTensor<B>& b, const MmadParams& p, SIM_AT) {
  Checked k{"Mmad", at, {}};
  mmad(k, c, a, b, (const LocalTensor<C>*)nullptr, p);
}
template <class C, class A, class B>
void Mmad(const LocalTensor<C>& c, const LocalTensor<A>& a, const LocalTensor<B>& b, const LocalTensor<C>& bias, const MmadParams& p, SIM_AT) {
  Checked k{"Mmad", at, {}};
  mmad(k, c, a, b, &bias, p);
}

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
      constexpr u32 group = sizeof(D) == 1 ? 32 : 16;
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
  constexpr u32 group = sizeof(D) == 1 ? 32 : 16;
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
inline void SetHF32Mode(bool) {}
inline void SetHF32TransMode(bool) {}
inline void SetMMLayoutTransform(bool) {}
inline void SetLoadDataPaddingValue(u64) {}
}  // namespace AscendC
