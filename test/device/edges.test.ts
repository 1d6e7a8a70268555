/**
 * What copies and choices do at their edges, on every host and every simulated architecture with all rules checked, bit by
 * bit as the interpreter has it: rows gathered onto a tile, boxes that begin before their view, selection of narrow floats.
 */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { ShapeError } from "../../src/base/errors.ts";
import { dtypes, type DType } from "../../src/base/dtype.ts";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import type { Device } from "../../src/device/device.ts";
import { openInterpreter } from "../../src/device/interpreter.ts";
import { openJs } from "../../src/device/js/js-device.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import { run } from "../../src/kernels/launch.ts";
import { empty, fromHost, toHost, type NdArray } from "../../src/kernels/nd-array.ts";
import { kernel, type KernelBuilder, type Tile } from "../../src/tile/builder.ts";
import { chips } from "../../src/tile/chips/chips.ts";
import type { TileProgram } from "../../src/tile/ir.ts";
import { memoryOf } from "../../src/tile/memory.ts";
import { lower } from "../../src/tile/passes.ts";

const sims = ["ascend-910b", "ascend-950", "mlu-370", "mlu-590"] as const;
const cpu = openCpu();
const places: Readonly<Record<string, Device>> = {
  js: openJs(),
  ...(cpu && { cpu, ...Object.fromEntries(sims.map((name) => [name, openSim(`sim:${name}`)])) }),
};

/** Built together: one translation unit costs little more than one kernel. */
const programs: TileProgram[] = [];
const later = (program: TileProgram): TileProgram => {
  programs.push(program);
  return program;
};
before(() => {
  for (const device of Object.values(places)) device.build(programs);
});

/** Numbers of a dtype, from a function of their place. */
function put(device: Device, dtype: DType, shape: readonly number[], f: (i: number) => number): NdArray {
  const size = shape.reduce((a, b) => a * b, 1);
  const data = new dtypes[dtype].storage(size);
  const memory = memoryOf(new Uint8Array(data.buffer), 0, dtype);
  for (let i = 0; i < size; i++) memory.set(i, f(i));
  return fromHost(device, data, shape, dtype);
}
/** The outputs of a launch, as bits. */
type Launch = (device: Device) => NdArray[];
function sameEverywhere(launch: Launch, except: readonly string[] = []): void {
  const want = launch(openInterpreter()).map(toHost);
  for (const [name, device] of Object.entries(places))
    if (!except.includes(name)) assert.deepEqual(launch(device).map(toHost), want, name);
}

const ROWS = 12;
/** Rows of x under rows of a, where x has none; `build` makes what the rows go onto, and may store more. */
const ontoKernel = (dtype: DType, cols: number, build: (k: KernelBuilder, below: Tile) => Tile): TileProgram =>
  kernel("onto", (k) => {
    const [n, turns] = [k.index("n"), k.index("turns")];
    const [a, x] = ["a", "x"].map((name) => k.view(k.buffer(name, dtype), [n, cols]));
    const [low, high] = ["low", "high"].map((name) => k.load(k.view(k.buffer(name, "i32"), [ROWS]), [0], [ROWS]));
    const y = k.view(k.buffer("y", dtype, "out"), [turns.mul(ROWS), cols]);
    k.loop({ end: turns }, [], (i) => {
      const below = build(k, k.gather(a!, low!, cols, { other: 3 }));
      k.store(y, [i.mul(ROWS), 0], k.gather(x!, high!.sub(k.fromIndex(i)), cols, { other: below }));
      return [];
    });
  });
const ontoLaunch = (program: TileProgram, dtype: DType, cols: number, more: (device: Device) => Readonly<Record<string, NdArray>> = () => ({})): Launch => (device) => {
  const n = 7;
  const y = empty(device, [3 * ROWS, cols], dtype);
  const kept = more(device);
  run(device, program, [1, 1, 1], {
    n, turns: 3, y, ...kept,
    a: put(device, dtype, [n, cols], (i) => i % 100),
    x: put(device, dtype, [n, cols], (i) => -(i % 90) - 1),
    low: put(device, "i32", [ROWS], (i) => (i % 4 === 3 ? -1 : (i * 3) % n)),
    high: put(device, "i32", [ROWS], (i) => (i % 3 === 1 ? (i * 5) % (n + 2) : -1)),
  });
  return [y, ...Object.values(kept)];
}; // prettier-ignore

for (const [dtype, cols] of [
  ["bf16", 24],
  ["f32", 8],
  ["bf16", 1],
] as const) {
  const program = later(ontoKernel(dtype, cols, (_k, below) => below));
  test(`rows of ${dtype} [${ROWS},${cols}] gathered onto gathered rows`, () => {
    sameEverywhere(ontoLaunch(program, dtype, cols));
  });
}
const readAgain = later(
  ontoKernel("f32", 16, (k, below) => {
    k.store(k.view(k.buffer("kept", "f32", "out"), [ROWS, 16]), [0, 0], below);
    return below;
  }),
);
test("what is gathered onto stays as it is where it is read again", () => {
  sameEverywhere(ontoLaunch(readAgain, "f32", 16, (device) => ({ kept: empty(device, [ROWS, 16]) })));
});
/** Onto a tile that all turns of a loop share. */
const outside = kernel("outside", (k) => {
  const [n, turns] = [k.index("n"), k.index("turns")];
  const [a, x] = ["a", "x"].map((name) => k.view(k.buffer(name, "f32"), [n, 16]));
  const [low, high] = ["low", "high"].map((name) => k.load(k.view(k.buffer(name, "i32"), [ROWS]), [0], [ROWS]));
  const below = k.gather(a!, low!, 16);
  const y = k.view(k.buffer("y", "f32", "out"), [turns.mul(ROWS), 16]);
  k.loop({ end: turns }, [], (i) => {
    k.store(y, [i.mul(ROWS), 0], k.gather(x!, high!.sub(k.fromIndex(i)), 16, { other: below }));
    return [];
  });
});
const others = {
  numbers: ontoKernel("f32", 16, (k) => k.full([ROWS, 16], 0.5)),
  "what was computed": ontoKernel("f32", 16, (_k, below) => below.mul(2)),
  "a tile made before the loop": outside,
};
for (const [what, program] of Object.entries(others)) {
  later(program);
  test(`rows are gathered onto ${what}`, () => sameEverywhere(ontoLaunch(program, "f32", 16)));
}
test("gathered rows share the memory of those they go onto", () => {
  const program = ontoKernel("bf16", 512, (_k, below) => below);
  for (const name of sims) {
    const { memory } = lower(program, chips[name]);
    const gathered = memory.placements.filter((p) => p.part === "value" && p.bytes % (ROWS * 512 * 2) === 0);
    assert.equal(gathered.length, 1, `${name}: ${gathered.length} places`);
  }
});
test("a tile to gather onto is like the result", () => {
  assert.throws(() => ontoKernel("f32", 8, (k) => k.full([ROWS, 9], 0)), (e) => e instanceof ShapeError && /gather: expected other f32 \[12,8\], got f32 \[12,9\]/.test(e.message)); // prettier-ignore
});

const BOX = 70;
/** y[p] = the box of x that begins at column start - 9 p, with 5 outside. */
const beforeKernel = (dtype: DType, height: number): TileProgram =>
  kernel("before", (k) => {
    const [rows, cols, start] = [k.index("rows"), k.index("cols"), k.index("start")];
    const x = k.view(k.buffer("x", dtype), [rows, cols]);
    const p = k.programId(0);
    const box = k.load(x, [k.programId(1), start.sub(p.mul(9))], [height, BOX], { other: 5 });
    const y = k.view(k.buffer("y", dtype, "out"), [k.index("programs"), k.index("tops"), height, BOX]);
    k.store(y, [p, k.programId(1), 0, 0], box.reshape([1, 1, height, BOX]));
  });
for (const [dtype, height] of [
  ["u8", 1],
  ["bf16", 3],
  ["f32", 3],
] as const) {
  const program = later(beforeKernel(dtype, height));
  test(`boxes of ${dtype} [${height},${BOX}] that begin before their view`, () => {
    const [rows, tops, turns] = [4, 4, 14];
    for (const [start, cols] of [
      [40, 23],
      [40, 200],
      [33, 64],
      [8, 1],
    ] as const)
      // prettier-ignore
      sameEverywhere((device) => {
        const y = empty(device, [turns, tops, height, BOX], dtype);
        const x = put(device, dtype, [rows, cols], (i) => i % 100);
        run(device, program, [turns, tops, 1], { rows, cols, start, programs: turns, tops, x, y });
        return [y];
      });
  });
}

const odd = [0, -0, Infinity, -Infinity, 1.5, -(2 ** -14), 3 * 2 ** 10, -1];
for (const dtype of ["bf16", "f16"] as const) {
  const program = later(
    kernel("narrow_select", (k) => {
      const [a, b] = ["a", "b"].map((name) => k.load(k.view(k.buffer(name, dtype), [3, 40]), [0, 0], [3, 40]));
      const cond = k.load(k.view(k.buffer("c", "f32"), [3, 40]), [0, 0], [3, 40]).gt(0);
      k.store(k.view(k.buffer("y", dtype, "out"), [3, 40]), [0, 0], k.select(cond, a!, b!));
    }),
  );
  test(`${dtype} is selected bit by bit`, () => {
    sameEverywhere((device) => {
      const y = empty(device, [3, 40], dtype);
      run(device, program, [1, 1, 1], {
        y,
        a: put(device, dtype, [3, 40], (i) => odd[i % odd.length]!),
        b: put(device, dtype, [3, 40], (i) => odd[(i * 3 + 1) % odd.length]!),
        c: put(device, "f32", [3, 40], (i) => Math.sin(i)),
      });
      return [y];
    });
  });
}
