/**
 * Memory that is handed out in parts: a pool inside a TPipe's memory, whose buffers may share it with another pool's, and
 * the queue of L1 tensors that a matrix product takes as input. Main classes: `TBufPool`, `TSCM`.
 */
#pragma once
#include "asc-queue.h"

namespace AscendC {
/** Buffers of a pool; `bufIDSize`: how many they may be. */
template <TPosition pos, u32 bufIDSize = 4>
class TBufPool {
 public:
  static constexpr TPosition position = pos;
  TBufBase base;
  template <class Q>
  bool InitBuffer(Q& queue, u8 num, u32 bytes, SIM_AT)
    requires requires { queue.buffers; }
  {
    queue.buffers.resize(num);
    for (QueueBuffer& b : queue.buffers) b.bytes = (bytes + 31) / 32 * 32, take(b.bytes, b.addr, b.root, at);
    return true;
  }
  template <class B>
  bool InitBuffer(B& buf, u32 bytes, SIM_AT)
    requires requires { buf.base; }
  {
    buf.base.space = base.space;
    buf.base.bytes = (bytes + 31) / 32 * 32;
    take(buf.base.bytes, buf.base.addr, buf.base.root, at);
    return true;
  }
  /** A pool inside this one; by `share` it lies where that one does. */
  template <class P>
  bool InitBufPool(P& pool, u32 bytes, SIM_AT) { return InitBuffer(pool, bytes, at); }
  template <class P, class Q>
  bool InitBufPool(P& pool, u32 bytes, Q& share, SIM_AT) {
    const Checked k{"InitBufPool", at, {}};
    require((bytes + 31) / 32 * 32 <= share.base.bytes, "capacity", k, "the pool is larger (%u bytes) than the one it shares memory with (%u)", bytes, share.base.bytes);
    pool.base = share.base;
    return true;
  }
  void Reset() { used = count = 0; }

 private:
  u32 used = 0, count = 0;
  void take(u32 bytes, u32& addr, u32& root, sim::At at) {
    const Checked k{"InitBuffer", at, {}};
    require(++count <= bufIDSize, "queue-events", k, "the pool has %u buffers at most", bufIDSize);
    require(used + bytes <= base.bytes, "capacity", k, "the pool of %u bytes has %u left, asked for are %u", base.bytes, base.bytes - used, bytes);
    addr = base.addr + used, used += bytes;
    if constexpr (!isFast) root = LocalTensor<u8>::addRoot(base.space, addr, bytes, at);
  }
};
/** A queue of tensors in L1, filled from device memory or UB. */
template <TPosition source = TPosition::GM, int depth = 1, auto mask = 0>
using TSCM = TQueBind<TPosition::TSCM, TPosition::TSCM, depth, mask>;
}  // namespace AscendC
