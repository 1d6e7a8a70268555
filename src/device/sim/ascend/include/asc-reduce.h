/**
 * Reductions. Order of a sum: a binary tree of neighbours inside a repeat (256 bytes), each step rounded to the element
 * type; repeats are added one after the other in the count form, by trees again in the form with repeats.
 * Main functions: `ReduceSum`, `ReduceMax`, `ReduceMin`, and the forms per repeat and per block.
 */
#pragma once
#include "asc-fill.h"

namespace AscendC {
/** Index of a found element, in bits of the element's own width. */
template <class T>
T indexBits(u32 i) {
  if constexpr (sizeof(T) == 2) {
    const u16 v = u16(i);
    T x;
    std::memcpy(&x, &v, 2);
    return x;
  } else {
    T x;
    std::memcpy(&x, &i, 4);
    return x;
  }
}
/** What a reduction keeps of the lanes it saw. */
template <class T>
struct Found {
  T value{};
  u32 index = 0;
  u8 taint = 0;
  bool isEmpty = true;
};
enum class Pick { sum, max, min };

template <class T>
T treeSum(T* x, u32 n) {
  for (u32 width = n; width > 1; width = (width + 1) / 2)
    for (u32 i = 0; i < (width + 1) / 2; i++) x[i] = 2 * i + 1 < width ? T(x[2 * i] + x[2 * i + 1]) : x[2 * i];
  return x[0];
}
/** Reduces lanes [first, first + n) of one repeat; those outside the mask do not count. */
template <Pick pick, class T>
Found<T> reduceLanes(const Walk& w, const Operand& a, u32 r, u32 first, u32 n) {
  Found<T> f;
  T tree[128] = {};
  for (u32 i = 0; i < n; i++) {
    const u32 lane = first + i;
    if (w.isLinear ? r * w.lanes + lane >= w.count : !w.has(r, lane)) continue;
    const T x = load<T>(*a.memory, w.isLinear ? a.at(0, r * w.lanes + lane) : a.at(r, lane), f.taint);
    if constexpr (pick == Pick::sum) tree[i] = x;
    else if (f.isEmpty || (pick == Pick::max ? x > f.value : x < f.value) || x != x) f.value = x, f.index = lane;
    f.isEmpty = false;
  }
  if constexpr (pick == Pick::sum) f.value = treeSum(tree, n);
  return f;
}
template <Pick pick, class T>
void keepBetter(Found<T>& best, const Found<T>& f, u32 base) {
  best.taint |= f.taint;
  if (f.isEmpty) return;
  if (best.isEmpty || (pick == Pick::max ? f.value > best.value : f.value < best.value)) best.value = f.value, best.index = base + f.index;
  best.isEmpty = false;
}
inline Walk reduceWalk(u32 count, u32 bytes) {
  Walk w = Walk::linear(count);
  w.lanes = REPEAT_BYTES / bytes;
  w.repeats = (count + w.lanes - 1) / w.lanes;
  return w;
}
/** Partial results pass through the scratch tensor, whatever was there. */
template <class T>
void scratch(Checked& k, const LocalTensor<T>& work, u64 elements) {
  need(k, work, UB, 32, "scratch tensor");
  span(k, work, 0, (elements * sizeof(T) + 31) / 32 * 32, sim::writes);
}
template <class T>
void sumAll(Checked& k, const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<T>& work, const Walk& w, u32 repeatStride, bool byTrees) {
  ASC_TYPES("ReduceSum", T, half, float);
  const Operand oa = operand(k, w, a, 1, repeatStride, sim::reads, "source");
  scratch(k, work, w.repeats);
  need(k, d, UB, sizeof(T), "destination");
  span(k, d, 0, sizeof(T), sim::writes);
  issueOn(PIPE_V, k, [=] {
    std::vector<T> parts(w.repeats ? w.repeats : 1);
    u8 taint = 0;
    for (u32 r = 0; r < w.repeats; r++) {
      const auto f = reduceLanes<Pick::sum, T>(w, oa, r, 0, w.lanes);
      parts[r] = f.value, taint |= f.taint;
    }
    spoil(work, w.repeats);
    T sum = parts[0];
    if (byTrees) {
      while (parts.size() > 1) {
        std::vector<T> next;
        for (std::size_t i = 0; i < parts.size(); i += w.lanes) {
          T tree[128] = {};
          const u32 n = u32(std::min<std::size_t>(w.lanes, parts.size() - i));
          for (u32 j = 0; j < n; j++) tree[j] = parts[i + j];
          next.push_back(treeSum(tree, w.lanes));
        }
        parts = next;
      }
      sum = parts[0];
    } else
      for (u32 r = 1; r < w.repeats; r++) sum = T(sum + parts[r]);
    store<T>(*d.memory, d.addr, sum, taint);
  });
}
template <class T, bool setsMask = true>
void ReduceSum(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<T>& work, int count, SIM_AT) {
  Checked k{"ReduceSum", at, {}};
  sumAll(k, d, a, work, reduceWalk(u32(count), sizeof(T)), 8, false);
}
template <class T, bool setsMask = true, class M>
void ReduceSum(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<T>& work, M mask, int repeats, int repeatStride, SIM_AT) {
  Checked k{"ReduceSum", at, {}};
  sumAll(k, d, a, work, maskWalk(k, sizeof(T), mask, repeats, setsMask), u32(repeatStride), true);
}

template <Pick pick, class T>
void bestOfAll(const char* op, const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<T>& work, const Walk& w, u32 repeatStride, bool withIndex, Checked& k) {
  ASC_TYPES("ReduceMax and ReduceMin", T, half, float);
  const Operand oa = operand(k, w, a, 1, repeatStride, sim::reads, "source");
  scratch(k, work, 2 * w.repeats);
  need(k, d, UB, sizeof(T), "destination");
  span(k, d, 0, (withIndex ? 2 : 1) * sizeof(T), sim::writes);
  (void)op;
  issueOn(PIPE_V, k, [=] {
    Found<T> best;
    for (u32 r = 0; r < w.repeats; r++) keepBetter<pick>(best, reduceLanes<pick, T>(w, oa, r, 0, w.lanes), r * w.lanes);
    spoil(work, 2 * w.repeats);
    store<T>(*d.memory, d.addr, best.value, best.taint);
    if (withIndex) store<T>(*d.memory, d.addr + sizeof(T), indexBits<T>(best.index), best.taint);
  });
}
#define ASC_BEST(Name, pick)                                                                                                                              \
  template <class T, bool setsMask = true>                                                                                                                \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<T>& work, int count, bool withIndex = false, SIM_AT) {                    \
    Checked k{#Name, at, {}};                                                                                                                             \
    bestOfAll<pick>(#Name, d, a, work, reduceWalk(u32(count), sizeof(T)), 8, withIndex, k);                                                               \
  }                                                                                                                                                       \
  template <class T, bool setsMask = true, class M>                                                                                                       \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<T>& work, M mask, int repeats, int repeatStride, bool withIndex = false, SIM_AT) { \
    Checked k{#Name, at, {}};                                                                                                                             \
    bestOfAll<pick>(#Name, d, a, work, maskWalk(k, sizeof(T), mask, repeats, setsMask), u32(repeatStride), withIndex, k);                          \
  }
ASC_BEST(ReduceMax, Pick::max)
ASC_BEST(ReduceMin, Pick::min)

/** One result per repeat, `stride` results apart. */
template <Pick pick, class T>
void wholeReduce(Checked& k, const LocalTensor<T>& d, const LocalTensor<T>& a, const Walk& w, u32 stride, u32 block, u32 repeatStride, ReduceOrder order) {
  ASC_TYPES("WholeReduce", T, half, float);
  const bool isPair = pick != Pick::sum && (order == ReduceOrder::ORDER_VALUE_INDEX || order == ReduceOrder::ORDER_INDEX_VALUE);
  const u32 size = sizeof(T) * (isPair ? 2 : 1);
  const Operand oa = operand(k, w, a, block, repeatStride, sim::reads, "source");
  need(k, d, UB, sizeof(T), "destination");
  for (u32 r = 0; r < w.repeats; r++) span(k, d, u64(r) * stride * size, size, sim::writes);
  issueOn(PIPE_V, k, [=] {
    for (u32 r = 0; r < w.repeats; r++) {
      const auto f = reduceLanes<pick, T>(w, oa, r, 0, w.lanes);
      const u64 to = d.addr + u64(r) * stride * size;
      const T index = indexBits<T>(f.index);
      if (!isPair) store<T>(*d.memory, to, order == ReduceOrder::ORDER_ONLY_INDEX ? index : f.value, f.taint);
      else {
        const bool valueFirst = order == ReduceOrder::ORDER_VALUE_INDEX;
        store<T>(*d.memory, to, valueFirst ? f.value : index, f.taint);
        store<T>(*d.memory, to + sizeof(T), valueFirst ? index : f.value, f.taint);
      }
    }
  });
}
template <class T, bool setsMask = true, class M>
void WholeReduceSum(const LocalTensor<T>& d, const LocalTensor<T>& a, M mask, int repeats, int stride, int block, int repeatStride, SIM_AT) {
  Checked k{"WholeReduceSum", at, {}};
  wholeReduce<Pick::sum>(k, d, a, maskWalk(k, sizeof(T), mask, repeats, setsMask), u32(stride), u32(block), u32(repeatStride), ReduceOrder::ORDER_ONLY_VALUE);
}
template <class T, bool setsMask = true, class M>
void RepeatReduceSum(const LocalTensor<T>& d, const LocalTensor<T>& a, int repeats, M mask, int, int block, int stride, int repeatStride, SIM_AT) {
  Checked k{"RepeatReduceSum", at, {}};
  wholeReduce<Pick::sum>(k, d, a, maskWalk(k, sizeof(T), mask, repeats, setsMask), u32(stride), u32(block), u32(repeatStride), ReduceOrder::ORDER_ONLY_VALUE);
}
#define ASC_WHOLE(Name, pick)                                                                                                                             \
  template <class T, bool setsMask = true, class M>                                                                                                       \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, M mask, int repeats, int stride, int block, int repeatStride, ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX, SIM_AT) { \
    Checked k{#Name, at, {}};                                                                                                                             \
    wholeReduce<pick>(k, d, a, maskWalk(k, sizeof(T), mask, repeats, setsMask), u32(stride), u32(block), u32(repeatStride), order);                       \
  }
ASC_WHOLE(WholeReduceMax, Pick::max)
ASC_WHOLE(WholeReduceMin, Pick::min)

/** One result per group of lanes of a repeat: blocks of 32 bytes, or pairs. */
template <Pick pick, class T>
void groupReduce(Checked& k, const LocalTensor<T>& d, const LocalTensor<T>& a, const Walk& w, u32 group, u32 stride, u32 block, u32 repeatStride) {
  ASC_TYPES("BlockReduce and PairReduce", T, half, float);
  const u32 results = w.lanes / group;
  const Operand oa = operand(k, w, a, block, repeatStride, sim::reads, "source");
  need(k, d, UB, sizeof(T), "destination");
  for (u32 r = 0; r < w.repeats; r++)
    for (u32 g = 0; g < results; g++)
      if (w.has(r, g * group)) span(k, d, (u64(r) * stride * results + g) * sizeof(T), sizeof(T), sim::writes);
  issueOn(PIPE_V, k, [=] {
    for (u32 r = 0; r < w.repeats; r++)
      for (u32 g = 0; g < results; g++) {
        const auto f = reduceLanes<pick, T>(w, oa, r, g * group, group);
        if (!f.isEmpty) store<T>(*d.memory, d.addr + (u64(r) * stride * results + g) * sizeof(T), f.value, f.taint);
      }
  });
}
#define ASC_GROUP(Name, pick, group)                                                                                                                      \
  template <class T, bool setsMask = true, class M>                                                                                                       \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, int repeats, M mask, int stride, int block, int repeatStride, SIM_AT) {                     \
    Checked k{#Name, at, {}};                                                                                                                             \
    groupReduce<pick>(k, d, a, maskWalk(k, sizeof(T), mask, repeats, setsMask), group, u32(stride), u32(block), u32(repeatStride));                       \
  }
ASC_GROUP(BlockReduceSum, Pick::sum, 32 / sizeof(T))
ASC_GROUP(BlockReduceMax, Pick::max, 32 / sizeof(T))
ASC_GROUP(BlockReduceMin, Pick::min, 32 / sizeof(T))
ASC_GROUP(PairReduceSum, Pick::sum, 2)
/** The same by newer names. */
template <class T, ReduceType type, bool setsMask = true, class M>
void ReduceRepeat(const LocalTensor<T>& d, const LocalTensor<T>& a, M mask, int repeats, int stride, int block, int repeatStride, ReduceOrder order = ReduceOrder::ORDER_VALUE_INDEX, SIM_AT) {
  if constexpr (type == ReduceType::SUM) WholeReduceSum<T, setsMask>(d, a, mask, repeats, stride, block, repeatStride, at);
  else if constexpr (type == ReduceType::MAX) WholeReduceMax<T, setsMask>(d, a, mask, repeats, stride, block, repeatStride, order, at);
  else WholeReduceMin<T, setsMask>(d, a, mask, repeats, stride, block, repeatStride, order, at);
}
template <class T, ReduceType type, bool setsMask = true, class M>
void ReduceDataBlock(const LocalTensor<T>& d, const LocalTensor<T>& a, int repeats, M mask, int stride, int block, int repeatStride, SIM_AT) {
  if constexpr (type == ReduceType::SUM) BlockReduceSum<T, setsMask>(d, a, repeats, mask, stride, block, repeatStride, at);
  else if constexpr (type == ReduceType::MAX) BlockReduceMax<T, setsMask>(d, a, repeats, mask, stride, block, repeatStride, at);
  else BlockReduceMin<T, setsMask>(d, a, repeats, mask, stride, block, repeatStride, at);
}
template <class T, ReduceType type = ReduceType::SUM, bool setsMask = true, class M>
void ReducePairElem(const LocalTensor<T>& d, const LocalTensor<T>& a, int repeats, M mask, int stride, int block, int repeatStride, SIM_AT) {
  static_assert(type == ReduceType::SUM, "ReducePairElem: no instruction but the sum");
  PairReduceSum<T, setsMask>(d, a, repeats, mask, stride, block, repeatStride, at);
}
}  // namespace AscendC
