import assert from "node:assert/strict";
import { test } from "node:test";
import { Tokenizer } from "../../src/processor/tokenizer.ts";
import { geometries, makeVocabulary, specialTokens } from "../../src/processor/vocabulary.ts";
import type { ClipartEntry } from "../../src/train/data/clipart.ts";
import { CodeBook } from "../../src/train/data/codes.ts";
import { Mixture, sourceWeights } from "../../src/train/data/mixture.ts";
import type { Pixels } from "../../src/train/data/pixels.ts";

const vocabulary = makeVocabulary(geometries.nano, 256);
const tokenizer = new Tokenizer({ merges: [], specials: specialTokens });
const concept = { code: "1f34e", en: "red apple", zh: "红苹果", tags: ["fruit"], isHeldOut: false };
const clipart: ClipartEntry[] = [
  { code: "food/pear", en: "green pear", tags: ["fruit"], isHeldOut: false },
  { code: "food/secret", en: "held out thing", tags: [], isHeldOut: true },
];

/** One emoji picture and clip, and the clip art given. */
function mixtureWith(list: readonly ClipartEntry[]): Mixture {
  const split = { train: [0], heldOut: [] };
  const pixels = {
    pictures: [{ ...concept, style: "noto" }],
    clips: [{ ...concept, start: 0 }],
    clipart: list,
    pictureSplit: split,
    clipSplit: split,
    clipartSplit: { train: list.flatMap((e, i) => (e.isHeldOut ? [] : [i])), heldOut: [] },
  } as unknown as Pixels;
  const counts = { pictures: 1, scenes: 4, clips: 1, motions: 4, clipart: list.length };
  const [perPicture, perClip] = [16, 32];
  const size = (1 + 4 + list.length) * perPicture + (1 + 4) * perClip;
  const codes = new CodeBook(new Uint16Array(size), counts, perPicture, perClip);
  const tables = { definitions: [{ word: "apple", gloss: "a fruit" }], concepts: [concept], prose: [], verse: [], wordProblems: [] }; // prettier-ignore
  return new Mixture({ name: "whole", seed: 3, tables, pixels, codes, tokenizer, vocabulary, maxLength: 400 });
}

const COUNT = 3000;
const isClipart = (ids: Int32Array): boolean => ids.includes(vocabulary.styleId("clipart"));

test("clip art comes at its weight, in its style, of training captions only", () => {
  const mixture = mixtureWith(clipart);
  const texts: string[] = [];
  for (let i = 0; i < COUNT; i++) {
    const { ids } = mixture.sample(i);
    if (isClipart(ids)) texts.push(tokenizer.decode([...ids].filter((id) => id < 256)));
  }
  const total = Object.values(sourceWeights).reduce((a, b) => a + b, 0);
  const expected = (COUNT * sourceWeights.clipart) / total;
  // Four standard deviations of a Poisson count.
  assert.ok(
    Math.abs(texts.length - expected) < 4 * Math.sqrt(expected),
    `expected about ${expected}, got ${texts.length}`,
  );
  assert.ok(texts.some((text) => text.includes("green pear")));
  assert.ok(!texts.some((text) => text.includes("held out thing")));
});

test("without clip art its share goes to the emoji pictures", () => {
  const mixture = mixtureWith([]);
  for (let i = 0; i < COUNT; i++) assert.equal(isClipart(mixture.sample(i).ids), false);
});
