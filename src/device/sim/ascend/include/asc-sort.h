/**
 * Sorting and transposing. A sorted element is 8 bytes: score (float, or half in the first two) and a 32-bit index;
 * order is descending, equal scores keep their order. Main functions: `Sort32`, `MrgSort`, `Transpose`.
 */
#pragma once
#include "asc-gather.h"

namespace AscendC {
struct Scored {
  float score;
  u8 bytes[8];
  u8 taint;
};
template <class T>
Scored loadScored(const sim::Memory& m, u64 addr) {
  Scored s{};
  s.score = float(load<T>(m, addr, s.taint));
  std::memcpy(s.bytes, m.data + addr, 8);
  // Of a half score only two of the first four bytes mean something.
  u8 indexTaint = 0;
  load<u32>(m, addr + 4, indexTaint);
  s.taint |= indexTaint;
  return s;
}
inline void storeScored(sim::Memory& m, u64 addr, const Scored& s) {
  for (u32 i = 0; i < 8; i++) store<u8>(m, addr + i, s.bytes[i], s.taint);
}

template <class T>
void Sort32(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<u32>& index, int repeats, SIM_AT) {
  ASC_TYPES("Sort32", T, half, float);
  Checked k{"Sort32", at, {}};
  require(repeats >= 0 && repeats <= 255, "range", k, "repeat times are 0 to 255, got %d", repeats);
  need(k, d, UB, 32, "destination"), need(k, a, UB, 32, "scores"), need(k, index, UB, 32, "indices");
  span(k, a, 0, u64(repeats) * 32 * sizeof(T), sim::reads);
  span(k, index, 0, u64(repeats) * 128, sim::reads);
  span(k, d, 0, u64(repeats) * 256, sim::writes);
  issueOn(PIPE_V, k, [=] {
    for (int r = 0; r < repeats; r++) {
      Scored group[32];
      for (u32 i = 0; i < 32; i++) {
        Scored& s = group[i] = {};
        const T score = load<T>(*a.memory, a.addr + (r * 32 + i) * sizeof(T), s.taint);
        const u32 id = load<u32>(*index.memory, index.addr + (r * 32 + i) * 4, s.taint);
        s.score = float(score);
        std::memcpy(s.bytes, &score, sizeof(T)), std::memcpy(s.bytes + 4, &id, 4);
      }
      std::stable_sort(group, group + 32, [](const Scored& x, const Scored& y) { return x.score > y.score; });
      for (u32 i = 0; i < 32; i++) storeScored(*d.memory, d.addr + (r * 32 + i) * 8, group[i]);
    }
  });
}

template <class T>
struct MrgSortSrcList {
  MrgSortSrcList() = default;
  MrgSortSrcList(const LocalTensor<T>& a, const LocalTensor<T>& b, const LocalTensor<T>& c, const LocalTensor<T>& d) : src1(a), src2(b), src3(c), src4(d) {}
  LocalTensor<T> src1, src2, src3, src4;
};
/** Merges up to four descending lists; with suspension it stops when one of them is exhausted. */
template <class T>
void MrgSort(const LocalTensor<T>& d, const MrgSortSrcList<T>& list, const MrgSort4Info& info, SIM_AT) {
  ASC_TYPES("MrgSort", T, half, float);
  Checked k{"MrgSort", at, {}};
  const int numLists = info.validBit == 3 ? 2 : info.validBit == 7 ? 3 : 4;
  require(info.validBit == 3 || info.validBit == 7 || info.validBit == 15, "range", k, "validBit is 3, 7 or 15, got %d", info.validBit);
  const LocalTensor<T> sources[4] = {list.src1, list.src2, list.src3, list.src4};
  const u32 repeats = info.repeatTimes;
  u32 total = 0;
  for (int i = 0; i < numLists; i++) {
    require(info.elementLengths[i] <= 4095, "range", k, "a list has 4095 elements at most, got %d", info.elementLengths[i]);
    total += info.elementLengths[i];
  }
  require(repeats <= 1 || !info.ifExhaustedSuspension, "range", k, "repeats do not go with suspension");
  need(k, d, UB, 32, "destination");
  for (int i = 0; i < numLists; i++) {
    need(k, sources[i], UB, 8, "list");
    for (u32 r = 0; r < repeats; r++) span(k, sources[i], u64(r) * total * 8, u64(info.elementLengths[i]) * 8, sim::reads);
  }
  span(k, d, 0, u64(repeats) * total * 8, sim::writes);
  // A destination over a list would be read after it was written.
  if constexpr (!isFast)
    for (int i = 0; i < numLists; i++)
      if (d.addr < sources[i].addr + info.elementLengths[i] * 8 && sources[i].addr < d.addr + total * 8) sim::fail("partial-overlap", at, rangeOf(d, 0, total * 8), "MrgSort: the destination lies over a list");
  Core& core = self();
  issueOn(PIPE_V, k, [=, &core] {
    for (u32 r = 0; r < repeats; r++) {
      u32 taken[4] = {};
      for (u32 n = 0; n < total; n++) {
        int best = -1;
        Scored top{};
        for (int i = 0; i < numLists; i++) {
          if (taken[i] == info.elementLengths[i]) continue;
          const Scored s = loadScored<T>(*sources[i].memory, sources[i].addr + (u64(r) * total + taken[i]) * 8);
          if (best < 0 || s.score > top.score) best = i, top = s;
        }
        storeScored(*d.memory, d.addr + (u64(r) * total + n) * 8, top);
        if (++taken[best] == info.elementLengths[best] && info.ifExhaustedSuspension) break;
      }
      for (int i = 0; i < 4; i++) core.mergeCounts[i] = u16(taken[i]);
    }
  });
}
template <class T, bool suspends = false>
void MrgSort(const LocalTensor<T>& d, const MrgSortSrcList<T>& list, const u16 lengths[4], u32 counts[4], u16 validBit, int repeats, SIM_AT) {
  MrgSort(d, list, MrgSort4Info(lengths, suspends, validBit, u16(repeats)), at);
  if constexpr (!isFast) self().drainTo(PIPE_V, self().pipes[PIPE_V].end());
  for (int i = 0; i < 4; i++) counts[i] = self().mergeCounts[i];
}
/** How many of each list the last merge took; the vector pipe must be done. */
inline void GetMrgSortResult(u16& a, u16& b, u16& c, u16& d) {
  const u16* n = self().mergeCounts;
  a = n[0], b = n[1], c = n[2], d = n[3];
}
template <class T>
u32 GetSortOffset(u32 n) { return u32(n * 8 / sizeof(T)); }
template <class T>
u32 GetSortLen(u32 n) { return u32(n * 8 / sizeof(T)); }
/** Scores and indices of sorted elements, apart again; 32 elements a repeat. */
template <class T>
void Extract(const LocalTensor<T>& values, const LocalTensor<u32>& index, const LocalTensor<T>& sorted, int repeats, SIM_AT) {
  Checked k{"Extract", at, {}};
  span(k, sorted, 0, u64(repeats) * 256, sim::reads);
  span(k, values, 0, u64(repeats) * 32 * sizeof(T), sim::writes);
  span(k, index, 0, u64(repeats) * 128, sim::writes);
  issueOn(PIPE_V, k, [=] {
    for (int i = 0; i < repeats * 32; i++) {
      u8 taint = 0, indexTaint = 0;
      const T x = load<T>(*sorted.memory, sorted.addr + i * 8, taint);
      const u32 id = load<u32>(*sorted.memory, sorted.addr + i * 8 + 4, indexTaint);
      store<T>(*values.memory, values.addr + i * sizeof(T), x, taint);
      store<u32>(*index.memory, index.addr + i * 4, id, indexTaint);
    }
  });
}

/** What a sort takes as its scores: on this architecture they lie by themselves already. */
template <class T>
void Concat(LocalTensor<T>& concat, const LocalTensor<T>& a, const LocalTensor<T>&, int) { concat = a; }
/** Scores and indices to sorted elements: each 32 by themselves, or all of them. */
template <class T, bool isFull>
void Sort(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<u32>& index, LocalTensor<T>& tmp, int repeats, SIM_AT) {
  ASC_TYPES("Sort", T, half, float);
  Checked k{"Sort", at, {}};
  require(repeats >= 0 && repeats <= 255, "range", k, "repeat times are 0 to 255, got %d", repeats);
  need(k, d, UB, 32, "destination"), need(k, a, UB, 32, "scores"), need(k, index, UB, 32, "indices");
  const u32 n = u32(repeats) * 32;
  span(k, a, 0, n * sizeof(T), sim::reads), span(k, index, 0, n * 4ull, sim::reads);
  if (isFull) scratch(k, tmp, n * 8ull / sizeof(T));
  span(k, d, 0, n * 8ull, sim::writes);
  issueOn(PIPE_V, k, [=] {
    std::vector<Scored> all(n);
    for (u32 i = 0; i < n; i++) {
      Scored& s = all[i] = {};
      const T score = load<T>(*a.memory, a.addr + i * sizeof(T), s.taint);
      const u32 id = load<u32>(*index.memory, index.addr + i * 4, s.taint);
      s.score = float(score);
      std::memcpy(s.bytes, &score, sizeof(T)), std::memcpy(s.bytes + 4, &id, 4);
    }
    const u32 group = isFull ? n : 32;
    for (u32 i = 0; i < n; i += group) std::stable_sort(all.begin() + i, all.begin() + i + group, [](const Scored& x, const Scored& y) { return x.score > y.score; });
    if (isFull) spoil(tmp, n * 8ull / sizeof(T));
    for (u32 i = 0; i < n; i++) storeScored(*d.memory, d.addr + i * 8, all[i]);
  });
}

/** A 16 x 16 square of 16-bit elements. */
template <class T>
void Transpose(const LocalTensor<T>& d, const LocalTensor<T>& a, SIM_AT) {
  static_assert(sizeof(T) == 2, "Transpose: 16-bit elements only");
  Checked k{"Transpose", at, {}};
  need(k, d, UB, 32, "destination"), need(k, a, UB, 32, "source");
  span(k, a, 0, 512, sim::reads), span(k, d, 0, 512, sim::writes);
  issueOn(PIPE_V, k, [=] {
    std::pair<T, u8> square[256];
    for (u32 i = 0; i < 256; i++) {
      u8 taint = 0;
      const T x = load<T>(*a.memory, a.addr + i * 2, taint);
      square[i] = {x, taint};
    }
    for (u32 i = 0; i < 256; i++) store<T>(*d.memory, d.addr + i * 2, square[(i % 16) * 16 + i / 16].first, square[(i % 16) * 16 + i / 16].second);
  });
}
/**
 * Sixteen rows of 32 bytes, transposed. 16-bit: a 16 x 16 square. 32-bit: 16 rows of 8 become 8 rows of 16, each in two
 * of the destinations. 8-bit: half of each destination row at a time.
 */
template <class T>
void TransDataTo5HD(const LocalTensor<T> (&d)[16], const LocalTensor<T> (&a)[16], const TransDataTo5HDParams& p, SIM_AT) {
  Checked k{"TransDataTo5HD", at, {}};
  std::vector<LocalTensor<T>> to(d, d + 16), source(a, a + 16);
  for (int i = 0; i < 16; i++)
    for (u32 r = 0; r < p.repeatTimes; r++) {
      need(k, to[i], UB, 32, "destination row"), need(k, source[i], UB, 32, "source row");
      span(k, source[i], u64(r) * p.srcRepStride * 32, 32, sim::reads);
      span(k, to[i], u64(r) * p.dstRepStride * 32 + (sizeof(T) == 1 && p.dstHighHalf ? 16 : 0), sizeof(T) == 1 ? 16 : 32, sim::writes);
    }
  issueOn(PIPE_V, k, [=] {
    for (u32 r = 0; r < p.repeatTimes; r++) {
      const u32 columns = sizeof(T) == 4 ? 8 : 16;
      std::pair<T, u8> square[16][16];
      for (u32 i = 0; i < 16; i++)
        for (u32 j = 0; j < columns; j++) {
          u8 taint = 0;
          const u32 column = sizeof(T) == 1 && p.srcHighHalf ? j + 16 : j;
          const T x = load<T>(*source[i].memory, source[i].addr + u64(r) * p.srcRepStride * 32 + column * sizeof(T), taint);
          square[i][j] = {x, taint};
        }
      for (u32 j = 0; j < columns; j++)
        for (u32 i = 0; i < 16; i++) {
          const u32 row = sizeof(T) == 4 ? 2 * j + i / 8 : j, column = sizeof(T) == 4 ? i % 8 : sizeof(T) == 1 && p.dstHighHalf ? i + 16 : i;
          store<T>(*to[row].memory, to[row].addr + u64(r) * p.dstRepStride * 32 + column * sizeof(T), square[i][j].first, square[i][j].second);
        }
    }
  });
}
template <class T>
void TransDataTo5HD(u64 (&d)[16], u64 (&a)[16], const TransDataTo5HDParams& p, SIM_AT) {
  LocalTensor<T> to[16], source[16];
  Core& c = self();
  const auto place = [&c](u64 address) {
    LocalTensor<T> t;
    t.memory = &c.memory(UB), t.addr = u32(address - reinterpret_cast<std::uintptr_t>(t.memory->data));
    t.count = u32((usable(UB) - t.addr) / sizeof(T));
    t.root = LocalTensor<T>::addRoot(UB, 0, usable(UB), sim::At{});
    return t;
  };
  for (int i = 0; i < 16; i++) to[i] = place(d[i]), source[i] = place(a[i]);
  TransDataTo5HD<T>(to, source, p, at);
}
/** Addresses in two tensors, read by the scalar program. */
template <class T>
void TransDataTo5HD(const LocalTensor<u64>& d, const LocalTensor<u64>& a, const TransDataTo5HDParams& p, SIM_AT) {
  u64 to[16], source[16];
  for (u32 i = 0; i < 16; i++) to[i] = d.GetValue(i, at), source[i] = a.GetValue(i, at);
  TransDataTo5HD<T>(to, source, p, at);
}
}  // namespace AscendC
