/** Numeric modes: how a config names them, and that each switch is a rounding the golden outputs can see. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { openJs } from "../../src/device/js/js-device.ts";
import { FormatError } from "../../src/base/errors.ts";
import { parseConfig } from "../../src/model/config.ts";
import { numericsPresets, numericsSwitches } from "../../src/model/numerics.ts";
import { goldenSuites, officialCases } from "../../src/model/verify.ts";
import { tinyConfig } from "./tiny.ts";

const dir = join(import.meta.dirname, "..", "golden", "v4");

test("a config names a preset, or the switches that differ from hf; simulation is off by default", () => {
  const parse = (numerics: unknown): unknown => parseConfig({ ...tinyConfig(), numerics }, "test").numerics;
  assert.deepEqual(parse(undefined), numericsPresets.hf);
  assert.deepEqual(parse("official"), numericsPresets.official);
  assert.deepEqual(parse({ kvFp8: true }), { ...numericsPresets.hf, kvFp8: true });
  assert.deepEqual(parse(numericsPresets.official), numericsPresets.official);
  assert.ok(Object.values(numericsPresets.hf).every((on) => !on));
  for (const wrong of ["bf16", { kvFP8: true }]) assert.throws(() => parse(wrong), FormatError);
});

test("without any one switch the official golden outputs are missed", () => {
  const device = openJs();
  const { bound } = goldenSuites(dir).find((suite) => suite.name === "official")!;
  // Rounded scores only turn near ties, which the reference refuses; kernels/indexer.ts has them bit for bit.
  for (const name of numericsSwitches.filter((s) => s !== "indexScoreBf16")) {
    const found = officialCases(dir, { [name]: false }).cases.find((c) => c.name === "csa");
    assert.ok(found);
    const { error, failure } = found.run(device);
    assert.ok(error > bound || failure !== undefined, `${name} off: error ${error}`);
  }
});
