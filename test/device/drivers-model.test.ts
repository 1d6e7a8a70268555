/** A whole network through each driver, on mock vendors whose kernels run on the simulators in fast mode: cpu's tokens. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import { openDevice } from "../../src/device/open.ts";
import { greedy, programsOf } from "../../src/engine/tiny-network.ts";
import { mockVendors } from "./mock/build.ts";

const cpu = openCpu();
const skip = cpu ? false : "no C++ compiler";
const cache = mkdtempSync(join(tmpdir(), "tessera-drivers-"));
const mocks = skip ? undefined : mockVendors({ ascend: "sim:ascend-910b", mlu: "sim:mlu-370" }, true);
after(() => {
  mocks?.dispose();
  rmSync(cache, { recursive: true, force: true });
});

for (const name of ["ascend", "mlu"])
  test(`${name}: the tokens of cpu`, { skip }, () => {
    const want = greedy(cpu!);
    assert.ok(want.length >= 16, `expected at least 16 tokens, got ${want.length}`);
    // The simulators are not part of a kernel's key, so what an earlier one compiled must not be found.
    process.env["TESSERA_CACHE_DIR"] = cache;
    process.env["TESSERA_CHIP_LIBRARIES"] = mocks!.libraries;
    const device = openDevice(name);
    const programs = programsOf(device.properties);
    device.build(programs);
    assert.deepEqual(greedy(device), want);
    // The same launches as lists.
    device.fuse!(programs);
    assert.deepEqual(greedy(device), want);
  });
