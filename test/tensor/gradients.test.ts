import { test } from "node:test";
import type { Device } from "../../src/device/device.ts";
import * as t from "../../src/tensor/ops.ts";
import type { OpName } from "../../src/tensor/tape.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { checkGradients, leaf, type GradCase } from "./check.ts";
import { openTestDevice } from "./device.ts";

const device = openTestDevice();

type Case = Omit<GradCase, "name"> & { readonly name?: string };

const i32 = (d: Device, data: number[], shape: number[]): Tensor => t.Tensor.from(d, Int32Array.from(data), shape);
/** Normal numbers pushed at least 0.1 from 0, where |x|, relu and clamp bend. */
const away = (d: Device, shape: number[], seed: number): Tensor => {
  const x = leaf(d, shape, seed);
  x.copyFrom((x.toArray() as Float32Array).map((v) => v + Math.sign(v) * 0.1));
  return x;
};
const positive = (d: Device, shape: number[], seed: number): Tensor => {
  const x = leaf(d, shape, seed);
  x.copyFrom((x.toArray() as Float32Array).map((v) => Math.abs(v) + 0.5));
  return x;
};
const one =
  (f: (x: Tensor) => Tensor, make = (d: Device): Tensor => leaf(d, [3, 5], 1)): Case[] =>
  [{ inputs: (d) => [make(d)], run: (x) => f(x!) }]; // prettier-ignore

/** Same shape, broadcast in front, broadcast inside, and a number. */
const binary = (f: (a: Tensor, b: Tensor | number) => Tensor): Case[] => [
  { name: "same shape", inputs: (d) => [leaf(d, [3, 4], 1), away(d, [3, 4], 2)], run: (a, b) => f(a!, b!) },
  { name: "row", inputs: (d) => [leaf(d, [3, 4], 3), away(d, [4], 4)], run: (a, b) => f(a!, b!) },
  { name: "inner", inputs: (d) => [leaf(d, [2, 3, 4], 5), away(d, [2, 1, 4], 6)], run: (a, b) => f(a!, b!) },
  { name: "outer", inputs: (d) => [leaf(d, [2, 1], 7), away(d, [5, 1, 3], 8)], run: (a, b) => f(a!, b!) },
  { name: "number", inputs: (d) => [leaf(d, [3, 4], 9)], run: (a) => f(a!, 1.7) },
];

const freqs = (d: Device): Tensor => t.Tensor.from(d, Float32Array.of(1, 0.1));
const targets = (d: Device): Tensor => i32(d, [2, 0, -100, 6, 3], [5]);
const attention = (queryStart: number, keyStart: number, withMask: boolean): Case => ({
  name: `queries from ${queryStart}, keys from ${keyStart}${withMask ? ", mask" : ""}`,
  inputs: (d) => [
    leaf(d, [2, 6, 3, 8], 1),
    leaf(d, [2, 6 + queryStart - keyStart, 8], 2),
    leaf(d, [2, 3, 8], 3),
    leaf(d, [3], 4),
  ],
  run: (q, kv, ckv, sink) => {
    const mask = withMask
      ? t.Tensor.from(
          q!.device,
          Uint8Array.from({ length: 36 }, (_, i) => Number(i % 3 !== 1)),
          [2, 6, 3],
          "u8",
        )
      : undefined;
    return t.sparseAttention({
      q: q!,
      kv: kv!,
      ckv,
      mask,
      sink: sink!,
      queryStart,
      keyStart,
      window: 4,
      ratio: 2,
      scale: 0.35,
    });
  },
});

const cases: Record<OpName, Case[]> = {
  add: binary(t.add),
  sub: binary(t.sub),
  mul: binary(t.mul),
  div: binary(t.div),
  minimum: binary(t.minimum),
  maximum: binary(t.maximum),
  neg: one(t.neg),
  abs: one(t.abs, (d) => away(d, [3, 5], 1)),
  square: one(t.square),
  exp: one(t.exp),
  log: one(t.log, (d) => positive(d, [3, 5], 1)),
  sqrt: one(t.sqrt, (d) => positive(d, [3, 5], 1)),
  sigmoid: one(t.sigmoid),
  tanh: one(t.tanh),
  relu: one(t.relu, (d) => away(d, [3, 5], 1)),
  silu: one(t.silu),
  softplus: one(t.softplus),
  clamp: one(
    (x) => t.clamp(x, -0.05, 0.7),
    (d) => away(d, [3, 5], 1),
  ),
  cast: one((x) => t.mul(t.cast(x, "f32"), 2)),
  straightThrough: one((x) => t.straightThrough(x, (v) => t.mul(v, 1))),
  reshape: one((x) => t.mul(t.reshape(x, [5, -1]), t.reshape(x, [5, 3]))),
  permute: one(
    (x) => t.permute(x, [2, 0, 1]),
    (d) => leaf(d, [2, 3, 4], 1),
  ),
  expand: one(
    (x) => t.expand(x, [4, 3, 5]),
    (d) => leaf(d, [3, 1], 1),
  ),
  slice: [
    ...one((x) => t.slice(x, 1, 1, 3)),
    ...one((x) => t.slice(x, 0, 1)),
    ...one((x) => t.mul(t.slice(x, -1, 0, 2), t.slice(x, 1, 2, 4))),
  ],
  concat: [
    { inputs: (d) => [leaf(d, [2, 3], 1), leaf(d, [2, 1], 2), leaf(d, [2, 2], 3)], run: (...xs) => t.concat(xs, 1) },
    {
      name: "outer, twice the same",
      inputs: (d) => [leaf(d, [2, 3], 1)],
      run: (x) => t.concat([x!, x!, t.neg(x!)], 0),
    },
  ],
  sum: [
    ...one((x) => t.sum(x, 0)),
    ...one((x) => t.sum(x, -1, { keepdim: true })),
    ...one(
      (x) => t.mean(x, 1),
      (d) => leaf(d, [2, 3, 4], 1),
    ),
    ...one((x) => t.meanAll(t.square(x))),
  ],
  softmax: [...one((x) => t.softmax(x)), ...one((x) => t.softmax(x, { axis: 0 }))],
  logSoftmax: one((x) => t.logSoftmax(x)),
  matmul: [
    { inputs: (d) => [leaf(d, [3, 4], 1), leaf(d, [4, 5], 2)], run: (a, b) => t.matmul(a!, b!) },
    {
      name: "transA",
      inputs: (d) => [leaf(d, [4, 3], 1), leaf(d, [4, 5], 2)],
      run: (a, b) => t.matmul(a!, b!, { transA: true }),
    },
    {
      name: "transB",
      inputs: (d) => [leaf(d, [2, 3, 4], 1), leaf(d, [2, 5, 4], 2)],
      run: (a, b) => t.matmul(a!, b!, { transB: true }),
    },
    {
      name: "both",
      inputs: (d) => [leaf(d, [4, 3], 1), leaf(d, [5, 4], 2)],
      run: (a, b) => t.matmul(a!, b!, { transA: true, transB: true }),
    },
    {
      name: "one b for a batch",
      inputs: (d) => [leaf(d, [2, 3, 4], 1), leaf(d, [4, 5], 2)],
      run: (a, b) => t.matmul(a!, b!),
    },
    {
      name: "one b for a batch, transB",
      inputs: (d) => [leaf(d, [2, 3, 4], 1), leaf(d, [5, 4], 2)],
      run: (a, b) => t.matmul(a!, b!, { transB: true }),
    },
  ],
  linear: [
    {
      inputs: (d) => [leaf(d, [2, 3, 4], 1), leaf(d, [5, 4], 2), leaf(d, [5], 3)],
      run: (x, w, b) => t.linear(x!, w!, b),
    },
    {
      name: "no bias, weight used twice",
      inputs: (d) => [leaf(d, [3, 4], 1), leaf(d, [4, 4], 2)],
      run: (x, w) => t.linear(t.linear(x!, w!), w!),
    },
  ],
  embedding: [
    {
      inputs: (d) => [leaf(d, [6, 4], 1)],
      run: (table) => t.embedding(table!, i32(table!.device, [1, 5, 1, 0, 1, 3], [2, 3])),
    },
  ],
  rmsNorm: [
    { inputs: (d) => [leaf(d, [2, 3, 8], 1), leaf(d, [8], 2)], run: (x, w) => t.rmsNorm(x!, w, { eps: 1e-6 }) },
    { name: "no weight", inputs: (d) => [leaf(d, [5, 8], 1)], run: (x) => t.rmsNorm(x!, undefined, { eps: 1e-3 }) },
  ],
  layerNorm: [
    {
      inputs: (d) => [leaf(d, [5, 8], 1), leaf(d, [8], 2), leaf(d, [8], 3)],
      run: (x, w, b) => t.layerNorm(x!, w!, b!, { eps: 1e-5 }),
    },
  ],
  rope: [
    ...one(
      (x) => t.rope(x, { freqs: freqs(x.device), start: 3, step: 2 }),
      (d) => leaf(d, [2, 3, 2, 6], 1),
    ),
    ...one(
      (x) => t.rope(x, { freqs: freqs(x.device), inverse: true }),
      (d) => leaf(d, [1, 4, 2, 4], 1),
    ),
  ],
  // Normal numbers of spread 1 against limit 1.5: both sides of the clamp, and no probe within h of it by luck of the seed.
  swiglu: [
    { inputs: (d) => [leaf(d, [4, 6], 1), leaf(d, [4, 6], 2)], run: (a, b) => t.swiglu(a!, b!, { limit: 1.5 }) },
    {
      name: "row scale",
      inputs: (d) => [leaf(d, [4, 6], 1), leaf(d, [4, 6], 2), leaf(d, [4], 3)],
      run: (a, b, s) => t.swiglu(a!, b!, { limit: 10, rowScale: s! }),
    },
  ],
  conv3x3: [
    {
      inputs: (d) => [leaf(d, [2, 4, 5, 3], 1), leaf(d, [4, 3, 3, 3], 2), leaf(d, [4], 3)],
      run: (x, w, b) => t.conv3x3(x!, w!, b),
    },
  ],
  crossEntropy: [
    ...one(
      (x) => t.crossEntropy(x, targets(x.device)),
      (d) => leaf(d, [5, 7], 1),
    ),
    ...one(
      (x) => t.crossEntropy(x, targets(x.device), { reduction: "none", zLoss: 0.1 }),
      (d) => leaf(d, [5, 7], 1),
    ),
    ...one(
      (x) => t.crossEntropy(x, targets(x.device), { rowWeights: t.Tensor.from(x.device, [1, 2, 3, 0, 0.5]) }),
      (d) => leaf(d, [5, 7], 1),
    ),
  ],
  linearCrossEntropy: [
    {
      inputs: (d) => [leaf(d, [5, 4], 1), leaf(d, [7, 4], 2)],
      run: (x, w) => t.linearCrossEntropy(x!, w!, targets(x!.device), { chunkRows: 2 }),
    },
    {
      name: "per row",
      inputs: (d) => [leaf(d, [5, 4], 1), leaf(d, [7, 4], 2)],
      run: (x, w) => t.linearCrossEntropy(x!, w!, targets(x!.device), { chunkRows: 2, reduction: "none", zLoss: 0.1 }),
    },
    {
      name: "scaled",
      inputs: (d) => [leaf(d, [5, 4], 1), leaf(d, [7, 4], 2)],
      run: (x, w) => t.mul(t.linearCrossEntropy(x!, w!, targets(x!.device), { reduction: "sum" }), 0.3),
    },
  ],
  sparseAttention: [
    attention(0, 0, false),
    attention(5, 2, true),
    {
      name: "window only",
      inputs: (d) => [leaf(d, [1, 5, 2, 8], 1), leaf(d, [1, 5, 8], 2), leaf(d, [2], 3)],
      run: (q, kv, sink) =>
        t.sparseAttention({
          q: q!,
          kv: kv!,
          sink: sink!,
          queryStart: 0,
          keyStart: 0,
          window: 3,
          ratio: 1,
          scale: 0.35,
        }),
    },
  ],
  compressPool: [
    {
      inputs: (d) => [leaf(d, [2, 7, 6], 1), leaf(d, [2, 7, 6], 2), leaf(d, [3, 6], 3)],
      run: (kv, score, ape) => t.compressPool({ kv: kv!, score: score!, ape: ape!, m: 3, overlap: false }),
    },
    {
      name: "overlap",
      inputs: (d) => [leaf(d, [2, 9, 8], 1), leaf(d, [2, 9, 8], 2), leaf(d, [4, 8], 3)],
      run: (kv, score, ape) => t.compressPool({ kv: kv!, score: score!, ape: ape!, m: 4, overlap: true }),
    },
  ],
  hcMix: [
    {
      inputs: (d) => [leaf(d, [3, 40], 1), leaf(d, [24, 40], 4, { std: 0.3 }), leaf(d, [24], 2), leaf(d, [3], 3)],
      run: (x, fn, base, scale) =>
        Object.values(t.hcMix(x!, { fn: fn!, base: base!, scale: scale!, n: 4, iters: 5, eps: 1e-6, normEps: 1e-6 })),
    },
  ],
  hcProject: [
    {
      inputs: (d) => [leaf(d, [3, 8], 1), leaf(d, [5, 8], 2)],
      run: (x, fn) => t.hcProject(x!, fn!, { eps: 1e-6 }),
    },
  ],
  hcPre: [{ inputs: (d) => [leaf(d, [3, 4, 8], 1), leaf(d, [3, 4], 2)], run: (x, pre) => t.hcPre(x!, pre!) }],
  hcPost: [
    {
      inputs: (d) => [leaf(d, [3, 8], 1), leaf(d, [3, 4, 8], 2), leaf(d, [3, 4], 3), leaf(d, [3, 4, 4], 4)],
      run: (f, x, post, comb) => t.hcPost(f!, x!, post!, comb!),
    },
  ],
  moeRouter: [
    ...one(
      (x) => t.moeRouter(x, { k: 2, scale: 1.5 }).weights,
      (d) => leaf(d, [4, 5], 1, { std: 2 }),
    ),
    ...one(
      (x) => t.moeRouter(x, { k: 2, scale: 1.5, fixedIds: i32(x.device, [0, 1, 2, 4, 3, 0, 1, 2], [4, 2]) }).weights,
      (d) => leaf(d, [4, 5], 1),
    ),
  ],
  moeExperts: [
    {
      // Expert 1 gets no row.
      inputs: (d) => [
        leaf(d, [4, 6], 1),
        leaf(d, [3, 5, 6], 2),
        leaf(d, [3, 5, 6], 3),
        leaf(d, [3, 6, 5], 4),
        leaf(d, [4, 2], 5),
      ],
      run: (x, w1, w3, w2, weights) =>
        t.moeExperts(
          x!,
          w1!,
          w3!,
          w2!,
          { weights: weights!, indices: i32(x!.device, [0, 2, 2, 0, 0, 2, 2, 0], [4, 2]) },
          { limit: 10 },
        ),
    },
  ],
  checkpoint: [
    {
      inputs: (d) => [leaf(d, [3, 4], 1), leaf(d, [4, 4], 2)],
      run: (x, w) => t.checkpoint((a, b) => t.silu(t.linear(t.tanh(a!), b!)), [x!, w!]),
    },
    {
      name: "several outputs, one unused, nested",
      inputs: (d) => [leaf(d, [3, 4], 1)],
      run: (x) =>
        t
          .checkpoint((a) => [t.exp(a!), t.neg(a!), t.checkpoint((b) => t.square(t.sigmoid(b!)), [a!])], [x!])
          .slice(0, 3),
    },
  ],
};

for (const [op, list] of Object.entries(cases))
  list.forEach((c, i) =>
    test(`gradient of ${op}: ${c.name ?? `case ${i + 1}`}`, () => checkGradients(device, { name: op, ...c })),
  );
