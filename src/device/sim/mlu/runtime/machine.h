// One job of an MLU on the host: cores with their memories, what each byte is, copies under way, barriers, and the list
// of broken rules. Ops (vector.cpp, matrix.cpp, ...) check their operands here and record what they touch.
#pragma once
#define __BANG_ARCH__ 592
#include "bang.h"
#undef __BANG_ARCH__
#include <functional>
#include <initializer_list>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace bang {

enum Space { NRAM, WRAM, SRAM, GDRAM, LDRAM };
enum Pipe { IO, MOVE, COMPUTE };
extern const char* const space_names[];

/// Rows of `bytes`, `stride` apart.
struct Region {
  const char* base;
  int64_t bytes, stride, count;
};
struct Use {
  Region region;
  bool writes;
  /// Bytes of one element.
  int size;
};

/// A copy that was issued and has not been waited for.
struct Pending {
  Pipe pipe;
  std::vector<Use> uses;
  std::function<void()> run;
  const char* op;
  int line;
  /// Within NRAM: of kernels by others, in order with vector ops and waited for with them, which public kernels rely on.
  bool is_inner = false;
};

/// The bytes of one memory and what is known of them.
struct Memory {
  char* base = nullptr;
  int64_t size = 0;
};
/// A variable in one of the memories, by the library's symbols.
struct Object {
  const char* base;
  int64_t size;
  std::string name;
  /// What it holds when a core starts; empty: nothing that is known.
  std::vector<char> image = {};
};
/// Memory of variables whose size only the compiler knows: those in function templates, which it puts into no section.
struct Pool {
  int64_t size = 0, used = 0;
  /// By address.
  std::map<const char*, Object> objects;
};
extern std::map<const char*, Pool> pools;
/// The variables of the library that holds `code`; none where there are no symbols to read.
const std::vector<Object>& objects_of(const void* code);

/// A filter that was rearranged for WRAM: rows of `row_bytes`.
struct Tag {
  int64_t offset, bytes;
  int n;
  int64_t row_bytes;
  int size;
};

/// What one core owns. Its memories are in the kernel's sections while it runs and here while it does not.
struct Core {
  int cluster = 0, id = 0, task = 0;
  bool is_memory_core = false, is_done = false;
  std::vector<char> nram, wram;
  std::vector<uint8_t> nram_known, wram_known;
  std::vector<Tag> nram_tags, wram_tags;
  std::vector<Pending> pending;
  /// Per 4 bytes of NRAM, the number of the last vector op that read or wrote them, and of the last one waited for.
  std::vector<uint32_t> compute_read, compute_write;
  uint32_t compute_now = 0, compute_seen = 0;
  /// The cost model's clocks: what the scalar unit has reached, and when each pipe will be idle.
  int64_t now = 0, idle[3] = {};
  /// Own steps and what it knows of others', advanced by barriers.
  std::vector<uint32_t> clock;
  const char* waiting = nullptr;
  int waiting_line = 0, waiting_group = 0;
  void* fibre = nullptr;
};
struct Cluster {
  std::vector<char> sram;
  std::vector<uint8_t> sram_known;
  /// Per 4 bytes: who wrote last (core + 1) and when, and the readers' times.
  std::vector<uint32_t> writer, write_time;
  std::vector<uint32_t> read_time;
};

struct Argument {
  const char* base;
  int64_t size;
  std::string name;
};
struct Writer {
  int job;
  int task;
  int core;
  uint32_t time;
};

/// What an op takes its operands by: elements, padded to 64 bytes, or units of 64 bytes.
enum Grain { ELEMENTS, BLOCKS, REDUCTION };

struct Config {
  int arch;
  int num_tasks;
  /// Tasks along x, y and z.
  int dims[3];
  /// Clusters of a job; 0 is Block.
  int clusters;
  uint32_t seed;
  bool is_checked;
  /// Any address will do, and the compiler is trusted to order vector ops before copies, as public kernels do.
  bool is_relaxed;
  /// Kernels by others: any count and address of an element-wise op or a rearrangement; on compute_50 also of a reduction.
  bool takes_any_count;
  bool has_memory_core;
  /// Report tasks that write one 64-byte line of device memory, each its own bytes.
  bool lines_count;
  bool is_any(Grain g) const { return is_relaxed ? g == ELEMENTS : takes_any_count && (g != REDUCTION || arch >= 592); }
};

/// What the ops did, for cost models.
struct Counters {
  int64_t bytes_in = 0, bytes_out = 0;
  /// When the last core is done, by `spend`.
  int64_t makespan = 0;
};

struct Machine {
  Config config{};
  Memory nram, wram, sram;
  std::vector<Argument> arguments;
  const std::vector<Object>* objects = nullptr;
  std::vector<Core> cores;
  std::vector<Cluster> clusters;
  Core* core = nullptr;
  int resident_cluster = -1;
  /// First task of the cores that may meet; jobs never do.
  int job = 0;
  uint64_t random = 1;
  std::unordered_map<uint64_t, Writer> line_writers;
  std::map<std::pair<int, int>, Core*> locks;
  /// Lines key=value about the first broken rule.
  std::string first_report;
  int64_t num_reports = 0;
  Counters counters;
  bool is_checked() const { return config.is_checked; }
};
extern Machine machine;

/// A broken rule: what, where, why, and at which address. Never stops the kernel; the op that broke it is left out. The
/// first one is handed back.
void report(const char* rule, const char* op, int line, const std::string& message, const void* where = nullptr);
uint32_t next_random(uint32_t below);

/// The memory an address belongs to, and its name with an offset, for messages.
Space space_of(const void* p);
std::string name_of(const void* p);

/// Whether all of `region` is in one piece of `space`; reports what is wrong.
bool is_inside(const char* op, int line, const Region& region, Space space, bool writes);
bool overlaps(const Region& a, const Region& b);

/// Of a source and a destination that overlap: allowed only where they are the same, or also where the destination begins
/// and ends no later, so that an op which goes forward reads every element before it is overwritten.
enum Overlap { SAME, FORWARD };
/// Checks the operands of an instruction on NRAM and records them. False: leave the op out.
bool begin_vector(const char* op, int line, std::initializer_list<Use> uses, Grain by = ELEMENTS, Overlap overlap = SAME);
inline Use reads(const void* p, int64_t n, int size) { return {{(const char*)p, n * size, 0, 1}, false, size}; }
inline Use writes(const void* p, int64_t n, int size) { return {{(const char*)p, n * size, 0, 1}, true, size}; }

/// Where the bytes behind a WRAM address are kept. Where rules are checked that is beside the kernel's own memory, which
/// stays unknown: scalar code that reads a filter gets NaN, as it does on the chip.
char* wram_bytes(const void* p);

/// What is known of NRAM and SRAM bytes: 1 written, 0 not. Unknown bytes hold a pattern, so that writes of scalar code show.
uint8_t* known_of(const void* p);
/// Whether every element of a region was written; scalar writes are noticed here.
bool is_known(const char* p, int64_t bytes, int size);
void set_known(const void* p, int64_t bytes, bool known);
/// Element i of dst is known if element i of every source is.
void spread(const void* dst, int dst_size, int64_t n, std::initializer_list<Use> sources);
/// Marks dst as known or, if a source is not, as unknown.
void spread_whole(const void* dst, int64_t bytes, std::initializer_list<Use> sources);
/// Which elements of a source were written. Taken before the destination, which may be the same place, is written.
class Known {
  std::vector<uint8_t> flags;

 public:
  Known(const void* p, int64_t n, int size);
  bool operator[](int64_t i) const { return flags.empty() || flags[i]; }
  bool all() const { return flags.empty(); }
};
/// Marks `bytes` of a destination, which have their values, as written or as unknown.
void settle(void* dst, int64_t bytes, bool is_known);
extern uint32_t unknown_word;
/// Bytes that reductions, rearrangements and copies with WRAM work in.
constexpr int grain = 64;

/// Whether a variable is a zone that nobody may touch, and a look at all of them when a core has ended.
bool is_red(const Object& o);
void check_red_zones();

/// Copies under way that touch what an op touches.
void check_pending(const char* op, int line, const Use* uses, int64_t count, int own_pipe);
/// Runs the copies of a pipe that were issued, inner ones with COMPUTE as well; all pipes for -1.
void finish(int pipe);
/// A record of an access to memory that cores share; `cluster`: whose SRAM, -1 for the core's own.
void touch_shared(const char* op, int line, const Use& use, Space space, int cluster = -1);
void yield_sometimes();
/// Unit costs, a model and no chip's time. A unit is about a cycle of an MLU370 core: 128 bytes of a vector op or of a copy
/// on the chip, 32 bytes to or from device memory (614 GB/s by 16 cores by 1.3 GHz), 1024 multiply-adds. A pipe does one
/// thing after another; the scalar unit goes on, unless it waits.
constexpr int64_t unit_bytes = 128, unit_io_bytes = 32, unit_multiply_adds = 1024;
void spend(Pipe pipe, int64_t units, bool is_waited_for = false);
void wait_until_idle(bool io, bool move, bool compute);
Tag* find_tag(std::vector<Tag>& tags, int64_t offset);
void drop_tags(const void* p, int64_t bytes);

}  // namespace bang
