/**
 * Functions of threads (Ascend 950): a kernel written for the public interface gives the right numbers, and its
 * mutations are refused: an order of threads that the result depends on, a barrier that not all reach, memory that
 * nothing wrote, and what is not ordered with the copies before and after.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { normals } from "../../src/base/prng.ts";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";
import { foreignKernel } from "../../src/device/sim/foreign.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import type { SimCase } from "./sim-ascend-cases.ts";
import { checkCases } from "./sim-ascend-check.ts";
import { change, drop, dropPair, swap } from "./sim-mutants.ts";
import { runCase } from "./sim-run.ts";

const skip = findCompiler() ? false : "no C++ compiler";

function gather(): SimCase {
  const [total, blocks] = [1234, 3];
  const x = new Float32Array(900);
  normals(x, 1);
  const index = Int32Array.from({ length: total }, (_, i) => (i * 37) % x.length);
  const sums = new Float32Array(8);
  const bins = new Float32Array(16 * 8);
  for (let b = 0; b < blocks; b++) {
    const tree = new Float32Array(512);
    index.slice(b * 500, (b + 1) * 500).forEach((at, i) => {
      tree[i] = x[at]!;
      bins[16 * b + (at % 16)]! += 1;
    });
    for (let width = 256; width > 0; width >>= 1) for (let i = 0; i < width; i++) tree[i]! += tree[i + width]!;
    sums[b] = tree[0]!;
  }
  return {
    name: "simt_gather",
    source: readFileSync(join(import.meta.dirname, "ascend", "simt_gather.cpp"), "utf8"),
    kind: "vector",
    args: ["x", "index", "z", "sums", "bins", "total"],
    values: [x, index, new Float32Array(total).fill(77), new Float32Array(8), new Int32Array(16 * 8), total],
    expected: [
      { arg: 2, values: Float32Array.from(index, (i) => x[i]!), tolerance: 0 },
      { arg: 3, values: sums, tolerance: 0 },
      { arg: 4, values: bins, tolerance: 0 },
    ],
    mutants: [
      dropPair("MTE2_V", "0"),
      dropPair("V_MTE3", "0"),
      { kind: "drop a barrier", edits: [{ find: "asc_syncthreads();", with: ";", nth: 0 }] },
      { kind: "drop a barrier", edits: [{ find: "asc_syncthreads();", with: ";", nth: 1 }] },
      { kind: "barrier that not all reach", edits: [{ find: "asc_syncthreads();", with: "if (i < 300) asc_syncthreads();", nth: 0 }] }, // prettier-ignore
      swap("no atomic", "asc_atomic_add(bins + index[i] % 16, 1);", "bins[index[i] % 16] = i;"),
      swap("no input", "tree[i] = value;", "if (i < count) tree[i] = value;"),
      change("one thread more", "if (i < count)", "i < count", "i < count + 1"),
      change("one thread less", "if (i < count)", "i < count", "i + 1 < count"),
      change("too many threads", "dim3{64, 8, 1}", "8", "33"),
      swap("leaves the tensor", "z[i] = value;", "z[i + 4000] = value;"),
      change("wild address", "ValueAt(x, index[i])", "index[i]", "index[i] + 1000000000"),
      change("another block", "sums[blockIdx.x]", "blockIdx.x", "0"),
      drop("no output", "z[i] = value;"),
    ],
  };
}

const c = gather();
checkCases([c], {
  chip: "sim:ascend-950",
  blocks: [3],
  runsAtIssue: true,
  rules: {
    "drop one sync": /^(race-raw|uninitialised)$/, "drop a barrier": /^race-threads$/, "barrier that not all reach": /^deadlock$/, "no atomic": /^race-threads$/,
    "no input": /^uninitialised$/, "too many threads": /^range$/, "leaves the tensor": /^out-of-bounds$/, "wild address": /^out-of-bounds$/, "another block": /^race-waw$/,
  },
}); // prettier-ignore

test("threads, fast: the same numbers", { skip }, () => {
  const fast = openSim("sim:ascend-950", { isFast: true });
  const [plain] = fast.compileKernels([foreignKernel(c.source, c.name, c.args, c.kind)]);
  assert.ok(runCase(fast, plain!, c, { numBlocks: 3 }));
});
