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
