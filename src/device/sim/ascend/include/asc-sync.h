/**
 * Synchronisation: flags between pipes of one core, barriers of a pipe, flags and barriers between cores.
 * Only event ids 0 to 5 are free for kernels; a core's flags must all be waited for before it ends.
 */
#pragma once
#include "asc-global.h"

namespace AscendC {
struct EventRow {
  pipe_t from, to;
  const char* name;
};
#define ASC_EVENT(a, b) {PIPE_##a, PIPE_##b, #a "_" #b}
/** In the order of HardEvent. */
inline constexpr EventRow events[] = {
    ASC_EVENT(S, V), ASC_EVENT(S, MTE2), ASC_EVENT(S, MTE3), ASC_EVENT(S, M), ASC_EVENT(S, MTE1), ASC_EVENT(S, FIX), ASC_EVENT(V, S), ASC_EVENT(V, MTE2),
    ASC_EVENT(V, MTE3), ASC_EVENT(V, V), ASC_EVENT(MTE2, S), ASC_EVENT(MTE2, V), ASC_EVENT(MTE2, MTE1), ASC_EVENT(MTE2, MTE3), ASC_EVENT(MTE2, M),
    ASC_EVENT(MTE2, FIX), ASC_EVENT(MTE3, S), ASC_EVENT(MTE3, V), ASC_EVENT(MTE3, MTE2), ASC_EVENT(MTE3, MTE1), ASC_EVENT(M, S), ASC_EVENT(M, MTE1),
    ASC_EVENT(M, MTE2), ASC_EVENT(M, FIX), ASC_EVENT(M, V), ASC_EVENT(MTE1, S), ASC_EVENT(MTE1, M), ASC_EVENT(MTE1, MTE2), ASC_EVENT(MTE1, MTE3),
    ASC_EVENT(MTE1, FIX), ASC_EVENT(FIX, S), ASC_EVENT(FIX, M), ASC_EVENT(FIX, MTE1), ASC_EVENT(FIX, MTE2), ASC_EVENT(FIX, MTE3), ASC_EVENT(FIX, V),
    ASC_EVENT(MTE1, V), ASC_EVENT(V, M), ASC_EVENT(V, MTE1)};
#undef ASC_EVENT
static_assert(sizeof events / sizeof events[0] == std::size_t(HardEvent::MAX));
constexpr int USER_EVENT_IDS = 6;
constexpr HardEvent eventBetween(pipe_t from, pipe_t to) {
  for (int i = 0; i < int(HardEvent::MAX); i++)
    if (events[i].from == from && events[i].to == to) return HardEvent(i);
  return HardEvent::MAX;
}

/** Events between the cube's pipes exist on the cube core, those of the vector unit on a vector core. */
constexpr bool isCubeEvent(const EventRow& e) {
  const auto cube = [](pipe_t p) { return p == PIPE_M || p == PIPE_MTE1 || p == PIPE_FIX; };
  return cube(e.from) || cube(e.to);
}
inline sim::Flag& flagOf(HardEvent event, int id, sim::At at) {
  const EventRow& e = events[int(event)];
  if (id < 0 || id >= USER_EVENT_IDS) sim::fail("event-id", at, sim::format("event id %d", id), "event ids 0 to 5 are free for kernels");
  const bool usesV = e.from == PIPE_V || e.to == PIPE_V;
  if (self().isCube ? usesV : isCubeEvent(e)) sim::fail("core-kind", at, e.name, sim::format("%s has no pipes for this event on this core", self().isCube ? "a cube core" : "a vector core"));
  return self().flags[int(event)][id];
}
inline std::string flagName(HardEvent event, int id) { return sim::format("%s, event id %d", events[int(event)].name, id); }

template <HardEvent event>
void SetFlag(int id, SIM_AT) {
  if constexpr (isFast) return;
  sim::Flag& f = flagOf(event, id, at);
  self().setFlag(f, events[int(event)].from, at, flagName(event, id).c_str());
}
template <HardEvent event>
void WaitFlag(int id, SIM_AT) {
  if constexpr (isFast) return;
  sim::Flag& f = flagOf(event, id, at);
  self().waitFlag(f, events[int(event)].to, at, flagName(event, id).c_str());
}
template <pipe_t pipe>
void PipeBarrier(SIM_AT) {
  if constexpr (isFast) return;
  static_assert(pipe != PIPE_S, "PipeBarrier: the scalar pipe has no barrier");
  if constexpr (pipe == PIPE_ALL) self().barrierAll();
  else self().barrier(pipe);
}

/** Cores that a set of this mode releases, or that a wait of this mode waits for. */
inline std::vector<Core*> crossGroup(const Core& c, int mode, bool isSender) {
  std::vector<Core*> group;
  for (std::size_t i = 0; i < numCores; i++) {
    Core& o = *cores[i];
    const bool sameBlock = o.block == c.block;
    const bool isIn = mode == 0 ? o.isCube == c.isCube : mode == 1 ? sameBlock && !o.isCube && !c.isCube : sameBlock && o.isCube != c.isCube;
    if (isIn) group.push_back(&o);
  }
  (void)isSender;
  return group;
}
inline void setCross(u8 mode, pipe_t pipe, u16 id, sim::At at) {
  Core& c = self();
  if constexpr (!isFast) {
    if (mode > 2 && !(mode == 4 && is3510)) sim::fail("cross-flag-id", at, sim::format("mode %d", mode), "modes of cross-core flags are 0, 1 and 2 (4 on 950)");
    if (id > 10) sim::fail("cross-flag-id", at, sim::format("flag id %d", id), "cross-core flag ids 0 to 10 are free for kernels");
    if (mode != 0 && sim::current.kind != mixKernel && sim::current.kind != mixKernel11) sim::fail("cross-flag-kind", at, sim::format("flag id %d", id), "flags between the cores of a block need a mixed kernel");
  }
  c.sent[mode][id].push_back({isFast ? std::vector<u32>() : c.tell(pipe, int(numCores)), pipe, c.pipes[pipe].end(), c.pipes[pipe].time, c.gathered(pipe)});
  if constexpr (!isFast)
    for (Core* o : crossGroup(c, mode, true))
      if (c.sent[mode][id].size() > o->consumed[mode][id] + 15) sim::fail("cross-flag-overflow", at, sim::format("flag id %d", id), "a cross-core flag counts to 15: it was set 16 times before the other core waited");
}
template <u8 mode, pipe_t pipe>
void CrossCoreSetFlag(u16 id, SIM_AT) {
  static_assert(mode <= 2 || (mode == 4 && is3510), "CrossCoreSetFlag: modes are 0, 1 and 2 (4 on 950)");
  setCross(mode, pipe, id, at);
}
/** The mode in which all partners have set the flag once more than this core has waited for it, or -1. */
inline int arrivedMode(const Core& c, u16 id) {
  for (int mode = 0; mode < NUM_MODES; mode++) {
    if (mode == 3) continue;
    const auto group = crossGroup(c, mode, false);
    bool isHere = !group.empty();
    for (Core* o : group) isHere = isHere && o->sent[mode][id].size() > c.consumed[mode][id];
    if (isHere) return mode;
  }
  return -1;
}
inline void receive(Core& c, Core& from, const Sent& s, int pipe) {
  if constexpr (isFast) return;
  if (s.pipe != PIPE_S) from.drainTo(s.pipe, s.index);
  for (int p = 0; p < NUM_PIPES; p++)
    if (pipe == PIPE_ALL || pipe == p) c.learn(s.far, p), c.pipes[p].follow(s.time), sim::audit.goesAfter(c.id, p, s.node);
}
inline std::string coreName(const Core& c) {
  return c.isCube ? sim::format("AIC %d", c.block) : sim::format("AIV %d", c.block * c.numSubs() + c.sub);
}
inline void waitCross(u16 id, int pipe, sim::At at) {
  Core& c = self();
  if (id >= NUM_CROSS_FLAGS) sim::fail("cross-flag-id", at, sim::format("flag id %d", id), "cross-core flag ids are 0 to 15");
  int mode = arrivedMode(c, id);
  if (mode < 0) sim::scheduler.wait(sim::format("%s for cross-core flag %d (line %d)", coreName(c).c_str(), id, at.line), at, [&c, id] { return arrivedMode(c, id) >= 0; });
  mode = arrivedMode(c, id);
  for (Core* o : crossGroup(c, mode, false)) receive(c, *o, o->sent[mode][id][c.consumed[mode][id]], pipe);
  c.consumed[mode][id]++;
}
inline void CrossCoreWaitFlag(u16 id, SIM_AT) { waitCross(id, PIPE_ALL, at); }
template <u8 mode>
void CrossCoreWaitFlag(u16 id, SIM_AT) { waitCross(id, PIPE_ALL, at); }
/** On 2201 the wait blocks every pipe, whatever pipe is named. */
template <u8 mode, pipe_t pipe>
void CrossCoreWaitFlag(u16 id, SIM_AT) {
  waitCross(id, is3510 ? pipe : PIPE_ALL, at);
}
inline void checkCrossFlagsAtExit() {
  for (std::size_t i = 0; i < numCores; i++)
    for (int mode = 0; mode < NUM_MODES; mode++)
      for (int id = 0; id < NUM_CROSS_FLAGS; id++)
        for (Core* o : crossGroup(*cores[i], mode, true))
          if (cores[i]->sent[mode][id].size() != o->consumed[mode][id] && sim::scheduler.report.empty())
            sim::scheduler.report = sim::format("rule=flag-left-over\nline=0\nbuffer=flag id %d\nmessage=%s set a cross-core flag %zu times, %s waited %u times\n", id, coreName(*cores[i]).c_str(), cores[i]->sent[mode][id].size(), coreName(*o).c_str(), o->consumed[mode][id]);
}

}  // namespace AscendC

/** The same by the compiler's own names. */
inline void set_flag(pipe_t from, pipe_t to, int id, SIM_AT) {
  if constexpr (AscendC::isFast) return;
  const auto e = AscendC::eventBetween(from, to);
  AscendC::self().setFlag(AscendC::flagOf(e, id, at), from, at, AscendC::flagName(e, id).c_str());
}
inline void wait_flag(pipe_t from, pipe_t to, int id, SIM_AT) {
  if constexpr (AscendC::isFast) return;
  const auto e = AscendC::eventBetween(from, to);
  AscendC::self().waitFlag(AscendC::flagOf(e, id, at), to, at, AscendC::flagName(e, id).c_str());
}
inline void pipe_barrier(pipe_t pipe) {
  if constexpr (AscendC::isFast) return;
  if (pipe == PIPE_ALL) AscendC::self().barrierAll();
  else AscendC::self().barrier(pipe);
}
