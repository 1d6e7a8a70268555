/**
 * The MLU simulators take BANG C in the way others write it, for several numbers of tasks and random orders, and reject
 * every mutation in the table, or give a wrong answer to it. Skipped by name without a C++ compiler.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bf16ToF32 } from "../../src/base/bf16.ts";
import { CompileError } from "../../src/base/errors.ts";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";
import type { DeviceBuffer } from "../../src/device/device.ts";
import { bangKernel, stripPointed } from "../../src/device/sim/mlu/foreign.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import type { SimDevice, SimKernel, SimSource } from "../../src/device/sim/sim-device.ts";
import { SimulationError } from "../../src/device/sim/violation.ts";
import { bangCases, halfScale, mutated, sourceOf, type BangCase } from "./sim-mlu-cases.ts";

const skip = findCompiler() ? false : "sim:mlu: no C++ compiler";
const sourceFor = (c: BangCase, text = sourceOf(c.file)): SimSource => bangKernel(text, c.name, c.args, c.kind);

/** Runs once; the first value that is wrong, or undefined. Throws SimulationError. */
function wrongAfter(
  device: SimDevice,
  kernel: SimKernel,
  c: BangCase,
  numBlocks: number,
  seed: number,
  dims?: readonly [number, number, number],
): string | undefined {
  // prettier-ignore
  const buffers: DeviceBuffer[] = [];
  const args = c.values.map((v) => {
    if (typeof v === "number") return v;
    const buffer = device.alloc(v.byteLength);
    device.copyIn(buffer, 0, v);
    buffers.push(buffer);
    return { buffer, byteOffset: 0 };
  });
  try {
    device.run(kernel, args, { numBlocks, seed, ...(dims && { dims }) });
    const like = c.values[0] as Float32Array | Uint16Array;
    const out = like.slice();
    device.copyOut(buffers[0]!, 0, out);
    const got = out instanceof Uint16Array ? bf16ToF32(out) : out;
    for (let i = 0; i < got.length; i++)
      if (!(Math.abs(got[i]! - c.expected[i]!) <= c.tolerance)) return `element ${i}: expected ${c.expected[i]}, got ${got[i]}`; // prettier-ignore
    return undefined;
  } finally {
    for (const b of buffers) device.free(b);
  }
}
/** How a mutant is caught: by a rule, by its answer, or not. */
function caught(device: SimDevice, kernel: SimKernel, c: BangCase): string | undefined {
  for (const numBlocks of c.taskDims)
    for (const seed of [0, 1, 2])
      try {
        if (wrongAfter(device, kernel, c, numBlocks, seed)) return "wrong answer";
      } catch (error) {
        if (!(error instanceof SimulationError)) throw error;
        return error.rule;
      }
  return undefined;
}

for (const name of ["sim:mlu-370", "sim:mlu-590"])
  test(`${name} accepts kernels as others write them`, { skip }, () => {
    const device = openSim(name);
    const cases = [...bangCases, ...(name === "sim:mlu-590" ? [halfScale()] : [])];
    const kernels = device.compileKernels(cases.map((c) => sourceFor(c)));
    cases.forEach((c, i) => {
      for (const numBlocks of c.taskDims)
        for (const seed of [0, 1, 2, 3, 4]) assert.equal(wrongAfter(device, kernels[i]!, c, numBlocks, seed), undefined, `${c.name}, ${numBlocks} tasks, seed ${seed}`); // prettier-ignore
    });
    assert.throws(() => wrongAfter(device, kernels[2]!, bangCases[2]!, 6, 0), (e: unknown) => e instanceof SimulationError && e.rule === "task-type"); // prettier-ignore
  });

test("tasks have places along three axes: a cluster along x, clusters along y", { skip }, () => {
  const device = openSim("sim:mlu-370");
  const c = bangCases.find(({ name }) => name === "clusterSum")!;
  const byRows = sourceOf(c.file).replace("const int jobs = taskDim / 4;", "const int jobs = taskDimY;").replace("int b = taskId / 4;", "int b = taskIdY;"); // prettier-ignore
  const [kernel, byColumns] = device.compileKernels([byRows, byRows.replace("int b = taskIdY;", "int b = taskIdX;")].map((text) => sourceFor(c, text))); // prettier-ignore
  for (const clusters of [1, 2, 3]) {
    const run = (k: SimKernel, dims: readonly [number, number, number]) => wrongAfter(device, k, c, 4 * clusters, 1, dims); // prettier-ignore
    assert.equal(run(kernel!, [4, clusters, 1]), undefined);
    assert.ok(caughtBy(() => run(byColumns!, [4, clusters, 1])));
  }
  const refused = (dims: readonly [number, number, number]) => assert.throws(() => wrongAfter(device, kernel!, c, 8, 0, dims), (e: unknown) => e instanceof SimulationError && e.rule === "task-type"); // prettier-ignore
  refused([2, 4, 1]);
  refused([4, 3, 1]);
});
const caughtBy = (run: () => string | undefined): boolean => {
  try {
    return run() !== undefined;
  } catch (error) {
    if (error instanceof SimulationError) return true;
    throw error;
  }
};

test("sim:mlu-370 rejects every mutation", { skip }, (t) => {
  const device = openSim("sim:mlu-370");
  const all = bangCases.flatMap((c) => c.mutants.map((mutant) => ({ c, mutant })));
  const kernels = device.compileKernels(all.map(({ c, mutant }) => sourceFor(c, mutated(sourceOf(c.file), mutant))));
  const table = new Map<string, Map<string, number>>();
  const missed: string[] = [];
  all.forEach(({ c, mutant }, i) => {
    const how = caught(device, kernels[i]!, c);
    if (!how) missed.push(`${c.name}: ${mutant.kind}: ${mutant.find} -> ${mutant.with}`);
    const row = table.get(mutant.kind) ?? new Map<string, number>();
    table.set(mutant.kind, row.set(how ?? "missed", (row.get(how ?? "missed") ?? 0) + 1));
  });
  for (const [kind, row] of table) t.diagnostic(`${kind}: ${[...row].map(([how, n]) => `${n} ${how}`).join(", ")}`);
  assert.deepEqual(missed, []);
});

test("a broken rule names kernel, line, memory and rule", { skip }, () => {
  const device = openSim("sim:mlu-370");
  const c = bangCases[0]!;
  const source = sourceOf(c.file).replace("TILE);\n    }\n    __sync();", "TILE + 32);\n    }\n    __sync();");
  const [kernel] = device.compileKernels([sourceFor(c, source)]);
  assert.throws(
    () => wrongAfter(device, kernel!, c, 1, 0),
    (e: unknown) => {
      assert.ok(e instanceof SimulationError);
      assert.deepEqual([e.kernel, e.rule], ["vectorAdd", "sync"]);
      assert.match(e.stage, /__bang_add/);
      assert.match(e.buffer, /^NRAM bufA\+/);
      return true;
    },
  );
});

test("element types are a matter of the architecture", { skip }, () => {
  assert.throws(() => openSim("sim:mlu-370").compileKernels([sourceFor(halfScale())]), (e: unknown) => e instanceof CompileError && /__bang_mul_scalar\(bfloat16_t/.test(e.message)); // prettier-ignore
});

test("qualifiers of what is pointed to are taken out", () => {
  assert.equal(stripPointed("(__nram__ float*)p; f(__wram__ const half* x); __nram__ float a[4];"), "(float*)p; f(const half* x); __nram__ float a[4];"); // prettier-ignore
});
