/** Speculation changes nothing but the number of calls: the same tokens, greedy or sampled, in text and around pictures. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { drafterFor, MtpDrafter, SelfDrafter, type Drafter } from "../../src/engine/drafters.ts";
import { generateTokens, type TokenRequest } from "../../src/engine/generate.ts";
import { Drafts, type DraftCounts } from "../../src/engine/speculate.ts";
import { parseConfig } from "../../src/model/config.ts";
import { V4 } from "../../src/model/v4.ts";
import { loadOfficial } from "../../src/model/weights.ts";
import * as t from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { someIds, tinyConfig } from "../model/tiny.ts";
import { openTestDevice } from "../tensor/device.ts";
import { END, grammar, NULL, plan } from "./grammar.ts";

const device = openTestDevice();
const mtp = new V4(device, tinyConfig(), { seed: 5 });
for (const [name, p] of mtp.namedParameters())
  if (p.dtype === "f32" && p.ndim >= 2 && !name.includes("hc_"))
    p.copyFrom((p.toArray() as Float32Array).map((x) => x * 8));

const path = join(import.meta.dirname, "..", "golden", "v4", "dspark");
const dspark = new V4(device, parseConfig(JSON.parse(readFileSync(`${path}.json`, "utf8")), path), { init: "zeros" });
loadOfficial(`${path}.safetensors`, dspark, { ignore: (key) => key.startsWith("golden.") });

const greedy = { maxTokens: 25, temperature: 0, topP: 1, topK: 0, seed: 0, guidance: 2 };
const base: Omit<TokenRequest, "prompt"> = {
  params: greedy,
  plan,
  isTextLegal: (id) => id < 40,
  isEnd: () => false,
  blank: (ids) => ids.map((id) => (id < 40 ? NULL : id)),
  stopAfterSegment: false,
};
const prompt = [...someIds(13, 40)];

function all(
  model: V4,
  own: Partial<TokenRequest> = {},
  drafter?: Drafter,
  limit = 3,
): { ids: number[]; counts: DraftCounts | undefined } {
  const drafts = drafter && new Drafts(drafter, limit);
  const run = generateTokens(model, grammar, { prompt, ...base, ...own, drafts });
  return { ids: [...run].map((event) => event.id), counts: drafts?.counts };
}

test("greedy tokens are the network's own, whoever drafts and however much", () => {
  for (const model of [mtp, dspark]) {
    const plain = all(model).ids;
    assert.equal(plain.length, greedy.maxTokens);
    assert.ok(new Set(plain).size > 3, "an answer that says something");
    for (const limit of [1, 4]) {
      const { ids, counts } = all(model, {}, drafterFor(model), limit);
      assert.deepEqual(ids, plain, `${limit} drafts`);
      assert.ok(counts!.drafted >= 2 && counts!.accepted < counts!.drafted);
    }
  }
});

/** Which also says that their distribution is the network's, without a test of chance. */
test("sampled tokens are those of the same seed without drafts", () => {
  let [drafted, accepted] = [0, 0];
  for (let seed = 0; seed < 24; seed++) {
    const params = { ...greedy, maxTokens: 14, temperature: 0.9, topP: 0.95, seed };
    const { ids, counts } = all(mtp, { params }, new MtpDrafter(mtp), 3);
    assert.deepEqual(ids, all(mtp, { params }).ids, `seed ${seed}`);
    drafted += counts!.drafted;
    accepted += counts!.accepted;
  }
  assert.ok(accepted > 0 && accepted < drafted, `some stand and some do not, got ${accepted} of ${drafted}`);
});

/**
 * Frequencies of the second token, the first that is guessed, against the network's own probabilities. The chance that one of
 * `cells` frequencies of `count` draws is further off than the bound is at most 2 * cells * exp(-2 * count * bound^2)
 * (Hoeffding, union over cells); the bound makes that 1e-9.
 */
test("what is drawn with drafts has the network's distribution", () => {
  const cells = 40;
  const count = 1200;
  const bound = Math.sqrt(Math.log((2 * cells) / 1e-9) / (2 * count));
  const seen = new Float64Array(cells);
  let accepted = 0;
  for (let seed = 0; seed < count; seed++) {
    const params = { ...greedy, maxTokens: 2, temperature: 1, seed };
    // The first token is the same for all, so that the second has one distribution.
    let n = 0;
    const isTextLegal = (id: number): boolean => (n === 0 ? id === 7 : id < 40);
    const drafts = new Drafts(new MtpDrafter(mtp), 2);
    const run = generateTokens(mtp, grammar, { prompt: prompt.slice(0, 5), ...base, params, isTextLegal, drafts });
    for (const { id } of run) if (n++ === 1) seen[id]! += 1 / count;
    accepted += drafts.counts.accepted;
  }
  assert.ok(accepted > 0 && accepted < count, `some stand and some do not, got ${accepted} of ${count}`);
  using _scope = t.tensorScope();
  const ids = [...prompt.slice(0, 5), 7];
  const hidden = t.noGrad(() => mtp.forward(Tensor.from(device, Int32Array.from(ids), [1, ids.length])).hidden);
  const logits = (t.noGrad(() => mtp.logits(hidden)).toArray() as Float32Array).slice(-70).slice(0, cells);
  const top = Math.max(...logits);
  const weights = logits.map((x) => Math.exp(x - top));
  const total = weights.reduce((a, b) => a + b, 0);
  weights.forEach((w, i) => assert.ok(Math.abs(seen[i]! - w / total) < bound, `id ${i}: ${seen[i]} of ${w / total}`));
});

test("a drafter that is always right saves the calls that it should", () => {
  const { ids, counts } = all(mtp, {}, new SelfDrafter(mtp));
  assert.deepEqual(ids, all(mtp).ids);
  // The prompt gives one token, each of the calls after it four; the last guess of a call may be beyond the end.
  assert.equal(counts!.draftedCalls, 6);
  assert.equal(counts!.accepted, counts!.drafted);
});

test("drafting stops for a while where guesses do not stand", () => {
  const wrong: Drafter = { taps: [], read() {}, rollback() {}, draft: ({ count }) => Array.from({ length: count }, () => 39), dispose() {} }; // prettier-ignore
  const params = { ...greedy, maxTokens: 60 };
  const { ids, counts } = all(mtp, { params }, wrong);
  assert.deepEqual(ids, all(mtp, { params }).ids);
  assert.ok(counts!.plainCalls >= 32, `expected a pause, got ${JSON.stringify(counts)}`);
});

test("an end among the guesses ends the answer", () => {
  const plain = all(mtp).ids;
  const at = plain.findIndex((id, i) => i >= 5 && plain.indexOf(id) === i);
  const isEnd = (id: number): boolean => id === plain[at];
  assert.deepEqual(all(mtp, { isEnd }, new SelfDrafter(mtp)).ids, plain.slice(0, at));
});

test("pictures read and written between drafted text", () => {
  const pads = Array.from({ length: (4 - ((prompt.length + 3) % 4)) % 4 }, () => 44);
  const codes = Array.from({ length: 16 }, (_, i) => 50 + i);
  const read = { prompt: [...prompt, 40, 45, 47, ...pads, ...codes, 41, 3, 9] };
  const { ids, counts } = all(mtp, read, new MtpDrafter(mtp));
  assert.deepEqual(ids, all(mtp, read).ids);
  assert.ok(counts!.drafted > 0);
  const opens = { isTextLegal: (id: number) => id === 40, params: { ...greedy, maxTokens: 24 }, isEnd: (id: number) => id === END }; // prettier-ignore
  const drawn = all(mtp, opens, new MtpDrafter(mtp));
  assert.deepEqual(drawn.ids, all(mtp, opens).ids);
  assert.ok(drawn.ids.includes(41), "a whole picture");
});

test("the MTP drafter guesses what the module says of the whole sequence, however it was read", () => {
  using _scope = t.tensorScope();
  const ids = [...someIds(14, 40)];
  const tensor = (list: readonly number[]): Tensor => Tensor.from(device, Int32Array.from(list), [1, list.length]);
  const streams = t.noGrad(() => mtp.forward(tensor(ids.slice(0, -1))).streams);
  const hidden = t.noGrad(() => mtp.mtpHidden(streams, tensor(ids.slice(1))));
  const expected = (t.noGrad(() => mtp.logits(hidden)).toArray() as Float32Array).slice(-mtp.config.vocab_size);
  const drafter = new MtpDrafter(mtp);
  const state = mtp.newState();
  const sequence = ids.map((id) => ({ id, side: [-1, -1, -1, -1] as const }));
  const seen: Float32Array[] = [];
  const choose = (logits: Float32Array): { id: number; chance: number } => ({ id: seen.push(logits), chance: 1 });
  for (const [from, to] of [
    [0, 9],
    [9, 10],
    [10, 13],
  ] as const) {
    const known = sequence.slice(0, to + 1);
    drafter.read(mtp.forward(tensor(ids.slice(from, to)), { state }), known);
    seen.length = 0;
    // What it guesses on the way must leave no trace.
    assert.equal(drafter.draft({ sequence: known, count: 3, range: { start: 0, end: 70 }, choose }).length, 3);
  }
  const scale = Math.max(...expected.map(Math.abs));
  expected.forEach((x, i) => assert.ok(Math.abs(seen[0]![i]! - x) <= 2e-5 * scale, `logit ${i}`));
  drafter.dispose();
  state.dispose();
});
