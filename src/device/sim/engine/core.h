/**
 * A core: a scalar program that issues operations to pipes which run beside it.
 * Order is known at issue (clocks through flags and barriers, so that races are found whatever happens to run first);
 * execution is put off until something ordered after it needs it, and what is not ordered runs in an order drawn from
 * the seed, so that a missing edge also gives wrong numbers. With SIM_FAST everything runs at once and unchecked.
 * Main functions: `issue`, `setFlag`, `waitFlag`, `barrier`. Pipe 0 is the scalar program itself: what it reads is done
 * when it goes on, what it stores others see only after a flag of its, so stores count as a pipe of their own.
 */
#pragma once
#include <algorithm>
#include "audit.h"

namespace sim {
struct Launch {
  int numBlocks = 1;
  /** As the simulator numbers its kernel kinds. */
  int kind = 0;
  u64 seed = 0;
  /** False: races are not reported, so that a test can look at the numbers they give. */
  bool racesCount = true;
  /** True: what the vendor's compiler inserts by itself counts as there. */
  bool autoSync = false;
  /** Index of the argument that no one has written yet, or -1. */
  int workspaceArg = -1;
  /** What unwritten memory is filled with. */
  u8 poison = 0xff;
  /** Check the order of accesses by paths as well, see audit.h. */
  bool isAudited = false;
};
inline Launch current;

/**
 * A model of time, not a chip's: every pipe does one thing after the other, an operation costs a unit for each 256 bytes
 * that it reads or writes, whichever is more, and waits for the flags before it. What flags let overlap shows in it.
 */
struct Figures {
  /** When the last pipe is done, and what all operations cost together. */
  double makespan = 0, work = 0;
  /** Flags set, and barriers. */
  u64 syncs = 0;
  /** Bytes that copies took from and gave to device memory, and how often scalar code read it. */
  u64 bytesIn = 0, bytesOut = 0, scalarReads = 0;
};
inline Figures figures;
constexpr double UNIT_BYTES = 256;
inline double costOf(const Spans& spans) {
  u64 bytes[2] = {0, 0};
  for (const Span& s : spans.list) bytes[s.kind != reads] += s.bytes;
  return std::max(1.0, double(std::max(bytes[0], bytes[1])) / UNIT_BYTES);
}

/** The number under which stores of the scalar program are kept. */
constexpr int SCALAR_STORES = MAX_PIPES - 1;

struct Entry {
  enum Kind : u8 { op, wait, fence } kind;
  u32 site;
  std::function<void()> run;
  /** wait: the entries of that pipe before this index come first. */
  int sourcePipe;
  u64 sourceIndex;
};
struct Pipe {
  std::deque<Entry> queue;
  /** Index of the front of the queue. */
  u64 done = 0;
  u32 issued = 0;
  Clock known;
  /** The hardware completes its operations in order. */
  bool isInOrder = false;
  /** Operations run in the order of issue although their completion is not ordered. */
  bool runsInOrder = false;
  /** When it is done with what it was given, see `Figures`. */
  double time = 0;
  void follow(double other) { time = std::max(time, other); }
  u64 end() const { return done + queue.size(); }
};
struct Flag {
  bool isSet = false;
  Clock clock;
  int pipe = 0;
  u64 index = 0;
  At at;
  double time = 0;
  /** In the audit's graph. */
  u32 node = 0;
};

struct PipedCore {
  int id = 0;
  int numPipes = 1;
  Pipe pipes[MAX_PIPES];
  /** Pipes from the last consumer to the first producer: the order of seed 0 at the end of a kernel. */
  std::vector<int> consumersFirst;
  /** Place of the operation that is being executed. */
  At running;

  /** `cost`: units of time; 0: by the bytes. */
  template <class F>
  void issue(int p, const char* name, At at, const Spans& spans, F&& run, double cost = 0) {
    Pipe& pipe = pipes[p];
    spend(p == SCALAR_STORES ? pipes[0] : pipe, cost > 0 ? cost : costOf(spans));
    if (p == 0 || p == SCALAR_STORES) {
      issueScalar(pipe, p, name, at, spans, run);
      return;
    }
    pipe.known.join(pipes[0].known);
    pipe.known.own[0] = pipes[0].issued;
    const u32 number = ++pipe.issued;
    const u32 site = u32(sites.size());
    sites.push_back({name, at});
    const Touch proto{number, 0, u16(id), u8(p), 0, site};
    for (const Span& s : spans.list) s.memory->touch(s.start, s.bytes, s.kind, proto, pipe.known, current.racesCount);
    if (pipe.isInOrder) pipe.known.own[p] = number;
    audit.operation(id, p, 0, site, spans, pipe.isInOrder);
    pipe.queue.push_back({Entry::op, site, std::forward<F>(run), 0, 0});
    if (pipe.queue.size() > 2048) drainTo(p, pipe.done + 1024);
  }

  void spend(Pipe& pipe, double cost) {
    pipe.follow(pipes[0].time);
    pipe.time += cost;
    figures.work += cost;
    figures.makespan = std::max(figures.makespan, pipe.time);
  }
  template <class F>
  void issueScalar(Pipe& pipe, int p, const char* name, At at, const Spans& spans, F& run) {
    const u32 number = ++pipe.issued;
    const u32 site = u32(sites.size());
    sites.push_back({name, at});
    const Clock known = snapshot(0);
    for (const Span& s : spans.list) s.memory->touch(s.start, s.bytes, s.kind, Touch{number, 0, u16(id), u8(p), 0, site}, known, current.racesCount);
    audit.operation(id, p, 0, site, spans, p == 0, audit.gather(id, SCALAR_STORES, 0));
    running = at;
    run();
  }

  void setFlag(Flag& f, int from, At at, const char* name) {
    if (f.isSet) fail("flag-set-twice", at, name, format("%s is set again before anyone waited for it (first set in line %d)", name, f.at.line));
    f.isSet = true, f.pipe = from, f.at = at;
    f.time = std::max(pipes[from].time, pipes[0].time), figures.syncs++;
    f.clock = snapshot(from);
    f.index = pipes[from].end();
    f.node = gathered(from);
  }
  void waitFlag(Flag& f, int to, At at, const char* name) {
    if (!f.isSet) fail("wait-without-set", at, name, format("%s is waited for, but nothing set it before: the core would hang", name));
    f.isSet = false;
    pipes[to].follow(f.time);
    pipes[to].known.join(f.clock);
    audit.goesAfter(id, to, f.node);
    if (f.pipe == 0) return;
    if (to == 0) drainTo(f.pipe, f.index);
    else pipes[to].queue.push_back({Entry::wait, 0, nullptr, f.pipe, f.index});
  }
  /** The same for the audit: a node that comes after all that the pipe was given. */
  u32 gathered(int p) {
    const u32 own = audit.gather(id, p, 0);
    return p == 0 ? audit.node({own, audit.gather(id, SCALAR_STORES, 0)}) : own;
  }
  /** What is complete when the pipe has finished all it was given. */
  Clock snapshot(int p) {
    Clock c = pipes[p].known;
    c.join(pipes[0].known);
    c.own[0] = pipes[0].issued;
    c.own[p] = pipes[p].issued;
    if (p == 0) c.own[SCALAR_STORES] = pipes[SCALAR_STORES].issued;
    return c;
  }
  /** What the pipe is given next finds all it has been given done. */
  void goesOnSettled(int p) {
    pipes[p].known.own[p] = pipes[p].issued;
    audit.goesAfter(id, p, gathered(p));
  }
  void barrier(int p) {
    figures.syncs++;
    goesOnSettled(p);
    if (p != 0) pipes[p].queue.push_back({Entry::fence, 0, nullptr, 0, 0});
  }
  void barrierAll() {
    Clock all;
    double time = 0;
    figures.syncs++;
    for (int p = 0; p < numPipes; p++) all.join(snapshot(p)), time = std::max(time, pipes[p].time);
    for (int p = 0; p < numPipes; p++) pipes[p].known.join(all), pipes[p].follow(time);
    for (int p = numPipes; p-- > 0;) audit.goesAfter(id, 0, gathered(p));
    drainAll();
  }
  /** Another core's flag arrived: it tells what `clock` (in that core's terms) knows. */
  void learn(const std::vector<u32>& far, int pipe) {
    Clock& known = pipes[pipe].known;
    known.joinFar(far);
    for (int p = 0; p < MAX_PIPES; p++) {
      const u32 n = far[std::size_t(id) * MAX_PIPES + p];
      if (n > known.own[p]) known.own[p] = n;
    }
  }
  /** The scalar program knows that every operation is complete. */
  bool isSettled() const {
    for (int p = 1; p < numPipes; p++)
      if (pipes[p].issued > pipes[0].known.own[p]) return false;
    return true;
  }
  /** A snapshot of one pipe in terms that every core understands. */
  std::vector<u32> tell(int pipe, int numCores) {
    const Clock c = snapshot(pipe);
    std::vector<u32> far = c.far;
    far.resize(std::size_t(numCores) * MAX_PIPES);
    for (int p = 0; p < MAX_PIPES; p++) {
      u32& n = far[std::size_t(id) * MAX_PIPES + p];
      if (c.own[p] > n) n = c.own[p];
    }
    return far;
  }

  /** Executes the entries of pipe p before `index`, and whatever they wait for. */
  void drainTo(int p, u64 index) {
    Pipe& pipe = pipes[p];
    while (pipe.done < index) {
      const Entry& front = pipe.queue.front();
      if (front.kind != Entry::op) {
        const Entry e = front;
        if (e.kind == Entry::wait) drainTo(e.sourcePipe, e.sourceIndex);
        pop(pipe);
        continue;
      }
      std::vector<Entry> run;
      while (pipe.done + run.size() < index && pipe.queue[run.size()].kind == Entry::op) run.push_back(pipe.queue[run.size()]);
      if (!pipe.isInOrder && !pipe.runsInOrder) reorder(run);
      for (const Entry& e : run) {
        running = sites[e.site].at;
        e.run();
      }
      for (std::size_t i = 0; i < run.size(); i++) pop(pipe);
    }
  }
  static void pop(Pipe& pipe) {
    pipe.queue.pop_front();
    pipe.done++;
  }
  static void reorder(std::vector<Entry>& run) {
    if (current.seed == 1) std::reverse(run.begin(), run.end());
    if (current.seed < 2) return;
    for (std::size_t i = run.size(); i > 1; i--) std::swap(run[i - 1], run[scheduler.random() % i]);
  }
  void drainAll() {
    if (current.seed < 2)
      for (std::size_t i = 0, n = consumersFirst.size(); i < n; i++) {
        const int p = consumersFirst[current.seed == 0 ? i : n - 1 - i];
        drainTo(p, pipes[p].end());
      }
    for (;;) {
      std::vector<int> busy;
      for (int p = 1; p < numPipes; p++)
        if (!pipes[p].queue.empty()) busy.push_back(p);
      if (busy.empty()) return;
      const int p = busy[scheduler.random() % busy.size()];
      drainTo(p, pipes[p].done + 1 + scheduler.random() % pipes[p].queue.size());
    }
  }
};
}  // namespace sim
