import assert from "node:assert/strict";
import { test } from "node:test";
import { guide, sample } from "../../src/engine/sampler.ts";

const base = { temperature: 1, topP: 1, topK: 0, seed: 1, counter: 0 };
const logits = Float32Array.of(1, 3, 2, 3, -1);

/** Share of each id over many counters. */
function shares(x: Float32Array, options: Partial<Parameters<typeof sample>[1]>, draws = 20000): number[] {
  const out = Array<number>(x.length).fill(0);
  for (let counter = 0; counter < draws; counter++) out[sample(x, { ...base, ...options, counter })]! += 1 / draws;
  return out;
}

test("greedy takes the best legal id, the lowest on ties", () => {
  assert.equal(sample(logits, { ...base, temperature: 0 }), 1);
  assert.equal(sample(logits, { ...base, temperature: 0, isLegal: (id) => id !== 1 }), 3);
  assert.equal(sample(logits, { ...base, temperature: 0, isLegal: (id) => id >= 104 }, 100), 104);
});

test("draws follow the softmax at the temperature", () => {
  for (const temperature of [0.5, 1, 2]) {
    const e = [...logits].map((l) => Math.exp(l / temperature));
    const total = e.reduce((a, b) => a + b);
    // Three standard deviations of a share over 20000 draws are at most 0.011.
    shares(logits, { temperature }).forEach((p, i) =>
      assert.ok(Math.abs(p - e[i]! / total) < 0.011, `${temperature} ${i}`),
    );
  }
});

test("top-k and top-p keep the likeliest, and legality comes first", () => {
  assert.deepEqual(shares(logits, { topK: 3 }, 2000).map((p) => p > 0), [false, true, true, true, false]); // prettier-ignore
  assert.deepEqual(shares(logits, { topP: 0.5 }, 2000).map((p) => p > 0), [false, true, false, true, false]); // prettier-ignore
  assert.deepEqual(shares(logits, { topP: 1e-9 }, 200).map((p) => p > 0), [false, true, false, false, false]); // prettier-ignore
  const odd = shares(logits, { topK: 2, isLegal: (id) => id === 0 || id === 4 }, 2000);
  assert.deepEqual(odd.map((p) => p > 0), [true, false, false, false, true]); // prettier-ignore
});

test("a draw is a function of seed and counter", () => {
  const flat = new Float32Array(1000);
  const draws = (seed: number): number[] =>
    Array.from({ length: 50 }, (_, counter) => sample(flat, { ...base, seed, counter }));
  assert.deepEqual(draws(7), draws(7));
  assert.notDeepEqual(draws(7), draws(8));
  assert.ok(new Set(draws(7)).size > 40);
});

test("no legal id and broken logits are bugs that say so", () => {
  assert.throws(() => sample(logits, { ...base, isLegal: () => false }), /no legal id/);
  assert.throws(() => sample(Float32Array.of(NaN), base), /logit of id 0 is NaN/);
});

test("guidance extrapolates from the unconditional logits", () => {
  assert.deepEqual([...guide(Float32Array.of(1, 2), Float32Array.of(0, 4), 3)], [3, -2]);
  assert.deepEqual([...guide(Float32Array.of(1, 2), Float32Array.of(0, 4), 1)], [1, 2]);
});

test("the nucleus found without sorting everything is the one that sorting everything finds", () => {
  const n = 400;
  for (let round = 0; round < 40; round++) {
    const spread = [0.01, 1, 4, 12][round % 4]!;
    const logits = Float32Array.from({ length: n }, (_, i) => spread * Math.sin(i * 12.9898 + round) * Math.cos(i * 0.37)); // prettier-ignore
    const topP = [0.05, 0.5, 0.95, 0.9999][(round >> 2) % 4]!;
    const ids = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
    const weights = ids.map((i) => Math.exp(logits[i]! - logits[ids[0]!]!));
    const enough = topP * weights.reduce((s, w) => s + w, 0);
    let count = 0;
    for (let sum = 0; count < n && (count === 0 || sum < enough);) sum += weights[count++]!;
    const nucleus = new Set(ids.slice(0, count));
    for (let counter = 0; counter < 20; counter++)
      assert.ok(nucleus.has(sample(logits, { temperature: 1, topP, topK: 0, seed: round, counter })));
    // The rarest member can be drawn: a nucleus cut too small would never give the ids at its end.
    if (count > 1 && count <= 60) {
      const drawn = new Set(Array.from({ length: 1500 }, (_, counter) => sample(logits, { temperature: 1, topP, topK: 0, seed: round, counter }))); // prettier-ignore
      assert.ok(drawn.size > count / 2, `${drawn.size} of ${count} ids drawn`);
    }
  }
});
