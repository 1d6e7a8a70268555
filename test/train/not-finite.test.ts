/** A gradient that is not a number must not reach the weights, and a run that is lost must say so and stop. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import { configFor } from "../../src/model/config.ts";
import { geometries, makeVocabulary } from "../../src/processor/vocabulary.ts";
import { trainLanguage } from "../../src/train/language.ts";
import type { Trainee } from "../../src/train/trainee.ts";

const device = openCpu();
const skip = device ? false : "no C++ compiler: too slow in JavaScript";
const root = mkdtempSync(join(tmpdir(), "tessera-not-finite-"));
after(() => rmSync(root, { recursive: true, force: true }));

test("weights that are lost stop the run, and no checkpoint of them is written", { skip }, async () => {
  const vocabulary = makeVocabulary(geometries.nano, 256);
  const config = configFor("nano", vocabulary, { num_hidden_layers: 1, compress_ratios: [0], hidden_size: 64 });
  const dir = join(root, "run");
  const run = trainLanguage(device!, {
    dir,
    config,
    vocabulary,
    sample: (i) => ({ ids: Int32Array.from({ length: 32 }, (_, p) => (i + p) % 250), isTarget: new Uint8Array(32).fill(1), source: "test" }), // prettier-ignore
    seed: 1,
    tokensPerStep: 64,
    tokensPerMicroBatch: 64,
    maxLength: 32,
    peakLr: 1e-3,
    saveEvery: 1,
    numSteps: 20,
    quiet: true,
    start: (model: Trainee) => {
      const [, weight] = model.namedParameters().find(([name]) => name.endsWith("wkv.weight"))!;
      weight.copyFrom(new Float32Array(weight.size).fill(NaN));
    },
  });
  await assert.rejects(run, /the gradient is not finite \(first in \S+\).*lower --lr/);
  assert.deepEqual(readdirSync(dir).filter((name) => name.startsWith("checkpoint")), []); // prettier-ignore
});
