/**
 * Continuing a state equals one call to the bit, however a sequence is cut and whatever was taken back in between: an
 * element's sums have an order that is the element's own.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { V4State } from "../../src/model/state.ts";
import { V4 } from "../../src/model/v4.ts";
import * as t from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { openTestDevice } from "../tensor/device.ts";
import { someIds, tinyConfig } from "./tiny.ts";

const device = openTestDevice();
const config = tinyConfig();
const model = new V4(device, config, { seed: 3 });
enlarge(model);
const LENGTH = 37;

/** Start values are small; larger ones make every part count. */
function enlarge(network: V4): void {
  for (const [name, p] of network.namedParameters())
    if (p.dtype === "f32" && p.ndim >= 2 && !name.includes("hc_"))
      p.copyFrom((p.toArray() as Float32Array).map((x) => x * 8));
}

const tensorOf = (ids: Int32Array, batch = 1): Tensor => Tensor.from(device, ids, [batch, ids.length / batch]);

const whole = (ids: Int32Array): Float32Array => chunked(ids, [ids.length]);

function step(state: V4State, ids: Int32Array): Float32Array {
  using _scope = t.tensorScope();
  return t
    .noGrad(() => model.logits(model.forward(tensorOf(ids, state.batch), { state }).hidden))
    .toArray() as Float32Array;
}

function chunked(ids: Int32Array, sizes: readonly number[]): Float32Array {
  const state = model.newState();
  const parts: number[] = [];
  let at = 0;
  for (const n of sizes) parts.push(...step(state, ids.slice(at, (at += n))));
  assert.equal(at, ids.length);
  assert.equal(state.length, ids.length);
  state.dispose();
  return Float32Array.from(parts);
}

/** To the bit. */
function close(got: Float32Array, expected: Float32Array, what: string): void {
  assert.equal(got.length, expected.length, what);
  const wrong = got.findIndex((x, i) => !Object.is(x, expected[i]!));
  assert.equal(wrong, -1, `${what}: element ${wrong}: ${got[wrong]} vs ${expected[wrong]}`);
}

const ids = someIds(LENGTH, 50);
const expected = whole(ids);

test("two chunks equal one call at every split", () => {
  for (let split = 1; split < LENGTH; split++) close(chunked(ids, [split, LENGTH - split]), expected, `split ${split}`);
});

test("equal chunks of every size equal one call, one token at a time included", () => {
  for (const size of [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17]) {
    const sizes = Array.from({ length: Math.floor(LENGTH / size) }, () => size);
    const rest = LENGTH % size;
    close(chunked(ids, rest ? [...sizes, rest] : sizes), expected, `chunks of ${size}`);
  }
});

test("a prefix does not depend on what follows", () => {
  const vocab = config.vocab_size;
  for (const n of [1, 3, 4, 8, 16, 19]) close(whole(ids.slice(0, n)), expected.slice(0, n * vocab), `prefix ${n}`);
});

test("after a rollback the next tokens have the bits of a sequence that never had the others", () => {
  const vocab = config.vocab_size;
  const drafts = someIds(8, 50, 4);
  for (const at of [1, 3, 4, 7, 8, 11, 15, 16, 17, 31, 32])
    for (const count of [1, 3, 8]) {
      const state = model.newState();
      step(state, ids.slice(0, at));
      const copy = state.clone();
      step(state, drafts.slice(0, count));
      state.rollback(at);
      assert.equal(state.length, at);
      close(step(state, ids.slice(at)), expected.slice(at * vocab), `${count} tokens taken back at ${at}`);
      // A clone shares nothing with what it was made from.
      close(step(copy, ids.slice(at, at + 1)), expected.slice(at * vocab, (at + 1) * vocab), `clone at ${at}`);
      for (const s of [state, copy]) s.dispose();
    }
});

test("a rollback beyond what is kept is refused by name", () => {
  const state = model.newState(1, { maxDraft: 3 });
  step(state, ids.slice(0, 20));
  state.rollback(18);
  assert.throws(() => state.rollback(16), /rollback: expected a length from 17 to 18, got 16 .*3 tokens/);
  assert.throws(() => state.rollback(19), /expected a length from 17 to 18, got 19/);
  state.rollback(17);
  const vocab = config.vocab_size;
  close(step(state, ids.slice(17)), expected.slice(17 * vocab), "the furthest rollback");
  state.dispose();
});

test("a stacked batch equals its sequences, and picking gives them back", () => {
  const other = someIds(LENGTH, 50, 9);
  const a = model.newState();
  const b = model.newState();
  step(a, ids.slice(0, 18));
  step(b, other.slice(0, 18));
  const both = V4State.stack([a, b]);
  const got = step(both, Int32Array.from([...ids.slice(18, 30), ...other.slice(18, 30)]));
  const vocab = config.vocab_size;
  close(got.slice(0, 12 * vocab), expected.slice(18 * vocab, 30 * vocab), "first of the batch");
  close(got.slice(12 * vocab), whole(other).slice(18 * vocab, 30 * vocab), "second of the batch");
  const first = both.pick(0);
  both.dispose();
  close(step(first, ids.slice(30)), expected.slice(30 * vocab), "picked");
  // The parts that were stacked are untouched.
  close(step(a, ids.slice(18, 20)), expected.slice(18 * vocab, 20 * vocab), "original");
  for (const s of [a, b, first]) s.dispose();
});

test("stacking sequences of other lengths is refused", () => {
  const a = model.newState();
  const b = model.newState();
  step(a, ids.slice(0, 3));
  step(b, ids.slice(0, 4));
  assert.throws(() => V4State.stack([a, b]), /expected sequences of equal length, got 3, 4/);
});
