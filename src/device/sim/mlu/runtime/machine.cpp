// Runs a job: sets memories to unknown, gives every core its turn, meets barriers, collects reports.
// The entry point for the host is at the end: bang_run.
#include "machine.h"
#include <algorithm>
#include <csetjmp>
#include <csignal>
#include <ucontext.h>

extern "C" {
int taskDim, taskDimX, taskDimY, taskDimZ, taskId, taskIdX, taskIdY, taskIdZ, clusterDim, clusterId, coreDim = 4, coreId;
}

namespace bang {
Machine machine;
uint32_t unknown_word = 0xffc1ffc1;
namespace {
using Entry = void (*)(const double*);
constexpr int cores_per_cluster = 4;
constexpr int memory_core = 0x80;
constexpr size_t stack_bytes = 512 << 10;

Entry entry;
const double* words;
ucontext_t scheduler;
struct Fibre {
  ucontext_t context;
  std::vector<char> stack;
};
std::vector<Fibre> fibres;

struct Capacity {
  int64_t nram, wram, sram;
};
/// Without the 128 KB that the tool chain keeps in NRAM for the scalar stack; as much is kept of SRAM.
Capacity capacity_of(int arch) {
  constexpr int64_t K = 1024;
  if (arch >= 592) return {(512 - 128) * K, 512 * K, (2048 - 128) * K};
  return {(768 - 128) * K, 1024 * K, (4096 - 128) * K};
}

void fill_unknown(char* p, int64_t bytes) {
  uint32_t* words32 = (uint32_t*)p;
  std::fill(words32, words32 + bytes / 4, unknown_word);
}

void set_ids(const Core& core) {
  taskId = core.task;
  taskIdX = core.task % taskDimX;
  taskIdY = core.task / taskDimX % taskDimY;
  taskIdZ = core.task / (taskDimX * taskDimY);
  clusterId = core.cluster % std::max(1, machine.config.clusters);
  coreId = core.is_memory_core ? memory_core : core.id;
}

void swap_in(Core& core) {
  memcpy(machine.nram.base, core.nram.data(), machine.nram.size);
  if (!machine.is_checked()) memcpy(machine.wram.base, core.wram.data(), machine.wram.size);
  if (machine.resident_cluster != core.cluster && machine.sram.size > 0) {
    if (machine.resident_cluster >= 0)
      memcpy(machine.clusters[machine.resident_cluster].sram.data(), machine.sram.base, machine.sram.size);
    memcpy(machine.sram.base, machine.clusters[core.cluster].sram.data(), machine.sram.size);
    machine.resident_cluster = core.cluster;
  }
  machine.core = &core;
  set_ids(core);
}
void swap_out(Core& core) {
  memcpy(core.nram.data(), machine.nram.base, machine.nram.size);
  if (!machine.is_checked()) memcpy(core.wram.data(), machine.wram.base, machine.wram.size);
}

/// Puts what variables hold at the start into a copy of a memory, and marks it as known.
void put_images(const Memory& memory, char* bytes, uint8_t* known) {
  for (auto& o : *machine.objects) {
    if (o.image.empty() || o.base < memory.base || o.base >= memory.base + memory.size) continue;
    memcpy(bytes + (o.base - memory.base), o.image.data(), o.image.size());
    memset(known + (o.base - memory.base), 1, o.image.size());
  }
}

void prepare(Core& core) {
  core.wram.resize(machine.wram.size);
  if (machine.is_checked()) fill_unknown(machine.wram.base, machine.wram.size);
  core.nram_known.assign(machine.nram.size, 0);
  core.wram_known.assign(machine.wram.size, 0);
  core.compute_read.assign(machine.nram.size / 4 + 1, 0);
  core.compute_write.assign(machine.nram.size / 4 + 1, 0);
  core.clock.assign(machine.cores.size(), 0);
}

void end_of(Core& core) {
  finish(-1);
  check_red_zones();
  wait_until_idle(true, true, true);
  machine.counters.makespan = std::max(machine.counters.makespan, core.now);
}

void run_fibre(int index) {
  entry(words);
  end_of(machine.cores[index]);
  machine.cores[index].is_done = true;
  for (;;) swapcontext(&fibres[index].context, &scheduler);
}

/// The cores of one job until all are done or none can go on.
void run_job(int first_task) {
  auto& m = machine;
  const int clusters = m.config.clusters;
  const int per = cores_per_cluster + (m.config.has_memory_core ? 1 : 0);
  m.cores.assign(clusters * per, Core());
  m.clusters.assign(clusters, Cluster());
  m.resident_cluster = -1;
  m.job = first_task;
  m.locks.clear();
  fibres.clear();
  fibres.resize(m.cores.size());
  for (auto& c : m.clusters) {
    c.sram.resize(m.sram.size);
    fill_unknown(c.sram.data(), m.sram.size);
    c.sram_known.assign(m.sram.size, 0);
    put_images(m.sram, c.sram.data(), c.sram_known.data());
    const size_t granules = m.sram.size / 4 + 1;
    c.writer.assign(granules, 0);
    c.write_time.assign(granules, 0);
    c.read_time.assign(granules * m.cores.size(), 0);
  }
  for (size_t i = 0; i < m.cores.size(); i++) {
    Core& c = m.cores[i];
    c.cluster = (int)i / per;
    c.id = (int)i % per;
    c.is_memory_core = c.id == cores_per_cluster;
    c.task = first_task + c.cluster * cores_per_cluster + (c.is_memory_core ? 0 : c.id);
    prepare(c);
    c.clock[i] = 1;
    c.nram.resize(m.nram.size);
    fill_unknown(c.nram.data(), m.nram.size);
    fill_unknown(c.wram.data(), m.wram.size);
    put_images(m.nram, c.nram.data(), c.nram_known.data());
    Fibre& f = fibres[i];
    f.stack.resize(stack_bytes);
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack.data();
    f.context.uc_stack.ss_size = f.stack.size();
    f.context.uc_link = &scheduler;
    makecontext(&f.context, (void (*)())run_fibre, 1, (int)i);
  }
  for (;;) {
    std::vector<int> ready;
    int waiting = -1;
    for (size_t i = 0; i < m.cores.size(); i++)
      if (!m.cores[i].is_done) {
        if (m.cores[i].waiting) waiting = (int)i;
        else ready.push_back((int)i);
      }
    if (ready.empty()) {
      if (waiting < 0) return;
      std::string where;
      std::map<std::string, int> places;
      for (auto& c : m.cores) {
        const std::string who = c.is_memory_core ? "memory core" : "core";
        places[c.is_done ? who + " has ended" : who + " waits in " + c.waiting + " at line " + std::to_string(c.waiting_line)]++;
      }
      for (auto& [place, n] : places) where += (where.empty() ? "" : "; ") + std::to_string(n) + " x " + place;
      m.core = &m.cores[waiting];
      report("deadlock", m.cores[waiting].waiting, m.cores[waiting].waiting_line, "expected all cores to meet, got " + where);
      return;
    }
    const int next = ready[next_random((uint32_t)ready.size())];
    swap_in(m.cores[next]);
    swapcontext(&scheduler, &fibres[next].context);
    swap_out(m.cores[next]);
  }
}

/// Block: every task alone, on any core.
void run_task(int task) {
  auto& m = machine;
  Core& c = m.cores[0];
  c.task = task;
  c.id = (int)next_random(cores_per_cluster);
  c.pending.clear();
  c.nram_tags.clear();
  c.wram_tags.clear();
  c.compute_seen = c.compute_now;
  c.now = c.idle[IO] = c.idle[MOVE] = c.idle[COMPUTE] = 0;
  if (m.is_checked()) {
    std::fill(c.nram_known.begin(), c.nram_known.end(), 0);
    std::fill(c.wram_known.begin(), c.wram_known.end(), 0);
    fill_unknown(m.nram.base, m.nram.size);
    fill_unknown(m.wram.base, m.wram.size);
    put_images(m.nram, m.nram.base, c.nram_known.data());
  }
  m.core = &c;
  set_ids(c);
  entry(words);
  end_of(c);
}

/// Of kernels by others a memory's largest variable counts: small tables beside an arena of the whole memory lie in what is
/// kept for the stack, as in public kernels.
constexpr int64_t room_for_tables = 16 << 10;
bool fits(const char* memory, const Memory& m, int64_t capacity) {
  int64_t size = m.size, largest = 0;
  for (auto& o : *machine.objects)
    if (o.base >= m.base && o.base < m.base + m.size && pools.find(o.base) == pools.end()) is_red(o) ? size -= o.size : largest = std::max(largest, o.size);
  if (machine.config.takes_any_count && largest > 0 && largest <= capacity) capacity += room_for_tables;
  for (auto& [base, pool] : pools)
    if (base >= m.base && base < m.base + m.size) size += pool.used - pool.size;
  if (size <= capacity) return true;
  report("capacity", memory, 0, "expected at most " + std::to_string(capacity) + " bytes, got " + std::to_string(size));
  return false;
}
bool fits_chip() {
  auto& m = machine;
  const Capacity cap = capacity_of(m.config.arch);
  if (!fits("NRAM", m.nram, cap.nram) || !fits("WRAM", m.wram, cap.wram) || !fits("SRAM", m.sram, cap.sram)) return false;
  const int clusters = m.config.clusters, step = cores_per_cluster * clusters;
  const int* dims = m.config.dims;
  if (clusters > 0 && dims[0] % step != 0)
    report("task-type", "launch", 0, "expected dim.x to be a multiple of " + std::to_string(step) + " for Union" + std::to_string(clusters) + ", got " + std::to_string(dims[0]));
  else if (dims[0] * dims[1] * dims[2] != m.config.num_tasks)
    report("task-type", "launch", 0, "expected dims of " + std::to_string(m.config.num_tasks) + " tasks, got " + std::to_string(dims[0]) + " x " + std::to_string(dims[1]) + " x " + std::to_string(dims[2]));
  else if (clusters == 0 && m.sram.size > 0)
    report("task-type", "launch", 0, "expected no cluster memory in a Block kernel, got " + std::to_string(m.sram.size) + " bytes of SRAM");
  return m.num_reports == 0;
}

/// A plain load or store of scalar code at no mapped address, or a division by zero: what a core would trap on ends the launch with a report.
sigjmp_buf trap;
void on_fault(int number, siginfo_t* info, void*) {
  if (number == SIGFPE) report("arithmetic", "scalar code", 0, "expected a divisor that is not zero");
  else report("bounds", "scalar code", 0, "expected an address of the chip, got " + name_of(info->si_addr));
  siglongjmp(trap, 1);
}
template <class F>
void guarded(F run) {
  static std::vector<char> stack(64 << 10);
  const stack_t own{stack.data(), 0, stack.size()};
  stack_t old_stack;
  constexpr int numbers[] = {SIGSEGV, SIGBUS, SIGFPE};
  struct sigaction action{}, old[3];
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaltstack(&own, &old_stack);
  for (int i = 0; i < 3; i++) sigaction(numbers[i], &action, &old[i]);
  if (sigsetjmp(trap, 1) == 0) run();
  for (int i = 0; i < 3; i++) sigaction(numbers[i], &old[i], nullptr);
  sigaltstack(&old_stack, nullptr);
}

/// Jobs in any order.
void run_all() {
  auto& m = machine;
  taskDim = m.config.num_tasks;
  taskDimX = m.config.dims[0], taskDimY = m.config.dims[1], taskDimZ = m.config.dims[2];
  clusterDim = m.config.clusters;
  const int step = clusterDim == 0 ? 1 : cores_per_cluster * clusterDim;
  std::vector<int> order(m.config.num_tasks / step);
  for (size_t i = 0; i < order.size(); i++) order[i] = (int)i * step;
  for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[next_random((uint32_t)i)]);
  m.line_writers.clear();
  if (clusterDim > 0) {
    for (int task : order) run_job(task);
    return;
  }
  m.cores.assign(1, Core());
  m.clusters.clear();
  m.job = 0;
  prepare(m.cores[0]);
  for (int task : order) run_task(task);
}
}  // namespace

uint32_t next_random(uint32_t below) {
  machine.random = machine.random * 6364136223846793005ull + 1442695040888963407ull;
  return (uint32_t)(machine.random >> 33) % below;
}

void report(const char* rule, const char* op, int line, const std::string& message, const void* where) {
  auto& m = machine;
  if (m.num_reports++ > 0) return;
  const std::string who = !m.core ? "" : m.core->is_memory_core ? " (memory core)" : " (task " + std::to_string(m.core->task) + ")";
  m.first_report = std::string("rule=") + rule + "\nline=" + std::to_string(line) + "\nbuffer=" + (where ? name_of(where) : "") + "\nmessage=" + op + ": " + message + who + "\n";
}

void wait_for(const char* op, int line, int group, int participants) {
  auto& m = machine;
  Core& own = *m.core;
  finish(-1);
  own.compute_seen = own.compute_now;
  wait_until_idle(true, true, true);
  std::vector<Core*> met;
  for (auto& c : m.cores)
    if (&c == &own || (c.waiting && c.waiting_group == group)) met.push_back(&c);
  if ((int)met.size() == participants) {
    std::vector<uint32_t> latest(m.cores.size(), 0);
    for (Core* c : met)
      for (size_t i = 0; i < latest.size(); i++) latest[i] = std::max(latest[i], c->clock[i]);
    int64_t now = 0;
    for (Core* c : met) now = std::max(now, c->now);
    for (Core* c : met) {
      c->now = now;
      c->clock = latest;
      c->clock[c - m.cores.data()]++;
      c->waiting = nullptr;
    }
  } else {
    own.waiting = op;
    own.waiting_line = line;
    own.waiting_group = group;
  }
  swapcontext(&fibres[&own - m.cores.data()].context, &scheduler);
}

void spend(Pipe pipe, int64_t units, bool is_waited_for) {
  Core& c = *machine.core;
  // A copy that is waited for comes after what the vector unit was given before.
  const int64_t start = std::max({c.now, c.idle[pipe], is_waited_for ? c.idle[COMPUTE] : 0});
  c.idle[pipe] = start + units;
  if (is_waited_for) c.now = c.idle[pipe];
}
void wait_until_idle(bool io, bool move, bool compute) {
  Core& c = *machine.core;
  if (io) c.now = std::max(c.now, c.idle[IO]);
  if (move) c.now = std::max(c.now, c.idle[MOVE]);
  if (compute) c.now = std::max(c.now, c.idle[COMPUTE]);
}

void yield_sometimes() {
  auto& m = machine;
  if (m.config.clusters == 0 || next_random(4) != 0) return;
  swapcontext(&fibres[m.core - m.cores.data()].context, &scheduler);
}
void yield_now() { swapcontext(&fibres[machine.core - machine.cores.data()].context, &scheduler); }

}  // namespace bang

using namespace bang;

/// sizes: bytes behind a pointer argument, -1 for a number. launch: tasks, clusters of a job (0: Block), seed, report lines
/// that tasks share, relaxed, (unused), poison, (unused), how many words there are (those after the arguments are memory that the
/// kernel reaches by addresses it reads), tasks along x, y and z. Returns 1 and a report when a rule was broken, else 0 (or 2) and what was counted.
extern "C" int bang_run(void (*call)(const double*), void (*memories)(char**), const double* args, const double* sizes,
                        int num_args, const double* launch, int arch, int checks, bool has_memory_core, char* out, int out_bytes) {
  auto& m = machine;
  const auto dim = [&](int axis) { return (int)launch[9 + axis]; };
  m.config = {arch, (int)launch[0], {dim(0), dim(1), dim(2)}, (int)launch[1], (uint32_t)launch[2], checks != bang_none, launch[4] != 0, checks == bang_lenient, has_memory_core, launch[3] != 0};
  m.random = (uint64_t)launch[2] * 2654435761u + 12345;
  // Bytes of the poison in turn with others, so that a written zero is told from memory that nothing wrote.
  unknown_word = 0x00c100c1u | (uint32_t)launch[6] * 0x01000100u;
  m.first_report.clear();
  m.num_reports = 0;
  m.counters = Counters();
  m.core = nullptr;
  m.arguments.clear();
  for (int i = 0; i < (int)launch[8]; i++)
    if (sizes[i] >= 0) m.arguments.push_back({(const char*)(uintptr_t)args[i], (int64_t)sizes[i], "argument " + std::to_string(i)});
  m.objects = &objects_of((const void*)call);
  char* bounds[6];
  memories(bounds);
  m.nram = {bounds[0], bounds[1] - bounds[0]};
  m.wram = {bounds[2], bounds[3] - bounds[2]};
  m.sram = {bounds[4], bounds[5] - bounds[4]};
  if (fits_chip()) {
    entry = call;
    words = args;
    guarded(run_all);
  }
  m.core = nullptr;
  fibres.clear();
  m.cores.clear();
  const Counters& c = m.counters;
  if (m.num_reports > 0) snprintf(out, out_bytes, "%s", m.first_report.c_str());
  else snprintf(out, out_bytes, "makespan=%lld\nbytesIn=%lld\nbytesOut=%lld\n", (long long)c.makespan, (long long)c.bytes_in, (long long)c.bytes_out);
  return m.num_reports > 0;
}
