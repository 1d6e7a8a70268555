/**
 * The engine's loop against naive generation, which runs the whole sequence again for every token and knows
 * neither states, chunks, batches nor ranges of the head.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { generateTokens, type TokenEvent, type TokenRequest } from "../../src/engine/generate.ts";
import { ModalityTracker, sideOf } from "../../src/engine/modality.ts";
import { V4 } from "../../src/model/v4.ts";
import * as t from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { someIds, tinyConfig } from "../model/tiny.ts";
import { openTestDevice } from "../tensor/device.ts";
import { END, grammar, NULL, plan } from "./grammar.ts";

const device = openTestDevice();
const model = new V4(device, tinyConfig(), { seed: 5 });
for (const [name, p] of model.namedParameters())
  if (p.dtype === "f32" && p.ndim >= 2 && !name.includes("hc_"))
    p.copyFrom((p.toArray() as Float32Array).map((x) => x * 8));

const params = { maxTokens: 30, temperature: 0, topP: 1, topK: 0, seed: 0, guidance: 1 };
const request = (own: Partial<TokenRequest>): TokenRequest => ({
  prompt: [...someIds(9, 40)],
  params,
  plan,
  isTextLegal: (id) => id < 40,
  isEnd: (id) => id === END,
  blank: (ids) => ids.map((id) => (id < 40 ? NULL : id)),
  stopAfterSegment: true,
  ...own,
});

function all(r: TokenRequest): { ids: number[]; events: TokenEvent[]; reason: string } {
  const events: TokenEvent[] = [];
  const run = generateTokens(model, grammar, r);
  for (;;) {
    const next = run.next();
    if (next.done) return { ids: events.map((e) => e.id), events, reason: next.value };
    events.push(next.value);
  }
}

function lastLogits(ids: readonly number[]): Float32Array {
  using _scope = t.tensorScope();
  const visual = sideOf(ids, grammar);
  const { hidden } = t.noGrad(() =>
    model.forward(Tensor.from(device, Int32Array.from(ids), [1, ids.length]), { visual }),
  );
  return (t.noGrad(() => model.logits(hidden)).toArray() as Float32Array).slice(-model.config.vocab_size);
}

/** Greedy, by the definition: logits of everything so far, guidance against the blanked prompt, best legal id. */
function naive(r: TokenRequest): number[] {
  const ids = [...r.prompt];
  const tracker = new ModalityTracker(grammar);
  let opened = -1;
  const push = (id: number): void => {
    const wasText = tracker.segment === undefined;
    tracker.push(id);
    if (wasText && tracker.segment) opened = ids.length;
  };
  ids.forEach((id, i) => {
    const wasText = tracker.segment === undefined;
    tracker.push(id);
    if (wasText && tracker.segment) opened = i;
  });
  const out: number[] = [];
  while (out.length < r.params.maxTokens) {
    const legal = tracker.legal(r.plan);
    const wasVisual = tracker.segment !== undefined;
    let logits = lastLogits(ids);
    if (wasVisual && r.params.guidance !== 1) {
      const other = lastLogits([...r.blank(ids.slice(0, opened)), ...ids.slice(opened)]);
      logits = logits.map((c, i) => other[i]! + r.params.guidance * (c - other[i]!));
    }
    const may = (id: number): boolean =>
      legal.kind === "text" ? r.isTextLegal(id) : legal.kind === "forced" ? id === legal.id : legal.kind === "oneOf" ? legal.ids.includes(id) : id >= legal.start && id < legal.end; // prettier-ignore
    let best = -1;
    for (let id = 0; id < logits.length; id++) if (may(id) && (best < 0 || logits[id]! > logits[best]!)) best = id;
    if (r.isEnd(best)) break;
    push(best);
    ids.push(best);
    out.push(best);
    if (wasVisual && tracker.segment === undefined && r.stopAfterSegment) break;
  }
  return out;
}

test("greedy text equals naive generation", () => {
  for (const length of [1, 3, 4, 8, 17]) {
    const r = request({ prompt: [...someIds(length, 40, length)], isEnd: () => false });
    const got = all(r);
    assert.deepEqual(got.ids, naive(r), `prompt of ${length}`);
    assert.equal(got.reason, "length");
  }
});

test("greedy pictures equal naive generation, with and without guidance", () => {
  for (const guidance of [1, 3]) {
    const r = request({ prompt: [...someIds(6, 40), grammar.boi], params: { ...params, guidance, maxTokens: 40 } });
    const got = all(r);
    assert.deepEqual(got.ids, naive(r), `guidance ${guidance}`);
    assert.equal(got.reason, "stop");
    assert.equal(got.ids.at(-1), grammar.eoi);
    assert.deepEqual(got.events.at(-2)!.segment, { modality: "image", done: 16, total: 16 });
  }
});

test("a blank prompt of another length gives the same as naive generation", () => {
  const r = request({
    prompt: [...someIds(6, 40), grammar.boi],
    params: { ...params, guidance: 2, maxTokens: 24 },
    blank: () => [0, NULL],
  });
  assert.deepEqual(all(r).ids, naive(r));
});

test("a clip continues the codes of its first frame, under guidance", () => {
  const first = Array.from({ length: 16 }, (_, i) => 50 + ((i * 3) % 20));
  const prompt = [5, 6, 7, grammar.bov, 45, plan.size, plan.frames, grammar.vpad, ...first];
  const r = request({ prompt, params: { ...params, guidance: 2 } });
  const got = all(r);
  assert.deepEqual(got.ids, naive(r));
  assert.equal(got.ids.length, 17);
});

test("text goes on after a picture", () => {
  const prompt = [...someIds(5, 40), grammar.boi];
  const r = request({ prompt, stopAfterSegment: false, isEnd: () => false, params: { ...params, guidance: 2 } });
  const got = all(r);
  assert.deepEqual(got.ids, naive(r));
  assert.ok(got.ids.indexOf(grammar.eoi) < got.ids.length - 1);
});

test("the same seed gives the same tokens, and another seed others", () => {
  const run = (seed: number): number[] =>
    all(request({ params: { ...params, temperature: 1, seed }, isEnd: () => false })).ids;
  assert.deepEqual(run(1), run(1));
  assert.notDeepEqual(run(1), run(2));
});

test("an abort ends the answer, and the context bounds it", () => {
  const controller = new AbortController();
  const run = generateTokens(model, grammar, request({ signal: controller.signal, isEnd: () => false }));
  assert.equal(run.next().done, false);
  controller.abort();
  assert.deepEqual(run.next(), { done: true, value: "abort" });
  const long = all(request({ prompt: [...someIds(120, 40)], isEnd: () => false }));
  assert.equal(long.ids.length, model.config.max_position_embeddings - 120);
  assert.equal(long.reason, "length");
});
