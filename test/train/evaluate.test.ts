/** The smoke suite on a scripted model whose every answer is known, with a built data set of a few tiny pictures. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { PictureJudge } from "../../src/model/picture-judge.ts";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import { judgeSplit } from "../../src/train/data/judge-data.ts";
import { openPixels, sceneSeeds } from "../../src/train/data/pixels.ts";
import { captionScene, drawScene, makeScene } from "../../src/train/data/scenes.ts";
import { resultOf, wordF1 } from "../../src/train/eval/answers.ts";
import { spread, type Figures } from "../../src/train/eval/suite.ts";
import { heldOutTexts, type HeldOutTexts } from "../../src/train/eval/texts.ts";
import { checkTargets, evaluateSmoke, listFigures } from "../../src/train/evaluate.ts";
import { byte, chain, scripted, vocabulary } from "../engine/scripted.ts";

const device = openCpu();
const skip = device ? false : "no C++ compiler: too slow on the interpreter";
const root = mkdtempSync(join(tmpdir(), "tessera-eval-"));
after(() => rmSync(root, { recursive: true, force: true }));

const EOS = "<｜end▁of▁sentence｜>";
const nowhere: HeldOutTexts = {
  prose: "none",
  verse: "none",
  definitions: "none",
  stories: "none",
  dialogue: "none",
  addition: "none",
};
const group = (figures: Figures, ...path: string[]): Figures => path.reduce((at, key) => at[key] as Figures, figures);

/** 40 concepts in three styles, 16x16 shapes scaled up; the last four concepts held out; one clip of each split. */
function builtData(): string {
  const [size, frames] = [32, 5];
  const dir = join(root, "data");
  mkdirSync(dir);
  const concept = (i: number) => ({ code: `c${i}`, en: `thing ${i}`, zh: "", tags: [], isHeldOut: i >= 36 });
  const pictures = (["noto", "flat", "3d"] as const).flatMap((style) => Array.from({ length: 40 }, (_, i) => ({ ...concept(i), style }))); // prettier-ignore
  writeFileSync(join(dir, "images.bin"), Buffer.concat(pictures.map((_, i) => drawScene(makeScene(1, i), size))));
  writeFileSync(join(dir, "images.json"), JSON.stringify(pictures));
  const clips = [0, 39].map((i) => ({ ...concept(i), start: 0 }));
  writeFileSync(join(dir, "clips.bin"), new Uint8Array(2 * frames * size * size * 3).fill(200));
  writeFileSync(join(dir, "clips.json"), JSON.stringify(clips));
  return dir;
}

test("every measure runs, says of how many, and what is missing is named", { skip }, async () => {
  const llm = scripted(device!, chain("<think>", "</think>", byte("a"), EOS));
  const pixels = openPixels(builtData(), llm.info.imageSize, llm.info.numFrames);
  const { concepts } = judgeSplit(pixels.pictures);
  const judge = new PictureJudge(device!, { concepts, channels: [4, 4], width: 4 });
  const seen: string[] = [];
  const onProgress = (name: string, done: number, total: number): void => void (done === total && seen.push(name));
  const options = { count: 1, seed: 3, onProgress };
  const { figures, targets, skipped, wallS } = await evaluateSmoke(llm, { texts: nowhere, pixels, judge }, options);
  assert.deepEqual(
    skipped,
    ["prose", "verse", "definitions", "stories", "dialogue", "addition"].map((s) => `text.${s}: none`),
  );
  assert.deepEqual(Object.keys(figures), ["text", "reconstruction", "drawings", "scenes", "motions", "captions", "addition"]); // prettier-ignore
  assert.deepEqual([...new Set(seen)], Object.keys(figures));
  assert.deepEqual(Object.keys(wallS), [...Object.keys(figures), "all"]);
  // Every group of figures but those of groups carries its count.
  for (const line of listFigures(figures)) assert.doesNotMatch(line, /NaN/);
  assert.equal(group(figures, "reconstruction", "pictures")["n"], 8);
  assert.equal(group(figures, "reconstruction", "animations")["n"], 1);
  // A still clip loses nothing by repeating its first frame.
  assert.equal(group(figures, "reconstruction", "animations")["stillPsnr"], 10 * Math.log10(255 ** 2 / 1e-10));
  assert.equal(group(figures, "drawings", "seenConcepts")["n"], 2);
  assert.equal(group(figures, "drawings", "heldOutConcepts")["n"], 1);
  assert.equal(group(figures, "scenes")["n"], 2);
  assert.equal(group(figures, "addition")["n"], 3);
  // The model answers "a" to everything.
  assert.equal(group(figures, "addition")["exactMatch"], 0);
  const caption = captionScene(makeScene(sceneSeeds.heldOut, 0), "en");
  assert.deepEqual(group(figures, "captions", "heldOutScenes"), { n: 1, wordF1: wordF1("a", caption), exact: 0 });
  assert.ok(!("text.prose.bitsPerByte" in targets));
  assert.deepEqual({ ...targets["addition.exactMatch"] }, { value: 0, atLeast: 0.9, isMet: false });

  const bare = await evaluateSmoke(llm, { texts: nowhere, pixels: undefined, judge }, { count: 1, seed: 3 });
  assert.ok(bare.skipped.some((s) => s.startsWith("drawings:")));
  assert.ok(!("drawings" in bare.figures));
  assert.deepEqual(bare.figures["scenes"], figures["scenes"], "same seed, same pictures");
});

test("bits per byte count what is written, not what is asked", { skip }, async () => {
  // No token of these texts prefers another: each of the text rows is as likely.
  const llm = scripted(device!, chain(byte("x"), EOS));
  const texts: HeldOutTexts = {
    ...nowhere,
    prose: ["zzzz", "猫"],
    dialogue: [{ prompt: "a long question", answer: "no" }],
    addition: [{ prompt: "1", reasoning: "abc", answer: "d" }],
  };
  const { figures, skipped } = await evaluateSmoke(llm, { texts, pixels: undefined, judge: undefined }, { count: 1, seed: 1, only: ["text"] }); // prettier-ignore
  assert.deepEqual(Object.keys(figures), ["text"]);
  const perToken = Math.log2(vocabulary.visual.startId);
  const near = (source: string, n: number, bytes: number, tokens: number): void => {
    const figure = group(figures, "text", source);
    assert.deepEqual([figure["n"], figure["bytes"]], [n, bytes], source);
    const want = (tokens * perToken) / bytes;
    assert.ok(Math.abs((figure["bitsPerByte"] as number) - want) < 1e-4, `${source}: expected ${want}, got ${String(figure["bitsPerByte"])}`); // prettier-ignore
  };
  near("prose", 2, 7, 7);
  near("dialogue", 1, 2, 2);
  // Between reasoning and answer stands one token without bytes.
  near("addition", 1, 4, 5);
  assert.ok(skipped.includes("text.stories: none"));
});

test("held-out texts need no download", async () => {
  const texts = await heldOutTexts(undefined, join(root, "nowhere"));
  assert.equal(texts.prose, "the books are not here");
  assert.equal(typeof texts.definitions, "string");
  assert.equal(texts.addition.length, 1000);
});

test("word F1 counts shared words, each once", () => {
  assert.equal(wordF1("a red circle", "a red circle"), 1);
  assert.equal(wordF1("Red circle!", "a red circle"), 0.8);
  assert.equal(wordF1("red red red", "a red circle"), 1 / 3);
  assert.equal(wordF1("", "a"), 0);
  assert.equal(wordF1("猫", "猫"), 1);
});

test("the result of a sum is the last number of the answer", () => {
  assert.equal(resultOf("347 + 85 = 432"), 432);
  assert.equal(resultOf("432."), 432);
  assert.ok(Number.isNaN(resultOf("none")));
});

test("targets are checked from either side", () => {
  const {
    "text.prose.bitsPerByte": prose,
    "scenes.colorAndObject": scenes,
    ...others
  } = checkTargets({
    text: { prose: { n: 1, bitsPerByte: 2.5 } },
    scenes: { n: 1, colorAndObject: 0.6 },
  });
  assert.deepEqual(prose, { value: 2.5, atMost: 2, isMet: false });
  assert.deepEqual(scenes, { value: 0.6, atLeast: 0.6, isMet: true });
  assert.deepEqual(others, {});
});

test("a spread reaches over the whole list and never repeats", () => {
  assert.deepEqual(spread([0, 1, 2, 3, 4, 5], 3), [0, 2, 4]);
  assert.deepEqual(spread([0, 1], 5), [0, 1]);
});
