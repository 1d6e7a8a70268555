/** A whole network on every chip's code: text and a picture under guidance, in fast mode, as the cpu device has them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import { simTargets } from "../../src/device/sim/targets.ts";
import { greedy, programsOf } from "../../src/engine/tiny-network.ts";

const cpu = openCpu();
const skip = cpu ? false : "no C++ compiler";

for (const name of Object.keys(simTargets))
  test(`${name}: the tokens of cpu`, { skip }, () => {
    const want = greedy(cpu!);
    assert.ok(want.length >= 16, `expected at least 16 tokens, got ${want.length}`);
    const device = openSim(`${name}:fast`);
    device.build(programsOf(device.properties));
    assert.deepEqual(greedy(device), want);
  });
