/** The model of time of a checked run: what two slots let overlap shows as a makespan below the work of all pipes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import { kernel } from "../../src/tile/builder.ts";

const skip = findCompiler() ? false : "no C++ compiler";

/** y = x * 2 in turns of one program; with `isSerial` a turn reads what the one before it wrote. */
const scale = (isSerial: boolean) =>
  kernel(isSerial ? "serial" : "piped", (k) => {
    const n = k.index("n");
    const [x, y] = [k.view(k.buffer("x", "f32"), [n]), k.view(k.buffer("y", "f32", "inout"), [n])];
    k.loop({ end: n, step: 1024 }, [], (i) => {
      k.store(y, [i], k.load(isSerial ? y : x, [i], [1024]).mul(2));
      return [];
    });
  });

test("sim:ascend-910b: turns with two slots overlap, turns that wait for each other do not", { skip }, () => {
  const device = openSim("sim:ascend-910b");
  const n = 8 * 1024;
  const [x, y] = [device.alloc(n * 4), device.alloc(n * 4)];
  device.copyIn(x, 0, new Float32Array(n).fill(1));
  device.copyIn(y, 0, new Float32Array(n).fill(1));
  const figures = [false, true].map((isSerial) => {
    const [executable] = device.build([scale(isSerial)]);
    device.launch(executable!, [1], { n, x: { buffer: x, byteOffset: 0 }, y: { buffer: y, byteOffset: 0 } });
    return device.lastRun!;
  });
  const [piped, serial] = figures;
  // 8 turns of 16 repeats on each of three pipes; one after the other, they are all the work.
  assert.equal(serial!.work, 3 * 8 * 16);
  assert.equal(serial!.makespan, serial!.work);
  assert.equal(piped!.work, serial!.work);
  // All but the first load and the last two steps run beside others.
  assert.equal(piped!.makespan, (8 + 2) * 16);
});
