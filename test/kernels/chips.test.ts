/**
 * Wrappers on chips: at the released V4-Flash's shapes they find tile sizes that every chip takes, and smaller tiles
 * change no result.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DType } from "../../src/base/dtype.ts";
import { CompileError } from "../../src/base/errors.ts";
import type { Device, DeviceProperties } from "../../src/device/device.ts";
import { openInterpreter } from "../../src/device/interpreter.ts";
import { PlanningDevice } from "../../src/device/planning.ts";
import { allCases } from "../../src/kernels/all-cases.ts";
import { isWithin } from "../../src/kernels/case.ts";
import { compressPool } from "../../src/kernels/compress-pool.ts";
import { embedding } from "../../src/kernels/embedding.ts";
import { groupedMatmul } from "../../src/kernels/grouped-matmul.ts";
import { hcProject } from "../../src/kernels/hc-project.ts";
import { hcPost, hcPre, hcSplit } from "../../src/kernels/hyper-connection.ts";
import { indexScores, topkMask } from "../../src/kernels/indexer.ts";
import { linear } from "../../src/kernels/matmul.ts";
import { combineRows, gatherRows, moeRouter } from "../../src/kernels/moe.ts";
import { moePlan } from "../../src/kernels/moe-plan.ts";
import { sortedRows } from "../../src/kernels/work-list.ts";
import { empty, toHost, type NdArray } from "../../src/kernels/nd-array.ts";
import { rmsNorm } from "../../src/kernels/norm.ts";
import { rope } from "../../src/kernels/rope.ts";
import { slotAttention } from "../../src/kernels/slot-attention.ts";
import { sparseAttention } from "../../src/kernels/sparse-attention.ts";
import { swiglu } from "../../src/kernels/swiglu.ts";
import { topkIndices } from "../../src/kernels/topk-indices.ts";
import { ascend2201 } from "../../src/tile/chips/ascend.ts";
import { chipNames, chips } from "../../src/tile/chips/chips.ts";
import type { Chip } from "../../src/tile/chips/types.ts";
import type { TileProgram } from "../../src/tile/ir.ts";
import { lower } from "../../src/tile/passes.ts";

const [H, D, DIM, T] = [64, 512, 4096, 4];
const host: DeviceProperties = { name: "none", target: "none", numThreads: 2, features: [] };
let device = new PlanningDevice(host);
/** The programs `launch` builds when the device is `chip`, or a host; throws where none fits. */
function plan(chip: Chip | undefined, launch: () => unknown): readonly TileProgram[] {
  device = new PlanningDevice(chip ? { ...host, chip } : host);
  launch();
  return device.programs;
}
const make = (shape: readonly number[], dtype: DType = "bf16"): NdArray => empty(device, shape, dtype);
const f32 = (...shape: number[]): NdArray => make(shape, "f32");

/** Shapes of the released V4-Flash configuration, few tokens. */
const launches: Readonly<Record<string, () => unknown>> = {
  embedding: () => embedding(device, make([100, DIM]), make([T], "i32")),
  "stream projection": () => hcProject(device, make([T, 4 * DIM]), f32(24, 4 * DIM)),
  norm: () => rmsNorm(device, make([T, DIM]), f32(DIM), { eps: 1e-6 }),
  "prefill projection": () => linear(device, make([256, DIM]), make([1024, DIM])),
  "decode projection": () => linear(device, make([1, DIM]), make([1024, DIM])),
  "f32 logits": () => linear(device, f32(1, DIM), f32(1024, DIM)),
  rope: () => rope(device, make([1, T, H, D]), { freqs: f32(32), start: 0, step: 1, inverse: true }),
  attention: () =>
    sparseAttention(device, {
      q: make([1, T, H, D]), kv: make([1, 8, D]), ckv: make([1, 64, D]), mask: make([1, T, 64], "u8"), sink: f32(H),
      queryStart: 0, keyStart: 0, window: 128, ratio: 4, scale: 1,
    }), // prettier-ignore
  "index scores": () => indexScores(device, { iq: make([1, T, 64, 128]), ik: make([1, 64, 128]), w: make([1, T, 64]), ratio: 4, queryStart: 0 }), // prettier-ignore
  "top 512 of 8192": () => topkMask(device, f32(1, T, 8192), 512),
  "top 512 of 262144": () => topkIndices(device, f32(1, T, 262144), 512),
  "attention to a list": () =>
    sparseAttention(device, {
      q: make([1, T, H, D]), kv: make([1, 64, D]), ckv: make([1, 4096, D]), chosen: make([1, T, 512], "i32"), sink: f32(H),
      queryStart: 16380, keyStart: 16320, isAnchored: true, window: 128, ratio: 4, scale: 1,
    }), // prettier-ignore
  "attention in slots": () =>
    slotAttention(device, {
      q: make([1, T, H, D]), kv: make([1, 131, D]), ckv: make([1, 64, D]), mask: make([1, T, 64], "u8"), sink: f32(H),
      queryStart: 300, keyStart: 173, window: 128, ratio: 4, scale: 1,
    }), // prettier-ignore
  "light compression": () => compressPool(device, { kv: make([1, 64, 2 * D]), score: make([1, 64, 2 * D]), ape: f32(4, 2 * D), m: 4, overlap: true }), // prettier-ignore
  "heavy compression": () => compressPool(device, { kv: make([1, 256, D]), score: make([1, 256, D]), ape: f32(128, D), m: 128, overlap: false }), // prettier-ignore
  "stream split": () => hcSplit(device, hcProject(device, make([T, 4 * DIM]), f32(24, 4 * DIM)), { base: f32(24), scale: f32(3), n: 4, iters: 20, eps: 1e-6, normEps: 1e-6 }), // prettier-ignore
  "stream mixing": () => [hcPre(device, make([T, 4, DIM]), f32(T, 4)), hcPost(device, make([T, DIM]), make([T, 4, DIM]), f32(T, 4), f32(T, 4, 4))], // prettier-ignore
  "expert plans": () => [1, T, 21, 85, 170].map((rows) => moePlan(device, make([rows, 6], "i32"), f32(rows, 6), 256)),
  router: () => moeRouter(device, f32(T, 256), { k: 6, bias: f32(256), scale: 1.5 }),
  "expert rows": () => [
    gatherRows(device, make([T, DIM]), make([6 * T], "i32")),
    combineRows(device, make([6 * T, DIM]), { k: 6, inverse: make([6 * T], "i32") }), // prettier-ignore
  ],
  "work lists": () => [1, 8, 128].map((m) => sortedRows(device, make([257], "i32"), 6 * T).tilesOf(m)),
  experts: () =>
    groupedMatmul(device, make([6 * T, 512]), make([4, 256, 512]), sortedRows(device, make([5], "i32"), 6 * T)),
  swiglu: () => swiglu(device, make([T, 2048]), make([T, 2048]), { limit: 10, rowScale: f32(T) }),
};

test("V4-Flash's shapes fit every chip", () => {
  const refused: string[] = [];
  for (const name of chipNames)
    for (const [what, launch] of Object.entries(launches))
      try {
        const programs = plan(chips[name], launch);
        assert.ok(programs.length > 0, what);
        for (const program of programs) lower(program, chips[name]);
      } catch (error) {
        assert.ok(error instanceof CompileError && error.pass === "checkCapacity", `${what}: ${String(error)}`);
        refused.push(`${what} on ${name}`);
      }
  assert.deepEqual(refused, []);
});

/** A 910B with so little memory that the cases' small shapes must be cut too. */
const { UB, L1, L0A, L0B, L0C } = ascend2201.spaces;
const smallChip = (vectorBytes: number): Chip => ({
  ...chips["ascend-910b"],
  arch: {
    ...ascend2201,
    spaces: {
      UB: { ...UB, sizeBytes: vectorBytes, reservedBytes: 0 },
      L1: { ...L1, sizeBytes: 16 * 1024 },
      L0A: { ...L0A, sizeBytes: 4 * 1024 },
      L0B: { ...L0B, sizeBytes: 4 * 1024 },
      L0C: { ...L0C, sizeBytes: 4 * 1024 },
    },
  },
});
/** Op -> vector memory in KiB. */
const cutOps = { sparseAttention: 32, compressPool: 32, groupedMatmul: 32, norm: 10, map: 6, indexer: 4 } as const;

test("tiles cut for a small chip give the same results", () => {
  for (const [op, size] of Object.entries(cutOps)) {
    const small = smallChip(size * 1024);
    const cut: Device = Object.assign(openInterpreter(), { properties: { ...host, chip: small } });
    const found = allCases.find((c) => c.op === op);
    assert.ok(found, op);
    const everyCase = (): void => found.cases.forEach((c) => c.run(device));
    const whole = new Set(plan(undefined, everyCase));
    assert.ok(plan(small, everyCase).some((p) => !whole.has(p)), `${op}: expected smaller tiles`); // prettier-ignore
    for (const c of found.cases) {
      // Seconds in the interpreter, and no other path.
      if (c.name === "long") continue;
      const want = c.expected();
      c.run(cut).forEach((array, i) => {
        const { why } = c.tolerance;
        (toHost(array) as Float32Array).forEach((got, j) => {
          const w = want[i]![j]!;
          assert.ok(isWithin(got, w, c.tolerance), `${op} ${c.name}: output ${i}[${j}]: expected ${w}, got ${got} (${why})`); // prettier-ignore
        });
      });
    }
  }
});
