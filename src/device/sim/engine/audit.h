/**
 * The order of accesses a second time, without clocks: what a launch issued and synchronised as a graph, in which two
 * accesses of the same byte, one of them a write, must be joined by a path. Slow, so it runs only where asked: it tells a
 * synchronisation that others cover from one whose loss the clocks of core.h overlooked. Main function: `Audit::check`.
 */
#pragma once
#include <map>
#include "memory.h"

namespace sim {
struct Audit {
  /** Nodes in order of creation; an edge comes from an earlier one. */
  std::vector<std::vector<u32>> before{1};
  struct Access {
    u32 node, mask;
    TouchKind kind;
    u32 site;
  };
  std::map<std::pair<const Memory*, u64>, std::vector<Access>> blocks;
  /** Of a pipe of a core: what its next operation starts after, and what it has issued since it was last gathered. */
  struct Pipe {
    u32 start = 0;
    std::vector<u32> issued;
  };
  std::map<std::pair<int, int>, Pipe> pipes;
  bool isOn = false;

  void begin(bool on) {
    *this = Audit();
    isOn = on;
  }
  u32 node(std::vector<u32> edges) {
    if (!isOn) return 0;
    before.push_back(std::move(edges));
    return u32(before.size() - 1);
  }
  Pipe& pipe(int core, int p) { return pipes[{core, p}]; }
  /** `isDone`: the pipe goes on only when it is complete. `after`: one more node that comes before. */
  void operation(int core, int p, int scalar, u32 site, const Spans& spans, bool isDone, u32 after = 0) {
    if (!isOn) return;
    Pipe& own = pipe(core, p);
    const u32 n = node({own.start, pipe(core, scalar).start, after});
    own.issued.push_back(n);
    if (isDone) own.start = n;
    for (const Span& s : spans.list)
      for (u64 at = s.start, end = s.start + s.bytes; at < end;) {
        const u64 block = at / 32, stop = std::min((block + 1) * 32, end);
        const u32 count = u32(stop - at), low = u32(at % 32);
        blocks[{s.memory, block}].push_back({n, (count == 32 ? ~0u : (1u << count) - 1) << low, s.kind, site});
        at = stop;
      }
  }
  /** All that the pipe has been given so far, as one node. */
  u32 gather(int core, int p, int scalar) {
    if (!isOn) return 0;
    Pipe& own = pipe(core, p);
    std::vector<u32> edges = own.issued;
    edges.push_back(own.start), edges.push_back(pipe(core, scalar).start);
    const u32 n = node(edges);
    own.issued = {n};
    return n;
  }
  void goesAfter(int core, int p, u32 n) {
    if (!isOn || n == 0) return;
    Pipe& own = pipe(core, p);
    own.start = node({own.start, n});
  }
  void check() {
    if (!isOn) return;
    // reach[n]: the nodes that come before n.
    const std::size_t words = before.size() / 64 + 1;
    std::vector<u64> reach(before.size() * words);
    for (std::size_t n = 0; n < before.size(); n++)
      for (u32 b : before[n]) {
        for (std::size_t w = 0; w <= b / 64; w++) reach[n * words + w] |= reach[b * words + w];
        reach[n * words + b / 64] |= 1ull << b % 64;
      }
    for (const auto& [place, list] : blocks)
      for (std::size_t i = 0; i < list.size(); i++)
        for (std::size_t j = 0; j < i; j++) {
          const Access &x = list[j], &y = list[i];
          if (x.node == y.node || !(x.mask & y.mask) || x.kind + y.kind == 0 || (x.kind == adds && y.kind == adds)) continue;
          const u32 first = std::min(x.node, y.node), last = std::max(x.node, y.node);
          if (reach[last * words + first / 64] >> first % 64 & 1) continue;
          scheduler.report = format("rule=unordered\nline=%d\nbuffer=%s\nmessage=%s and %s (line %d) touch the same bytes, and no path orders the two\n", sites[y.site].at.line, place.first->range(place.second * 32, 32).c_str(), sites[y.site].name, sites[x.site].name, sites[x.site].at.line);
          return;
        }
  }
};
inline Audit audit;
}  // namespace sim
