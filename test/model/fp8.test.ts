/**
 * The official mode on a chip that multiplies FP8 codes: the programs of Ascend 950, run as JavaScript. The golden results
 * are those of any device, and the products on codes are those whose input the official code rounds, no other.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { Device } from "../../src/device/device.ts";
import { openJs } from "../../src/device/js/js-device.ts";
import { numericsPresets } from "../../src/model/numerics.ts";
import { V4 } from "../../src/model/v4.ts";
import { goldenSuites } from "../../src/model/verify.ts";
import * as t from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { chips } from "../../src/tile/chips/chips.ts";
import { someIds, tinyConfig } from "./tiny.ts";

const js = openJs();
/** Counts launches by kernel. */
function countingDevice(): { readonly device: Device; readonly launches: Map<string, number> } {
  const launches = new Map<string, number>();
  const device: Device = Object.assign(Object.create(js) as Device, {
    properties: { ...js.properties, chip: chips["ascend-950"] },
    launch: (...[executable, grid, args]: Parameters<Device["launch"]>): void => {
      const { name } = executable.program;
      launches.set(name, (launches.get(name) ?? 0) + 1);
      js.launch(executable, grid, args);
    },
  });
  return { device, launches };
}

test("the official golden results on codes", () => {
  const suite = goldenSuites(join(import.meta.dirname, "..", "golden", "v4")).find(({ name }) => name === "official");
  // Every kind of layer, and more than one block of 128 of everything.
  const cases = suite!.cases.filter(({ name }) => ["wide-heads", "all-kinds"].includes(name));
  assert.equal(cases.length, 2);
  for (const c of cases) {
    const { device, launches } = countingDevice();
    const { error, failure } = c.run(device);
    assert.ok(launches.get("fp8_matmul"), `${c.name}: expected products of codes`);
    assert.equal(failure, undefined, c.name);
    assert.ok(error <= suite!.bound, `${c.name}: error ${error} exceeds ${suite!.bound} (${suite!.unit}; ${suite!.why})`); // prettier-ignore
  }
});

for (const groups of [1, 2])
  test(`products on codes: seven a layer and the indexer's, but not wo_a's, with ${groups} groups of heads`, () => {
    const { device, launches } = countingDevice();
    const config = tinyConfig({ numerics: numericsPresets.official, o_groups: groups });
    const model = new V4(device, config, { seed: 3 });
    using _scope = t.tensorScope();
    const forward = (): Tensor => model.forward(Tensor.from(device, someIds(24, 50), [1, 24]), {}).hidden;
    t.noGrad(forward);
    // wq_a, wq_b, wkv, wo_b; w1, w2, w3 of the shared expert; wq_b of the two indexers.
    assert.equal(launches.get("fp8_matmul"), 4 * 7 + 2);
    const weights = launches.get("quantize_e4m3")! - launches.get("fp8_matmul")!;
    assert.equal(weights, 4 * 7 + 2, "codes of every weight are made once");
    t.noGrad(forward);
    assert.equal(launches.get("quantize_e4m3")! - launches.get("fp8_matmul")!, weights);
    // Codes have no gradient; the indexer, which chooses, has none anyway.
    const before = launches.get("fp8_matmul")!;
    forward();
    assert.equal(launches.get("fp8_matmul"), before + 2);
  });
