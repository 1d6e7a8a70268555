/**
 * A whole network in the released form, e4m3 matrices and e2m1 experts that stay codes in memory, on the simulated 950 in
 * fast mode: its first tokens are those of the cpu device on the same codes. A 910B, which has no FP8, refuses by name.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { CompileError } from "../../src/base/errors.ts";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import type { Device } from "../../src/device/device.ts";
import { PlanningDevice } from "../../src/device/planning.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import { greedy, loudModel, programsOf, tinyConfig } from "../../src/engine/tiny-network.ts";
import { exportCheckpoint } from "../../src/model/exchange.ts";
import { openCheckpoint } from "../../src/model/open-checkpoint.ts";
import { packedOf, parseStored } from "../../src/model/storage.ts";
import { V4 } from "../../src/model/v4.ts";
import { loadOfficial, saveOfficial } from "../../src/model/weights.ts";
import * as t from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { chips } from "../../src/tile/chips/chips.ts";

const cpu = openCpu();
const skip = cpu ? false : "no C++ compiler";

/** As many as integers have: an activation at the edge of two codes goes to the other one when sums have another order. */
const TOKENS = 16;
const root = mkdtempSync(join(tmpdir(), "tessera-sim-native-"));
after(() => rmSync(root, { recursive: true, force: true }));

/** Rows of whole blocks of e2m1. */
const config = tinyConfig({ hidden_size: 64, moe_intermediate_size: 64 });
const native = join(root, "native");
function exportNative(device: Device): void {
  const plain = join(root, "plain");
  mkdirSync(plain);
  writeFileSync(join(plain, "config.json"), JSON.stringify(config));
  saveOfficial(join(plain, "model.safetensors"), loudModel(device, config), { format: "f32" });
  using source = openCheckpoint(plain);
  exportCheckpoint(source, native, { layout: "official", dtype: "fp4" });
}
function emptyModel(device: Device): V4 {
  const file = join(native, "config.json");
  const { config: own, storage } = parseStored(JSON.parse(readFileSync(file, "utf8")), file);
  return new V4(device, own, { init: "zeros", packed: packedOf(storage) });
}
function load(device: Device): V4 {
  const model = emptyModel(device);
  loadOfficial(native, model);
  return model;
}

test("a network in the released form writes the tokens of cpu", { skip }, async (s) => {
  exportNative(cpu!);
  const wanted = greedy(cpu!, load(cpu!));
  assert.ok(wanted.length >= TOKENS, `expected at least ${TOKENS} tokens`);
  await s.test("sim:ascend-950", () => {
    const device = openSim("sim:ascend-950:fast");
    const programs = programsOf(device.properties, emptyModel);
    const names = new Set(programs.map((p) => p.name));
    for (const kernel of ["quantize_e4m3", "fp8_matmul", "fp8_wide_matmul", "round_fp8", "fp4_matmul"]) assert.ok(names.has(kernel), `expected ${kernel}`); // prettier-ignore
    device.build([...programs]);
    assert.deepEqual(greedy(device, load(device)).slice(0, TOKENS), wanted.slice(0, TOKENS));
  });
  await s.test("ascend-910b refuses", () => {
    const device = new PlanningDevice({ name: "910b", target: "none", numThreads: 1, features: [], chip: chips["ascend-910b"] }); // prettier-ignore
    const run = (): unknown =>
      t.noGrad(() => emptyModel(device).forward(Tensor.from(device, new Int32Array(4), [1, 4])));
    assert.throws(run, (e) => e instanceof CompileError && /on ascend-910b: cast of e4m3: no cast from e4m3/.test(e.message)); // prettier-ignore
  });
});
