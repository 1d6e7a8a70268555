/**
 * The first style: one TPipe hands out memory, queues of buffers carry the synchronisation.
 * EnQue to DeQue orders the consumer after the producer; FreeTensor to AllocTensor orders the next producer after the
 * consumer. The second style's allocator, `LocalMemAllocator`, is here too.
 */
#pragma once
#include "asc-blocks.h"

namespace AscendC {
/** Pipes that fill and that use a buffer of a position. */
struct PositionRow {
  pipe_t producer, consumer;
};
constexpr PositionRow pipesOf(TPosition p) {
  switch (p) {
    case TPosition::VECIN: return {PIPE_MTE2, PIPE_V};
    case TPosition::VECOUT: return {PIPE_V, PIPE_MTE3};
    case TPosition::A1: case TPosition::B1: case TPosition::C1: case TPosition::TSCM: return {PIPE_MTE2, PIPE_MTE1};
    case TPosition::A2: case TPosition::B2: case TPosition::C2: return {PIPE_MTE1, PIPE_M};
    case TPosition::CO1: return {PIPE_M, PIPE_FIX};
    case TPosition::C2PIPE2GM: return {PIPE_FIX, PIPE_FIX};
    default: return {PIPE_V, PIPE_V};
  }
}
/** One buffer of a queue. */
struct QueueBuffer {
  u32 addr = 0, bytes = 0, root = 0;
  enum State { isFree, isTaken, isQueued, isOut } state = isFree;
  sim::Flag full, empty;
};

struct TBufBase {
  Space space = UB;
  u32 addr = 0, bytes = 0, root = 0;
};

class TPipe {
 public:
  TPipe() { self().tpipe = this; }
  void Init() {}
  void Reset() {
    for (u32& u : used) u = 0;
    for (u32& n : eventBuffers) n = 0;
  }
  void Destroy() { Reset(); }
  template <class Q>
  bool InitBuffer(Q& queue, u8 num, u32 bytes, SIM_AT)
    requires requires { queue.buffers; }
  {
    const u32 rounded = (bytes + 31) / 32 * 32;
    u32& events = eventBuffers[int(Q::source)];
    events += num;
    if (events > 8) sim::fail("queue-events", at, "", "a position has events for 8 buffers at most");
    queue.buffers.resize(num);
    queue.pipe = this;
    for (QueueBuffer& b : queue.buffers) b.bytes = rounded, take(spaceOf(Q::source), rounded, b.addr, b.root, at);
    return true;
  }
  template <class B>
  bool InitBuffer(B& buf, u32 bytes, SIM_AT)
    requires requires { buf.base; }
  {
    buf.base.space = spaceOf(B::position);
    buf.base.bytes = (bytes + 31) / 32 * 32;
    take(buf.base.space, buf.base.bytes, buf.base.addr, buf.base.root, at);
    return true;
  }
  /** Memory for the buffers of a pool, see asc-pool.h. */
  template <class P>
  bool InitBufPool(P& pool, u32 bytes, SIM_AT) { return InitBuffer(pool, bytes, at); }
  template <class P, class Q>
  bool InitBufPool(P& pool, u32 bytes, Q& share, SIM_AT) { return pool.InitBufPool(pool, bytes, share, at); }
  TEventID AllocEventID(HardEvent e, sim::At at = sim::At::here()) {
    u32& taken = self().taken[int(e)];
    for (int i = 0; i < USER_EVENT_IDS; i++)
      if (!(taken & (1u << i))) {
        taken |= 1u << i;
        return TEventID(i);
      }
    sim::fail("event-id", at, events[int(e)].name, "all six event ids are taken");
  }
  template <HardEvent e>
  TEventID AllocEventID(SIM_AT) { return AllocEventID(e, at); }
  template <HardEvent e>
  void ReleaseEventID(TEventID id) { self().taken[int(e)] &= ~(1u << id); }
  /** A free id without taking it. */
  TEventID FetchEventID(HardEvent e) {
    const u32 taken = self().taken[int(e)];
    for (int i = 0; i < USER_EVENT_IDS; i++)
      if (!(taken & (1u << i))) return TEventID(i);
    return 0;
  }
  template <HardEvent e>
  TEventID FetchEventID() { return FetchEventID(e); }

 private:
  u32 used[NUM_SPACES] = {};
  u32 eventBuffers[int(TPosition::MAX)] = {};
  void take(Space s, u32 bytes, u32& addr, u32& root, sim::At at) {
    const u32 start = (used[s] + spaceAlign[s] - 1) / spaceAlign[s] * spaceAlign[s];
    if (u64(start) + bytes > usable(s))
      sim::fail("capacity", at, sim::format("%s[%u..%u)", spaceNames[s], start, start + bytes), sim::format("InitBuffer asks for more than the %u bytes of %s", usable(s), spaceNames[s]));
    used[s] = start + bytes, addr = start;
    if constexpr (!isFast) root = LocalTensor<u8>::addRoot(s, start, bytes, at);
  }
};
inline TPipe* GetTPipePtr() {
  // A static-style kernel may ask for event ids without having a pipe.
  static TPipe none;
  return self().tpipe ? static_cast<TPipe*>(self().tpipe) : &none;
}

template <class T, class B>
LocalTensor<T> tensorOf(Space s, TPosition p, const B& b, u32 offsetBytes, u32 count) {
  LocalTensor<T> t;
  t.memory = &homeOf(s).memory(s), t.addr = b.addr + offsetBytes, t.count = count, t.root = b.root, t.position = p;
  return t;
}

template <TPosition src, TPosition dst, int depth, auto mask = 0>
class TQueBind {
 public:
  static constexpr TPosition source = src;
  static constexpr pipe_t producer = pipesOf(src).producer;
  static constexpr pipe_t consumer = pipesOf(dst).consumer;
  std::vector<QueueBuffer> buffers;
  TPipe* pipe = nullptr;

  ~TQueBind() {
    for (QueueBuffer& b : buffers)
      if (!isFast && b.state != QueueBuffer::isFree) sim::fail("queue-leak", self().running, sim::format("%s[%u..%u)", spaceNames[spaceOf(src)], b.addr, b.addr + b.bytes), "the kernel ends with a tensor of a queue that was not freed");
  }
  template <class T>
  LocalTensor<T> AllocTensor(SIM_AT) {
    QueueBuffer* b = nullptr;
    for (std::size_t i = 0; i < buffers.size() && !b; i++) {
      QueueBuffer& next = buffers[(head + i) % buffers.size()];
      if (next.state == QueueBuffer::isFree) b = &next, head = (head + i + 1) % buffers.size();
    }
    if (!b) sim::fail("queue-state", at, "queue", "AllocTensor: every buffer of the queue is in use (FreeTensor is missing)");
    b->state = QueueBuffer::isTaken;
    if (!isFast && b->empty.isSet) self().waitFlag(b->empty, producer, at, "the queue's buffer");
    return give<T>(*b);
  }
  template <class T>
  void AllocTensor(LocalTensor<T>& t, SIM_AT) { t = AllocTensor<T>(at); }
  template <class T>
  bool EnQue(const LocalTensor<T>& t, SIM_AT) {
    QueueBuffer& b = bufferOf(t, "EnQue", at);
    if (b.state != QueueBuffer::isTaken && b.state != QueueBuffer::isOut) sim::fail("queue-state", at, rangeOf(t, 0, b.bytes), "EnQue: the tensor was not allocated from the queue");
    b.state = QueueBuffer::isQueued;
    if constexpr (!isFast) self().setFlag(b.full, producer, at, "the queue's buffer");
    order.push_back(&b);
    return true;
  }
  template <TPosition, TPosition, class T>
  bool EnQue(const LocalTensor<T>& t, SIM_AT) { return EnQue<T>(t, at); }
  template <class T>
  LocalTensor<T> DeQue(SIM_AT) {
    if (order.empty()) sim::fail("queue-state", at, "queue", "DeQue: nothing was enqueued");
    QueueBuffer& b = *order.front();
    order.pop_front();
    b.state = QueueBuffer::isOut;
    if constexpr (!isFast) self().waitFlag(b.full, consumer, at, "the queue's buffer");
    return give<T>(b);
  }
  template <class T>
  void DeQue(LocalTensor<T>& t, SIM_AT) { t = DeQue<T>(at); }
  template <TPosition, TPosition, class T>
  LocalTensor<T> DeQue(SIM_AT) { return DeQue<T>(at); }
  template <class T>
  void FreeTensor(LocalTensor<T>& t, SIM_AT) {
    QueueBuffer& b = bufferOf(t, "FreeTensor", at);
    if (b.state == QueueBuffer::isFree) sim::fail("queue-state", at, rangeOf(t, 0, b.bytes), "FreeTensor: the tensor is free already");
    if constexpr (!isFast) {
      b.empty.isSet = false;
      self().setFlag(b.empty, b.state == QueueBuffer::isTaken ? producer : consumer, at, "the queue's buffer");
      // A tensor that never went through the queue is used by its producer only.
    }
    b.state = QueueBuffer::isFree;
  }
  template <class T>
  void FreeTensor(const LocalTensor<T>& t, SIM_AT) { FreeTensor(const_cast<LocalTensor<T>&>(t), at); }
  bool VacantInQue() const { return order.size() < buffers.size(); }
  bool HasTensorInQue() const { return !order.empty(); }
  bool HasIdleBuffer() const {
    for (auto& b : buffers)
      if (b.state == QueueBuffer::isFree) return true;
    return false;
  }
  int GetTensorCountInQue() const { return int(order.size()); }

 private:
  std::deque<QueueBuffer*> order;
  std::size_t head = 0;
  template <class T>
  LocalTensor<T> give(QueueBuffer& b) {
    LocalTensor<T> t = tensorOf<T>(spaceOf(src), src, b, 0, u32(elementsIn<T>(b.bytes)));
    t.buffer = &b;
    return t;
  }
  template <class T>
  QueueBuffer& bufferOf(const LocalTensor<T>& t, const char* op, sim::At at) {
    for (QueueBuffer& b : buffers)
      if (&b == t.buffer) return b;
    sim::fail("queue-state", at, rangeOf(t, 0, t.count * sizeof(T)), std::string(op) + ": the tensor does not belong to this queue");
  }
};
template <TPosition pos, int depth, auto mask = 0>
using TQue = TQueBind<pos, pos, depth, mask>;

template <TPosition pos = TPosition::LCM>
class TBuf {
 public:
  static constexpr TPosition position = pos;
  TBufBase base;
  template <class T>
  LocalTensor<T> Get() { return tensorOf<T>(base.space, pos, base, 0, u32(elementsIn<T>(base.bytes))); }
  template <class T>
  LocalTensor<T> Get(u32 count) { return tensorOf<T>(base.space, pos, base, 0, count); }
  template <class T>
  LocalTensor<T> GetWithOffset(u32 count, u32 offsetBytes) { return tensorOf<T>(base.space, pos, base, offsetBytes, count); }
  template <class T>
  LocalTensor<T> AllocTensor() { return Get<T>(); }
  template <class T>
  void FreeTensor(LocalTensor<T>&) {}
};

/** Addresses one after the other in one memory. */
template <Hardware hw = Hardware::UB>
class LocalMemAllocator {
 public:
  template <class T, u32 count>
  LocalTensor<T> Alloc(SIM_AT) { return Alloc<TPosition::MAX, T>(count, at); }
  template <TPosition pos, class T, u32 count>
  LocalTensor<T> Alloc(SIM_AT) { return Alloc<pos, T>(count, at); }
  template <class T>
  LocalTensor<T> Alloc(u32 count, SIM_AT) { return Alloc<TPosition::MAX, T>(count, at); }
  template <TPosition pos, class T>
  LocalTensor<T> Alloc(u32 count, SIM_AT) {
    constexpr TPosition p = pos != TPosition::MAX ? pos : defaultPosition();
    const u32 align = spaceAlign[spaceOf(p)];
    const u32 start = (head + align - 1) / align * align;
    head = start + u32(bytesOf<T>(count));
    return LocalTensor<T>(p, start, count, at);
  }
  u32 GetCurAddr() const { return head; }

 private:
  u32 head = 0;
  static constexpr TPosition defaultPosition() {
    switch (hw) {
      case Hardware::L1: return TPosition::A1;
      case Hardware::L0A: return TPosition::A2;
      case Hardware::L0B: return TPosition::B2;
      case Hardware::L0C: return TPosition::CO1;
      case Hardware::BIAS: return TPosition::C2;
      case Hardware::FIXBUF: return TPosition::C2PIPE2GM;
      default: return TPosition::VECCALC;
    }
  }
};
}  // namespace AscendC
