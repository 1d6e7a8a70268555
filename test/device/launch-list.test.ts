/** Launches that run as one kernel: the numbers are those of launches one by one, every rule checked. Mutants of lists: mutants-*.test.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import type { Device, DeviceBuffer } from "../../src/device/device.ts";
import { LaunchList, LIST_BYTES } from "../../src/device/launch-list.ts";
import { PlanningDevice } from "../../src/device/planning.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import { simTargets } from "../../src/device/sim/targets.ts";
import { allCases } from "../../src/kernels/all-cases.ts";
import { listCases } from "../../src/kernels/chip-lists.ts";
import { linear } from "../../src/kernels/matmul.ts";
import { empty, fromHost, toHost, type NdArray } from "../../src/kernels/nd-array.ts";
import { scaleKernel } from "./tiny-kernels.ts";

const skip = openCpu() ? false : "no C++ compiler";
const wave = (n: number, f: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(i * f + 0.4));
const [chain] = listCases;
const numbers = (device: Device): number[][] => chain!.run(device).map((a) => [...toHost(a)].map(Number));
const programs = (device: Device) => {
  const planning = new PlanningDevice(device.properties);
  chain!.run(planning);
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
      assert.deepEqual({ numRuns, numLaunches }, { numRuns: 1, numLaunches: 16 });
    }
  });

for (const name of ["sim:mlu-370", "sim:mlu-590"] as const)
  test(`${name}: in a list the teams of clusters take what they take alone, one launch after another`, { skip }, () => {
    const [rows, width, wide] = [500, 96, 64];
    /** Three products, each of what the one before wrote. */
    const chain = (device: Device, after: () => void = () => {}): NdArray => {
      const put = (f: number, ...shape: [number, number]): NdArray => fromHost(device, wave(shape[0] * shape[1], f), shape, "f32"); // prettier-ignore
      const [there, back] = [put(0.11, wide, width), put(0.23, width, wide)];
      return [there, back, there].reduce(
        (x, w) => {
          const y = linear(device, x, w);
          after();
          return y;
        },
        put(0.7, rows, width),
      );
    };
    const alone = openSim(name);
    let bytes = 0;
    const want = toHost(
      chain(alone, () => {
        assert.equal(alone.lastKind, "union1");
        bytes += alone.lastRun!.bytesIn;
      }),
    );
    for (const seed of [0, 5]) {
      const device = openSim(name, { seed });
      const planning = new PlanningDevice(device.properties);
      chain(planning);
      device.fuse(planning.programs);
      assert.deepEqual(toHost(chain(device)), want);
      assert.equal(device.list!.numRuns, 1);
      // Without teams each core would read w.
      assert.equal(device.lastRun!.bytesIn, bytes);
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

test("more launches than a list has words for run as several lists, in order", () => {
  const seen: { words: number; launches: number; first: bigint }[] = [];
  const program = scaleKernel(3);
  const list = new LaunchList([program], { caseOf: (number) => number }, "test", ({ words, numLaunches }) => seen.push({ words: words.length, launches: numLaunches, first: words[1]! })); // prettier-ignore
  const length = program.params.length + 4;
  const fit = Math.floor(LIST_BYTES / 8 / length);
  const buffer = { sizeBytes: 64, handle: 4096 } as DeviceBuffer;
  const at = { buffer, byteOffset: 0 };
  for (let n = 0; n <= fit; n++) list.push(program, [1], { n, x: at, y: at });
  list.run();
  assert.deepEqual(seen, [
    { words: fit * length, launches: fit, first: 0n },
    { words: length, launches: 1, first: BigInt(fit) },
  ]);
});
