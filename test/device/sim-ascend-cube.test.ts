/** The same for convolutions and transposed products by LoadData of feature maps, numbers of four bits, and order between blocks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";
import { foreignKernel } from "../../src/device/sim/foreign.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import { checkCases } from "./sim-ascend-check.ts";
import { cubeCases } from "./sim-ascend-cube-cases.ts";
import { outcomeOf, runCase } from "./sim-run.ts";

checkCases(cubeCases);

test("flags between blocks: the workspace must be zero, and all blocks run at once", { skip: !findCompiler() }, () => {
  const device = openSim("sim:ascend-910b");
  const c = cubeCases.find((x) => x.name === "relay")!;
  const [kernel] = device.compileKernels([foreignKernel(c.source, c.name, c.args, c.kind)]);
  const dirty = { ...c, values: c.values.map((v, i) => (i === 3 ? new Int32Array(1024).fill(7) : v)) };
  assert.equal(outcomeOf(() => runCase(device, kernel!, dirty, { numBlocks: 3 })), "uninitialised"); // prettier-ignore
  assert.equal(outcomeOf(() => runCase(device, kernel!, c, { numBlocks: 41 })), "co-resident"); // prettier-ignore
});

const skip = findCompiler() ? false : "no C++ compiler";
// 950 keeps L0A by columns of fractals: the same kernel, where it does not place fractals of A itself.
const on950 = new Set(["conv", "matmul_load3d", "relay", "in_turn"]);
for (const [name, cases] of [
  ["sim:ascend-910b:fast", cubeCases],
  ["sim:ascend-950", cubeCases.filter((c) => on950.has(c.name))],
] as const)
  test(`${name}: the same numbers`, { skip }, () => {
    const device = openSim(name);
    const kernels = device.compileKernels(cases.map((c) => foreignKernel(c.source, c.name, c.args, c.kind)));
    for (const [i, c] of cases.entries())
      for (const numBlocks of [1, 20]) assert.ok(runCase(device, kernels[i]!, c, { numBlocks }), c.name);
  });
