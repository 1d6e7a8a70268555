/**
 * Memories of a simulated chip: bytes, per-byte taint, and who touched which 32-byte block last.
 * A touch is ordered before another when the second one's pipe knows that the first has completed (clocks in core.h);
 * two touches of the same byte, one of them a write, without that order are a race. Main function: `Memory::touch`.
 */
#pragma once
#include "report.h"

namespace sim {
constexpr int MAX_PIPES = 8;

/** What a pipe knows to be complete: per pipe of its own core, and of other cores once they have synchronised. */
struct Clock {
  u32 own[MAX_PIPES] = {};
  /** [core * MAX_PIPES + pipe]; empty until a flag of another core was waited for. */
  std::vector<u32> far;
  void join(const Clock& other) {
    for (int p = 0; p < MAX_PIPES; p++) own[p] = own[p] > other.own[p] ? own[p] : other.own[p];
    joinFar(other.far);
  }
  void joinFar(const std::vector<u32>& other) {
    if (far.size() < other.size()) far.resize(other.size());
    for (std::size_t i = 0; i < other.size(); i++) far[i] = far[i] > other[i] ? far[i] : other[i];
  }
};

enum Taint : u8 {
  clean = 0,
  unwritten = 1,
  padTail = 2,
  foreign = 4,
  /** Of a byte of eight mask bits: some of them, see `Memory::bits`. */
  someBits = 8
};
inline const char* taintName(u8 t) {
  return t & foreign ? "what was written over it through another tensor" : t & padTail ? "the unspecified tail of a padded copy" : "bytes that nothing wrote";
}
inline const char* taintRule(u8 t) { return t & foreign ? "overlap" : "uninitialised"; }

enum TouchKind : u8 { reads, writes, adds };

/** An access that later ones must be ordered after. */
struct Touch {
  u32 number;
  u32 mask;
  u16 core;
  u8 pipe;
  u8 kind;
  u32 site;
  /** The last operation of its pipe whose read of the same bytes it stands for, and its place; 0: none. */
  u32 standsFor = 0, standsForSite = 0;
};
/** Name and place of an operation, kept for reports. */
struct Site {
  const char* name;
  At at;
};
inline std::vector<Site> sites;

struct Memory {
  static constexpr u32 BLOCK = 32;
  std::string name;
  u8* data = nullptr;
  /** Null where taint is not followed (device memory). */
  u8* taint = nullptr;
  u64 sizeBytes = 0;
  /** Whose on-chip memory it is. */
  int core = -1;
  /** Which bits of a byte are tainted, where its taint is `someBits`. */
  std::vector<u8> bits;
  /** Reads of bytes that no core wrote in this launch are refused. */
  bool mustBeWritten = false;
  std::vector<std::vector<Touch>> cells;
  std::vector<u32> everWritten;

  u8 bitsAt(u64 at) const { return !(taint[at] & someBits) ? (taint[at] ? 0xff : 0) : bits[at]; }
  void setBits(u64 at, u8 tainted) {
    if (bits.empty()) bits.resize(sizeBytes);
    bits[at] = tainted, taint[at] = tainted == 0 ? clean : someBits;
  }
  std::string range(u64 start, u64 bytes) const {
    return format("%s[%llu..%llu)", name.c_str(), (unsigned long long)start, (unsigned long long)(start + bytes));
  }
  static bool isOrdered(const Touch& t, const Clock& known, int core, int pipe, u32 number) {
    if (t.core == core) return t.number <= known.own[t.pipe] || (t.pipe == pipe && t.number == number);
    const std::size_t i = std::size_t(t.core) * MAX_PIPES + t.pipe;
    return i < known.far.size() && t.number <= known.far[i];
  }
  void touch(u64 start, u64 bytes, TouchKind kind, const Touch& proto, const Clock& known, bool racesCount) {
    if (cells.empty()) cells.resize(sizeBytes / BLOCK + 1), everWritten.resize(mustBeWritten ? cells.size() : 0);
    for (u64 at = start, end = start + bytes; at < end;) {
      const u64 block = at / BLOCK, stop = (block + 1) * BLOCK < end ? (block + 1) * BLOCK : end;
      const u32 n = u32(stop - at), low = u32(at % BLOCK);
      const u32 mask = (n == 32 ? ~0u : (1u << n) - 1) << low;
      touchBlock(block, mask, kind, proto, known, racesCount);
      at = stop;
    }
  }
  void touchBlock(u64 block, u32 mask, TouchKind kind, const Touch& proto, const Clock& known, bool racesCount) {
    auto& cell = cells[block];
    std::size_t kept = 0;
    Touch mine = proto;
    for (std::size_t i = 0; i < cell.size(); i++) {
      const Touch& t = cell[i];
      const bool conflicts = (t.mask & mask) && kind + t.kind > 0 && !(kind == adds && t.kind == adds);
      if (conflicts && racesCount && !isOrdered(t, known, proto.core, proto.pipe, proto.number)) race(block, t, kind, proto);
      // The operation itself writes what it reads: that is no conflict, but one with the reads that its own stands for.
      if (conflicts && racesCount && t.core == proto.core && t.pipe == proto.pipe && t.number == proto.number && t.standsFor > known.own[t.pipe]) race(block, {t.standsFor, t.mask, t.core, t.pipe, t.kind, t.standsForSite}, kind, proto);
      // A later touch stands for an earlier one it covers: whoever is ordered after it is ordered after both.
      const bool isRepeated = kind == reads && t.kind == reads && t.core == proto.core && t.pipe == proto.pipe && t.mask == mask;
      const bool isCovered = isRepeated || (kind == writes && (t.mask & ~mask) == 0);
      if (!isCovered) cell[kept++] = t;
      if (isRepeated && t.number != proto.number) mine.standsFor = t.number, mine.standsForSite = t.site;
      else if (isRepeated) mine.standsFor = t.standsFor, mine.standsForSite = t.standsForSite;
    }
    cell.resize(kept);
    mine.mask = mask, mine.kind = kind;
    cell.push_back(mine);
    if (!mustBeWritten) return;
    if (kind != reads) everWritten[block] |= mask;
    else if (mask & ~everWritten[block])
      fail("uninitialised", sites[proto.site].at, range(block * BLOCK, BLOCK), format("%s reads bytes that no core wrote", sites[proto.site].name));
  }
  [[noreturn]] void race(u64 block, const Touch& t, TouchKind kind, const Touch& mine) const {
    const Site &now = sites[mine.site], &then = sites[t.site];
    const char* rule = t.kind == reads ? "race-war" : kind == reads ? "race-raw" : "race-waw";
    fail(rule, now.at, range(block * BLOCK, BLOCK),
         format("%s %s what %s (line %d%s) %s, and nothing orders the two", now.name, kind == reads ? "reads" : "writes", then.name,
                then.at.line, t.core == mine.core ? "" : ", on another core", t.kind == reads ? "reads" : "writes"));
  }
};

/** A range of a memory that an operation reads or writes. */
struct Span {
  Memory* memory;
  u64 start, bytes;
  TouchKind kind;
};
/** The ranges of one operation; neighbours grow together. */
struct Spans {
  std::vector<Span> list;
  void add(Memory* memory, u64 start, u64 bytes, TouchKind kind) {
    if (bytes == 0) return;
    for (std::size_t i = list.size(), n = 0; i-- > 0 && n < 3; n++) {
      Span& s = list[i];
      if (s.memory == memory && s.kind == kind && s.start + s.bytes == start) {
        s.bytes += bytes;
        return;
      }
    }
    list.push_back({memory, start, bytes, kind});
  }
};
}  // namespace sim
