/**
 * The project's own kernels on the MLU simulators: every kernel case, with every rule checked; and mutations of the
 * emitted source, which must not pass. Skipped by name without a C++ compiler.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bf16ToF32 } from "../../src/base/bf16.ts";
import { findCompiler, SYMBOL } from "../../src/device/cpu/toolchain.ts";
import type { BufferArg, DeviceBuffer, LaunchArg } from "../../src/device/device.ts";
import { openInterpreter } from "../../src/device/interpreter.ts";
import { PlanningDevice } from "../../src/device/planning.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import type { SimDevice, SimKernel } from "../../src/device/sim/sim-device.ts";
import { SimulationError } from "../../src/device/sim/violation.ts";
import { allCases } from "../../src/kernels/all-cases.ts";
import { isWithin, type KernelCase } from "../../src/kernels/case.ts";
import { toHost } from "../../src/kernels/nd-array.ts";
import { chips } from "../../src/tile/chips/chips.ts";
import { emitMlu } from "../../src/tile/emit/mlu.ts";
import type { TileProgram } from "../../src/tile/ir.ts";
import { watchTraffic } from "./traffic.ts";

const skip = findCompiler() ? false : "sim:mlu: no C++ compiler";
/** Without "long", which takes no other path. */
const cases = allCases
  .filter(({ onlyWhere = () => true }) => onlyWhere(chips["mlu-590"]))
  .flatMap(({ op, cases: list }) => list.filter((c) => c.name !== "long").map((c) => ({ op, c })));

/** Builds what the cases will launch, so that few compilers start. */
function buildAhead(device: SimDevice): void {
  const planning = new PlanningDevice(device.properties);
  for (const { c } of cases) c.run(planning);
  device.build([...new Set(planning.programs)]);
}

function check(device: SimDevice, c: KernelCase): void {
  const want = c.expected();
  c.run(device).forEach((array, i) => {
    const raw = toHost(array);
    const values = array.dtype === "bf16" ? bf16ToF32(raw as Uint16Array) : raw;
    const { why } = c.tolerance;
    for (let j = 0; j < values.length; j++) {
      const [g, w] = [values[j]!, want[i]![j]!];
      if (!isWithin(g, w, c.tolerance)) assert.fail(`output ${i}, element ${j}: expected ${w}, got ${g} (${why})`); // prettier-ignore
    }
  });
}

for (const name of ["sim:mlu-370", "sim:mlu-590"])
  test(`${name}: all kernel cases`, { skip }, async (t) => {
    const device = openSim(name, { seed: 3 });
    buildAhead(device);
    const traffic = watchTraffic(device);
    for (const { op, c } of cases) await t.test(`${op}: ${c.name}`, () => check(device, c));
    assert.ok(traffic.launches > 100, `expected the launches of all cases, got ${traffic.launches}`);
    assert.deepEqual(traffic.wrong, [], "the bytes of the cost model are those that are counted");
  });

/** Edits of emitted text: kind, kernel, what, by what. Each occurs at least once; the first one is edited. */
const edits: readonly (readonly [kind: string, kernel: string, find: RegExp, replacement: string])[] = [
  ["tail +-1", "rms_norm", /, 768, GDRAM2NRAM/, ", 766, GDRAM2NRAM"],
  ["tail +-1", "rms_norm", /, 768, NRAM2GDRAM/, ", 770, NRAM2GDRAM"],
  ["tail +-1", "rms_norm", /hi0 - 1\);/, "hi0);"],
  ["tail +-1", "softmax", /hi0 - 1\);(?=[\s}]*$)/, "hi0);"],
  ["tail +-1", "matmul", /__bang_matmul\((\w+), (\w+), (\w+), (\d+), (\d+)/, "__bang_matmul($1, $2, $3, $4 - 1, $5"],
  ["stride in elements", "rms_norm", /384 \* 2, hi0 - 1/, "384, hi0 - 1"],
  ["stride in elements", "matmul", /n_k \* 2/, "n_k"],
  ["drop fill of the tail", "matmul", /__bang_write_value\((next_[ab]_tile)/g, "if (false) __bang_write_value($1"],
  ["drop fill of the tail", "hc_project", /__bang_write_value\(turned_right/, "if (false) __bang_write_value(turned_right"],
  ["shrink a buffer", "rms_norm", /char nram\[(\d+)\]/, "char nram[$1 - 128]"],
  ["shrink a buffer", "matmul", /char wram\[(\d+)\]/, "char wram[$1 - 64]"],
  ["overlap two", "rms_norm", /as_f32 = \(float\*\)\(nram \+ (\d+)\)/, "as_f32 = (float*)(nram + $1 - 6016)"],
  ["overlap two", "softmax", /div = \(float\*\)\(nram \+ \d+\)/, "div = (float*)(nram + 128)"],
  ["capacity", "rms_norm", /char nram\[\d+\]/, "char nram[800 * 1024]"],
  ["row-major filter", "matmul", /__bang_reshape_filter\((\w+), (\w+), (\d+), 1, 1, (\d+)\);/, "__memcpy($1, $2, $3 * $4 * 4, NRAM2NRAM);"],
  ["filter shape", "matmul", /__bang_reshape_filter\((\w+), (\w+), (\d+), 1, 1, (\d+)\);/, "__bang_reshape_filter($1, $2, $3 / 2, 1, 1, $4);"],
  ["alignment", "rms_norm", /__bang_mul\(mul, as_f32, as_f32, 3072\)/, "__bang_mul(mul + 1, as_f32, as_f32, 3071)"],
  ["wrong direction", "rms_norm", /NRAM2GDRAM/, "GDRAM2NRAM"],
  ["missing core", "rms_norm", /\(taskDim - 1\) \* group/, "taskDim * group"],
  ["missing core", "rms_norm", /next = taskId \* group/, "next = coreId * group"],
  ["drop one sync", "rms_norm", /__sync_io\(\);/, ""],
  ["drop one sync", "rms_norm", /__sync\(\);/, ""],
  ["drop one sync", "rms_norm", /__sync_compute\(\);/, ""],
  ["weaken one sync", "rms_norm", /__sync\(\);/, "__sync_io();"],
  ["weaken one sync", "rms_norm", /__sync\(\);/, "__sync_compute();"],
  ["one buffer for two", "rms_norm", /x_tiles \+ turn % 2/, "x_tiles + (turn + 1) % 2"],
  ["one buffer for two", "rms_norm", /y_tiles \+ turn % 2/, "y_tiles + 0"],
  ["drop one sync", "matmul", /__sync_io\(\);/, ""],
  ["drop one sync", "matmul", /__sync\(\);/, ""],
  ["drop one sync", "matmul", /__sync_compute\(\);/, ""],
  ["weaken one sync", "matmul", /__sync\(\);/, "__sync_compute();"],
  ["shared line", "hc_project", /while \(group < 64 [^;]*;/, ""],
  ["count of a sum", "softmax", /__bang_sum\((\w+) \+ r \* 1024, 1024\)/, "__bang_sum($1 + r * 1024, 1024 - 32)"],
  ["count of a sum", "rms_norm", /__bang_sum\((\w+) \+ r \* 384, 384\)/, "__bang_sum($1 + r * 384, 384 + 32)"],
]; // prettier-ignore

/** The first program of this name that the chip takes, in the shapes of its launches there. */
const programOf = (name: string): TileProgram =>
  allCases.flatMap((c) => c.programs(chips["mlu-370"])).find((p) => p.name === name)!;
/** Numbers, grid and elements of each buffer: rows that end within a tile, memory that ends with the arrays. */
interface Launch {
  readonly numbers: Readonly<Record<string, number>>;
  readonly grid: readonly number[];
  readonly elements: Readonly<Record<string, number>>;
}
const launches: Readonly<Record<string, Launch>> = {
  rms_norm: { numbers: { rows: 21, eps: 1e-6 }, grid: [3, 1, 1], elements: { x: 21 * 384, y: 21 * 384, w: 384 } },
  softmax: { numbers: { rows: 10 }, grid: [3, 1, 1], elements: { x: 10 * 1024, y: 10 * 1024 } },
  matmul: { numbers: { m: 132, n: 136, k: 272, aBatch: 0, bBatch: 0 }, grid: [2, 2, 1], elements: { a: 132 * 272, b: 136 * 272, y: 132 * 136 } },
  hc_project: { numbers: { rows: 21, pitch: 21 }, grid: [12, 1, 1], elements: { x: 21 * 1536, fn: 24 * 1536, dots: 12 * 21 * 24, squares: 12 * 21 } },
}; // prettier-ignore

/** Buffers of small numbers. */
function argsFor(
  device: { alloc(n: number): DeviceBuffer; copyIn: SimDevice["copyIn"] },
  program: TileProgram,
): Map<string, LaunchArg> {
  // prettier-ignore
  const { numbers, elements } = launches[program.name]!;
  return new Map<string, LaunchArg>(
    program.params.map((p): [string, LaunchArg] => {
      if (p.kind !== "buffer") return [p.name, numbers[p.name]!];
      const data = p.dtype === "f32" ? Float32Array.from({ length: elements[p.name]! }, (_, i) => Math.sin(i)) : Uint16Array.from({ length: elements[p.name]! }, (_, i) => 0x3f00 + (i % 61)); // prettier-ignore
      const buffer = device.alloc(data.byteLength);
      device.copyIn(buffer, 0, data);
      return [p.name, { buffer, byteOffset: 0 }];
    }),
  );
}
/** Bytes of the buffers that the program writes. */
const outputs = (program: TileProgram, args: ReadonlyMap<string, LaunchArg>): Uint8Array[] =>
  program.params.flatMap((p) => (p.kind === "buffer" && p.mode !== "in" ? [(args.get(p.name) as BufferArg).buffer.bytes!.slice()] : [])); // prettier-ignore

function runOn(device: SimDevice, kernel: SimKernel, program: TileProgram, numBlocks: number): Uint8Array[] {
  const args = argsFor(device, program);
  try {
    device.run(kernel, [...args.values(), ...launches[program.name]!.grid], { numBlocks });
    return outputs(program, args);
  } finally {
    for (const a of args.values()) if (typeof a !== "number") device.free(a.buffer);
  }
}

test("sim:mlu-370 rejects mutations of emitted kernels", { skip }, (t) => {
  const device = openSim("sim:mlu-370");
  const names = [...new Set(edits.map(([, kernel]) => kernel))];
  const programs = new Map(names.map((name) => [name, programOf(name)]));
  const emitted = new Map(names.map((name) => [name, emitMlu(programs.get(name)!, chips["mlu-370"], SYMBOL).source]));
  const source = (name: string, text: string) => ({ name, source: text, kind: "block", args: programs.get(name)!.params.map((p) => p.name) }); // prettier-ignore
  const mutants = edits.map(([, name, find, replacement]) => {
    const text = emitted.get(name)!;
    assert.match(text, find, `${name}: expected a text for the mutation`);
    return source(name, text.replace(find, replacement));
  });
  const kernels = device.compileKernels([...names.map((name) => source(name, emitted.get(name)!)), ...mutants]);
  const right = new Map(names.map((name, i) => [name, runOn(device, kernels[i]!, programs.get(name)!, 3)]));
  // The unchanged kernels agree with the interpreter on whatever numbers of tasks.
  names.forEach((name, i) => {
    for (const tasks of [1, 2]) assert.deepEqual(runOn(device, kernels[i]!, programs.get(name)!, tasks), right.get(name), `${name} on ${tasks} tasks`); // prettier-ignore
  });
  const interpreter = openInterpreter();
  const softmax = programs.get("softmax")!;
  const args = argsFor(interpreter as unknown as SimDevice, softmax);
  interpreter.launch(interpreter.build([softmax])[0]!, launches["softmax"]!.grid, Object.fromEntries(args));
  const near = (x: Uint8Array, y: Uint8Array): boolean => bf16ToF32(new Uint16Array(x.slice().buffer)).every((v, i) => Math.abs(v - bf16ToF32(new Uint16Array(y.slice().buffer, i * 2, 1))[0]!) <= 0.01 * Math.abs(v)); // prettier-ignore
  assert.ok(near(right.get("softmax")![0]!, outputs(softmax, args)[0]!), "softmax agrees with the interpreter");

  const missed: string[] = [];
  const table = new Map<string, string[]>();
  edits.forEach(([kind, name, find], i) => {
    let how: string | undefined;
    for (const tasks of [1, 2, 3])
      try {
        const got = runOn(device, kernels[names.length + i]!, programs.get(name)!, tasks);
        if (!how && got.some((bytes, j) => Buffer.compare(bytes, right.get(name)![j]!) !== 0)) how = "wrong answer";
      } catch (error) {
        if (!(error instanceof SimulationError)) throw error;
        how = error.rule;
        break;
      }
    if (!how) missed.push(`${name}: ${kind}: ${find}`);
    table.set(kind, [...(table.get(kind) ?? []), how ?? "missed"]);
  });
  for (const [kind, list] of table) t.diagnostic(`${kind}: ${list.join(", ")}`);
  assert.deepEqual(missed, []);
});
