import assert from "node:assert/strict";
import { test } from "node:test";
import { normals } from "../../src/base/prng.ts";
import { AdamW, clipGradNorm, isMuonByDefault, makeOptimizer, Muon } from "../../src/nn/optim.ts";
import { Parameter, Tensor } from "../../src/tensor/tensor.ts";
import { openTestDevice } from "../tensor/device.ts";

const device = openTestDevice();

const random = (n: number, seed: number): Float32Array<ArrayBuffer> => {
  const x = new Float32Array(n);
  normals(x, seed);
  return x;
};
const param = (data: Float32Array<ArrayBuffer>, shape: number[]): Parameter =>
  new Parameter(Tensor.from(device, data.slice(), shape));
const setGrad = (p: Parameter, data: Float32Array<ArrayBuffer>): void => {
  p.grad = Tensor.from(device, data, p.shape);
};
/** Both in f32 against doubles: a few roundings of 2^-24 per step, far below 1e-5. */
const close = (got: ArrayLike<number>, want: ArrayLike<number>, bound = 1e-5): void => {
  for (let i = 0; i < want.length; i++)
    assert.ok(
      Math.abs(got[i]! - want[i]!) <= bound * Math.max(1, Math.abs(want[i]!)),
      `element ${i}: got ${got[i]}, want ${want[i]}`,
    );
};

test("AdamW follows the plain formula over several steps", () => {
  const n = 37;
  const start = random(n, 1);
  const p = param(start, [n]);
  const optimizer = new AdamW([["w", p]], { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 });
  const want = [...start];
  const m = Array<number>(n).fill(0);
  const v = Array<number>(n).fill(0);
  for (let step = 1; step <= 4; step++) {
    const g = random(n, 10 + step);
    const lr = 0.01 * step;
    for (let i = 0; i < n; i++) {
      m[i] = 0.9 * m[i]! + 0.1 * g[i]!;
      v[i] = 0.95 * v[i]! + 0.05 * g[i]! ** 2;
      const update = m[i]! / (1 - 0.9 ** step) / (Math.sqrt(v[i]! / (1 - 0.95 ** step)) + 1e-8);
      want[i] = want[i]! - lr * (update + 0.1 * want[i]!);
    }
    setGrad(p, g);
    optimizer.step({ lr });
    optimizer.zeroGrad();
  }
  close(p.toArray(), want);
  assert.equal(p.grad, undefined);
});

type Matrix = number[][];
const times = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => b[0]!.map((_, j) => row.reduce((s, x, k) => s + x * b[k]![j]!, 0)));
const transposed = (a: Matrix): Matrix => a[0]!.map((_, j) => a.map((row) => row[j]!));
const combine = (a: Matrix, x: number, b: Matrix, y: number): Matrix =>
  a.map((row, i) => row.map((v, j) => x * v + y * b[i]![j]!));

/** Eight steps of the fast quintic, two of the exact cubic-like one, in doubles. */
function orthogonalizeRef(m: Matrix): Matrix {
  const norm = Math.sqrt(m.flat().reduce((s, x) => s + x * x, 0));
  let x = m.map((row) => row.map((v) => v / norm));
  for (let i = 0; i < 10; i++) {
    const [a, b, c] = i < 8 ? [3.4445, -4.775, 2.0315] : [2, -1.5, 0.5];
    const gram = times(x, transposed(x));
    const poly = combine(gram, b!, times(gram, gram), c!);
    x = combine(x, a!, times(poly, x), 1);
  }
  return x;
}

for (const [rows, cols, experts] of [
  [6, 10, 0],
  [10, 6, 0],
  [4, 5, 3],
] as const)
  test(`Muon follows the plain formula: ${experts || 1} of ${rows}x${cols}`, () => {
    const count = experts || 1;
    const size = rows * cols;
    const start = random(count * size, 1);
    const p = param(start, experts ? [experts, rows, cols] : [rows, cols]);
    const optimizer = new Muon([["w", p]], { momentum: 0.95, weightDecay: 0.1 });
    const want = [...start];
    const m = Array<number>(count * size).fill(0);
    for (let step = 1; step <= 3; step++) {
      const g = random(count * size, 20 + step);
      for (let i = 0; i < m.length; i++) m[i] = 0.95 * m[i]! + g[i]!;
      for (let e = 0; e < count; e++) {
        const ahead = Array.from({ length: rows }, (_, r) =>
          Array.from({ length: cols }, (_, c) => 0.95 * m[e * size + r * cols + c]! + g[e * size + r * cols + c]!),
        );
        const update = orthogonalizeRef(ahead).flat();
        for (let i = 0; i < size; i++)
          want[e * size + i] =
            want[e * size + i]! * (1 - 0.02 * 0.1) - 0.02 * 0.18 * Math.sqrt(Math.max(rows, cols)) * update[i]!;
      }
      setGrad(p, g);
      optimizer.step({ lr: 0.02 });
      optimizer.zeroGrad();
    }
    // Ten f32 iterations amplify rounding by about the product of slopes (3.4445^8 on tiny singular values).
    close(p.toArray(), want, 1e-3);
  });

test("parameters go to the right optimizer", () => {
  const p = (shape: number[]): Parameter => param(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
  const muon = [
    "layers.0.attn.wq_a.weight",
    "layers.3.ffn.experts.w1",
    "mtp.0.e_proj.weight",
    "hc_head_fn",
    "header.weight",
  ];
  const adamw = [
    "embed.weight",
    "embed_visual.row",
    "head.weight",
    "layers.0.attn_norm.weight",
    "layers.0.attn.compressor.norm.weight",
  ];
  for (const name of muon) assert.ok(isMuonByDefault(name, p([2, 2])), name);
  for (const name of adamw) assert.ok(!isMuonByDefault(name, p([2, 2])), name);
  assert.ok(!isMuonByDefault("layers.0.attn.wq_a.weight", p([4])));
});

test("clipGradNorm scales to the bound, leaves small gradients alone, and says the norm before", () => {
  const [a, b] = [param(new Float32Array(4), [4]), param(new Float32Array(2), [1, 2])];
  setGrad(a, Float32Array.of(1, 2, 2, 4));
  setGrad(b, Float32Array.of(6, 8)); // 25 + 100: norm 11.18
  const norm = clipGradNorm([a, b], 1);
  assert.ok(Math.abs(norm - Math.sqrt(125)) < 1e-5);
  close(b.grad!.toArray(), [6 / norm, 8 / norm]);
  const kept = [...a.grad!.toArray()];
  assert.ok(clipGradNorm([a, b], 5) <= 1.00001);
  assert.deepEqual([...a.grad!.toArray()], kept);
});

test("the state of both optimizers survives a round trip, and wrong states are refused by name", () => {
  const build = (): { ps: [string, Parameter][]; optimizer: ReturnType<typeof makeOptimizer> } => {
    const ps: [string, Parameter][] = [
      ["w", param(random(6, 1), [2, 3])],
      ["norm.weight", param(random(3, 2), [3])],
    ];
    return { ps, optimizer: makeOptimizer(ps) };
  };
  const step = ({ ps, optimizer }: ReturnType<typeof build>, seed: number): void => {
    for (const [, p] of ps) setGrad(p, random(p.size, seed));
    optimizer.step({ lr: 0.1 });
    optimizer.zeroGrad();
  };
  const a = build();
  step(a, 5);
  const b = build();
  b.ps.forEach(([, p], i) => p.copyFrom(a.ps[i]![1].toRaw()));
  b.optimizer.loadStateDict(a.optimizer.stateDict());
  step(a, 6);
  step(b, 6);
  a.ps.forEach(([, p], i) => assert.deepEqual(b.ps[i]![1].toRaw(), p.toRaw()));
  const state = a.optimizer.stateDict();
  assert.deepEqual([...state.keys()].sort(), ["adamw.norm.weight.m", "adamw.norm.weight.v", "adamw.step", "muon.w.momentum"]); // prettier-ignore
  state.set("muon.w.momentum", { dtype: "f32", shape: [3, 2], data: () => new Float32Array(6) });
  assert.throws(() => b.optimizer.loadStateDict(state), /"w.momentum": expected f32 \[2,3\], found f32 \[3,2\]/);
});
