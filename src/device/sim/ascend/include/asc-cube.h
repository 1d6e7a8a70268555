/**
 * The matrix unit: products of L0A and L0B into L0C, with a bias from the bias table.
 * Layouts: L0A by rows of fractals (by columns on 950), L0B by rows of k with n inside, L0C by columns of 16 x 16.
 * With m = 1 the cube reads A as one plain row (GEMV). Main function: `Mmad`.
 */
#pragma once
#include "asc-mx.h"

namespace AscendC {
/** Lets a pipe start after another has finished what it has: the unit flag of Mmad and Fixpipe. */
inline void follow(pipe_t to, pipe_t from) {
  if constexpr (isFast) return;
  Core& c = self();
  c.pipes[to].known.join(c.snapshot(from));
  sim::audit.goesAfter(c.id, to, c.gathered(from));
  c.pipes[to].queue.push_back({sim::Entry::wait, 0, nullptr, from, c.pipes[from].end()});
}
template <class C, class A, class B>
constexpr bool canMultiply() {
  if constexpr (isMx<A> || isMx<B>) return isMx<A> && isMx<B> && isFp4<A> == isFp4<B> && std::is_same_v<C, float>;
  else if constexpr (!std::is_same_v<A, B>) return false;
  else if constexpr (isOneOf<A, int8_t, int4b_t>) return std::is_same_v<C, int32_t>;
  else return std::is_same_v<C, float> && (isOneOf<A, half, bfloat16_t, float> || (is3510 && isOneOf<A, fp8_e4m3fn_t>));
}
/** Element i of a row of a fractal. */
template <class F, class T>
F factor(const sim::Memory& m, u64 row, u32 i, u8& taint) {
  if constexpr (isInt4<T>) return F(int4b_t::number(load<T>(m, row + i / 2, taint).bits, i % 2));
  else if constexpr (isFp4<T>) return load<T>(m, row + i / 2, taint).number(i % 2);
  else return F(load<T>(m, row + i * sizeof(T), taint));
}
template <class C, class A, class B>
void mmad(Checked& k, const LocalTensor<C>& c, const LocalTensor<A>& a, const LocalTensor<B>& b, const LocalTensor<C>* bias, const MmadParams& p) {
  static_assert(canMultiply<C, A, B>(), "Mmad: the cube has no product of these element types on this architecture");
  constexpr u32 C0 = isFp4<A> ? 64 : u32(elementsIn<A>(32));
  const u32 m = p.m, n = p.n, depth = p.k;
  require(m >= 1 && n >= 1 && depth >= 1 && m <= 4095 && n <= 4095 && depth <= 4095, "range", k, "m, n and k are 1 to 4095, got %u, %u, %u", m, n, depth);
  require(p.unitFlag == 0 || p.unitFlag == 2 || p.unitFlag == 3, "range", k, "unitFlag is 0, 2 or 3, got %d", p.unitFlag);
  need(k, a, L0A, 512, "left operand"), need(k, b, L0B, 512, "right operand"), need(k, c, L0C, 1024, "product");
  const u32 rows = (m + 15) / 16, columns = (n + 15) / 16;
  const u32 parts = p.kDirectionAlign && sizeof(A) == 4 ? (depth + 15) / 16 * 2 : (depth + C0 - 1) / C0;
  const bool isGemv = m == 1;
  span(k, a, 0, isGemv ? bytesOf<A>(depth) : u64(rows) * parts * FRACTAL, sim::reads);
  span(k, b, 0, u64(columns) * parts * FRACTAL, sim::reads);
  LocalTensor<fp8_e8m0_t> leftScales, rightScales;
  if constexpr (isMx<A>) {
    require(m > 1, "range", k, "m is 2 or more for factors with scales: how a GEMV takes them has not been said%s", "");
    require(depth % MX_NUMBERS == 0, "range", k, "k is a multiple of 64 for factors with scales, got %u", depth);
    leftScales = scalesOf(a, k.at), rightScales = scalesOf(b, k.at);
    span(k, leftScales, 0, u64(rows) * (depth / MX_NUMBERS) * MX_FRACTAL, sim::reads);
    span(k, rightScales, 0, u64(columns) * (depth / MX_NUMBERS) * MX_FRACTAL, sim::reads);
  }
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
        const u64 start = isGemv ? u64(d / C0) * 32 : fractal * FRACTAL + (i % 16) * 32;
        Factor x = factor<Factor, A>(*a.memory, a.addr + start, d % C0, rowTaint[i]);
        if constexpr (isMx<A>) x *= scaleAt(leftScales, i, d, depth, rowTaint[i]);
        left[std::size_t(i) * depth + d] = x;
      }
    for (u32 j = 0; j < n; j++)
      for (u32 d = 0; d < depth; d++) {
        const u64 start = (u64(d / C0) * columns + j / 16) * FRACTAL + (j % 16) * 32;
        Factor x = factor<Factor, B>(*b.memory, b.addr + start, d % C0, columnTaint[j]);
        if constexpr (isMx<B>) x *= scaleAt(rightScales, j, d, depth, columnTaint[j]);
        right[std::size_t(d) * n + j] = x;
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

inline void SetHF32Mode(bool) {}
inline void SetHF32TransMode(bool) {}
inline void SetMMLayoutTransform(bool) {}
}  // namespace AscendC
