/**
 * The network against transformers (float32, CPU, eager) on tiny random models; see tools/reference/README.md.
 * Bound: both sides are f32 with other summation orders, so logits differ by rounding that grows with depth;
 * 1e-4 of the largest logit is the contract, and real differences of architecture are of order 1.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parseConfig } from "../../src/model/config.ts";
import { ropeFrequencies } from "../../src/model/rope.ts";
import { V4 } from "../../src/model/v4.ts";
import { loadOfficial } from "../../src/model/weights.ts";
import { openSafetensors, type SafetensorsFile } from "../../src/nn/safetensors.ts";
import * as t from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { openTestDevice } from "../tensor/device.ts";

const device = openTestDevice();
const dir = join(import.meta.dirname, "..", "golden", "v4");
const BOUND = 1e-4;

function open(name: string): {
  model: V4;
  file: SafetensorsFile;
  expected: (key: string) => Float32Array;
  ids: (key: string) => Tensor;
} {
  const path = join(dir, `${name}.safetensors`);
  const jsonPath = join(dir, `${name}.json`);
  const config = parseConfig(JSON.parse(readFileSync(jsonPath, "utf8")), jsonPath);
  const model = new V4(device, config, { init: "zeros" });
  loadOfficial(path, model, { ignore: (key) => key.startsWith("golden.") });
  const file = openSafetensors(path);
  return {
    model,
    file,
    expected: (key) => file.read(`golden.${key}`) as Float32Array,
    ids: (key) =>
      Tensor.from(device, file.read(`golden.${key}`) as Int32Array, file.tensors.get(`golden.${key}`)!.shape, "i32"),
  };
}

function compare(got: Float32Array, expected: Float32Array, vocab: number): void {
  assert.equal(got.length, expected.length);
  const scale = expected.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  let worst = 0;
  for (let i = 0; i < got.length; i++) worst = Math.max(worst, Math.abs(got[i]! - expected[i]!));
  assert.ok(worst <= BOUND * scale, `logits differ by ${worst} of ${scale}`);
  for (let row = 0; row < got.length; row += vocab)
    assert.equal(
      argmax(got.subarray(row, row + vocab)),
      argmax(expected.subarray(row, row + vocab)),
      `row ${row / vocab}`,
    );
}

const argmax = (x: Float32Array): number => x.reduce((best, v, i) => (v > x[best]! ? i : best), 0);

for (const name of ["all-kinds", "ratio-128", "window-mtp"])
  test(`logits of ${name} match transformers`, () => {
    using _scope = t.tensorScope();
    const { model, file, expected, ids } = open(name);
    using _file = file;
    const logits = t.noGrad(() => model.logits(model.forward(ids("ids")).hidden));
    compare(logits.toArray() as Float32Array, expected("logits"), model.config.vocab_size);
  });

test("MTP logits match the reference", () => {
  using _scope = t.tensorScope();
  const { model, file, expected, ids } = open("window-mtp");
  using _file = file;
  const logits = t.noGrad(() => {
    const { streams } = model.forward(ids("ids"));
    return model.logits(model.mtpHidden(streams, ids("next_ids")));
  });
  compare(logits.toArray() as Float32Array, expected("mtp_logits"), model.config.vocab_size);
});

test("rotary frequencies match torch to one unit in the last place", () => {
  for (const name of ["all-kinds", "ratio-128"]) {
    using _scope = t.tensorScope();
    const { model, file, expected } = open(name);
    using _file = file;
    for (const [key, isCompressed] of [
      ["freqs_main", false],
      ["freqs_compress", true],
    ] as const) {
      const got = ropeFrequencies(model.config, isCompressed);
      expected(key).forEach((f, i) =>
        assert.ok(Math.abs(got[i]! - f) <= f * 2 ** -23, `${name} ${key} ${i}: ${got[i]} vs ${f}`),
      );
    }
  }
});
