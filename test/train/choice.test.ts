/** Learning when to think moves one row of the head and nothing else, and tells sums from greetings. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import { configFor } from "../../src/model/config.ts";
import { V4 } from "../../src/model/v4.ts";
import { VisualTokenizer, visualTokenizerConfigs } from "../../src/model/visual-tokenizer.ts";
import { Tokenizer } from "../../src/processor/tokenizer.ts";
import { geometries, makeVocabulary, specialTokens } from "../../src/processor/vocabulary.ts";
import { learnChoice } from "../../src/train/choice.ts";

const device = openCpu();
const skip = device ? false : "no C++ compiler: too slow in JavaScript";

test("the row of <think> is fitted and every other weight keeps its bits", { skip }, () => {
  const tokenizer = new Tokenizer({ merges: [], specials: specialTokens });
  const vocabulary = makeVocabulary(geometries.nano, tokenizer.numText);
  const config = configFor("nano", vocabulary, { num_hidden_layers: 1, compress_ratios: [0], hidden_size: 64 });
  const model = new V4(device!, config, { seed: 3 });
  const visual = new VisualTokenizer(device!, visualTokenizerConfigs.nano, 0);
  const tables = {
    definitions: [{ word: "apple", gloss: "a fruit" }],
    concepts: [{ code: "1f34e", en: "red apple", zh: "红苹果", tags: [], isHeldOut: false }],
  };
  const before = new Map(model.namedParameters().map(([name, p]) => [name, p.toArray().slice()]));
  const metrics = learnChoice({ id: "x", createdUnixS: 0, fps: 11, model, visual, tokenizer, vocabulary }, tables);
  const row = vocabulary.id("<think>") * 64;
  for (const [name, p] of model.namedParameters()) {
    const was = before.get(name)!;
    const moved = [...p.toArray()].flatMap((x, i) => (Object.is(x, was[i]) ? [] : [i]));
    if (name !== "head.weight") assert.deepEqual(moved, [], name);
    else assert.ok(moved.length > 0 && moved.every((i) => i >= row && i < row + 64), "other rows of the head moved");
  }
  // The larger kind alone is about 0.55 of 400, with a standard deviation of 0.025; five of them above it.
  assert.ok(metrics.accuracy > 0.675, `expected more than 0.675, got ${metrics.accuracy}`);
});
