/** The golden suites of src/model/verify.ts, a test for each case; see tools/reference/README.md. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseConfig } from "../../src/model/config.ts";
import { ropeFrequencies } from "../../src/model/rope.ts";
import { openJs } from "../../src/device/js/js-device.ts";
import { goldenSuites } from "../../src/model/verify.ts";
import { openSafetensors } from "../../src/nn/safetensors.ts";
import { openTestDevice } from "../tensor/device.ts";

// Each random case has its own shapes, which a compiler would need minutes for; kernels are compared across devices
// in test/kernels.
const [watchful, js] = [openTestDevice(), openJs()];
const dir = join(import.meta.dirname, "..", "golden", "v4");

for (const suite of goldenSuites(dir))
  for (const c of suite.cases)
    test(`${suite.name}: ${c.name}`, () => {
      const { error, failure } = c.run(suite.name === "stored" ? watchful : js);
      assert.equal(failure, undefined);
      assert.ok(error <= suite.bound, `error ${error} exceeds ${suite.bound} (${suite.unit}; ${suite.why})`);
    });

test("rotary frequencies match torch to one unit in the last place", () => {
  for (const name of ["all-kinds", "ratio-128"]) {
    const jsonPath = join(dir, `${name}.json`);
    const config = parseConfig(JSON.parse(readFileSync(jsonPath, "utf8")), jsonPath);
    using file = openSafetensors(join(dir, `${name}.safetensors`));
    for (const [key, isCompressed] of [
      ["golden.freqs_main", false],
      ["golden.freqs_compress", true],
    ] as const) {
      const got = ropeFrequencies(config, isCompressed);
      (file.read(key) as Float32Array).forEach((f, i) =>
        assert.ok(Math.abs(got[i]! - f) <= f * 2 ** -23, `${name} ${key} ${i}: ${got[i]} vs ${f}`),
      );
    }
  }
});
