/**
 * Functions of the vendor's library along the axes of a matrix in UB: broadcasts, reductions by pattern (AR: along the last
 * axis, RA: along the first), running sums. The order of a sum is not specified there; here it is by trees.
 */
#pragma once
#include "asc-library.h"

namespace AscendC {
/** A function over whole tensors: reads `in` elements, writes `out`, may use a scratch tensor. */
template <class T, class F>
void axesOp(const char* op, sim::At at, const LocalTensor<u8>* tmp, const LocalTensor<T>& d, u64 out, const LocalTensor<T>& a, u64 in, F run) {
  Checked k{op, at, {}};
  need(k, d, UB, 32, "destination"), need(k, a, UB, 32, "source");
  if (tmp) scratch(k, *tmp, tmp->GetSize());
  span(k, a, 0, in * sizeof(T), sim::reads), span(k, d, 0, out * sizeof(T), sim::writes);
  issueOn(PIPE_V, k, [=] {
    std::vector<T> values(in);
    std::vector<u8> taints(in);
    for (u64 i = 0; i < in; i++) values[i] = load<T>(*a.memory, a.addr + i * sizeof(T), taints[i]);
    run(values, taints, [&](u64 i, T x, u8 taint) { store<T>(*d.memory, d.addr + i * sizeof(T), x, taint); });
  });
}

/** Repeats axis `axis`, which has length 1 in the source, as often as the destination's shape says. */
template <class T, int dim, int axis>
void broadcast(const LocalTensor<T>& d, const LocalTensor<T>& a, const u32 to[dim], const u32 from[dim], const LocalTensor<u8>* tmp, sim::At at) {
  ASC_TYPES("Broadcast", T, half, float, int8_t, u8);
  static_assert(dim == 1 || dim == 2, "Broadcast: one or two axes, there is no instruction for more");
  const Checked k{"Broadcast", at, {}};
  const u32 rows = dim == 2 ? to[0] : 1, columns = to[dim - 1], fromRows = dim == 2 ? from[0] : 1, fromColumns = from[dim - 1];
  require((axis == dim - 1 ? fromColumns : fromRows) == 1 && (dim == 1 || (axis == 0 ? fromColumns == columns : fromRows == rows)), "range", k, "axis %d of the source (%u x %u) must be 1 and the other that of the destination (%u x %u)", axis, fromRows, fromColumns, rows, columns);
  require(columns * sizeof(T) % 32 == 0 || axis == 1 || dim == 1, "range", k, "the last axis must be whole blocks of 32 bytes, got %u elements", columns);
  axesOp("Broadcast", at, tmp, d, u64(rows) * columns, a, u64(fromRows) * fromColumns, [=](auto& x, auto& taint, auto put) {
    for (u64 i = 0; i < u64(rows) * columns; i++) {
      const u64 s = dim == 1 ? 0 : axis == 1 ? i / columns : i % columns;
      put(i, x[s], taint[s]);
    }
  });
}
template <class T, int dim, int axis, bool reuses = false>
void Broadcast(const LocalTensor<T>& d, const LocalTensor<T>& a, const u32 to[dim], const u32 from[dim], SIM_AT) { broadcast<T, dim, axis>(d, a, to, from, noScratch(), at); }
template <class T, int dim, int axis, bool reuses = false>
void Broadcast(const LocalTensor<T>& d, const LocalTensor<T>& a, const u32 to[dim], const u32 from[dim], const LocalTensor<u8>& tmp, SIM_AT) { broadcast<T, dim, axis>(d, a, to, from, &tmp, at); }
template <class T, int dim, int axis, bool reuses = false>
void BroadCast(const LocalTensor<T>& d, const LocalTensor<T>& a, const u32 to[dim], const u32 from[dim], SIM_AT) { broadcast<T, dim, axis>(d, a, to, from, noScratch(), at); }
template <class T, int dim, int axis, bool reuses = false>
void BroadCast(const LocalTensor<T>& d, const LocalTensor<T>& a, const u32 to[dim], const u32 from[dim], const LocalTensor<u8>& tmp, SIM_AT) { broadcast<T, dim, axis>(d, a, to, from, &tmp, at); }

namespace Pattern::Reduce {
struct AR { static constexpr bool alongLast = true; };
struct RA { static constexpr bool alongLast = false; };
}  // namespace Pattern::Reduce
template <Pick pick, class T>
Found<T> reduceList(std::vector<T> x, const std::vector<u8>& taints) {
  Found<T> f;
  for (u8 t : taints) f.taint |= t;
  if constexpr (pick == Pick::sum) f.value = treeSum(x.data(), u32(x.size()));
  else
    for (std::size_t i = 0; i < x.size(); i++) keepBetter<pick>(f, Found<T>{x[i], u32(i), 0, false}, 0);
  return f;
}
/** `padded`: the last axis of the source fills whole blocks of 32 bytes. */
template <Pick pick, class P, class T>
void reducePattern(const char* op, const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<u8>* tmp, const u32 shape[], bool padded, sim::At at) {
  static_assert(isOneOf<T, float, half, int32_t>, "reductions by pattern: no instruction for this element type on this architecture");
  const Checked k{op, at, {}};
  const u32 rows = shape[0], columns = shape[1], perBlock = 32 / sizeof(T), pitch = (columns + perBlock - 1) / perBlock * perBlock;
  require(rows >= 1 && columns >= 1, "range", k, "the shape has no elements (%u x %u)", rows, columns);
  require(padded || pitch == columns, "range", k, "without srcInnerPad the last axis must be whole blocks of 32 bytes, got %u elements", columns);
  axesOp(op, at, tmp, d, P::alongLast ? rows : columns, a, u64(rows) * pitch, [=](auto& x, auto& taint, auto put) {
    for (u32 i = 0; i < (P::alongLast ? rows : columns); i++) {
      std::vector<T> list;
      std::vector<u8> taints;
      for (u32 j = 0; j < (P::alongLast ? columns : rows); j++) {
        const u64 s = P::alongLast ? u64(i) * pitch + j : u64(j) * pitch + i;
        list.push_back(x[s]), taints.push_back(taint[s]);
      }
      const auto f = reduceList<pick>(list, taints);
      put(i, f.value, f.taint);
    }
  });
}
#define ASC_PATTERN(Name, pick)                                                                                                                        \
  template <class T, class P, bool reuses = false>                                                                                                     \
    requires requires { P::alongLast; }                                                                                                                \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<u8>& tmp, const u32 shape[], bool padded, SIM_AT) {                    \
    reducePattern<pick, P>(#Name, d, a, &tmp, shape, padded, at);                                                                                      \
  }                                                                                                                                                    \
  template <class T, class P, bool reuses = false>                                                                                                     \
    requires requires { P::alongLast; }                                                                                                                \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, const u32 shape[], bool padded, SIM_AT) {                                                \
    reducePattern<pick, P>(#Name, d, a, noScratch(), shape, padded, at);                                                                               \
  }
ASC_PATTERN(ReduceSum, Pick::sum)
ASC_PATTERN(ReduceMax, Pick::max)
ASC_PATTERN(ReduceMin, Pick::min)
#undef ASC_PATTERN

/** Rows of `inner` elements (whole blocks), of which the first n count. */
struct SumParams { u32 outter = 1, inner = 0, n = 0; };
template <class T>
void sumRows(const char* op, const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<u8>* tmp, const SumParams& p, bool isMean, sim::At at) {
  const Checked k{op, at, {}};
  require(p.inner * sizeof(T) % 32 == 0 && p.n >= 1 && p.n <= p.inner, "range", k, "inner is whole blocks of 32 bytes and n at most that, got %u and %u", p.inner, p.n);
  axesOp(op, at, tmp, d, p.outter, a, u64(p.outter) * p.inner, [=](auto& x, auto& taint, auto put) {
    for (u32 r = 0; r < p.outter; r++) {
      const auto f = reduceList<Pick::sum>(std::vector<T>(&x[r * p.inner], &x[r * p.inner] + p.n), std::vector<u8>(&taint[r * p.inner], &taint[r * p.inner] + p.n));
      put(r, isMean ? T(float(f.value) / float(p.n)) : f.value, f.taint);
    }
  });
}
template <class T, int axis = -1, bool reuses = false, bool basic = false>
void Sum(const LocalTensor<T>& d, const LocalTensor<T>& a, const SumParams& p, SIM_AT) { sumRows("Sum", d, a, noScratch(), p, false, at); }
template <class T, int axis = -1, bool reuses = false, bool basic = false>
void Sum(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<u8>& tmp, const SumParams& p, SIM_AT) { sumRows("Sum", d, a, &tmp, p, false, at); }
struct MeanParams { u32 outter = 1, inner = 0, n = 0; };
template <class T, class Accumulator = T, bool reuses = false, bool basic = false, int axis = -1>
void Mean(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<u8>& tmp, const MeanParams& p, SIM_AT) { sumRows("Mean", d, a, &tmp, {p.outter, p.inner, p.n}, true, at); }
template <class T, class Accumulator = T, bool reuses = false, bool basic = false, int axis = -1>
void Mean(const LocalTensor<T>& d, const LocalTensor<T>& a, const MeanParams& p, SIM_AT) { sumRows("Mean", d, a, noScratch(), {p.outter, p.inner, p.n}, true, at); }

struct CumSumInfo { u32 outter = 0, inner = 0; };
struct CumSumConfig { bool isLastAxis = true, isReuseSource = false, outputLastRow = true; };
inline constexpr CumSumConfig defaultCumSumConfig{};
/** Running sums along the last axis or the first; the last row also by itself if asked. */
template <class T, const CumSumConfig& config = defaultCumSumConfig>
void CumSum(const LocalTensor<T>& d, const LocalTensor<T>& last, const LocalTensor<T>& a, const LocalTensor<u8>& tmp, const CumSumInfo& info, SIM_AT) {
  ASC_TYPES("CumSum", T, half, float);
  const Checked k{"CumSum", at, {}};
  const u32 rows = info.outter, columns = info.inner;
  require(rows >= 1 && columns >= 1 && columns * sizeof(T) % 32 == 0, "range", k, "inner is whole blocks of 32 bytes, got %u elements", columns);
  axesOp("CumSum", at, tmp.memory ? &tmp : noScratch(), d, u64(rows) * columns, a, u64(rows) * columns, [=](auto& x, auto& taint, auto put) {
    for (u64 i = 0; i < u64(rows) * columns; i++) {
      const bool isFirst = config.isLastAxis ? i % columns == 0 : i < columns;
      if (!isFirst) {
        const u64 before = config.isLastAxis ? i - 1 : i - columns;
        x[i] = T(x[before] + x[i]), taint[i] |= taint[before];
      }
      put(i, x[i], taint[i]);
    }
  });
  if constexpr (config.outputLastRow) {
    if constexpr (!isFast) self().barrier(PIPE_V);
    Adds(last, d[(rows - 1) * columns], T(0), int(columns), at);
  }
}
template <class T, const CumSumConfig& config = defaultCumSumConfig>
void CumSum(const LocalTensor<T>& d, const LocalTensor<T>& last, const LocalTensor<T>& a, const CumSumInfo& info, SIM_AT) { CumSum<T, config>(d, last, a, LocalTensor<u8>(), info, at); }
}  // namespace AscendC
