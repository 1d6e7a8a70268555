// Waiting for pipes and for other cores.
#include "machine.h"

namespace bang {
void wait_for(const char* op, int line, int group, int participants);
void yield_now();

static void pipes(bool io, bool move, bool compute) {
  if (io) finish(IO);
  if (move) finish(MOVE);
  if (compute) finish(COMPUTE);
  if (compute && machine.core) machine.core->compute_seen = machine.core->compute_now;
  if (machine.core) wait_until_idle(io, move, compute);
}
static void barrier(const char* op, int line, int kind, bool is_cluster, int per_cluster, bool is_for_memory_cores, bool is_for_cores) {
  auto& m = machine;
  const int clusters = m.config.clusters;
  if (is_for_cores && is_for_memory_cores && !m.config.has_memory_core) per_cluster--;
  if (clusters == 0) return report("task type", op, line, "expected no barrier between cores in a Block kernel");
  const bool is_memory = m.core->is_memory_core;
  if ((is_memory && !is_for_memory_cores) || (!is_memory && !is_for_cores))
    return report("memory core", op, line, is_memory ? "expected only cores to arrive, got the memory core" : "expected only memory cores to arrive, got a core");
  wait_for(op, line, kind * 1024 + (is_cluster ? m.core->cluster : 0), per_cluster * (is_cluster ? 1 : clusters));
}
}  // namespace bang
using namespace bang;

void __sync(Line) { pipes(true, true, true); }
void __sync_io(Line) { pipes(true, false, false); }
void __sync_move(Line) { pipes(false, true, false); }
void __sync_compute(Line) { pipes(false, false, true); }
void __sync_io_move_compute(bool io, bool move, bool compute, bool, bool, bool, Line) { pipes(io, move, compute); }
void __sync_copy_dram_to_nram(Line) { pipes(true, false, false); }
void __sync_copy_nram_to_dram(Line) { pipes(true, false, false); }
void __sync_copy_dram_to_sram(Line) { pipes(true, false, false); }
void __sync_copy_sram_to_dram(Line) { pipes(true, false, false); }
void __sync_copy_sram_to_nram(Line) { pipes(false, true, false); }
void __sync_copy_nram_to_sram(Line) { pipes(false, true, false); }
void __sync_cluster(Line line) { barrier("__sync_cluster", line, 0, true, 5, true, true); }
void __sync_all(Line line) { barrier("__sync_all", line, 1, false, 5, true, true); }
void __sync_all_ipu(Line line) { barrier("__sync_all_ipu", line, 2, false, 4, false, true); }
void __sync_all_mpu(Line line) { barrier("__sync_all_mpu", line, 3, false, 1, true, false); }
void __sync_all_ipu_within_cluster(Line line) { barrier("__sync_all_ipu_within_cluster", line, 4, true, 4, false, true); }
void __bang_lock(int id0, int id1, Line) {
  if (machine.config.clusters == 0) return;
  while (machine.locks[{id0, id1}]) yield_now();
  machine.locks[{id0, id1}] = machine.core;
}
void __bang_unlock(int id0, int id1, Line line) {
  if (machine.config.clusters == 0) return;
  Core*& owner = machine.locks[{id0, id1}];
  if (owner != machine.core) report("sync", "__bang_unlock", line, "expected the core that holds the lock");
  owner = nullptr;
}
bool __is_ipu() { return !machine.core->is_memory_core; }
bool __is_mpu() { return machine.core->is_memory_core; }
bool __is_nram(const void* p) { return space_of(p) == NRAM; }
bool __is_wram(const void* p) { return space_of(p) == WRAM; }
bool __is_sram(const void* p) { return space_of(p) == SRAM; }
