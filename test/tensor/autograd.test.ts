import assert from "node:assert/strict";
import { test } from "node:test";
import * as t from "../../src/tensor/ops.ts";
import { Parameter, Tensor } from "../../src/tensor/tensor.ts";
import { leaf } from "./check.ts";
import { openTestDevice } from "./device.ts";

const device = openTestDevice();
const values = (x: Tensor | undefined): number[] => [...x!.toArray()];
const f32 = (data: number[], shape = [data.length]): Tensor => {
  const x = Tensor.from(device, data, shape);
  x.requiresGrad = true;
  return x;
};

test("gradients add up over uses and over backward calls", () => {
  const x = f32([1, 2, 3]);
  for (let i = 1; i <= 3; i++) {
    using _scope = t.tensorScope();
    const y = t.mul(x, x);
    t.backward(t.sumAll(t.add(y, t.add(y, x)))); // 2 x^2 + x
    assert.deepEqual(values(x.grad), [5 * i, 9 * i, 13 * i]);
  }
});

test("nothing is recorded under noGrad, nothing flows through stopGradient", () => {
  const x = f32([1, 2]);
  const y = t.noGrad(() => t.exp(x));
  assert.equal(y.node, undefined);
  assert.equal(y.requiresGrad, false);
  assert.throws(() => t.backward(t.sumAll(y)), /made from leaves that require gradients/);
  t.backward(t.sumAll(t.mul(x, t.stopGradient(x))));
  assert.deepEqual(values(x.grad), [1, 2]);
  assert.equal(t.isGradEnabled(), true);
  assert.throws(() => t.noGrad(() => { throw new Error("boom"); }), /boom/); // prettier-ignore
  assert.equal(t.isGradEnabled(), true);
});

test("only what leads to a leaf is recorded, and only leaves that ask get gradients", () => {
  const [x, constant] = [f32([1, 2]), Tensor.from(device, [3, 4])];
  assert.equal(t.mul(constant, 2).node, undefined);
  t.backward(t.sumAll(t.mul(x, constant)));
  assert.deepEqual(values(x.grad), [3, 4]);
  assert.equal(constant.grad, undefined);
});

test("backward wants a scalar or a gradient for every element", () => {
  const x = f32([1, 2]);
  const y = t.square(x);
  assert.throws(() => t.backward(y), /scalar loss, got \[2\]/);
  t.backward(y, Tensor.from(device, [10, 1]));
  assert.deepEqual(values(x.grad), [20, 4]);
});

test("a leaf gradient survives the scope it was made in, and shares memory with nothing", () => {
  const [x, y] = [f32([1, 2]), f32([5, 6])];
  {
    using _scope = t.tensorScope();
    t.backward(t.sumAll(t.reshape(t.add(x, y), [2, 1])));
  }
  assert.deepEqual(values(x.grad), [1, 1]);
  assert.notEqual(x.grad!.data.buffer, y.grad!.data.buffer);
});

test("checkpointing changes memory, never a bit of the gradients", () => {
  const weights = [leaf(device, [6, 6], 1), leaf(device, [6, 6], 2)];
  const block = (x: Tensor, w: Tensor): Tensor => t.add(x, t.silu(t.linear(t.rmsNorm(x, undefined, { eps: 1e-6 }), w)));
  const run = (around: (w: Tensor, x: Tensor) => Tensor): { bits: string; saved: number } => {
    using scope = t.tensorScope();
    const x = leaf(device, [4, 6], 3);
    const y = weights.reduce((h, w) => around(w, h), x);
    const saved = scope.numBuffers;
    t.backward(t.meanAll(t.square(y)));
    const bits = [x, ...weights].map((p) => values(p.grad).join()).join(";");
    for (const w of weights) w.grad = undefined;
    return { bits, saved };
  };
  const plain = run((w, h) => block(h, w));
  const saving = run((w, h) => t.checkpoint((x) => block(x!, w), [h]));
  assert.equal(saving.bits, plain.bits);
  assert.ok(saving.saved < plain.saved, `${saving.saved} buffers against ${plain.saved}`);
});

test("linear takes f32 masters under bf16 activations: casts once per version, returns f32 gradients", () => {
  const w = new Parameter(Tensor.from(device, [1.001, 2, 3, 4], [2, 2]));
  const x = t.cast(f32([1, 2], [1, 2]), "bf16");
  using _scope = t.tensorScope();
  const before = device.live.size;
  const y = t.linear(x, w);
  assert.equal(y.dtype, "bf16");
  assert.deepEqual(values(y), [5, 11]); // 1.001 rounds to 1
  t.linear(x, w);
  assert.equal(device.live.size - before, 3); // two results and one narrow weight
  t.backward(t.sumAll(y));
  assert.equal(w.grad!.dtype, "f32");
  assert.deepEqual(values(w.grad), [1, 2, 1, 2]);
  w.copyFrom([2, 0, 0, 2]);
  assert.deepEqual(values(t.linear(x, w)), [2, 4]);
});

test("mixed dtypes promote to f32; integers and wrong shapes are refused by name", () => {
  const narrow = t.cast(f32([1.5, 2]), "bf16");
  assert.equal(t.add(narrow, f32([1, 1])).dtype, "f32");
  assert.equal(t.mul(narrow, 2).dtype, "bf16");
  assert.throws(() => t.reshape(f32([1, 2, 3]), [2, 2]), /reshape: expected 3 elements/);
  assert.throws(() => t.slice(f32([1, 2]), 0, 1, 3), /0 <= start <= end <= 2/);
  assert.throws(() => t.permute(f32([1, 2]), [1]), /an order of 1 axes/);
  assert.throws(() => t.add(f32([1, 2]), f32([1, 2, 3])), /broadcast/);
  assert.throws(() => t.softmax(f32([1, 2]), { axis: 1 }), /expected an axis of \[2\], got 1/);
});

test("linearCrossEntropy equals linear then crossEntropy, in chunks of any size, with ignored rows and z-loss", () => {
  const [x, head] = [leaf(device, [7, 4], 1), leaf(device, [9, 4], 2)];
  const targets = Tensor.from(device, Int32Array.of(0, 8, -100, 3, 3, 5, -100));
  const run = (loss: () => Tensor): number[] => {
    using _scope = t.tensorScope();
    const y = loss();
    t.backward(y);
    const out = [y.item(), ...values(x.grad), ...values(head.grad)];
    x.grad = head.grad = undefined;
    return out;
  };
  const want = run(() => t.crossEntropy(t.linear(x, head), targets, { zLoss: 1e-2 }));
  for (const chunkRows of [1, 3, 100]) {
    const got = run(() => t.linearCrossEntropy(x, head, targets, { zLoss: 1e-2, chunkRows }));
    // Same products, other order of sums over at most 7 rows: a few units of 2^-24.
    got.forEach((v, i) => assert.ok(Math.abs(v - want[i]!) < 2e-6, `element ${i}: ${v} against ${want[i]}`));
  }
});

test("FSQ rounding: integers forward, identity backward", () => {
  const x = f32([-1.4, 0.5, 1.5, 2.2]);
  const y = t.roundStraightThrough(x);
  assert.deepEqual(values(y), [-1, 0, 2, 2]);
  t.backward(t.sumAll(t.mul(y, Tensor.from(device, [1, 2, 3, 4]))));
  assert.deepEqual(values(x.grad), [1, 2, 3, 4]);
});
