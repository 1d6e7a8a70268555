/**
 * The official numerics on chips' code: a whole network with every rounding of them, attention in slots among these, in
 * fast mode on one chip of each architecture, has the tokens of the cpu device.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import type { Device } from "../../src/device/device.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import { greedy, loudModel, programsOf, tinyConfig } from "../../src/engine/tiny-network.ts";
import { numericsPresets } from "../../src/model/numerics.ts";
import type { V4 } from "../../src/model/v4.ts";

const cpu = openCpu();
const skip = cpu ? false : "no C++ compiler";
const config = tinyConfig({ numerics: numericsPresets.official });
/** At the usual seed the first token ends the text. */
const SEED = 6;
const model = (device: Device): V4 => loudModel(device, config, SEED);

for (const name of ["ascend-910b", "ascend-950", "mlu-370", "mlu-590"] as const)
  test(`sim:${name}: the tokens of cpu`, { skip }, () => {
    const want = greedy(cpu!, model(cpu!));
    assert.ok(want.length >= 16, `expected at least 16 tokens, got ${want.length}`);
    const device = openSim(`sim:${name}:fast`);
    const programs = programsOf(device.properties, model);
    assert.ok(programs.some((p) => p.name === "slot_attention"), "attention in slots"); // prettier-ignore
    device.build(programs);
    assert.deepEqual(greedy(device, model(device)), want);
  });
