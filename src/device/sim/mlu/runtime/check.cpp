// Where operands are, whether they fit, what was written, and what is still under way.
#include "machine.h"
#include <algorithm>

namespace bang {
const char* const space_names[] = {"NRAM", "WRAM", "SRAM", "GDRAM", "LDRAM"};

static bool in(const Memory& m, const void* p) { return (const char*)p >= m.base && (const char*)p < m.base + m.size; }
static const Argument* argument_of(const char* p, int64_t slack) {
  const Argument* near = nullptr;
  for (auto& a : machine.arguments) {
    if (p >= a.base && p < a.base + a.size) return &a;
    if (p >= a.base - slack && p < a.base + a.size + slack) near = &a;
  }
  return near;
}
static const Object* object_of(const char* p) {
  const auto& all = *machine.objects;
  auto it = std::upper_bound(all.begin(), all.end(), p, [](const char* x, const Object& o) { return x < o.base; });
  if (it == all.begin()) return nullptr;
  --it;
  if (p >= it->base + it->size) return nullptr;
  const auto pool = pools.find(it->base);
  if (pool == pools.end()) return &*it;
  const auto& parts = pool->second.objects;
  auto part = parts.upper_bound(p);
  if (part == parts.begin()) return &*it;
  --part;
  return &part->second;
}
Space space_of(const void* p) {
  if (in(machine.nram, p)) return NRAM;
  if (in(machine.wram, p)) return WRAM;
  if (in(machine.sram, p)) return SRAM;
  return argument_of((const char*)p, 0) ? GDRAM : LDRAM;
}
std::string name_of(const void* p) {
  const Space s = space_of(p);
  const Memory* memory = s == NRAM ? &machine.nram : s == WRAM ? &machine.wram : s == SRAM ? &machine.sram : nullptr;
  const Object* object = memory ? object_of((const char*)p) : nullptr;
  if (object) return std::string(space_names[s]) + " " + object->name + "+" + std::to_string((const char*)p - object->base);
  if (memory) return std::string(space_names[s]) + "+" + std::to_string((const char*)p - memory->base);
  if (const Argument* a = argument_of((const char*)p, 1 << 16)) return a->name + (((const char*)p < a->base) ? "" : "+") + std::to_string((const char*)p - a->base);
  return "an address of no memory of the chip";
}

static std::string extent(const Region& r) {
  return std::to_string(r.bytes) + " bytes" + (r.count > 1 ? " x " + std::to_string(r.count) + ", " + std::to_string(r.stride) + " apart" : "");
}

bool is_inside(const char* op, int line, const Region& r, Space space, bool writes) {
  const char* verb = writes ? "writes" : "reads";
  if (r.bytes <= 0 || r.count <= 0) {
    report("bounds", op, line, std::string("expected a positive size, got ") + extent(r));
    return false;
  }
  const char* low = r.base + std::min<int64_t>(0, r.stride * (r.count - 1));
  const char* high = r.base + std::max<int64_t>(0, r.stride * (r.count - 1)) + r.bytes;
  if (space == LDRAM) {
    if (space_of(r.base) == LDRAM) return true;
    report("space", op, line, std::string(verb) + " LDRAM by its direction, but " + name_of(r.base), r.base);
    return false;
  }
  if (space == GDRAM) {
    const Argument* a = argument_of(r.base, 1 << 12);
    if (!a || in(machine.nram, r.base) || in(machine.wram, r.base) || in(machine.sram, r.base)) {
      report("space", op, line, std::string(verb) + " GDRAM by its direction, but " + name_of(r.base), r.base);
      return false;
    }
    if (low >= a->base && high <= a->base + a->size) return true;
    report("bounds", op, line, std::string(verb) + " " + extent(r) + " at " + name_of(r.base) + ", expected to stay within its " + std::to_string(a->size) + " bytes", r.base);
    return false;
  }
  const Memory& m = space == NRAM ? machine.nram : space == WRAM ? machine.wram : machine.sram;
  if (!in(m, r.base)) {
    report("space", op, line, std::string("expected ") + space_names[space] + ", " + verb + " " + name_of(r.base), r.base);
    return false;
  }
  // Within the variable it starts in, where its symbol is known.
  const Object* object = object_of(r.base);
  const char* from = object ? object->base : m.base;
  const int64_t size = object ? object->size : m.size;
  if (low >= from && high <= from + size && !(object && is_red(*object))) return true;
  report("bounds", op, line, std::string(verb) + " " + extent(r) + " at " + name_of(r.base) + ", expected to stay within its " + std::to_string(size) + " bytes", r.base);
  return false;
}

static bool hits(const Region& b, const char* from, const char* to) {
  if (b.count == 1 || b.stride == 0) return from < b.base + b.bytes && b.base < to;
  if (b.stride < 0) return from < b.base + b.bytes && b.base + b.stride * (b.count - 1) < to;
  int64_t k = (from - b.base - b.bytes) / b.stride;
  for (k = std::max<int64_t>(0, k); k < b.count && b.base + k * b.stride < to; k++)
    if (from < b.base + k * b.stride + b.bytes) return true;
  return false;
}
bool overlaps(const Region& a, const Region& b) {
  for (int64_t i = 0; i < (a.stride == 0 ? 1 : a.count); i++)
    if (hits(b, a.base + i * a.stride, a.base + i * a.stride + a.bytes)) return true;
  return false;
}

void check_pending(const char* op, int line, const Use* uses, int64_t count, int own_pipe) {
  for (auto& p : machine.core->pending) {
    if (p.pipe == own_pipe) continue;
    for (auto& theirs : p.uses)
      for (int64_t i = 0; i < count; i++) {
        const Use& ours = uses[i];
        if ((!ours.writes && !theirs.writes) || !overlaps(ours.region, theirs.region)) continue;
        report("sync", op, line, std::string(ours.writes ? "writes " : "reads ") + name_of(ours.region.base) + " while the " + p.op + " of line " + std::to_string(p.line) + " still " + (theirs.writes ? "writes" : "reads") + " it: expected a sync of its pipe in between", ours.region.base);
        return;
      }
  }
}

void finish(int pipe) {
  if (!machine.core) return;
  auto& pending = machine.core->pending;
  std::vector<Pending> rest;
  std::vector<Pending> now;
  for (auto& p : pending) (pipe < 0 || p.pipe == pipe || (pipe == COMPUTE && p.is_inner) ? now : rest).push_back(std::move(p));
  pending = std::move(rest);
  for (auto& p : now) p.run();
}

char* wram_bytes(const void* p) {
  return machine.is_checked() ? machine.core->wram.data() + ((const char*)p - machine.wram.base) : (char*)p;
}

uint8_t* known_of(const void* p) {
  Core& c = *machine.core;
  if (in(machine.nram, p)) return c.nram_known.data() + ((const char*)p - machine.nram.base);
  if (in(machine.wram, p)) return c.wram_known.data() + ((const char*)p - machine.wram.base);
  if (in(machine.sram, p)) return machine.clusters[c.cluster].sram_known.data() + ((const char*)p - machine.sram.base);
  return nullptr;
}
static bool is_pattern(const char* p, int size) {
  const char* pattern = (const char*)&unknown_word;
  for (int i = 0; i < size; i++)
    if (p[i] != pattern[((uintptr_t)p + i) & 3]) return false;
  return true;
}
bool is_known(const char* p, int64_t bytes, int size) {
  uint8_t* known = known_of(p);
  if (!known || !memchr(known, 0, bytes)) return true;
  bool all = true;
  for (int64_t i = 0; i + size <= bytes; i += size) {
    if (!memchr(known + i, 0, size)) continue;
    if (is_pattern(p + i, size)) all = false;
    else memset(known + i, 1, size);
  }
  return all;
}
void set_known(const void* p, int64_t bytes, bool is) {
  uint8_t* known = known_of(p);
  if (known) memset(known, is, bytes);
}
static void hide(char* p, int64_t bytes) {
  const char* pattern = (const char*)&unknown_word;
  for (int64_t i = 0; i < bytes; i++) p[i] = pattern[((uintptr_t)p + i) & 3];
}
void spread(const void* dst, int dst_size, int64_t n, std::initializer_list<Use> sources) {
  if (!machine.is_checked()) return;
  bool all = true;
  for (auto& s : sources) all = is_known(s.region.base, s.region.bytes, s.size) && all;
  if (all) return set_known(dst, n * dst_size, true);
  uint8_t* known = known_of(dst);
  // Sources may be the destination itself: what is known is read before it is set, element by element.
  for (int64_t i = 0; i < n; i++) {
    bool is = true;
    for (auto& s : sources) {
      const uint8_t* k = known_of(s.region.base);
      const int64_t at = i * s.size % s.region.bytes;
      is = is && (!k || !memchr(k + at, 0, s.size));
    }
    memset(known + i * dst_size, is, dst_size);
    if (!is) hide((char*)dst + i * dst_size, dst_size);
  }
}
void spread_whole(const void* dst, int64_t bytes, std::initializer_list<Use> sources) {
  if (!machine.is_checked()) return;
  bool all = true;
  for (auto& s : sources) all = is_known(s.region.base, s.region.bytes, s.size) && all;
  set_known(dst, bytes, all);
  if (!all) hide((char*)dst, bytes);
}

Known::Known(const void* p, int64_t n, int size) {
  if (!machine.is_checked() || is_known((const char*)p, n * size, size)) return;
  const uint8_t* known = known_of(p);
  flags.resize(n);
  for (int64_t i = 0; i < n; i++) flags[i] = !memchr(known + i * size, 0, size);
}
void settle(void* dst, int64_t bytes, bool is) {
  if (!machine.is_checked()) return;
  set_known(dst, bytes, is);
  if (!is) hide((char*)dst, bytes);
}

bool begin_vector(const char* op, int line, std::initializer_list<Use> uses, Grain by, Overlap overlap) {
  auto& m = machine;
  if (!m.is_checked()) return true;
  if (m.core->is_memory_core) {
    report("memory core", op, line, "expected only copies between SRAM and GDRAM on the memory core");
    return false;
  }
  spend(COMPUTE, (uses.begin()->region.bytes + unit_bytes - 1) / unit_bytes);
  int widest = 1;
  for (auto& u : uses) widest = std::max(widest, u.size);
  for (auto& u : uses) {
    if (!is_inside(op, line, u.region, NRAM, u.writes)) return false;
    if (!m.config.is_any(by) && (uintptr_t)u.region.base % 64 != 0) {
      report("alignment", op, line, std::string("expected an address that is a multiple of 64, got ") + name_of(u.region.base), u.region.base);
      return false;
    }
    // Two words are the result of a search, not a run of elements. Of a conversion the wider side counts.
    const bool is_run = !u.writes || u.region.bytes > 8;
    const int step = m.config.is_any(by) ? 1 : by != ELEMENTS ? grain : !is_run ? 1 : grain * u.size / widest;
    if (u.region.bytes % step != 0) {
      report("alignment", op, line, "expected a multiple of " + std::to_string(step) + " bytes, got " + std::to_string(u.region.bytes));
      return false;
    }
  }
  for (auto& d : uses)
    if (d.writes)
      for (auto& s : uses)
        if (!s.writes && overlaps(d.region, s.region) && (d.region.base != s.region.base || d.size != s.size) &&
            (overlap == SAME || d.region.base > s.region.base || d.region.base + d.region.bytes > s.region.base + s.region.bytes)) {
          report("overlap", op, line, "expected source and destination to be the same or apart, got " + name_of(d.region.base) + " and " + name_of(s.region.base) + ", " + std::to_string(s.region.bytes) + " bytes", d.region.base);
          return false;
        }
  check_pending(op, line, uses.begin(), (int64_t)uses.size(), COMPUTE);
  m.core->compute_now++;
  for (auto& u : uses) {
    auto& times = u.writes ? m.core->compute_write : m.core->compute_read;
    const int64_t from = (u.region.base - m.nram.base) / 4;
    const int64_t to = (u.region.base + u.region.bytes - m.nram.base + 3) / 4;
    std::fill(times.begin() + from, times.begin() + to, m.core->compute_now);
    if (u.writes) {
      drop_tags(u.region.base, u.region.bytes);
    } else
      for (auto& t : m.core->nram_tags)
        if (u.region.base - m.nram.base < t.offset + t.bytes && t.offset < u.region.base + u.region.bytes - m.nram.base) {
          report("layout", op, line, "reads " + name_of(u.region.base) + ", which is rearranged for WRAM", u.region.base);
          return false;
        }
  }
  return true;
}

void touch_shared(const char* op, int line, const Use& u, Space space, int cluster) {
  auto& m = machine;
  Core& own = *m.core;
  const uint32_t index = (uint32_t)(&own - m.cores.data());
  if (space == GDRAM && u.writes) {
    if (!m.config.lines_count) return;
    // Two cores that write one 64-byte line unordered may lose each other's bytes.
    for (int64_t i = 0; i < u.region.count; i++) {
      const uint64_t from = (uint64_t)(u.region.base + i * u.region.stride);
      for (uint64_t l = from / 64; l <= (from + u.region.bytes - 1) / 64; l++) {
        auto [it, is_new] = m.line_writers.try_emplace(l, Writer{m.job, own.task, (int)index, own.clock[index]});
        if (is_new) continue;
        Writer& w = it->second;
        const bool same = w.task == own.task && w.core == (int)index;
        const bool ordered = same || (m.config.clusters > 0 && w.job == m.job && own.clock[w.core] >= w.time && w.core != (int)index);
        if (!ordered) report("line", op, line, "writes " + name_of((const char*)(l * 64)) + " in a 64-byte line that task " + std::to_string(w.task) + " writes too, with no barrier in between", (const char*)(l * 64));
        w = {m.job, own.task, (int)index, own.clock[index]};
      }
    }
    return;
  }
  if (space != SRAM) return;
  Cluster& c = m.clusters[cluster < 0 ? own.cluster : cluster];
  // Cores of two clusters meet in barriers of the whole job only.
  const auto stranger = [&](size_t core) { return m.cores[core].cluster == own.cluster ? std::string("another core of the cluster ") : std::string("a core of another cluster "); };
  const auto expected = [&](size_t core) { return m.cores[core].cluster == own.cluster ? ": expected __sync_cluster in between" : ": expected a barrier of the whole job in between"; };
  for (int64_t i = 0; i < u.region.count; i++) {
    const int64_t from = (u.region.base + i * u.region.stride - m.sram.base) / 4;
    const int64_t to = (u.region.base + i * u.region.stride + u.region.bytes - m.sram.base + 3) / 4;
    for (int64_t g = from; g < to; g++) {
      if (c.writer[g] && c.writer[g] - 1 != index && own.clock[c.writer[g] - 1] < c.write_time[g]) {
        report("sync", op, line, std::string(u.writes ? "writes " : "reads ") + name_of(m.sram.base + g * 4) + ", which " + stranger(c.writer[g] - 1) + "wrote" + expected(c.writer[g] - 1), m.sram.base + g * 4);
        return;
      }
      if (u.writes) {
        for (size_t r = 0; r < m.cores.size(); r++)
          if (r != index && c.read_time[g * m.cores.size() + r] > own.clock[r]) {
            report("sync", op, line, "writes " + name_of(m.sram.base + g * 4) + ", which " + stranger(r) + "reads" + expected(r), m.sram.base + g * 4);
            return;
          }
        c.writer[g] = index + 1;
        c.write_time[g] = own.clock[index];
      } else
        c.read_time[g * m.cores.size() + index] = own.clock[index];
    }
  }
}

Tag* find_tag(std::vector<Tag>& tags, int64_t offset) {
  for (auto& t : tags)
    if (t.offset == offset) return &t;
  return nullptr;
}
void drop_tags(const void* p, int64_t bytes) {
  const bool is_wram = in(machine.wram, p);
  auto& tags = is_wram ? machine.core->wram_tags : machine.core->nram_tags;
  const int64_t from = (const char*)p - (is_wram ? machine.wram.base : machine.nram.base);
  tags.erase(std::remove_if(tags.begin(), tags.end(), [&](const Tag& t) { return from < t.offset + t.bytes && t.offset < from + bytes; }), tags.end());
}

}  // namespace bang

void sim::forget(void* p, int64_t bytes) {
  if (!bang::machine.is_checked()) return;
  bang::set_known(p, bytes, false);
  bang::hide((char*)p, bytes);
}
