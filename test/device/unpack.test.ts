/** Two e2m1 codes a byte taken apart: every byte on every host and on the simulated 950; other chips refuse by name. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bf16ToF32 } from "../../src/base/bf16.ts";
import { CompileError } from "../../src/base/errors.ts";
import { decodeE2m1 } from "../../src/base/fp4.ts";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import type { Device } from "../../src/device/device.ts";
import { openInterpreter } from "../../src/device/interpreter.ts";
import { openJs } from "../../src/device/js/js-device.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import { run } from "../../src/kernels/launch.ts";
import { empty, fromHost, toHost } from "../../src/kernels/nd-array.ts";
import { kernel } from "../../src/tile/builder.ts";
import { chipNames, chips } from "../../src/tile/chips/chips.ts";
import { lower } from "../../src/tile/passes.ts";

const program = kernel("unpack", (k) => {
  const bytes = k.load(k.view(k.buffer("x", "i8"), [4, 64]), [0, 0], [4, 64]);
  const y = k.view(k.buffer("y", "bf16", "out"), [4, 128]);
  k.store(y, [0, 0], bytes.unpackE2m1());
});
const every = Int8Array.from({ length: 256 }, (_, i) => i - 128);
const wanted = Float32Array.from({ length: 512 }, (_, i) => decodeE2m1((every[i >> 1]! >> (4 * (i % 2))) & 15));

const cpu = openCpu();
const places: Readonly<Record<string, () => Device>> = {
  interpreter: openInterpreter,
  js: openJs,
  ...(cpu && { cpu: () => cpu, "sim:ascend-950": () => openSim("sim:ascend-950") }),
};
for (const [name, open] of Object.entries(places))
  test(`${name}: the numbers of all bytes, low half first`, () => {
    const device = open();
    const y = empty(device, [4, 128], "bf16");
    run(device, program, [1, 1, 1], { x: fromHost(device, every, [4, 64], "i8"), y });
    // -0 is 0 where numbers are compared.
    assert.deepEqual(bf16ToF32(toHost(y) as Uint16Array).map((v) => v + 0), wanted.map((v) => v + 0)); // prettier-ignore
  });

test("only 950 has the instruction", () => {
  for (const name of chipNames.filter((n) => n !== "ascend-950"))
    assert.throws(() => lower(program, chips[name]), (e) => e instanceof CompileError && e.message.includes(`kernel unpack on ${name}: unpack of i8: no lowering on this chip`), name); // prettier-ignore
});
