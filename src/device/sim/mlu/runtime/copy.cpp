// Copies: direction against address, bounds, order of pipes, what is known of the bytes, shared memories.
#include "machine.h"
#include <cstdlib>
#include <memory>

namespace bang {
namespace {
struct Direction {
  Space from, to;
};
constexpr Direction directions[] = {
    {GDRAM, NRAM}, {GDRAM, WRAM}, {GDRAM, SRAM}, {LDRAM, NRAM}, {LDRAM, WRAM}, {LDRAM, SRAM}, {NRAM, GDRAM}, {NRAM, LDRAM},
    {NRAM, NRAM}, {NRAM, WRAM}, {NRAM, SRAM}, {WRAM, GDRAM}, {WRAM, LDRAM}, {WRAM, NRAM}, {WRAM, SRAM}, {SRAM, GDRAM},
    {SRAM, LDRAM}, {SRAM, NRAM}, {SRAM, WRAM}, {SRAM, SRAM}, {GDRAM, GDRAM}, {GDRAM, LDRAM}, {LDRAM, GDRAM}, {LDRAM, LDRAM}};
bool is_off_chip(Space s) { return s == GDRAM || s == LDRAM; }

struct Job {
  char* dst;
  const char* src;
  int64_t size;
  Direction dir;
  int64_t dst_stride, src_stride, count;
  const char* op;
  int line;
  /// Of SRAM2SRAM: whose memory the destination is; -1 otherwise.
  int dst_cluster = -1;
  bool is_far() const { return dst_cluster >= 0 && dst_cluster != machine.core->cluster; }
};
/// Bytes, and what is known of them, of an SRAM address in another cluster, whose memory is not the one at hand.
char* far_bytes(int cluster, const char* p) { return machine.clusters[cluster].sram.data() + (p - machine.sram.base); }
uint8_t* far_known(int cluster, const char* p) { return machine.clusters[cluster].sram_known.data() + (p - machine.sram.base); }

/// A tag travels with bytes that are copied whole.
void carry_tag(const Job& j) {
  Core& c = *machine.core;
  if (j.dir.to != NRAM && j.dir.to != WRAM) return;
  const bool is_whole = j.count == 1 && j.dir.from == NRAM;
  Tag tag{};
  if (is_whole)
    if (Tag* t = find_tag(c.nram_tags, j.src - machine.nram.base))
      if (t->bytes == j.size) tag = *t;
  for (int64_t i = 0; i < j.count; i++) drop_tags(j.dst + i * j.dst_stride, j.size);
  if (tag.bytes == 0) return;
  tag.offset = j.dst - (j.dir.to == WRAM ? machine.wram.base : machine.nram.base);
  (j.dir.to == WRAM ? c.wram_tags : c.nram_tags).push_back(tag);
}

void run(const Job& j) {
  auto& m = machine;
  const bool checked = m.is_checked();
  if (checked) carry_tag(j);
  for (int64_t i = 0; i < j.count; i++) {
    char* d = j.dst + i * j.dst_stride;
    const char* s = j.src + i * j.src_stride;
    if (checked) {
      // Scalar writes are seen in pairs of bytes at least: half the smallest float.
      const int size = j.size % 4 == 0 && (uintptr_t)s % 4 == 0 ? 4 : j.size % 2 == 0 && (uintptr_t)s % 2 == 0 ? 2 : 1;
      const bool known = is_known(s, j.size, size);
      if (!known && is_off_chip(j.dir.to)) report("unwritten", j.op, j.line, "stores bytes of " + name_of(s) + " that nothing has written to " + name_of(d), s);
      memmove(j.is_far() ? far_bytes(j.dst_cluster, d) : j.dir.to == WRAM ? wram_bytes(d) : d, j.dir.from == WRAM ? wram_bytes(s) : s, j.size);
      uint8_t* to = j.is_far() ? far_known(j.dst_cluster, d) : known_of(d);
      const uint8_t* from = known_of(s);
      if (to && from) memmove(to, from, j.size);
      else if (to) memset(to, 1, j.size);
    } else
      memmove(j.is_far() ? far_bytes(j.dst_cluster, d) : d, s, j.size);
  }
}

/// No segment is written before it is read, nor before those after it are.
bool goes_forward(const Job& j) {
  for (int64_t i = 0; i < j.count; i++) {
    const char *d = j.dst + i * j.dst_stride, *s = j.src + i * j.src_stride;
    if (d > s || (i + 1 < j.count && d + j.size > s + j.src_stride)) return false;
  }
  return j.src_stride >= 0;
}

bool is_inner(const Job& j) { return machine.config.takes_any_count && j.dir.from == NRAM && j.dir.to == NRAM; }

/// False: the copy breaks a rule and is left out.
bool check(const Job& j, std::vector<Use>& uses, bool is_async, Pipe pipe) {
  auto& m = machine;
  const Region src{j.src, j.size, j.src_stride, j.count}, dst{j.dst, j.size, j.dst_stride, j.count};
  if (m.core->is_memory_core && (j.dir.from == NRAM || j.dir.from == WRAM || j.dir.to == NRAM || j.dir.to == WRAM)) {
    report("memory core", j.op, j.line, "expected only copies between SRAM and GDRAM on the memory core");
    return false;
  }
  if (m.config.clusters == 0 && (j.dir.from == SRAM || j.dir.to == SRAM)) {
    report("task type", j.op, j.line, "expected no copies with SRAM in a Block kernel");
    return false;
  }
  if (j.dir.from == SRAM && j.dir.to == SRAM && j.dst_cluster < 0) {
    report("space", j.op, j.line, "expected the number of the destination's cluster for SRAM2SRAM");
    return false;
  }
  if (j.dst_cluster >= 0 && (j.dir.from != SRAM || j.dir.to != SRAM)) {
    report("space", j.op, j.line, std::string("expected SRAM2SRAM with the number of a cluster, got ") + space_names[j.dir.from] + "2" + space_names[j.dir.to]);
    return false;
  }
  if (j.dst_cluster >= m.config.clusters && j.dst_cluster >= 0) {
    report("bounds", j.op, j.line, "expected a cluster of the job, 0.." + std::to_string(m.config.clusters - 1) + ", got " + std::to_string(j.dst_cluster));
    return false;
  }
  if (!is_inside(j.op, j.line, src, j.dir.from, false) || !is_inside(j.op, j.line, dst, j.dir.to, true)) return false;
  if (j.dir.from == WRAM || j.dir.to == WRAM) {
    if ((uintptr_t)j.src % 64 || (uintptr_t)j.dst % 64 || j.size % 64) {
      report("alignment", j.op, j.line, "expected WRAM copies in multiples of 64 bytes, got " + std::to_string(j.size) + " at " + name_of(j.src), j.src);
      return false;
    }
  }
  if (dst.count > 1 && std::abs(dst.stride) < dst.bytes) {
    report("overlap", j.op, j.line, "expected segments apart at the destination, got " + std::to_string(dst.bytes) + " bytes every " + std::to_string(dst.stride), j.dst);
    return false;
  }
  uses.push_back({src, false, 1});
  uses.push_back({dst, true, 1});
  if (j.dir.from == j.dir.to && !j.is_far() && overlaps(src, dst) && !(j.dir.to == NRAM && goes_forward(j))) {
    report("overlap", j.op, j.line, "expected source and destination apart, got " + name_of(j.src) + " and " + name_of(j.dst), j.src);
    return false;
  }
  if (j.is_far()) uses.pop_back();
  check_pending(j.op, j.line, uses.data(), (int64_t)uses.size(), pipe);
  if (is_async && !m.config.is_relaxed && !is_inner(j))
    // Vector ops that were issued before run beside this copy until they are waited for.
    for (auto& u : uses) {
      if (space_of(u.region.base) != NRAM) continue;
      for (int64_t i = 0; i < u.region.count; i++) {
        const int64_t from = (u.region.base + i * u.region.stride - m.nram.base) / 4;
        const int64_t to = (u.region.base + i * u.region.stride + u.region.bytes - m.nram.base + 3) / 4;
        for (int64_t g = from; g < to; g++) {
          const bool hazard = m.core->compute_write[g] > m.core->compute_seen || (u.writes && m.core->compute_read[g] > m.core->compute_seen);
          if (!hazard) continue;
          report("sync", j.op, j.line, std::string(u.writes ? "writes " : "reads ") + name_of(m.nram.base + g * 4) + " while a vector op before it may still run: expected a sync of the compute pipe in between", m.nram.base + g * 4);
          i = u.region.count;
          break;
        }
      }
    }
  touch_shared(j.op, j.line, uses[0], j.dir.from);
  touch_shared(j.op, j.line, {dst, true, 1}, j.dir.to, j.dst_cluster);
  return true;
}

void copy(Job j, int dir, bool is_async) {
  auto& m = machine;
  j.dir = directions[dir];
  const Pipe pipe = is_off_chip(j.dir.from) || is_off_chip(j.dir.to) ? IO : MOVE;
  if (pipe == IO) (is_off_chip(j.dir.from) ? m.counters.bytes_in : m.counters.bytes_out) += j.size * j.count;
  const int64_t grain_bytes = pipe == IO ? unit_io_bytes : unit_bytes;
  spend(pipe, (j.size + grain_bytes - 1) / grain_bytes * j.count, !is_async);
  if (!m.is_checked()) return run(j);
  // A pipe works in order: what it was given before is done first.
  if (!is_async) finish(pipe);
  std::vector<Use> uses;
  if (!check(j, uses, is_async, pipe)) return;
  if (!is_async) run(j);
  // As late as it may be, and now and then at once.
  else if (next_random(8) == 0) {
    bool is_first = true;
    for (auto& p : m.core->pending) is_first = is_first && p.pipe != pipe;
    if (is_first) run(j);
    m.core->pending.push_back({pipe, uses, is_first ? std::function<void()>([] {}) : std::function<void()>([j] { run(j); }), j.op, j.line, is_inner(j)});
  } else
    m.core->pending.push_back({pipe, uses, [j] { run(j); }, j.op, j.line, is_inner(j)});
  if (j.dir.from == SRAM || j.dir.to == SRAM) yield_sometimes();
}

void to_cluster(const Job& j, int dir, bool is_async) {
  if (j.dst_cluster < 0) return report("bounds", j.op, j.line, "expected a cluster of the job, got " + std::to_string(j.dst_cluster));
  copy(j, dir, is_async);
}

/// Start of segment i of a 3-d walk.
int64_t walk(int64_t i, int64_t stride0, int64_t segments1, int64_t stride1) {
  const int64_t inner = segments1 + 1;
  return i % inner * stride0 + i / inner * stride1;
}
}  // namespace
}  // namespace bang

using namespace bang;

#define DEFINE(name, is_async)                                                                                         \
  void name(void* dst, const void* src, int64_t size, mluMemcpyDirection_t dir, Line line) {                            \
    copy({(char*)dst, (const char*)src, size, {}, 0, 0, 1, #name, line}, dir, is_async);                               \
  }                                                                                                                    \
  void name(void* dst, const void* src, int64_t size, mluMemcpyDirection_t dir, int dst_cluster_id, Line line) {         \
    to_cluster({(char*)dst, (const char*)src, size, {}, 0, 0, 1, #name, line, dst_cluster_id}, dir, is_async);          \
  }                                                                                                                    \
  void name(void* dst, const void* src, int64_t size, mluMemcpyDirection_t dir, int64_t dst_stride, int64_t src_stride,\
            int64_t segments, int dst_cluster_id, Line line) {                                                         \
    to_cluster({(char*)dst, (const char*)src, size, {}, dst_stride, src_stride, segments + 1, #name, line,              \
                dst_cluster_id}, dir, is_async);                                                                        \
  }                                                                                                                    \
  void name(void* dst, const void* src, int64_t size, mluMemcpyDirection_t dir, int64_t dst_stride, int64_t src_stride,\
            int64_t segments, Line line) {                                                                              \
    copy({(char*)dst, (const char*)src, size, {}, dst_stride, src_stride, segments + 1, #name, line}, dir, is_async);  \
  }                                                                                                                    \
  void name(void* dst, const void* src, int64_t size, mluMemcpyDirection_t dir, int64_t dst_stride0,                   \
            int64_t dst_segments1, int64_t dst_stride1, int64_t dst_segments2, int64_t src_stride0,                    \
            int64_t src_segments1, int64_t src_stride1, int64_t src_segments2, Line line) {                             \
    const int64_t n = (dst_segments1 + 1) * (dst_segments2 + 1);                                                       \
    if (n != (src_segments1 + 1) * (src_segments2 + 1))                                                                \
      return report("bounds", #name, line, "expected equally many segments on both sides");                            \
    for (int64_t i = 0; i < n; i++)                                                                                    \
      copy({(char*)dst + walk(i, dst_stride0, dst_segments1, dst_stride1),                                             \
            (const char*)src + walk(i, src_stride0, src_segments1, src_stride1), size, {}, 0, 0, 1, #name, line},      \
           dir, is_async);                                                                                             \
  }
DEFINE(__memcpy, false)
DEFINE(__memcpy_async, true)

namespace {
/// Rows by offsets. The mover reads offsets and mask while it works, so both stay as they are until it is waited for.
void pick(const char* op, int line, bool is_async, bool scatters, char* dst, const char* src, const unsigned* offsets, const uint8_t* mask, int64_t size, int dir, int64_t stride, int64_t count) {
  auto& m = machine;
  if (count <= 0 || size <= 0) return report("bounds", op, line, "expected a positive size, got " + std::to_string(count) + " rows of " + std::to_string(size) + " bytes");
  const Direction way = directions[dir];
  if (way.from == WRAM || way.to == WRAM || (scatters ? way.from != NRAM : way.to != NRAM))
    return report("space", op, line, scatters ? "expected rows from NRAM" : "expected rows to NRAM");
  const Pipe pipe = is_off_chip(way.from) || is_off_chip(way.to) ? IO : MOVE;
  if (m.is_checked()) {
    std::vector<Use> uses{reads(offsets, count, 4)};
    if (mask) uses.push_back(reads(mask, (count + 7) / 8, 1));
    for (auto& u : uses)
      if (!is_inside(op, line, u.region, NRAM, false)) return;
    // Not even what its own pipe still brings.
    check_pending(op, line, uses.data(), (int64_t)uses.size(), -1);
    const Known known(offsets, count, 4), known_mask(mask ? (const void*)mask : offsets, mask ? (count + 7) / 8 : 1, 1);
    for (int64_t i = 0; i < count; i++)
      if (mask && !known_mask[i / 8]) return report("unwritten", op, line, "reads a mask in " + name_of(mask) + " that nothing has written", mask);
      else if (!known[i] && (!mask || mask[i / 8] >> i % 8 & 1)) return report("unwritten", op, line, "reads offsets in " + name_of(offsets) + " that nothing has written", offsets);
    if (is_async) m.core->pending.push_back({pipe, uses, [] {}, op, line});
  }
  for (int64_t i = 0; i < count; i++) {
    if (mask && !(mask[i / 8] >> i % 8 & 1)) continue;
    copy({dst + (scatters ? (int64_t)offsets[i] : i * stride), src + (scatters ? i * stride : (int64_t)offsets[i]), size, {}, 0, 0, 1, op, line}, dir, is_async);
  }
}
}  // namespace
#define DEFINE_PICK(name, is_async, scatters)                                                                          \
  void name(void* dst, const void* src, const unsigned* offsets, int64_t size, mluMemcpyDirection_t dir, int64_t stride, int64_t count, Line line) { \
    pick(#name, line, is_async, scatters, (char*)dst, (const char*)src, offsets, nullptr, size, dir, stride, count);    \
  }                                                                                                                    \
  void name(void* dst, const void* src, const unsigned* offsets, const void* mask, int64_t size, mluMemcpyDirection_t dir, int64_t stride, int64_t count, Line line) { \
    pick(#name, line, is_async, scatters, (char*)dst, (const char*)src, offsets, (const uint8_t*)mask, size, dir, stride, count); \
  }
DEFINE_PICK(__gather, false, false)
DEFINE_PICK(__gather_async, true, false)
DEFINE_PICK(__scatter, false, true)
DEFINE_PICK(__scatter_async, true, true)
