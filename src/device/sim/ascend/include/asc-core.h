/**
 * One AI core: its memories, mask registers, scalar data cache and flags, and the launch of a grid of them.
 * A block of a mixed kernel is one cube core and its vector cores. Capacities are macros from the chip table.
 * Main functions: `self` (the core that runs), `sim::launchCores`.
 */
#pragma once
#include <map>
#include "asc-types.h"
#include "trap.h"

namespace AscendC {
/** L0A_MX and L0B_MX hold the scales of what is in L0A and L0B, at a sixteenth of its address (950). */
enum Space { UB, L1, L0A, L0B, L0C, BT, FB, L0A_MX, L0B_MX, NUM_SPACES };
constexpr u32 spaceBytes[NUM_SPACES] = {ASC_UB_BYTES, ASC_L1_BYTES, ASC_L0A_BYTES, ASC_L0B_BYTES, ASC_L0C_BYTES, is3510 ? 4096u : 1024u, is3510 ? 4096u : 7168u, ASC_L0A_BYTES / 16, ASC_L0B_BYTES / 16};
inline const char* const spaceNames[NUM_SPACES] = {"UB", "L1", "L0A", "L0B", "L0C", "BT", "FB", "L0A_MX", "L0B_MX"};
/** Of the first byte of a tensor. */
constexpr u32 spaceAlign[NUM_SPACES] = {32, 32, 512, 512, 64, 64, 64, 32, 32};
inline const char* const pipeNames[] = {"S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX"};
constexpr int NUM_PIPES = 7, NUM_CROSS_FLAGS = 16, NUM_MODES = 5;
/** Of the vector unit: the mask of 16 bytes that Compare leaves. */
constexpr u32 REGISTER_BYTES = 32, COMPARE_MASK = 0;
namespace Reg {
struct VectorFunction;
}
namespace Simt {
struct ThreadBlock;
}
/** The vector function, or the threads, that run: see asc-registers.h, asc-simt.h. */
inline Reg::VectorFunction* activeVectorFunction = nullptr;
inline Simt::ThreadBlock* activeThreads = nullptr;
enum Kind { vectorKernel, cubeKernel, mixKernel, mixKernel11 };

constexpr Space spaceOf(TPosition p) {
  switch (p) {
    case TPosition::A1: case TPosition::B1: case TPosition::C1: case TPosition::TSCM: return L1;
    case TPosition::A2: return L0A;
    case TPosition::B2: return L0B;
    case TPosition::CO1: return L0C;
    case TPosition::C2: return BT;
    case TPosition::C2PIPE2GM: case TPosition::C2PIPE2LOCAL: return FB;
    default: return UB;
  }
}

/** A tensor as the kernel declared it; views into it keep its number. */
struct Root {
  Space space;
  u32 start, end;
};
/** A set cross-core flag: what the sender had done, and what must run before the receiver goes on. */
struct Sent {
  std::vector<u32> far;
  int pipe;
  u64 index;
  double time;
  /** In the audit's graph. */
  u32 node;
};
struct Line {
  u8 data[64];
  u64 dirty = 0;
  u32 bytes = 64;
  sim::At at;
};
/** What SetFmatrix keeps for LoadData of feature maps: left, right, top, bottom padding. */
struct FeatureMap {
  bool isSet = false;
  u32 h = 0, w = 0;
  u8 pads[4] = {};
};
struct Core : sim::PipedCore {
  bool isCube = false;
  int block = 0, sub = 0;
  sim::Memory memories[NUM_SPACES];
  /** Which tensor wrote a 32-byte block last. */
  std::vector<u32> owners[NUM_SPACES];
  std::vector<Root> roots;
  /** Tensors of UB whose address the kernel took, the latest last. */
  std::vector<u32> addressed;
  sim::Flag flags[int(HardEvent::MAX)][8];
  u32 taken[int(HardEvent::MAX)] = {};
  std::vector<Sent> sent[NUM_MODES][NUM_CROSS_FLAGS];
  u32 consumed[NUM_MODES][NUM_CROSS_FLAGS] = {};
  /** Barriers over cores that it has come to, by who takes part in them. */
  std::map<int, std::vector<Sent>> arrivals;
  std::map<u64, Line> cache;
  // Registers, read when an operation is issued.
  bool isCounting = false;
  u64 mask[2] = {~0ull, ~0ull};
  u64 maskCount = 0;
  /** What vector instructions leave for later ones beside UB. */
  sim::Memory registers;
  u8 registerBytes[REGISTER_BYTES] = {}, registerTaint[REGISTER_BYTES] = {};
  float deqScale = 1;
  std::int16_t deqOffset = 0;
  bool deqSigned = true;
  bool isAtomic = false;
  /** Select of a mode with scratch was used. */
  bool usesScratch = false;
  int atomicOp = 0;
  /** For the older copies out of L0C. */
  u16 fixNdNum = 1, fixSrcNd = 0, fixDstNd = 0;
  u64 fixScale = 0;
  u16 mergeCounts[4] = {};
  u64 maskTaken = 0;
  FeatureMap featureMaps[2];
  u64 loadPadding = 0;
  void* tpipe = nullptr;

  sim::Memory& memory(Space s) {
    sim::Memory& m = memories[s];
    if (m.data) return m;
    m.name = spaceNames[s];
    m.core = id;
    m.sizeBytes = spaceBytes[s];
    m.data = new u8[m.sizeBytes];
    if (!isFast) m.taint = new u8[m.sizeBytes];
    poison(m);
    return m;
  }
  static void poison(sim::Memory& m) {
    if (!m.data || isFast) return;
    // 0xff is NaN in every floating type.
    std::memset(m.data, sim::current.poison, m.sizeBytes);
    std::memset(m.taint, sim::unwritten, m.sizeBytes);
    m.cells.clear();
  }
  /** As it is when a kernel starts. */
  void reset(int number, bool cube, int blockIdx, int subIdx) {
    for (auto& m : memories) poison(m);
    sim::Memory kept[NUM_SPACES];
    for (int i = 0; i < NUM_SPACES; i++) kept[i] = std::move(memories[i]);
    *this = Core();
    for (int i = 0; i < NUM_SPACES; i++) memories[i] = std::move(kept[i]);
    activeVectorFunction = nullptr, activeThreads = nullptr;
    id = number, isCube = cube, block = blockIdx, sub = subIdx, numPipes = NUM_PIPES;
    consumersFirst = {PIPE_MTE3, PIPE_FIX, PIPE_V, PIPE_M, PIPE_MTE1, PIPE_MTE2};
    roots.push_back({UB, 0, 0});
    registers.name = "vector registers", registers.data = registerBytes, registers.taint = registerTaint, registers.sizeBytes = REGISTER_BYTES;
    std::memset(registerTaint, sim::unwritten, REGISTER_BYTES);
    // 950 orders dependent vector instructions itself; the cube works in order but lets results overlap.
    pipes[PIPE_V].isInOrder = is3510 || sim::current.autoSync;
    pipes[PIPE_M].runsInOrder = true;
  }
  int numSubs() const { return sim::current.kind == mixKernel ? 2 : 1; }
};

inline std::vector<std::unique_ptr<Core>> cores;
inline std::size_t numCores = 0;
inline std::vector<sim::Region> regions;
/** Device memory of the arguments, with who touched it. */
inline std::vector<std::unique_ptr<sim::Memory>> deviceMemory;

/** By the place of a flag between blocks in device memory: what its last writer had done. */
inline std::map<const u8*, Sent> handovers;
/** Whose turn it is among blocks that go one after the other, by the place of their workspace. */
struct Turn {
  bool isInitialised = false;
  int passed = 0, holder = -1;
  Sent last;
};
inline std::map<const u8*, Turn> turns;

inline Core& self() { return *static_cast<Core*>(sim::scheduler.current->owner); }
/**
 * Whose memory a tensor of this core lies in. On 950 a vector core of a mixed kernel reaches the L1 of its block's cube
 * core, and a cube core the UB of its first vector core, by our reading; everything else is the core's own.
 */
inline Core& homeOf(Space s) {
  Core& c = self();
  const int kind = sim::current.kind;
  if (!is3510 || (kind != mixKernel && kind != mixKernel11)) return c;
  if (s == L1 && !c.isCube) return *cores[std::size_t(c.id - 1 - c.sub)];
  if (s == UB && c.isCube) return *cores[std::size_t(c.id + 1)];
  return c;
}
/** The end of UB that instructions with reserved scratch, Select of modes 0 and 2, write to. */
constexpr u32 SCRATCH_BYTES = 8192;
/** Bytes that a kernel may give to tensors: the end of UB and of L1 is the system's. */
inline u32 usable(Space s) {
  if (s == L1) return spaceBytes[L1] - 256;
  if (s != UB) return spaceBytes[s];
  if (is3510) return spaceBytes[UB] - SCRATCH_BYTES;
  const int kind = sim::current.kind;
  return spaceBytes[UB] - (kind == mixKernel || kind == mixKernel11 ? 256 : 0) - (self().usesScratch ? SCRATCH_BYTES : 0);
}
inline bool isAic() { return self().isCube; }
inline bool isAiv() { return !self().isCube; }

inline std::int64_t GetBlockNum() { return sim::current.numBlocks; }
inline std::int64_t GetSubBlockIdx() { return self().sub; }
inline std::int64_t GetSubBlockNum() { return self().isCube ? 1 : self().numSubs(); }
inline std::int64_t GetTaskRatio() { return GetSubBlockNum(); }
inline std::int64_t GetTaskRation() { return GetSubBlockNum(); }
inline std::int64_t GetBlockIdx() { return self().isCube ? self().block : self().block * self().numSubs() + self().sub; }
inline void InitSocState() {}
struct CoreTypeNow {
  operator CoreType() const { return isAic() ? AIC : AIV; }
};
inline CoreTypeNow g_coreType;

inline void flushLine(Core& c, u64 key, Line& l, sim::At at);
/** What a kernel must not leave behind. */
inline void checkExit(Core& c) {
  c.drainAll();
  if (isFast) return;
  // The vendor's compiler writes the data cache back where a kernel ends.
  if (sim::current.autoSync) {
    for (auto& [key, l] : c.cache) flushLine(c, key, l, l.at);
    c.cache.clear();
  }
  for (int e = 0; e < int(HardEvent::MAX); e++)
    for (int i = 0; i < 8; i++)
      if (c.flags[e][i].isSet) sim::fail("flag-left-over", c.flags[e][i].at, sim::format("event id %d", i), "a flag is set and never waited for: the next kernel starts with it");
  // Kernels with addresses of their own (no TPipe, which does it) hand the core over with a barrier of all pipes.
  if (!c.isSettled() && !c.tpipe && c.roots.size() > 1) sim::fail("final-barrier", c.running, "", "the kernel ends while its pipes may work: PipeBarrier<PIPE_ALL> is missing at its end");
  for (auto& [line, l] : c.cache)
    if (l.dirty) sim::fail("dcache-not-flushed", l.at, "device memory", "a scalar write stays in the core's data cache: DataCacheCleanAndInvalid is missing");
}
}  // namespace AscendC

#define ASCEND_IS_AIC (::AscendC::isAic())
#define ASCEND_IS_AIV (::AscendC::isAiv())
#define ASCEND_IS_NOT_AIC ASCEND_IS_AIV
#define ASCEND_IS_NOT_AIV ASCEND_IS_AIC
/** The raw index of the block. */
struct RawBlockIdx {
  operator std::int64_t() const { return ::AscendC::self().block; }
};
inline RawBlockIdx block_idx;

namespace AscendC {
inline void checkCrossFlagsAtExit();
}
inline void sim::launchCores(const std::function<void()>& body, const std::vector<Region>& regions) {
  using namespace AscendC;
  const int numBlocks = current.numBlocks, kind = current.kind;
  AscendC::regions = regions;
  deviceMemory.clear(), handovers.clear(), turns.clear();
  for (const Region& r : regions) {
    auto m = std::make_unique<Memory>();
    m->name = format("argument %d", r.argument), m->data = r.base, m->sizeBytes = r.sizeBytes;
    m->mustBeWritten = r.argument == current.workspaceArg;
    if (m->mustBeWritten && !isFast) std::memset(r.base, current.poison, r.sizeBytes);
    deviceMemory.push_back(std::move(m));
  }
  const int perBlock = kind == mixKernel ? 3 : kind == mixKernel11 ? 2 : 1;
  audit.begin(current.isAudited);
  numCores = std::size_t(numBlocks) * perBlock;
  while (cores.size() < numCores) cores.push_back(std::make_unique<Core>());
  for (std::size_t i = 0; i < numCores; i++) {
    const int part = int(i) % perBlock;
    const bool isCube = kind == cubeKernel || (perBlock > 1 && part == 0);
    Core* core = cores[i].get();
    core->reset(int(i), isCube, int(i) / perBlock, perBlock > 1 && part > 0 ? part - 1 : 0);
    scheduler.add(core, [core, &body] {
      body();
      checkExit(*core);
    });
  }
  Traps traps;
  scheduler.run(current.seed);
  if (scheduler.report.empty() && !isFast) checkCrossFlagsAtExit();
  if (!scheduler.report.empty() || !current.isAudited) return;
  // Its memory grows with the square of what the cores did: as a fibre it may run out of it.
  scheduler.add(nullptr, [] { audit.check(); });
  scheduler.run(0);
}
