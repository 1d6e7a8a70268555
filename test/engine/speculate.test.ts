/** Speculation changes nothing but the number of calls: same greedy tokens, same distribution, same state. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Prng } from "../../src/base/prng.ts";
import { accept } from "../../src/engine/acceptance.ts";
import { drafterFor, MtpDrafter, SelfDrafter, type Drafter } from "../../src/engine/drafters.ts";
import { distribution } from "../../src/engine/sampler.ts";
import { speculate, type SpeculationCounts } from "../../src/engine/speculate.ts";
import { parseConfig } from "../../src/model/config.ts";
import { V4 } from "../../src/model/v4.ts";
import { loadOfficial } from "../../src/model/weights.ts";
import { someIds, tinyConfig } from "../model/tiny.ts";
import * as t from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { openTestDevice } from "../tensor/device.ts";

const device = openTestDevice();
const mtp = new V4(device, tinyConfig({ visual: undefined }), { seed: 5 });
for (const [name, p] of mtp.namedParameters())
  if (p.dtype === "f32" && p.ndim >= 2 && !name.includes("hc_"))
    p.copyFrom((p.toArray() as Float32Array).map((x) => x * 8));

const path = join(import.meta.dirname, "..", "golden", "v4", "dspark");
const dspark = new V4(device, parseConfig(JSON.parse(readFileSync(`${path}.json`, "utf8")), path), { init: "zeros" });
loadOfficial(`${path}.safetensors`, dspark, { ignore: (key) => key.startsWith("golden.") });

const greedy = { maxTokens: 25, temperature: 0, topP: 1, topK: 0, seed: 0 };
function all(
  model: V4,
  prompt: readonly number[],
  drafter?: Drafter,
  own: object = {},
  draftLength = 3,
): { ids: number[]; counts: SpeculationCounts } {
  // prettier-ignore
  const run = speculate(model, drafter, { prompt, params: { ...greedy, ...own }, draftLength });
  const ids: number[] = [];
  for (;;) {
    const next = run.next();
    if (!next.done) ids.push(next.value);
    else {
      drafter?.dispose();
      return { ids, counts: next.value };
    }
  }
}

test("greedy tokens are the network's own, whoever drafts and however much", () => {
  for (const [model, prompt] of [
    [mtp, someIds(13, 70)],
    [dspark, someIds(11, 96)],
  ] as const) {
    const plain = all(model, [...prompt]);
    assert.equal(plain.ids.length, greedy.maxTokens);
    assert.ok(new Set(plain.ids).size > 3, "an answer that says something");
    for (const draftLength of [1, 4]) {
      const drafted = all(model, [...prompt], drafterFor(model), {}, draftLength);
      assert.deepEqual(drafted.ids, plain.ids, `${draftLength} drafts`);
      assert.ok(drafted.counts.drafted > drafted.counts.rounds - 3);
    }
  }
});

test("a drafter that is always right saves the calls that it should", () => {
  const prompt = [...someIds(13, 70)];
  const { ids, counts } = all(mtp, prompt, new SelfDrafter(mtp, prompt));
  assert.deepEqual(ids, all(mtp, prompt).ids);
  assert.equal(counts.accepted, counts.drafted);
  // 25 tokens: the prompt gives one, each round of three drafts four.
  assert.equal(counts.rounds, 6);
});

test("the MTP drafter guesses what the module says of the whole sequence, however it was read", () => {
  using _scope = t.tensorScope();
  const ids = [...someIds(14, 70)];
  const tensor = (list: readonly number[]): Tensor => Tensor.from(device, Int32Array.from(list), [1, list.length]);
  const streams = t.noGrad(() => mtp.forward(tensor(ids.slice(0, -1))).streams);
  const hidden = t.noGrad(() => mtp.mtpHidden(streams, tensor(ids.slice(1))));
  const expected = (t.noGrad(() => mtp.logits(hidden)).toArray() as Float32Array).slice(-mtp.config.vocab_size);
  const drafter = new MtpDrafter(mtp);
  const state = mtp.newState();
  for (const [from, to] of [
    [0, 9],
    [9, 10],
    [10, 13],
  ] as const)
    // prettier-ignore
    drafter.observe(mtp.forward(tensor(ids.slice(from, to)), { state }), ids.slice(from + 1, to + 1));
  // A draft leaves no trace: the second says the same.
  for (let turn = 0; turn < 2; turn++) {
    const seen: Float32Array[] = [];
    drafter.draft(3, (logits) => ({ id: seen.push(logits), from: new Float64Array(0) }));
    const scale = Math.max(...expected.map(Math.abs));
    expected.forEach((x, i) => assert.ok(Math.abs(seen[0]![i]! - x) <= 2e-5 * scale, `logit ${i}`));
  }
  drafter.dispose();
  state.dispose();
});

test("an end within the drafts ends the answer", () => {
  const prompt = [...someIds(13, 70)];
  const plain = all(mtp, prompt).ids;
  const at = plain.findIndex((id, i) => i >= 5 && plain.indexOf(id) === i);
  const run = speculate(mtp, new SelfDrafter(mtp, prompt), { prompt, params: greedy, draftLength: 3, isEnd: (id) => id === plain[at] }); // prettier-ignore
  assert.deepEqual([...run], plain.slice(0, at));
});

/**
 * The chance that some of `cells` frequencies of `count` draws lies further than the bound from its probability is at
 * most 2 * cells * exp(-2 * count * bound^2) (Hoeffding, union over cells); the bound makes that 1e-9.
 */
const boundFor = (cells: number, count: number): number => Math.sqrt(Math.log((2 * cells) / 1e-9) / (2 * count));

test("accepted tokens have the network's distribution, also in pairs", () => {
  const r = new Prng(3);
  const V = 5;
  const some = (sharp: number): Float64Array => {
    const logits = Float32Array.from({ length: V }, () => r.normal() * sharp);
    return distribution(logits, { temperature: 1, topP: 0.95, topK: 0 });
  };
  // p of the second token depends on the first, as a network's does.
  const [p0, q0] = [some(1.5), some(1.5)];
  const [p1, q1] = [Array.from({ length: V }, () => some(1.5)), Array.from({ length: V }, () => some(1.5))];
  const p2 = some(1);
  const count = 200_000;
  const pairs = new Float64Array(V * V);
  const random = (): number => r.uniform();
  const drawFrom = (p: Float64Array): number => accept({ ids: [], from: [] }, [p], random).next;
  let stood = 0;
  for (let n = 0; n < count; n++) {
    const a = drawFrom(q0);
    const b = drawFrom(q1[a]!);
    const found = accept({ ids: [a, b], from: [q0, q1[a]!] }, [p0, p1[a]!, p2], random);
    stood += found.count > 0 ? 1 : 0;
    const one = found.count > 0 ? a : found.next;
    // A token drawn anew is followed by the network's own next one.
    const two = found.count === 2 ? b : found.count === 1 ? found.next : drawFrom(p1[one]!);
    pairs[one * V + two]! += 1 / count;
  }
  const bound = boundFor(V * V + 1, count);
  for (let i = 0; i < V * V; i++) {
    const p = p0[Math.floor(i / V)]! * p1[Math.floor(i / V)]![i % V]!;
    assert.ok(Math.abs(pairs[i]! - p) < bound, `pair ${i}: ${pairs[i]} of ${p}, bound ${bound}`);
  }
  // And as many stand as can: the overlap of p and q.
  const overlap = p0.reduce((sum, p, i) => sum + Math.min(p, q0[i]!), 0);
  assert.ok(Math.abs(stood / count - overlap) < bound);
});

test("sampled drafts of the network itself stand: what they were drawn from is what they are held against", () => {
  const prompt = [...someIds(13, 70)];
  const { ids, counts } = all(mtp, prompt, new SelfDrafter(mtp, prompt), { temperature: 0.7, topP: 0.9, seed: 4 });
  assert.equal(ids.length, greedy.maxTokens);
  assert.equal(counts.accepted, counts.drafted);
});
