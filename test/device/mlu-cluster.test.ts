/**
 * Kernels of a cluster (Union1): the plan says what the cores share and why not; both forms of a kernel give the same
 * bytes on grids that divide by four and that do not; device memory is read once per team; mutations are caught.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { findCompiler, SYMBOL } from "../../src/device/cpu/toolchain.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import type { SimDevice, SimKernel } from "../../src/device/sim/sim-device.ts";
import { simTargets } from "../../src/device/sim/targets.ts";
import { SimulationError } from "../../src/device/sim/violation.ts";
import { allCases } from "../../src/kernels/all-cases.ts";
import { chips } from "../../src/tile/chips/chips.ts";
import type { Chip } from "../../src/tile/chips/types.ts";
import { emitMlu, emitMluCluster } from "../../src/tile/emit/mlu.ts";
import type { TileProgram } from "../../src/tile/ir.ts";
import { lower } from "../../src/tile/passes.ts";
import { product, uneven } from "./tiny-kernels.ts";

const skip = findCompiler() ? false : "sim:mlu: no C++ compiler";
const chip = chips["mlu-370"];

const [n, depth] = [112, 80];
const columns = 2;

const noteOf = (program: TileProgram, on: Chip): string => lower(program, on).cluster.notes.join("; ");
const all = allCases.flatMap((c) => c.programs(chip));
const first = (name: string): TileProgram => all.find((p) => p.name === name)!;

test("the plan shares what does not depend on the axis, and says why not", () => {
  const { plan } = lower(first("matmul"), chip).cluster;
  assert.deepEqual([plan!.axis, plan!.offsets.size], [1, 1]);
  assert.match(
    noteOf(first("grouped_matmul"), chip),
    /not along y: no load that its programs share; not along z: the grid has no such axis/,
  );
  assert.match(noteOf(uneven, chip), /not along y: loop 0 takes other turns in each of its programs/);
  assert.match(noteOf(first("rms_norm"), chip), /no loop loads a turn ahead/);
  assert.match(noteOf(first("reduce_columns_sum"), chip), /no load that its programs share/);
  const small = { ...chip, arch: { ...chip.arch, spaces: { ...chip.arch.spaces, SRAM: { sizeBytes: 8192, reservedBytes: 0, alignBytes: 128, rowBytes: 128 } } } } as Chip; // prettier-ignore
  assert.match(noteOf(product, small), /two buffers of what its programs share are 16384 bytes, SRAM has 8192/);
  assert.equal(emitMluCluster(first("grouped_matmul"), chip), undefined);
});

test("a launch takes the cluster where programs share and no core has more to do", () => {
  const target = simTargets["sim:mlu-370"];
  const { together } = target.emit(product, SYMBOL, chip);
  const blocks = (x: number, y: number): number => together!.blocksFor([x, y, 1]);
  const clusters = target.numThreads / 4;
  assert.deepEqual([blocks(2, 5), blocks(2, 4), blocks(1, 2)], [16, 8, 4]);
  assert.equal(blocks(clusters, 4), 4 * clusters);
  assert.equal(blocks(100, 1), 0, "one row tile: nothing to share");
  assert.equal(blocks(clusters * 2, 5), 0, "three of eight cores would idle");
});

/** Runs on `rows` rows; the bytes of y and what was read of device memory. Throws SimulationError. */
function run(device: SimDevice, k: SimKernel, rows: number, numBlocks: number, seed: number): { y: Float32Array; bytesIn: number } {
  const wave = (count: number): Float32Array => Float32Array.from({ length: count }, (_, i) => Math.sin(i * 0.37));
  const buffers = [wave(rows * depth), wave(n * depth), new Float32Array(rows * n)].map((data) => {
    const buffer = device.alloc(data.byteLength);
    device.copyIn(buffer, 0, data);
    return { buffer, byteOffset: 0 };
  });
  try {
    device.run(k, [rows, n, depth, ...buffers, columns, Math.ceil(rows / 8), 1], { numBlocks, seed });
    const y = new Float32Array(rows * n);
    device.copyOut(buffers[2]!.buffer, 0, y);
    return { y, bytesIn: device.lastRun!.bytesIn };
  } finally {
    for (const { buffer } of buffers) device.free(buffer);
  }
} // prettier-ignore

type Edit = readonly [what: string, find: RegExp | string, replacement: string];
const edits: readonly Edit[] = [
  ["drop the barrier before the first turn", "__sync_cluster();", ""],
  ["drop the barrier of a turn", /(needed\n\s*)__sync_cluster\(\);/, "$1"],
  ["cores wait for themselves only", /(needed\n\s*)__sync_cluster\(\);/, "$1__sync();"],
  ["a barrier in divergent control flow", /(needed\n\s*)__sync_cluster\(\);/, "$1if (has_work) __sync_cluster();"],
  ["a core without a program goes on", /(const bool has_work = .*)/, "$1 if (__is_ipu() && !has_work) continue;"],
  ["one buffer for two", /shared_b_tiles \+ \(turn0 \+ 1\) % 2/, "shared_b_tiles + turn0 % 2"],
  ["one buffer for two", /, shared_b_tiles \+ turn0 % 2 \* 2048/, ", shared_b_tiles"],
  ["every core brings the tile", /__is_mpu\(\) && next0/, "next0"],
  ["no core brings the tile", /__is_mpu\(\) && next0/, "false && next0"],
  ["the memory core computes", /has_work = __is_ipu\(\) && /, "has_work = "],
  ["the last team is left out", /\(grid_y \+ lanes - 1\) \/ lanes/, "grid_y / lanes"],
  ["a core in two places", /\? coreId : 0/, "? coreId / 2 : 0"],
  ["shrink the memory of the cluster", /char sram\[(\d+)\]/, "char sram[$1 - 128]"],
  ["wrong direction", "SRAM2NRAM", "GDRAM2NRAM"],
  ["wrong direction", "GDRAM2SRAM", "GDRAM2NRAM"],
];

test("sim:mlu-370: both forms give the same bytes, shared tiles are read once a team, mutants are caught", { skip }, (t) => {
  const device = openSim("sim:mlu-370");
  const args = product.params.map((p) => p.name);
  const union = emitMluCluster(product, chip, SYMBOL)!.source;
  const mutants = edits.map(([what, find, replacement]) => {
    const text = union.replace(find, replacement);
    assert.notEqual(text, union, `${what}: expected a text for the mutation`);
    return { name: "product", source: text, kind: "union1", args };
  });
  const [alone, together, ...wrong] = device.compileKernels([
    { name: "product", source: emitMlu(product, chip, SYMBOL).source, kind: "block", args },
    { name: "product", source: union, kind: "union1", args },
    ...mutants,
  ]);
  for (const rows of [8, 32, 37, 61]) {
    const tiles = Math.ceil(rows / 8);
    const want = run(device, alone!, rows, 3, 0);
    for (const tasks of [4, 8])
      for (const seed of [0, 1, 2, 3]) {
        const got = run(device, together!, rows, tasks, seed);
        assert.deepEqual(got.y, want.y, `${rows} rows on ${tasks} tasks, seed ${seed}`);
        // b is read by every row tile, or by every four.
        assert.equal(want.bytesIn - got.bytesIn, (tiles - Math.ceil(tiles / 4)) * n * depth * 4);
      }
  }
  const rows = 37;
  const right = run(device, alone!, rows, 1, 0).y;
  const how = edits.map(([what], i) => {
    for (const seed of [0, 1, 2, 3])
      try {
        if (Buffer.compare(new Uint8Array(run(device, wrong[i]!, rows, 8, seed).y.buffer), new Uint8Array(right.buffer)) !== 0) return `${what}: wrong answer`; // prettier-ignore
      } catch (error) {
        if (!(error instanceof SimulationError)) throw error;
        return `${what}: ${error.rule}`;
      }
    return `${what}: missed`;
  });
  for (const line of how) t.diagnostic(line);
  assert.deepEqual(how.filter((line) => line.endsWith("missed")), []); // prettier-ignore
}); // prettier-ignore
