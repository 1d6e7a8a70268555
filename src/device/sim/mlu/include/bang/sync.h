// Waiting: for this core's pipes, for the cores of a cluster, for those of a job.
#pragma once
#include "types.h"

void __sync(BANG_LINE);
void __sync_io(BANG_LINE);
void __sync_move(BANG_LINE);
void __sync_compute(BANG_LINE);
/// The first three pipes that are named are waited for by the last three; here by everything that follows.
void __sync_io_move_compute(bool io = true, bool move = true, bool compute = true, bool io_after = true,
                            bool move_after = true, bool compute_after = true, BANG_LINE);
void __sync_copy_dram_to_nram(BANG_LINE);
void __sync_copy_nram_to_dram(BANG_LINE);
void __sync_copy_sram_to_nram(BANG_LINE);
void __sync_copy_nram_to_sram(BANG_LINE);
void __sync_copy_dram_to_sram(BANG_LINE);
void __sync_copy_sram_to_dram(BANG_LINE);
/// All cores of the cluster and its memory core.
void __sync_cluster(BANG_LINE);
/// All cores and memory cores of the job's clusters.
void __sync_all(BANG_LINE);
/// The same without memory cores, and memory cores alone.
void __sync_all_ipu(BANG_LINE);
void __sync_all_mpu(BANG_LINE);
void __sync_all_ipu_within_cluster(BANG_LINE);
void __bang_lock(int id0, int id1, BANG_LINE);
void __bang_unlock(int id0, int id1, BANG_LINE);
bool __is_ipu();
bool __is_mpu();
bool __is_nram(const void* p);
bool __is_wram(const void* p);
bool __is_sram(const void* p);
