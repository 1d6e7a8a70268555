import assert from "node:assert/strict";
import { test } from "node:test";
import type { DType } from "../../src/base/dtype.ts";
import * as t from "../../src/tensor/ops.ts";
import { Parameter, Tensor } from "../../src/tensor/tensor.ts";
import { openTestDevice } from "./device.ts";

const device = openTestDevice();
const [B, T, H, D, E, V] = [1, 8, 2, 8, 3, 11];
const C = H * D;

let seed = 100;
const weight = (...shape: number[]): Parameter =>
  new Parameter(t.randn(device, shape, { seed: seed++, std: 1 / Math.sqrt(shape[shape.length - 1]!) }));
const weights = {
  embed: weight(V, C),
  norm: new Parameter(t.ones(device, [C])),
  wq: weight(C, C),
  wkv: weight(D, C),
  wc: weight(D, C),
  gate: weight(D, C),
  ape: weight(4, D),
  sink: weight(H),
  mix: weight(8, 2 * C),
  base: weight(8),
  scale: new Parameter(t.ones(device, [3])),
  router: weight(E, C),
  w1: weight(E, 6, C),
  w3: weight(E, 6, C),
  w2: weight(E, C, 6),
  head: weight(V, C),
};

/** A V4 block in miniature, every fused op once, activations in `dtype`, f32 masters. Hash routing keeps the choice equal. */
function lossOf(dtype: DType): Tensor {
  const w = weights;
  const ids = Tensor.from(device, Int32Array.of(1, 5, 3, 3, 0, 9, 10, 2), [B, T]);
  const freqs = Tensor.from(device, [1, 0.3]);
  const embedded = t.cast(t.embedding(w.embed, ids), dtype);
  const streams = t.expand(t.reshape(embedded, [B * T, 1, C]), [B * T, 2, C]);
  const mixing = { fn: w.mix, base: w.base, scale: w.scale, n: 2, iters: 4, eps: 1e-6, normEps: 1e-6 };
  const { pre, post, comb } = t.hcMix(t.reshape(streams, [B * T, 2 * C]), mixing);
  const x = t.reshape(t.rmsNorm(t.hcPre(streams, pre), w.norm, { eps: 1e-6 }), [B, T, C]);
  const q = t.rope(t.reshape(t.linear(x, w.wq), [B, T, H, D]), { freqs });
  const kv = t.reshape(t.rope(t.reshape(t.linear(x, w.wkv), [B, T, 1, D]), { freqs }), [B, T, D]);
  const wide = t.cast(x, "f32");
  const pooled = t.compressPool({
    kv: t.linear(wide, w.wc),
    score: t.linear(wide, w.gate),
    ape: w.ape,
    m: 4,
    overlap: false,
  });
  const o = t.sparseAttention({
    q,
    kv,
    ckv: t.cast(pooled, dtype),
    sink: w.sink,
    queryStart: 0,
    keyStart: 0,
    window: 3,
    ratio: 4,
    scale: 0.35,
  });
  const mixed = t.hcPost(t.reshape(o, [B * T, C]), streams, post, comb);
  const y = t.slice(mixed, 1, 1, 2);
  const rows = t.reshape(y, [B * T, C]);
  const fixedIds = Tensor.from(
    device,
    Int32Array.from({ length: 2 * B * T }, (_, i) => (i * 2) % E),
    [B * T, 2],
  );
  const routing = t.moeRouter(t.linear(t.cast(rows, "f32"), w.router), { k: 2, fixedIds, scale: 1.5 });
  const out = t.add(rows, t.moeExperts(rows, w.w1, w.w3, w.w2, routing, { limit: 10 }));
  assert.equal(out.dtype, dtype);
  const targets = Tensor.from(device, Int32Array.of(5, 3, 3, 0, 9, 10, 2, -100));
  return t.linearCrossEntropy(out, w.head, targets, { zLoss: 1e-4, chunkRows: 3 });
}

test("a block in bf16 with f32 masters: f32 weight gradients that point where the f32 ones do", () => {
  const gradients = (dtype: DType): { loss: number; grads: Map<string, number[]> } => {
    using _scope = t.tensorScope();
    const loss = lossOf(dtype);
    t.backward(loss);
    const grads = new Map<string, number[]>();
    for (const [name, p] of Object.entries(weights)) {
      assert.equal(p.grad?.dtype, "f32", name);
      grads.set(name, [...p.grad!.toArray()]);
      p.grad!.dispose();
      p.grad = undefined;
    }
    return { loss: loss.item(), grads };
  };
  const wide = gradients("f32");
  const narrow = gradients("bf16");
  assert.ok(Math.abs(wide.loss - narrow.loss) < 0.02 * wide.loss, `${wide.loss} against ${narrow.loss}`);
  const dot = (a: number[], b: number[]): number => a.reduce((s, v, i) => s + v * b[i]!, 0);
  for (const [name, g] of wide.grads) {
    const h = narrow.grads.get(name)!;
    const cosine = dot(g, h) / Math.sqrt(dot(g, g) * dot(h, h));
    // bf16 keeps 8 bits: relative noise near 2^-8 per op over about ten ops, so angles of a few per cent.
    assert.ok(cosine > 0.99, `${name}: cosine ${cosine}`);
  }
});

test("wideLinear reads weights of bf16 values as bf16, until they change", () => {
  const [rows, width, outs] = [3, 96, 40];
  const values = t.cast(t.randn(device, [outs, width], { seed: 7 }), "bf16").toArray();
  const w = new Parameter(Tensor.from(device, values, [outs, width]));
  const x = t.cast(t.randn(device, [rows, width], { seed: 8 }), "bf16");
  const range = { start: 5, end: 30 };
  t.noGrad(() => {
    const want = t.wideLinear(x, w).toArray();
    t.noteHalf(w);
    const got = t.wideLinear(x, w);
    const [some, all] = [t.wideLinear(x, w, range).toArray(), got.toArray()];
    assert.deepEqual([got.dtype, got.shape], ["f32", [rows, outs]]);
    // 96 roundings of 2^-24 of sums of the sizes, which stay below 96 * 3 * 3.
    all.forEach((v, i) => assert.ok(Math.abs(v - want[i]!) < 96 * 2 ** -24 * 96 * 9, `${v} ${want[i]}`));
    for (let r = 0; r < rows; r++) assert.deepEqual(some.slice(r * 25, r * 25 + 25), all.slice(r * outs + 5, r * outs + 30)); // prettier-ignore
    // Values that bf16 does not have: the f32 product again, to the bit.
    const finer = Float32Array.from(values, (v) => v * 1.001);
    w.copyFrom(finer);
    const plain = t.linear(t.cast(x, "f32"), w).toArray();
    assert.deepEqual(t.wideLinear(x, w).toArray(), plain);
  });
});
