import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FormatError } from "../../src/base/errors.ts";
import { Prng } from "../../src/base/prng.ts";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import { loadJudge, PictureJudge, saveJudge } from "../../src/model/picture-judge.ts";
import { VisualTokenizer, visualTokenizerConfigs } from "../../src/model/visual-tokenizer.ts";
import { saveOfficial } from "../../src/model/weights.ts";
import { augmented, judgeSplit } from "../../src/train/data/judge-data.ts";
import { drawObjects, type Color, type Shape } from "../../src/train/data/scenes.ts";
import { accuracyOf, measureJudge, ranksOf, trainJudge, type JudgeSource } from "../../src/train/judge.ts";

const device = openCpu();
const skip = device ? false : "no C++ compiler: too slow on the interpreter";
const root = mkdtempSync(join(tmpdir(), "tessera-judge-"));
after(() => rmSync(root, { recursive: true, force: true }));

const SIZE = 32;
const concepts: readonly (readonly [string, Color, Shape])[] = [
  ["red-circle", "red", "circle"],
  ["red-cross", "red", "cross"],
  ["blue-circle", "blue", "circle"],
  ["blue-cross", "blue", "cross"],
];
/** Picture i shows concept i % 4 in a size of its own; the last eight are measured only. */
const source: JudgeSource = {
  size: SIZE,
  concepts: concepts.map(([code]) => code),
  train: Array.from({ length: 24 }, (_, i) => i),
  heldOut: Array.from({ length: 8 }, (_, i) => 24 + i),
  picture: (i) => {
    const [, color, shape] = concepts[i % 4]!;
    return drawObjects([{ color, shape, x: 0.5, y: 0.5, r: 0.25 + 0.005 * i }], SIZE);
  },
  labelOf: (i) => i % 4,
};
const config = { channels: [8, 16], width: 16 };
const options = { seed: 1, config, picturesPerStep: 16, roundTripShare: 0.25, peakLr: 8e-3, saveEvery: 4, quiet: true };
const visual = device && new VisualTokenizer(device, visualTokenizerConfigs.nano, 3);

test("a tiny judge tells four concepts apart on pictures it has not seen", { skip }, async () => {
  const judge = await trainJudge(device!, source, undefined, { ...options, dir: join(root, "learns"), numSteps: 80 });
  const { unseen, seen } = measureJudge(judge, source, visual);
  assert.equal(unseen.n, 8);
  // Chance is 1/4, which colour alone would raise to 1/2.
  assert.ok(unseen.top1 >= 0.75, `expected at least 6 of 8 right, got ${unseen.top1 * 8}`);
  assert.ok(seen.top1 >= 0.75, `expected at least 6 of 8 right, got ${seen.top1 * 8}`);

  const path = join(root, "judge.safetensors");
  saveJudge(path, judge);
  const loaded = loadJudge(path, device!);
  assert.deepEqual(loaded.config, judge.config);
  const pictures = source.heldOut.map((i) => source.picture(i));
  const labels = source.heldOut.map((i) => source.labelOf(i));
  assert.deepEqual(accuracyOf(ranksOf(loaded, pictures, SIZE, labels)), unseen, "bf16 weights judge alike");
  saveOfficial(path, judge, { format: "bf16" });
  assert.throws(() => loadJudge(path, device!), (e) => e instanceof FormatError && /expected concepts, channels and width, found none/.test(e.message)); // prettier-ignore
});

test("a stopped run of the judge resumes to the same bits", { skip }, async () => {
  const train = (dir: string, from: JudgeSource): Promise<PictureJudge> =>
    trainJudge(device!, from, visual, { ...options, dir: join(root, dir), numSteps: 10 });
  const straight = await train("straight", source);
  let calls = 0;
  const stopping = {
    ...source,
    picture: (i: number): Uint8Array => {
      // In the sixth step; the loop finishes it, saves and returns.
      if (++calls === 5 * options.picturesPerStep + 1) process.emit("SIGTERM");
      return source.picture(i);
    },
  };
  await train("resumed", stopping);
  assert.equal(calls, 6 * options.picturesPerStep);
  const resumed = await train("resumed", source);
  const others = new Map(resumed.namedParameters());
  for (const [name, p] of straight.namedParameters()) assert.deepEqual(others.get(name)!.toArray(), p.toArray(), name);
});

test("ranks count the concepts that score at least as well", { skip }, () => {
  // Without a head every concept scores the same, so a judge that knows nothing is never right.
  const judge = new PictureJudge(device!, { ...config, concepts: source.concepts });
  judge.head.weight.copyFrom(new Float32Array(judge.head.weight.size));
  assert.deepEqual(ranksOf(judge, [source.picture(0), source.picture(1)], SIZE, [0, 1]), [3, 3]);
  judge.head.bias!.copyFrom([4, 3, 2, 1]);
  assert.deepEqual(ranksOf(judge, [0, 1, 2, 3].map(source.picture), SIZE, [0, 1, 2, 3]), [0, 1, 2, 3]);
  assert.deepEqual(accuracyOf([0, 1, 4, 5]), { n: 4, top1: 0.25, top5: 0.75 });
});

test("the judge's split hides one style of some concepts, whatever the order", () => {
  const styles = ["noto", "flat", "twemoji", "3d"] as const;
  const pictures = Array.from({ length: 800 }, (_, i) => ({
    code: `c${i % 200}`,
    style: styles[Math.floor(i / 200)]!,
  }));
  const rare = [{ code: "rare", style: "noto" }, { code: "rare", style: "flat" }] as const; // prettier-ignore
  const all = [...pictures, ...rare];
  const split = judgeSplit(all);
  assert.equal(split.concepts.length, 201);
  assert.equal(split.train.length + split.heldOut.length, all.length);
  const hidden = split.heldOut.map((i) => all[i]!.code);
  assert.equal(new Set(hidden).size, hidden.length, "one style of a concept at most");
  assert.ok(!hidden.includes("rare"), "two styles are too few to hide one");
  assert.ok(hidden.length > 10 && hidden.length < 45, `expected about 25, got ${hidden.length}`);
  assert.ok(new Set(split.heldOut.map((i) => all[i]!.style)).size === 4);
  const backwards = all.toReversed();
  const named = (list: readonly (typeof all)[number][], indices: readonly number[]): string[] =>
    indices.map((i) => `${list[i]!.code} ${list[i]!.style}`).sort();
  assert.deepEqual(named(backwards, judgeSplit(backwards).heldOut), named(all, split.heldOut));
});

test("a view is another picture of the same thing, and the same view of the same number", () => {
  const picture = source.picture(0);
  const view = augmented(picture, SIZE, new Prng(5));
  assert.deepEqual(augmented(picture, SIZE, new Prng(5)), view);
  assert.notDeepEqual(augmented(picture, SIZE, new Prng(6)), view);
  // Red stays the strongest channel wherever something is drawn.
  let drawn = 0;
  for (let i = 0; i < view.length; i += 3)
    if (view[i + 1]! < 120) {
      drawn++;
      assert.ok(view[i]! > view[i + 1]!);
    }
  assert.ok(drawn > 50, `expected a circle, got ${drawn} dark pixels`);
});
