/** DSpark against its PyTorch reference, and its ring against observing everything at once. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FormatError } from "../../src/base/errors.ts";
import { parseConfig } from "../../src/model/config.ts";
import { DSpark } from "../../src/model/dspark.ts";
import { V4 } from "../../src/model/v4.ts";
import { loadOfficial } from "../../src/model/weights.ts";
import { openSafetensors } from "../../src/nn/safetensors.ts";
import * as t from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { openTestDevice } from "../tensor/device.ts";

const device = openTestDevice();
const path = join(import.meta.dirname, "..", "golden", "v4", "dspark");
const config = parseConfig(JSON.parse(readFileSync(`${path}.json`, "utf8")), path);
const model = new V4(device, config, { init: "zeros" });
loadOfficial(`${path}.safetensors`, model, { ignore: (key) => key.startsWith("golden.") });
const file = openSafetensors(`${path}.safetensors`);
const golden = (key: string): Float32Array => file.read(`golden.${key}`) as Float32Array;
const ids = file.read("golden.ids") as Int32Array;
const [first, ...drafted] = file.read("golden.draft");

/** As the logits of the network: an f32 reference of another order of summation. */
const BOUND = 1e-4;
function close(got: ArrayLike<number>, expected: Float32Array, what: string): void {
  assert.equal(got.length, expected.length, what);
  const scale = expected.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  expected.forEach((x, i) => assert.ok(Math.abs(got[i]! - x) <= BOUND * scale, `${what} ${i}: ${got[i]} vs ${x}`));
}
const featuresOf = (): Tensor =>
  t.noGrad(() => model.forward(Tensor.from(device, ids, [1, ids.length]), { taps: config.dspark_target_layer_ids })).tapped!; // prettier-ignore

/** Greedy tokens, logits and confidences of one draft, with the features read in chunks. */
function draft(chunks: readonly number[]): { tokens: number[]; logits: number[]; confidence: number[] } {
  using _scope = t.tensorScope();
  const drafter = new DSpark(model);
  const features = featuresOf();
  let at = 0;
  for (const n of chunks) drafter.observe(t.slice(features, 1, at, (at += n)));
  assert.equal(at, ids.length);
  const block = drafter.draft(first!);
  const [tokens, logits, confidence]: number[][] = [[], [], []];
  for (let i = 0, before = first!; i < block.size; i++) {
    const row = block.logits(i, before);
    confidence!.push(block.confidence(i, before));
    before = row.reduce((best, x, id) => (x > row[best]! ? id : best), 0);
    logits!.push(...row);
    tokens!.push(before);
  }
  drafter.dispose();
  return { tokens: tokens!, logits: logits!, confidence: confidence! };
}

test("features, drafts and confidences match the reference", () => {
  using _scope = t.tensorScope();
  close(featuresOf().toArray() as Float32Array, golden("features"), "features");
  const got = draft([ids.length]);
  assert.deepEqual(got.tokens, drafted);
  close(got.logits, golden("draft_logits"), "logits");
  close(got.confidence, golden("confidence"), "confidence");
});

test("features may come in any chunks; the ring forgets what the window does", () => {
  for (const size of [1, 2, 5, 8, 13]) {
    const rest = ids.length % size;
    const sizes = Array.from({ length: Math.floor(ids.length / size) }, () => size);
    close(draft(rest > 0 ? [...sizes, rest] : sizes).logits, golden("draft_logits"), `chunks of ${size}`);
  }
});

test("half a configuration is refused", () => {
  const { dspark_markov_rank: _rank, ...rest } = config;
  assert.throws(() => parseConfig(rest, "x.json"), FormatError);
  assert.throws(() => parseConfig({ ...config, dspark_target_layer_ids: [9] }, "x.json"), /expected layers below 3, got 9/); // prettier-ignore
});
