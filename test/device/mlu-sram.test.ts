/** Copies from one cluster's SRAM to another's: the memory core of each hands its block to the next cluster. */
import { tinyTests, unset, wave, type Tiny } from "./mlu-tiny.ts";

const n = 256;
const clusters = 2;
const x = wave(clusters * n);
/** Cluster c ends with the block of the cluster before it. */
const passed = Float32Array.from({ length: clusters * n }, (_, i) => x[(i + (clusters - 1) * n) % (clusters * n)]!);

const source = (copy: string): string => `#include <bang.h>
#define N ${n}
__mlu_shared__ float own[N];
__mlu_shared__ float far[2 * N];
__mlu_global__ void tiny(float* y, float* x) {
  __nram__ float part[N];
  if (__is_mpu()) {
    __memcpy(own, x + clusterId * N, N * sizeof(float), GDRAM2SRAM);
    ${copy}
  }
  __sync_all();
  if (__is_ipu() && coreId == 0) {
    __memcpy(part, far, N * sizeof(float), SRAM2NRAM);
    __memcpy(y + clusterId * N, part, N * sizeof(float), NRAM2GDRAM);
  }
}
`;
const base = { values: [unset(clusters * n), x], expected: passed, kind: "union2", tasks: 8 } as const;
const next = "(clusterId + 1) % clusterDim";

const cases: readonly Tiny[] = [
  {
    ...base,
    name: "whole",
    source: source(`__memcpy(far, own, N * sizeof(float), SRAM2SRAM, ${next});`),
    mutants: [
      ["__sync_all();", "__sync_cluster();"],
      ["__sync_all();", "if (__is_ipu()) __sync_all_ipu();"],
      [next, "clusterId"],
      [next, "clusterId + 1"],
      [next, "-1"],
      [`SRAM2SRAM, ${next}`, "SRAM2SRAM"],
      ["SRAM2SRAM", "SRAM2NRAM"],
      ["far, own, N *", "far, own, 2 * N *"],
      ["far, own, N *", "far + N + 32, own, N *"],
      ["far, own, N *", "far, own, (N - 1) *"],
    ],
  },
  {
    ...base,
    name: "async",
    source: source(`__memcpy_async(far, own, N * sizeof(float), SRAM2SRAM, ${next});`),
    mutants: [
      ["__sync_all();", "__sync();"],
      ["__sync_all();", "own[0] = 3; __sync_cluster();"],
    ],
  },
  {
    ...base,
    name: "segments",
    source: source(`__memcpy(far, own, 64, SRAM2SRAM, 64, 64, N * sizeof(float) / 64 - 1, ${next});`),
    mutants: [
      ["64, SRAM2SRAM, 64, 64,", "64, SRAM2SRAM, 128, 64,"],
      ["64, SRAM2SRAM, 64, 64,", "64, SRAM2SRAM, 32, 64,"],
      ["sizeof(float) / 64 - 1", "sizeof(float) / 64"],
    ],
  },
];
tinyTests("blocks go from cluster to cluster", cases);
