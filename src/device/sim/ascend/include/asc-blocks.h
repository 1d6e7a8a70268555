/**
 * Order between blocks of a kernel: the barrier of all cores, by hardware or through device memory, and flags of single
 * blocks in device memory (32 bytes each, zero at first) that the other side polls. All blocks must run at once.
 * Main functions: `SyncAll`, `IBSet`, `IBWait`.
 */
#pragma once
#include "asc-sync.h"

namespace AscendC {
constexpr u32 SLOT_BYTES = 32;

inline void checkCoResident(const char* op, sim::At at) {
  const int limit = sim::current.kind == vectorKernel ? ASC_VECTOR_CORES : ASC_CUBE_CORES;
  if (!isFast && sim::current.numBlocks > limit) sim::fail("co-resident", at, "", sim::format("%s needs all %d blocks at once, the chip has cores for %d", op, sim::current.numBlocks, limit));
}
/** What a core tells when all it has done is complete. */
inline Sent allDone(Core& c) {
  if constexpr (!isFast) c.barrierAll();
  return {isFast ? std::vector<u32>() : c.tell(PIPE_S, int(numCores)), PIPE_S, 0, c.pipes[PIPE_S].time, c.gathered(PIPE_S)};
}
template <class F>
void meet(int key, sim::At at, F isIn) {
  Core& c = self();
  checkCoResident("SyncAll", at);
  // After barrierAll every pipe of this core is complete, so the scalar pipe knows it all.
  c.arrivals[key].push_back(allDone(c));
  const std::size_t round = c.arrivals[key].size();
  const auto isHere = [isIn, round, key] {
    for (std::size_t i = 0; i < numCores; i++)
      if (isIn(*cores[i]) && cores[i]->arrivals[key].size() < round) return false;
    return true;
  };
  if (!isHere()) sim::scheduler.wait(sim::format("%s in SyncAll (line %d)", coreName(c).c_str(), at.line), at, isHere);
  for (std::size_t i = 0; i < numCores; i++)
    if (isIn(*cores[i])) receive(c, *cores[i], cores[i]->arrivals[key][round - 1], PIPE_ALL);
}
/** All cores of one kind (or all cores) meet; everything before is complete for everyone after. */
template <bool isAIVOnly = true>
void SyncAll(SIM_AT) {
  const bool isCube = self().isCube;
  meet(isAIVOnly, at, [isCube](const Core& o) { return !isAIVOnly || o.isCube == isCube; });
}

template <bool isAIVOnly>
int vectorCores() { return sim::current.numBlocks * (isAIVOnly && sim::current.kind == vectorKernel ? 1 : self().numSubs()); }
/** A flag or counter of 32 bytes in device memory, and the UB that the core goes through. */
inline u8* slotOf(Checked& k, const GlobalTensor<int32_t>& gm, const LocalTensor<int32_t>& ub, u64 slot, u64 ubBytes) {
  if (!isFast && self().isCube) sim::fail("core-kind", k.at, "", sim::format("%s runs on a vector core only", k.op));
  need(k, ub, UB, 32, "UB workspace");
  require(bytesOf<int32_t>(ub.count) >= ubBytes, "out-of-bounds", k, "the UB workspace has %u bytes, needed are %llu", u32(bytesOf<int32_t>(ub.count)), (unsigned long long)ubBytes);
  span(k, ub, 0, ubBytes, sim::writes);
  return globalSpan(k, gm, std::int64_t(slot * SLOT_BYTES), SLOT_BYTES, sim::writes);
}
inline int32_t slotValue(const Checked& k, const u8* p) {
  int32_t v;
  std::memcpy(&v, p, sizeof v);
  require(v == 0 || v == 1, "uninitialised", k, "the workspace in device memory must be zero before the kernel, it holds %d", v);
  return v;
}
/** The form that counts in device memory and UB: the same meeting, of the first `usedCores` vector cores or all. */
template <bool isAIVOnly = true>
void SyncAll(const GlobalTensor<int32_t>& gm, const LocalTensor<int32_t>& ub, int usedCores = 0, SIM_AT) {
  Checked k{"SyncAll", at, {}};
  Core& c = self();
  const int all = vectorCores<isAIVOnly>(), used = usedCores == 0 ? all : usedCores;
  require(used >= 1 && used <= all, "range", k, "usedCores is at most the %d cores of the kernel, got %d", all, usedCores);
  require(GetBlockIdx() < used, "range", k, "core %d is not among the first %d that meet", int(GetBlockIdx()), used);
  if constexpr (!isFast) c.barrierAll();
  const u8* p = slotOf(k, gm, ub, u64(GetBlockIdx()), u64(used) * SLOT_BYTES);
  slotValue(k, p);
  issueOn(PIPE_MTE3, k, [=] { spoil(ub, u64(used) * SLOT_BYTES / 4); });
  meet(2 + used, at, [used](const Core& o) { return !o.isCube && o.block * o.numSubs() + o.sub < used; });
}

/** Waits for the flag to be `before`, then writes the other value; orders this core after the last writer of the flag. */
template <bool isAIVOnly>
void passFlag(const char* op, const GlobalTensor<int32_t>& gm, const LocalTensor<int32_t>& ub, int32_t block, int32_t event, int32_t before, sim::At at) {
  Checked k{op, at, {}};
  Core& c = self();
  checkCoResident(op, at);
  const int all = vectorCores<isAIVOnly>();
  require(block >= 0 && block < all, "range", k, "blockIdx is 0 to %d, got %d", all - 1, block);
  require(event >= 0, "range", k, "eventID is at least 0, got %d", event);
  if constexpr (!isFast) c.barrierAll();
  u8* p = slotOf(k, gm, ub, u64(all) * u64(event) + u64(block), SLOT_BYTES);
  const auto isThere = [k, p, before] { return slotValue(k, p) == before; };
  if (!isThere()) sim::scheduler.wait(sim::format("%s in %s for block %d, event %d (line %d)", coreName(c).c_str(), op, block, event, at.line), at, [p, before] {
    int32_t v;
    std::memcpy(&v, p, sizeof v);
    return v == before;
  });
  const auto last = handovers.find(p);
  if (last != handovers.end()) receive(c, c, last->second, PIPE_ALL);
  issueOn(PIPE_MTE3, k, [=] {
    const int32_t after = 1 - before;
    std::memcpy(p, &after, sizeof after);
    spoil(ub, SLOT_BYTES / 4);
  });
  handovers[p] = allDone(c);
}
/** Sets the flag of a block; waits first until the one before was taken. */
template <bool isAIVOnly = true>
void IBSet(const GlobalTensor<int32_t>& gm, const LocalTensor<int32_t>& ub, int32_t blockIdx, int32_t eventID, SIM_AT) {
  passFlag<isAIVOnly>("IBSet", gm, ub, blockIdx, eventID, 0, at);
}
/** Waits for the flag of another block, and takes it. */
template <bool isAIVOnly = true>
void IBWait(const GlobalTensor<int32_t>& gm, const LocalTensor<int32_t>& ub, int32_t blockIdx, int32_t eventID, SIM_AT) {
  const Checked k{"IBWait", at, {}};
  require(blockIdx != GetBlockIdx(), "range", k, "a block does not wait for itself (block %d)", blockIdx);
  passFlag<isAIVOnly>("IBWait", gm, ub, blockIdx, eventID, 1, at);
}

/**
 * Blocks in turn, for sums whose order must not change: each waits until the one before has passed the turn on, block 0
 * begins, and after the last block block 0 is next. The workspace has 32 bytes a block in device memory and in UB.
 */
template <class F>
void takeTurn(const char* op, const GlobalTensor<int32_t>& gm, const LocalTensor<int32_t>& ub, sim::At at, F act) {
  Checked k{op, at, {}};
  Core& c = self();
  checkCoResident(op, at);
  if constexpr (!isFast) c.barrierAll();
  const int blocks = vectorCores<true>();
  slotOf(k, gm, ub, u64(GetBlockIdx()), u64(blocks) * SLOT_BYTES);
  act(c, turns[reinterpret_cast<const u8*>(gm.base)], blocks);
  issueOn(PIPE_MTE3, k, [=] { spoil(ub, u64(blocks) * SLOT_BYTES / 4); });
  if constexpr (!isFast) c.barrierAll();
}
inline void InitDetermineComputeWorkspace(const GlobalTensor<int32_t>& gm, const LocalTensor<int32_t>& ub, SIM_AT) {
  takeTurn("InitDetermineComputeWorkspace", gm, ub, at, [](Core&, Turn& t, int) { t.isInitialised = true; });
}
inline void WaitPreBlock(const GlobalTensor<int32_t>& gm, const LocalTensor<int32_t>& ub, SIM_AT) {
  takeTurn("WaitPreBlock", gm, ub, at, [at](Core& c, Turn& t, int blocks) {
    const Checked k{"WaitPreBlock", at, {}};
    require(t.isInitialised, "uninitialised", k, "InitDetermineComputeWorkspace is missing%s", "");
    const auto isMine = [&t, blocks, me = int(GetBlockIdx())] { return t.passed % blocks == me; };
    if (!isMine()) sim::scheduler.wait(sim::format("%s in WaitPreBlock (line %d)", coreName(c).c_str(), at.line), at, isMine);
    t.holder = c.id;
    if (t.passed > 0) receive(c, c, t.last, PIPE_ALL);
  });
}
inline void NotifyNextBlock(const GlobalTensor<int32_t>& gm, const LocalTensor<int32_t>& ub, SIM_AT) {
  takeTurn("NotifyNextBlock", gm, ub, at, [at](Core& c, Turn& t, int) {
    const Checked k{"NotifyNextBlock", at, {}};
    require(t.holder == c.id, "wait-without-set", k, "the turn is passed on by a block that does not have it (WaitPreBlock is missing)%s", "");
    t.last = allDone(c), t.holder = -1, t.passed++;
  });
}
}  // namespace AscendC
