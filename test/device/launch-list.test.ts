/** Launches that run as one kernel: the numbers are those of launches one by one, every rule checked, and barriers are needed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import type { Device } from "../../src/device/device.ts";
import { PlanningDevice } from "../../src/device/planning.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import { SimDevice } from "../../src/device/sim/sim-device.ts";
import { simTargets, type SimTarget } from "../../src/device/sim/targets.ts";
import { allCases } from "../../src/kernels/all-cases.ts";
import { run } from "../../src/kernels/launch.ts";
import { linear } from "../../src/kernels/matmul.ts";
import { gatherRows, moeRouter } from "../../src/kernels/moe.ts";
import { empty, fromHost, toHost, type NdArray } from "../../src/kernels/nd-array.ts";
import { rmsNorm } from "../../src/kernels/norm.ts";
import { kernel } from "../../src/tile/builder.ts";
import { scaleKernel } from "./tiny-kernels.ts";

const skip = openCpu() ? false : "no C++ compiler";
const [ROWS, WIDTH, EXPERTS] = [20, 64, 16];
const wave = (n: number, f: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(i * f + 0.4));

/** Rows of x up to a number in device memory, which scalar code reads; zeros after them. */
const firstRows = kernel("first_rows", (k) => {
  const end = k.read(k.view(k.buffer("counts", "i32"), [k.index("numCounts")]), [k.index("at")]);
  const at = [k.programId(0).mul(4), 0];
  const x = k.load(k.view(k.buffer("x", "f32"), [end, WIDTH]), at, [4, WIDTH]);
  k.store(k.view(k.buffer("y", "f32", "out"), [ROWS, WIDTH]), at, x);
});

/** Integers into memory that stays: in the second turn scalar code has read there before. */
const keepCounts = kernel("keep_counts", (k) => {
  const [from, to] = [k.view(k.buffer("indices", "i32"), [2 * ROWS]), k.view(k.buffer("counts", "i32", "out"), [2 * ROWS])]; // prettier-ignore
  k.store(to, [0], k.load(from, [0], [64]));
});

/** Each launch reads what the one before wrote: copies, products, and at the end indices that scalar code reads. */
function chain(device: Device): NdArray[] {
  const put = (x: Float32Array, shape: readonly number[]): NdArray => fromHost(device, x, shape, "f32");
  const [x, gain] = [put(wave(ROWS * WIDTH, 0.7), [ROWS, WIDTH]), put(wave(WIDTH, 0.3), [WIDTH])];
  const w = put(wave(EXPERTS * WIDTH, 0.11), [EXPERTS, WIDTH]);
  const counts = empty(device, [2 * ROWS], "i32");
  const out: NdArray[] = [];
  for (let turn = 0; turn < 2; turn++) {
    const { y } = rmsNorm(device, turn === 0 ? x : out[1]!, gain, { eps: 1e-6 });
    const logits = linear(device, y, w);
    const { weights, indices } = moeRouter(device, logits, { k: 2, scale: 1.5 });
    const rows = gatherRows(device, y, { ...indices, shape: [ROWS * 2] });
    const clipped = empty(device, [ROWS, WIDTH]);
    run(device, keepCounts, [1, 1, 1], { indices, counts });
    run(device, firstRows, [ROWS / 4, 1, 1], { counts, numCounts: 2 * ROWS, at: turn, x: rows, y: clipped });
    out.splice(0, 3, weights, { ...rows, shape: [ROWS, WIDTH] }, clipped);
  }
  return out;
}
const numbers = (device: Device): number[][] => chain(device).map((a) => [...toHost(a)].map(Number));
const programs = (device: Device) => {
  const planning = new PlanningDevice(device.properties);
  chain(planning);
  return planning.programs;
};

for (const name of Object.keys(simTargets))
  test(`${name}: a list has the numbers of its launches`, { skip }, () => {
    const want = numbers(openSim(name));
    for (const seed of [0, 1, 7]) {
      const device = openSim(name, { seed });
      device.fuse(programs(device));
      assert.deepEqual(numbers(device), want);
      const { numRuns, numLaunches } = device.list!;
      assert.deepEqual({ numRuns, numLaunches }, { numRuns: 1, numLaunches: 12 });
    }
  });

for (const name of ["sim:mlu-370", "sim:mlu-590"] as const)
  test(`${name}: in a list the teams of clusters take what they take alone, one launch after another`, { skip }, () => {
    const [rows, width, wide] = [500, 96, 64];
    const twice = (device: Device): NdArray => {
      const [x, w] = [fromHost(device, wave(rows * width, 0.7), [rows, width], "f32"), fromHost(device, wave(wide * width, 0.11), [wide, width], "f32")]; // prettier-ignore
      const back = fromHost(device, wave(width * wide, 0.23), [width, wide], "f32");
      return linear(device, linear(device, linear(device, x, w), back), w);
    };
    const alone = openSim(name);
    const want = toHost(twice(alone));
    assert.equal(alone.lastKind, "union1");
    const each = alone.lastRun!.bytesIn;
    for (const seed of [0, 5]) {
      const device = openSim(name, { seed });
      const planning = new PlanningDevice(device.properties);
      twice(planning);
      device.fuse(planning.programs);
      assert.deepEqual(toHost(twice(device)), want);
      assert.equal(device.list!.numRuns, 1);
      // Both outer products read as much as the last one did alone; without teams each would read w once a tile of rows.
      const tiles = device.lastRun!.bytesIn - 2 * each;
      assert.ok(tiles > 0 && tiles < 1.5 * each, `expected the bytes of three launches of about ${each}, got ${device.lastRun!.bytesIn}`); // prettier-ignore
    }
  });

test(
  "sim:ascend-950: programs of two vector cores of a block, of one, and of a cube core alone share a list",
  { skip },
  () => {
    const [wide, fp4, fp8] = ["e4m3 19x150x300", "e2m1 30x20x512", "fp8 19x150x300"].map((name) => allCases.flatMap((c) => c.cases).find((c) => c.name.startsWith(name))!); // prettier-ignore
    const all = (device: Device): number[][] => [wide, fp4, fp8].flatMap((c) => c!.run(device)).map((a) => [...toHost(a)].map(Number)); // prettier-ignore
    const planning = new PlanningDevice(openSim("sim:ascend-950").properties);
    all(planning);
    const want = all(openSim("sim:ascend-950"));
    for (const seed of [0, 1, 7]) {
      const device = openSim("sim:ascend-950", { seed });
      device.fuse(planning.programs);
      assert.deepEqual(all(device), want);
      assert.ok(device.list!.numLaunches > 3, "expected launches to run in lists");
      assert.equal(device.lastKind, "mix");
    }
  },
);

test("what waits keeps memory that its owner has freed, whatever the list and its workspace need", { skip }, () => {
  const device = openSim("sim:mlu-370");
  const scale = scaleKernel(3);
  device.fuse([scale]);
  const most = 2 ** 11;
  const x = fromHost(device, wave(most, 0.3), [most], "f32");
  const kept = empty(device, [most]);
  const [run3] = device.build([scale]);
  // Of every size up to one that the list needs itself.
  for (let n = 16; n <= most; n += 16) {
    const y = empty(device, [n]);
    device.launch(run3!, [n / 16], { n, x, y });
    device.free(y.buffer);
  }
  device.launch(run3!, [most / 16], { n: most, x, y: kept });
  assert.deepEqual(toHost(kept), wave(most, 0.3).map((v) => Math.fround(3 * v))); // prettier-ignore
});

/** A device whose lists lack a line. */
const without = (line: RegExp): typeof SimDevice =>
  class extends SimDevice {
    constructor(...[name, target, ...rest]: ConstructorParameters<typeof SimDevice>) {
      const emitList: SimTarget["emitList"] = (...args) => {
        const list = target.emitList(...args);
        const source = list.source.replace(line, "");
        assert.notEqual(source, list.source, `expected a line like ${line}`);
        return { ...list, source };
      };
      // Targets have getters.
      super(name, Object.create(target, { emitList: { value: emitList } }) as SimTarget, ...rest);
    }
  };

for (const [name, what, line] of [
  ["sim:ascend-910b", "its barrier", /SyncAll<false>\(\);/],
  ["sim:ascend-910b", "the flush of the data cache", /DataCacheCleanAndInvalid<[^;]*(?=CACHELINE_OUT>\(words\))[^;]*;/],
  ["sim:mlu-370", "its barrier", /__sync_all\(\);/],
  ["sim:mlu-590", "what keeps memory cores out of programs for cores alone", /if \(__is_ipu\(\)\) /],
] as const)
  test(`${name}: a list without ${what} is caught`, { skip }, () => {
    const want = numbers(openSim(name));
    const caught = [0, 1, 2, 3].some((seed) => {
      const device = openSim(name, { seed }, without(line));
      device.fuse(programs(device));
      try {
        assert.deepEqual(numbers(device), want);
        return false;
      } catch {
        return true;
      }
    });
    assert.ok(caught, "expected a report or other numbers");
  });
