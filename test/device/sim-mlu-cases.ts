/**
 * BANG C kernels in the way others write them (mlu/*.mlu), with inputs, expected outputs, and mutations that must not
 * pass: each is rejected or gives a wrong answer. Sizes are odd where the kernel allows it, so that tails are exercised.
 * A sync that another one makes superfluous is no mutation: the IO pipe works in order, and so do barriers.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { f32ToBf16, roundToBf16 } from "../../src/base/bf16.ts";
import { normals } from "../../src/base/prng.ts";

type Bytes = Float32Array | Uint16Array;
export interface BangMutant {
  /** The row of the mutation table it belongs to. */
  readonly kind: string;
  readonly find: string;
  readonly with: string;
}
export interface BangCase {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly kind: string;
  readonly taskDims: readonly number[];
  /** In the order of the arguments: an array is a buffer. */
  readonly values: readonly (Bytes | number)[];
  readonly expected: ArrayLike<number>;
  readonly tolerance: number;
  readonly mutants: readonly BangMutant[];
}

export const sourceOf = (file: string): string => readFileSync(join(import.meta.dirname, "mlu", `${file}.mlu`), "utf8");
/** The source with one text, which occurs once, replaced. */
export function mutated(source: string, m: BangMutant): string {
  assert.equal(source.split(m.find).length, 2, `mutation: expected the text "${m.find}" once in the kernel`);
  return source.replace(m.find, () => m.with);
}

function random(n: number, seed: number): Float32Array {
  const out = new Float32Array(n);
  normals(out, seed);
  return out;
}
const unset = (n: number): Float32Array => new Float32Array(n).fill(77);
const m = (kind: string, find: string, text: string): BangMutant => ({ kind, find, with: text });

function vectorAdd(): BangCase {
  const n = 9003;
  const [a, b] = [random(n, 1), random(n, 2)];
  return {
    name: "vectorAdd",
    file: "vector_add",
    args: ["y", "a", "b", "n"],
    kind: "block",
    taskDims: [1, 3, 8],
    values: [unset(n), a, b, n],
    expected: a.map((v, i) => v + b[i]!),
    tolerance: 0,
    mutants: [
      m("drop one sync", "    __sync();\n", ""),
      m("weaken one sync", "    __sync();\n", "    __sync_move();\n"),
      m("weaken one sync", "    __sync();\n", "    __sync_io();\n"),
      m("swap buffers", "bufA + (t % 2) * TILE, len * sizeof(float), NRAM2GDRAM", "bufA + ((t + 1) % 2) * TILE, len * sizeof(float), NRAM2GDRAM"),
      m("swap buffers", "const int p = (t - 1) % 2;", "const int p = t % 2;"),
      m("shrink a buffer", "__nram__ float bufB[2 * TILE];", "__nram__ float bufB[2 * TILE - 32];"),
      m("shrink a buffer", "__nram__ float bufA[2 * TILE];", "__nram__ float bufA[TILE];"),
      m("capacity", "__nram__ float bufA[2 * TILE];", "__nram__ float bufA[200 * TILE];"),
      m("tail +-1", "bufA + p * TILE, bufB + p * TILE, TILE);", "bufA + p * TILE, bufB + p * TILE, TILE - 1);"),
      m("tail +-1", "__memcpy_async(y + at, bufA + (t % 2) * TILE, len *", "__memcpy_async(y + at, bufA + (t % 2) * TILE, (len + 1) *"),
      m("tail +-1", "bufB + (t % 2) * TILE, b + at, len * sizeof(float)", "bufB + (t % 2) * TILE, b + at, (len - 1) * sizeof(float)"),
      m("bytes for elements", "bufB + (t % 2) * TILE, b + at, len * sizeof(float)", "bufB + (t % 2) * TILE, b + at, len"),
      m("wrong direction", "len * sizeof(float), NRAM2GDRAM", "len * sizeof(float), GDRAM2NRAM"),
      m("wrong direction", "bufB + (t % 2) * TILE, b + at, len * sizeof(float), GDRAM2NRAM", "bufB + (t % 2) * TILE, b + at, len * sizeof(float), GDRAM2WRAM"),
      m("alignment", "__bang_add(bufA + p * TILE, bufA + p * TILE,", "__bang_add(bufA + p * TILE + 1, bufA + p * TILE + 1,"),
      m("missing core", "taskId < tiles % taskDim ? 1 : 0", "0"),
      m("missing core", "const int mine = tiles / taskDim +", "const int mine = tiles / (taskDim + 1) +"),
      m("shared line", "const int at = (taskId + (t - 2) * taskDim) * TILE;", "const int at = taskId + (t - 2) * taskDim;"),
    ],
  };
} // prettier-ignore

function softmaxRows(): BangCase {
  const [rows, cols] = [22, 208];
  const x = random(rows * cols, 3);
  const expected = new Float64Array(rows * cols);
  for (let r = 0; r < rows; r++) {
    const row = Array.from(x.subarray(r * cols, (r + 1) * cols), Math.exp);
    const total = row.reduce((s, v) => s + v, 0);
    row.forEach((v, c) => (expected[r * cols + c] = v / total));
  }
  return {
    name: "softmaxRows",
    file: "softmax_rows",
    args: ["y", "x", "rows", "cols"],
    kind: "block",
    taskDims: [1, 3, 4],
    values: [unset(rows * cols), x, rows, cols],
    expected,
    tolerance: 1e-7,
    mutants: [
      m("drop fill of the tail", "for (int i = cols; i < padded; ++i) row[i] = -INFINITY;", ""),
      m("stride in elements", "cols * sizeof(float), GDRAM2NRAM, padded * sizeof(float)", "cols * sizeof(float), GDRAM2NRAM, padded"),
      m("stride in elements", "padded * sizeof(float), count - 1);\n  }", "padded, count - 1);\n  }"),
      m("tail +-1", "padded * sizeof(float), cols * sizeof(float), count - 1);\n    for", "padded * sizeof(float), cols * sizeof(float), count);\n    for"),
      m("tail +-1", "cols * sizeof(float), padded * sizeof(float), count - 1);", "cols * sizeof(float), padded * sizeof(float), count);"),
      m("tail +-1", "for (int r = 0; r < count; ++r)", "for (int r = 1; r < count; ++r)"),
      m("group layout", "__bang_reduce_sum(scratch, scratch, 32);\n", ""),
      m("group layout", "const float total = scratch[0];", "const float total = scratch[1];"),
      m("granularity", "__bang_sumpool(scratch, row, 32, padded / 32, 1, padded / 32, 1, 1, 1);", "__bang_sumpool(scratch, row, 8, padded / 8, 1, padded / 8, 1, 1, 1);"),
      m("granularity", "__bang_argmax(scratch, row, padded);", "__bang_argmax(scratch, row, padded - 1);"),
      m("shrink a buffer", "__nram__ float scratch[64];", "__nram__ float scratch[16];"),
      m("shrink a buffer", "__nram__ float scratch[64];", "__nram__ float scratch[24];"),
      m("shrink a buffer", "__nram__ float tile[ROWS * COLS];", "__nram__ float tile[ROWS * COLS - COLS - 32];"),
      m("missing core", "g += taskDim", "g += taskDim + 1"),
      m("missing core", "int g = taskId;", "int g = taskId / 2;"),
      m("missing core", "int g = taskId;", "int g = coreId;"),
      m("space", "__memcpy(tile, x + first * cols, cols * sizeof(float), GDRAM2NRAM", "__memcpy(x + first * cols, tile, cols * sizeof(float), GDRAM2NRAM"),
    ],
  };
} // prettier-ignore

function clusterSum(): BangCase {
  const [blocks, block] = [5, 2048];
  const x = random(blocks * block, 4);
  const expected = Float64Array.from({ length: blocks * 16 }, (_, i) =>
    i % 16 === 0 ? x.subarray((i / 16) * block, (i / 16 + 1) * block).reduce((s, v) => s + v * v, 0) : 0,
  );
  return {
    name: "clusterSum",
    file: "cluster_sum",
    args: ["y", "x", "blocks"],
    kind: "union1",
    taskDims: [4, 8, 12],
    values: [unset(blocks * 16), x, blocks],
    expected,
    tolerance: 2e-3,
    mutants: [
      m("drop one sync", "    __sync_cluster();\n    if (__is_ipu()) {", "    if (__is_ipu()) {"),
      m("drop one sync", "    __sync_cluster();\n    if (__is_ipu() && coreId", "    if (__is_ipu() && coreId"),
      m("drop one sync", "      __sync_move();\n", ""),
      m("weaken one sync", "__sync_move();", "__sync_io();"),
      m("weaken one sync", "__sync_move();", "__sync_compute();"),
      m("divergent barrier", "    __sync_cluster();\n  }\n}", "    if (__is_ipu()) __sync_cluster();\n  }\n}"),
      m("divergent barrier", "    __sync_cluster();\n    if (__is_ipu() && coreId", "    if (coreId != 1) __sync_cluster();\n    if (__is_ipu() && coreId"),
      m("divergent barrier", "const int jobs = taskDim / 4;", "const int jobs = taskDim / 4; if (__is_mpu() && blocks > 4) return;"),
      m("memory core", "if (__is_mpu()) {", "{"),
      m("memory core", "    if (__is_ipu()) {\n", "    {\n"),
      m("memory core", "if (__is_mpu()) {\n", "if (__is_mpu()) { __bang_write_zero(part, PART);\n"),
      m("missing core", "block + coreId * PART", "block + (coreId / 2) * PART"),
      m("missing core", "partial + coreId * 32", "partial + (coreId & 2) * 32"),
      m("missing core", "b += jobs", "b += jobs + 1"),
      m("shrink a buffer", "__mlu_shared__ float block[4 * PART];", "__mlu_shared__ float block[4 * PART - 32];"),
      m("shrink a buffer", "__mlu_shared__ float partial[4 * 32];", "__mlu_shared__ float partial[3 * 32];"),
      m("capacity", "__mlu_shared__ float block[4 * PART];", "__mlu_shared__ float block[4096 * PART];"),
      m("wrong direction", "GDRAM2SRAM", "GDRAM2NRAM"),
      m("wrong direction", "SRAM2NRAM);\n      __sync_move", "GDRAM2NRAM);\n      __sync_move"),
      m("tail +-1", "y + b * 16, part, 16 *", "y + b * 16, part, 17 *"),
      m("shared line", "y + b * 16, part, 16 *", "y + b * 15, part, 16 *"),
    ],
  };
} // prettier-ignore

function matmulWram(): BangCase {
  const [rows, n, k] = [27, 128, 64];
  const [a, w] = [random(rows * k, 5), random(n * k, 6)];
  const expected = Float64Array.from({ length: rows * n }, (_, i) => {
    let s = 0;
    for (let c = 0; c < k; c++) s += a[Math.floor(i / n) * k + c]! * w[(i % n) * k + c]!;
    return s;
  });
  return {
    name: "matmulWram",
    file: "matmul_wram",
    args: ["y", "a", "w", "m"],
    kind: "block",
    taskDims: [1, 2, 4],
    values: [unset(rows * n), a, w, rows],
    expected,
    tolerance: 1e-4,
    mutants: [
      m("row-major filter", "  __bang_reshape_filter(arranged, plain, N, 1, 1, K);\n  __memcpy(filter, arranged,", "  __memcpy(filter, plain,"),
      m("row-major filter", "__memcpy(filter, arranged, N * K * sizeof(float), NRAM2WRAM);", "__memcpy(filter, w, N * K * sizeof(float), GDRAM2WRAM);"),
      m("filter shape", "__bang_reshape_filter(arranged, plain, N, 1, 1, K);", "__bang_reshape_filter(arranged, plain, K, 1, 1, N);"),
      m("filter shape", "filter, rows, K, N);", "filter, rows, K, N / 2);"),
      m("filter in NRAM", "__bang_matmul(product, left, filter,", "__bang_matmul(product, left, arranged,"),
      m("scalar access to WRAM", "filter, arranged, N * K * sizeof(float), NRAM2WRAM);", "filter, arranged, N * K * sizeof(float), NRAM2WRAM); plain[0] = filter[1]; __memcpy(filter, plain, 64, NRAM2WRAM);"),
      m("partial filter", "__memcpy(filter, arranged, N * K * sizeof(float), NRAM2WRAM);", "__memcpy(filter, arranged, N * K * sizeof(float) / 2, NRAM2WRAM);"),
      m("drop one sync", "GDRAM2NRAM);\n    __sync_io();", "GDRAM2NRAM);"),
      m("drop one sync", "    __sync_compute();\n", ""),
      m("overlap two", "2 * N * K * sizeof(float));\n", "2 * N * K * sizeof(float) - 128);\n"),
      m("overlap two", "(2 * N * K + ROWS * K) * sizeof(float));\n", "2 * N * K * sizeof(float));\n"),
      m("shrink a buffer", "(2 * N * K + ROWS * K + ROWS * N) * sizeof(float)]", "(2 * N * K + ROWS * K + ROWS * N) * sizeof(float) - 128]"),
      m("shrink a buffer", "__wram__ float filter[N * K];", "__wram__ float filter[N * K - 32];"),
      m("tail +-1", "filter, rows, K, N);", "filter, rows - 1, K, N);"),
      m("tail +-1", "filter, rows, K, N);", "filter, rows + 1, K, N);"),
      m("missing core", "first += taskDim * ROWS", "first += (taskDim + 1) * ROWS"),
    ],
  };
} // prettier-ignore

export const bangCases: readonly BangCase[] = [vectorAdd(), softmaxRows(), clusterSum(), matmulWram()];

/** bf16 in and out: for the gate between architectures. */
export const halfScale = (): BangCase => {
  const rows = 6;
  const x = f32ToBf16(random(rows * 256, 7));
  const wide = Float32Array.from(x, (bits) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!);
  return {
    name: "halfScale",
    file: "half_scale",
    args: ["y", "x", "scale", "rows"],
    kind: "block",
    taskDims: [1, 4],
    values: [new Uint16Array(rows * 256).fill(77), x, 0.75, rows],
    expected: wide.map((v) => roundToBf16(v * 0.75)),
    tolerance: 0,
    mutants: [],
  };
};
