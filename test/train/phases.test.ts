/** The special phases of training: a decoder trained alone, and a visual head that is factored and then folded away. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import { configFor } from "../../src/model/config.ts";
import { isDecoderParameter, VisualTokenizer, visualTokenizerConfigs } from "../../src/model/visual-tokenizer.ts";
import { saveOfficial } from "../../src/model/weights.ts";
import { geometries, makeVocabulary } from "../../src/processor/vocabulary.ts";
import * as t from "../../src/tensor/ops.ts";
import { randn } from "../../src/tensor/tensor.ts";
import { drawMotion, makeMotion } from "../../src/train/data/motions.ts";
import { drawScene, makeScene } from "../../src/train/data/scenes.ts";
import { Trainee } from "../../src/train/trainee.ts";
import { trainVisual } from "../../src/train/visual.ts";

const device = openCpu();
const skip = device ? false : "no C++ compiler: too slow in JavaScript";
const root = mkdtempSync(join(tmpdir(), "tessera-phases-"));
after(() => rmSync(root, { recursive: true, force: true }));

const { imageSize: size, numFrames } = geometries.nano;
const source = {
  numFrames,
  image: (_split: string, i: number) => drawScene(makeScene(1, i), size),
  clip: (_split: string, i: number) => drawMotion(makeMotion(3, i), size, numFrames),
};

test("the decoder's phase moves the decoder and nothing that codes depend on", { skip }, async () => {
  const before = new VisualTokenizer(device!, visualTokenizerConfigs.nano, 7);
  const start = before.stateDict();
  const after_ = await trainVisual(device!, source, {
    part: "decoder",
    start: (own) => own.loadStateDict(start),
    dir: join(root, "decoder"),
    config: "nano",
    seed: 1,
    imagesPerStep: 4,
    clipEvery: 2,
    clipsPerStep: 2,
    peakLr: 5e-3,
    saveEvery: 1000,
    numSteps: 3,
    quiet: true,
  });
  const now = new Map(after_.namedParameters());
  let moved = 0;
  for (const [name, p] of before.namedParameters()) {
    const same = Buffer.compare(Buffer.from(p.toRaw().buffer), Buffer.from(now.get(name)!.toRaw().buffer)) === 0;
    if (!isDecoderParameter(name)) assert.ok(same, `${name} moved`);
    else if (!same) moved++;
  }
  assert.ok(moved > 0, "the decoder did not move");
});

test("a folded network gives the trainee's visual logits, and unfolding gives its bits back", { skip }, () => {
  const vocabulary = makeVocabulary(geometries.nano, 256);
  const config = configFor("nano", vocabulary, { num_hidden_layers: 1, compress_ratios: [0], hidden_size: 32 });
  const trainee = new Trainee(device!, config, { seed: 3 });
  const { weight } = trainee.network.head;
  const { startId, numCodes } = vocabulary.visual;
  const hidden = randn(device!, [3, config.hidden_size], { seed: 5, std: 1 });
  const logits = (): Float32Array =>
    t.noGrad(
      () => trainee.network.logits(hidden, { start: startId, end: startId + numCodes }).toArray() as Float32Array,
    );
  const want = t.noGrad(() => t.linear(hidden, trainee.visualHead()).toArray() as Float32Array);
  const plain = logits();
  const bits = Buffer.from(weight.toRaw().buffer.slice(0));
  const unfold = trainee.fold();
  assert.deepEqual(logits(), want);
  assert.notDeepEqual(logits(), plain);
  unfold();
  assert.equal(Buffer.compare(Buffer.from(weight.toRaw().buffer), bits), 0);

  // A run that starts from the folded file: the head holds everything, the factored part nothing.
  trainee.fold();
  const path = join(root, "model.safetensors");
  saveOfficial(path, trainee.network, { format: "f32" });
  const next = new Trainee(device!, config, { seed: 4 });
  next.unfold(path);
  const again = t.noGrad(() => t.linear(hidden, next.visualHead()).toArray() as Float32Array);
  assert.deepEqual(again, want);
});
