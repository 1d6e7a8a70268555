/**
 * How vector instructions walk their operands, and the forms that element-wise ones have.
 * One repeat is 256 bytes of the widest operand; strides are in 32-byte units, between blocks and between repeats.
 * Main functions: `Walk` (which lanes), `Operand` (where a lane lies), `lanes` (notes and runs an element-wise instruction).
 */
#pragma once
#include "asc-queue.h"

namespace AscendC {
constexpr u32 REPEAT_BYTES = 256, BLOCK_BYTES = 32;

struct Walk {
  /** A plain run of elements; else repeats of masked lanes. */
  bool isLinear = true;
  u32 count = 0;
  u32 repeats = 0, lanes = 0;
  u64 mask[2] = {};

  static Walk linear(u32 n) {
    Walk w;
    w.count = n;
    return w;
  }
  bool has(u32 r, u32 i) const { return count ? r * lanes + i < count : (mask[i / 64] >> (i % 64)) & 1; }
  template <class F>
  void each(F&& f) const {
    if (isLinear) {
      for (u32 i = 0; i < count; i++) f(0u, i);
      return;
    }
    for (u32 r = 0; r < repeats; r++)
      for (u32 i = 0; i < lanes; i++)
        if (has(r, i)) f(r, i);
  }
};
/** Lanes of `bytes` each. A count of lanes, or the mask register when the instruction does not set it. */
inline Walk repeatWalk(const Checked& k, u32 bytes, u64 mask, int repeats, bool setsMask) {
  Core& c = self();
  Walk w;
  w.isLinear = false, w.lanes = REPEAT_BYTES / bytes, w.repeats = u32(repeats);
  require(repeats >= 0 && repeats <= 255, "range", k, "repeat times are 0 to 255, got %d", repeats);
  if (c.isCounting) {
    w.count = u32(setsMask ? mask : c.maskCount);
    w.repeats = (w.count + w.lanes - 1) / w.lanes;
    return w;
  }
  if (!setsMask) {
    w.mask[0] = c.mask[0], w.mask[1] = c.mask[1];
    if (w.lanes == 64) w.mask[1] = 0;
    return w;
  }
  require(mask <= w.lanes, "range", k, "the mask is at most %u elements here, got %llu", w.lanes, (unsigned long long)mask);
  w.mask[0] = mask >= 64 ? ~0ull : (1ull << mask) - 1;
  w.mask[1] = mask <= 64 ? 0 : mask >= 128 ? ~0ull : (1ull << (mask - 64)) - 1;
  return w;
}
inline Walk repeatWalk(const Checked& k, u32 bytes, const u64 mask[2], int repeats, bool setsMask) {
  Walk w = repeatWalk(k, bytes, u64(1), repeats, setsMask);
  if (setsMask) w.mask[0] = mask[0], w.mask[1] = mask[1];
  return w;
}

/** By a count of lanes or by bits. */
template <class M>
Walk maskWalk(const Checked& k, u32 bytes, M mask, int repeats, bool setsMask) {
  if constexpr (std::is_pointer_v<M>) return repeatWalk(k, bytes, (const u64*)mask, repeats, setsMask);
  else return repeatWalk(k, bytes, u64(mask), repeats, setsMask);
}

/** Where a lane of an operand lies. */
struct Operand {
  sim::Memory* memory = nullptr;
  u32 addr = 0, bytes = 0, block = 1, repeat = 8;
  bool isLinear = true;
  u64 at(u32 r, u32 i) const {
    if (isLinear) return addr + u64(i) * bytes;
    const u32 perBlock = BLOCK_BYTES / bytes;
    return addr + (u64(r) * repeat + u64(i / perBlock) * block) * BLOCK_BYTES + u64(i % perBlock) * bytes;
  }
};
/** An operand whose lanes are noted as touched. */
template <class T>
Operand operand(Checked& k, const Walk& w, const LocalTensor<T>& t, u32 block, u32 repeat, sim::TouchKind kind, const char* role) {
  need(k, t, UB, BLOCK_BYTES, role);
  Operand o{t.memory, t.addr, sizeof(T), block, repeat, w.isLinear};
  if constexpr (isFast) return o;
  if (w.isLinear) {
    span(k, t, 0, u64(w.count) * sizeof(T), kind);
    return o;
  }
  // Lanes of one block that follow each other are one range.
  u64 start = 0, end = 0;
  w.each([&](u32 r, u32 i) {
    const u64 at = o.at(r, i) - t.addr;
    if (at != end || end == start) {
      if (end > start) span(k, t, start, end - start, kind);
      start = at;
    }
    end = at + sizeof(T);
  });
  if (end > start) span(k, t, start, end - start, kind);
  return o;
}
/** Source and destination lie over each other exactly or not at all. */
template <class D, class S>
void exactOverlap(const Checked& k, const Walk& w, const LocalTensor<D>& dst, const LocalTensor<S>& src) {
  if constexpr (isFast) return;
  if (!w.isLinear || dst.memory != src.memory || dst.addr == src.addr) return;
  const u64 d = dst.addr, s = src.addr, dn = u64(w.count) * sizeof(D), sn = u64(w.count) * sizeof(S);
  if (d < s + sn && s < d + dn) sim::fail("partial-overlap", k.at, rangeOf(dst, 0, dn), sim::format("%s: destination and source overlap in part", k.op));
}

/**
 * The same for repeats: a block is read and written by the same lanes, and what one repeat writes no later one reads,
 * unless every repeat writes the same place (a running total).
 */
inline void exactOverlap(const Checked& k, const Walk& w, const Operand& d, const Operand& s) {
  if (isFast || w.isLinear || d.memory != s.memory || d.bytes != s.bytes) return;
  const u64 dEnd = d.addr + (u64(w.repeats) * d.repeat + 8ull * d.block) * BLOCK_BYTES, sEnd = s.addr + (u64(w.repeats) * s.repeat + 8ull * s.block) * BLOCK_BYTES;
  if (d.addr >= sEnd || s.addr >= dEnd) return;
  const u32 perBlock = BLOCK_BYTES / d.bytes;
  std::map<u64, std::pair<u32, u32>> last;
  const auto isUsed = [&](u32 r, u32 b) {
    for (u32 i = b * perBlock; i < (b + 1) * perBlock; i++)
      if (w.has(r, i)) return true;
    return false;
  };
  for (u32 r = 0; r < w.repeats; r++)
    for (u32 b = 0; b < 8; b++)
      if (isUsed(r, b)) last[s.at(r, b * perBlock)] = {r, b};
  for (u32 r = 0; r < w.repeats; r++)
    for (u32 b = 0; b < 8; b++) {
      const u64 place = d.at(r, b * perBlock);
      // A block that starts inside another one is an overlap in part, too.
      auto next = last.lower_bound(place >= BLOCK_BYTES ? place - BLOCK_BYTES + 1 : 0);
      for (; isUsed(r, b) && next != last.end() && next->first < place + BLOCK_BYTES; ++next) {
        const auto [reader, block] = next->second;
        const bool isSame = next->first == place && block == b && (reader == r || d.repeat == 0);
        if (reader >= r && !isSame) sim::fail("partial-overlap", k.at, d.memory->range(place, BLOCK_BYTES), sim::format("%s: repeat %u writes what repeat %u reads", k.op, r, reader));
      }
    }
}

/** Of mask bytes the single bits keep their taint: logic on words combines them. */
template <class D, class... P>
void spreadBits(const Operand& dst, u32 r, u32 i, const P&... src) {
  for (u32 b = 0; b < sizeof(D); b++) dst.memory->setBits(dst.at(r, i) + b, u8((src.first.memory->bitsAt(src.first.at(r, i) + b) | ...)));
}
/** dst[i] = f(a[i], b[i], ...) on the vector pipe. */
template <class D, class F, class... S>
void lanes(Checked& k, const Walk& w, Operand dst, F f, std::pair<Operand, S*>... src) {
  (exactOverlap(k, w, dst, src.first), ...);
  issueOn(PIPE_V, k, [=] {
    if constexpr (isFast) {
      if (w.isLinear) {
        D* d = reinterpret_cast<D*>(dst.memory->data + dst.addr);
        for (u32 i = 0; i < w.count; i++) d[i] = f(reinterpret_cast<const S*>(src.first.memory->data + src.first.addr)[i]...);
        return;
      }
    }
    w.each([&](u32 r, u32 i) {
      u8 taint = 0;
      const D x = f(load<S>(*src.first.memory, src.first.at(r, i), taint)...);
      if constexpr (sizeof...(S) > 0 && ((sizeof(S) == sizeof(D)) && ...))
        if (taint & sim::someBits) {
          spreadBits<D>(dst, r, i, src...);
          std::memcpy(dst.memory->data + dst.at(r, i), &x, sizeof(D));
          return;
        }
      store<D>(*dst.memory, dst.at(r, i), x, taint);
    });
  });
}
template <class T>
std::pair<Operand, T*> from(Operand o) { return {o, nullptr}; }

template <class T, class F>
void binaryLinear(const char* op, const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<T>& b, int count, sim::At at, F f) {
  Checked k{op, at, {}};
  require(count >= 0, "range", k, "the count is %d", count);
  const Walk w = Walk::linear(u32(count));
  exactOverlap(k, w, d, a), exactOverlap(k, w, d, b);
  const Operand oa = operand(k, w, a, 1, 8, sim::reads, "first source"), ob = operand(k, w, b, 1, 8, sim::reads, "second source");
  lanes<T, F, T, T>(k, w, operand(k, w, d, 1, 8, sim::writes, "destination"), f, from<T>(oa), from<T>(ob));
}
template <class T, class M, class F>
void binaryRepeat(const char* op, const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<T>& b, M mask, int repeats, const BinaryRepeatParams& p, bool setsMask, sim::At at, F f) {
  Checked k{op, at, {}};
  const Walk w = repeatWalk(k, sizeof(T), mask, repeats, setsMask);
  const Operand oa = operand(k, w, a, p.src0BlkStride, p.src0RepStride, sim::reads, "first source"), ob = operand(k, w, b, p.src1BlkStride, p.src1RepStride, sim::reads, "second source");
  lanes<T, F, T, T>(k, w, operand(k, w, d, p.dstBlkStride, p.dstRepStride, sim::writes, "destination"), f, from<T>(oa), from<T>(ob));
}
template <class D, class S, class F>
void unaryLinear(const char* op, const LocalTensor<D>& d, const LocalTensor<S>& a, int count, sim::At at, F f) {
  Checked k{op, at, {}};
  require(count >= 0, "range", k, "the count is %d", count);
  const Walk w = Walk::linear(u32(count));
  exactOverlap(k, w, d, a);
  const Operand oa = operand(k, w, a, 1, 8, sim::reads, "source");
  lanes<D, F, S>(k, w, operand(k, w, d, 1, 8, sim::writes, "destination"), f, from<S>(oa));
}
template <class D, class S, class M, class F>
void unaryRepeat(const char* op, const LocalTensor<D>& d, const LocalTensor<S>& a, M mask, int repeats, const UnaryRepeatParams& p, bool setsMask, sim::At at, F f) {
  Checked k{op, at, {}};
  const Walk w = repeatWalk(k, sizeof(D) > sizeof(S) ? sizeof(D) : sizeof(S), mask, repeats, setsMask);
  const Operand oa = operand(k, w, a, p.srcBlkStride, p.srcRepStride, sim::reads, "source");
  lanes<D, F, S>(k, w, operand(k, w, d, p.dstBlkStride, p.dstRepStride, sim::writes, "destination"), f, from<S>(oa));
}

/** An element-wise instruction in its three forms: a count, a count of lanes per repeat, a bit mask per repeat. */
#define ASC_BINARY(Name, expression, TABLE, ...)                                                                                                           \
  template <class T, bool setsMask = true>                                                                                                                 \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<T>& b, int count, SIM_AT) {                                                \
    TABLE(#Name, T, __VA_ARGS__);                                                                                                                          \
    binaryLinear(#Name, d, a, b, count, at, [](T x, T y) -> T { return expression; });                                                                     \
  }                                                                                                                                                        \
  template <class T, bool setsMask = true>                                                                                                                 \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<T>& b, u64 mask, int repeats, const BinaryRepeatParams& p, SIM_AT) {       \
    TABLE(#Name, T, __VA_ARGS__);                                                                                                                          \
    binaryRepeat(#Name, d, a, b, mask, repeats, p, setsMask, at, [](T x, T y) -> T { return expression; });                                                \
  }                                                                                                                                                        \
  template <class T, bool setsMask = true>                                                                                                                 \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, const LocalTensor<T>& b, u64 mask[], int repeats, const BinaryRepeatParams& p, SIM_AT) {     \
    TABLE(#Name, T, __VA_ARGS__);                                                                                                                          \
    binaryRepeat(#Name, d, a, b, (const u64*)mask, repeats, p, setsMask, at, [](T x, T y) -> T { return expression; });                                    \
  }
#define ASC_UNARY(Name, expression, TABLE, ...)                                                                                                            \
  template <class T, bool setsMask = true>                                                                                                                 \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, int count, SIM_AT) {                                                                         \
    TABLE(#Name, T, __VA_ARGS__);                                                                                                                          \
    unaryLinear(#Name, d, a, count, at, [](T x) -> T { return expression; });                                                                              \
  }                                                                                                                                                        \
  template <class T, bool setsMask = true>                                                                                                                 \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, u64 mask, int repeats, const UnaryRepeatParams& p, SIM_AT) {                                 \
    TABLE(#Name, T, __VA_ARGS__);                                                                                                                          \
    unaryRepeat(#Name, d, a, mask, repeats, p, setsMask, at, [](T x) -> T { return expression; });                                                         \
  }                                                                                                                                                        \
  template <class T, bool setsMask = true>                                                                                                                 \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, u64 mask[], int repeats, const UnaryRepeatParams& p, SIM_AT) {                               \
    TABLE(#Name, T, __VA_ARGS__);                                                                                                                          \
    unaryRepeat(#Name, d, a, (const u64*)mask, repeats, p, setsMask, at, [](T x) -> T { return expression; });                                             \
  }
#define ASC_SCALAR(Name, expression, TABLE, ...)                                                                                                           \
  template <class T, bool setsMask = true>                                                                                                                 \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, Same<T> y, int count, SIM_AT) {                                                              \
    TABLE(#Name, T, __VA_ARGS__);                                                                                                                          \
    unaryLinear(#Name, d, a, count, at, [y](T x) -> T { return expression; });                                                                             \
  }                                                                                                                                                        \
  template <class T, bool setsMask = true>                                                                                                                 \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, Same<T> y, u64 mask, int repeats, const UnaryRepeatParams& p, SIM_AT) {                      \
    TABLE(#Name, T, __VA_ARGS__);                                                                                                                          \
    unaryRepeat(#Name, d, a, mask, repeats, p, setsMask, at, [y](T x) -> T { return expression; });                                                        \
  }                                                                                                                                                        \
  template <class T, bool setsMask = true>                                                                                                                 \
  void Name(const LocalTensor<T>& d, const LocalTensor<T>& a, Same<T> y, u64 mask[], int repeats, const UnaryRepeatParams& p, SIM_AT) {                    \
    TABLE(#Name, T, __VA_ARGS__);                                                                                                                          \
    unaryRepeat(#Name, d, a, (const u64*)mask, repeats, p, setsMask, at, [y](T x) -> T { return expression; });                                            \
  }
}  // namespace AscendC
