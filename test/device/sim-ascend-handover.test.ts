/**
 * The ways between the two cores of a block that 950 has and 910B lacks, from UB to L1 and from L0C to UB: the simulator
 * takes them in every order with the right numbers, and refuses by name what leaves out a flag, a bound or a layout.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { f16ToBits } from "../../src/base/f16.ts";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";
import { openDevice } from "../../src/device/open.ts";
import { foreignKernel } from "../../src/device/sim/foreign.ts";
import type { SimDevice } from "../../src/device/sim/sim-device.ts";
import { SimulationError } from "../../src/device/sim/violation.ts";

const skip = findCompiler() ? false : "no C++ compiler";
const source = readFileSync(join(import.meta.dirname, "ascend", "handover_950.cpp"), "utf8");
const x = Float32Array.from({ length: 256 }, (_, i) => ((i * 7) % 11) - 5);

function run(device: SimDevice, seeds: readonly number[]): (rule: number) => Float32Array {
  const [kernel] = device.compileKernels([foreignKernel(source, "handover", ["x", "y", "rule"])]);
  const [from, to] = [device.alloc(512), device.alloc(3072)];
  device.copyIn(from, 0, Uint16Array.from(x, f16ToBits));
  return (rule) => {
    const out = new Float32Array(768);
    for (const seed of seeds) {
      device.run(kernel!, [{ buffer: from, byteOffset: 0 }, { buffer: to, byteOffset: 0 }, rule], { numBlocks: 1, seed });
      device.copyOut(to, 0, out);
    }
    return out;
  };
} // prettier-ignore
const ruleOf = (f: () => unknown): string => {
  try {
    f();
  } catch (e) {
    if (e instanceof SimulationError) return e.rule;
    throw e;
  }
  return "accepted";
};

test("950: UB to L1 and L0C to UB, in every order", { skip }, () => {
  const want = Float32Array.from({ length: 256 }, (_, e) => {
    let sum = 0;
    for (let k = 0; k < 16; k++) sum += x[Math.floor(e / 16) * 16 + k]! * x[(e % 16) * 16 + k]!;
    return 2 * sum;
  });
  const on = run(openDevice("sim:ascend-950") as SimDevice, [0, 1, 2, 3]);
  assert.deepEqual([...on(0)], [...want, ...want, ...want]);
  const rules = { 1: "race-raw", 2: "memory-space", 3: "memory-space", 4: "capacity", 5: "race-raw", 6: "race-raw", 7: "layout", 8: "alignment" }; // prettier-ignore
  for (const [rule, name] of Object.entries(rules))
    assert.equal(
      ruleOf(() => on(Number(rule))),
      name,
      `rule ${rule}`,
    );
  const fast = run(openDevice("sim:ascend-950:fast") as SimDevice, [0]);
  assert.deepEqual([...fast(0)], [...want, ...want, ...want]);
});

test("910B has neither way", { skip }, () => {
  const on = run(openDevice("sim:ascend-910b") as SimDevice, [0]);
  assert.equal(
    ruleOf(() => on(0)),
    "memory-space",
  );
});
