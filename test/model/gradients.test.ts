import assert from "node:assert/strict";
import { test } from "node:test";
import { V4 } from "../../src/model/v4.ts";
import * as t from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { openTestDevice } from "../tensor/device.ts";
import { someIds, tinyConfig } from "./tiny.ts";

const device = openTestDevice();
const [BATCH, LENGTH] = [2, 21];

/** Text, then a 4x4 picture of visual ids, then text. */
function batch(): { ids: Tensor; targets: Tensor; visual: Int32Array } {
  const host = someIds(BATCH * (LENGTH + 1), 50);
  const visual = new Int32Array(BATCH * LENGTH * 4).fill(-1);
  const ids = new Int32Array(BATCH * LENGTH);
  const targets = new Int32Array(BATCH * LENGTH);
  for (let b = 0; b < BATCH; b++) {
    const row = host.subarray(b * (LENGTH + 1), (b + 1) * (LENGTH + 1));
    for (let i = 0; i < 16; i++) {
      const code = (i * 3 + b) % 20;
      row[2 + i] = 50 + code;
      visual.set([code, i >> 2, i & 3, (i + b) % 3], (b * LENGTH + 2 + i) * 4);
    }
    ids.set(row.subarray(0, LENGTH), b * LENGTH);
    targets.set(row.subarray(1), b * LENGTH);
  }
  return {
    ids: Tensor.from(device, ids, [BATCH, LENGTH]),
    targets: Tensor.from(device, targets, [BATCH, LENGTH]),
    visual,
  };
}

function lossOf(model: V4, data: ReturnType<typeof batch>, checkpoint = false): Tensor {
  const { streams, hidden } = model.forward(data.ids, { visual: data.visual, checkpoint });
  const main = t.crossEntropy(model.logits(hidden), data.targets);
  const mtp = t.crossEntropy(model.logits(model.mtpHidden(streams, data.targets)), data.targets);
  return t.add(main, t.mul(mtp, 0.3));
}

/** The indexer's choice has no gradient (its training needs a loss of its own); all other weights must learn. */
const hasNoGradient = (name: string): boolean => name.includes(".indexer.");

test("the loss reaches every trained parameter", () => {
  using _scope = t.tensorScope();
  const model = new V4(device, tinyConfig(), { seed: 1 });
  t.backward(lossOf(model, batch()));
  for (const [name, p] of model.namedParameters()) {
    if (!p.requiresGrad) assert.match(name, /ffn\.gate\.(bias|tid2eid)$/);
    if (!p.requiresGrad || hasNoGradient(name)) {
      assert.equal(p.grad, undefined, name);
      continue;
    }
    assert.ok(p.grad, `${name}: no gradient`);
    const largest = (p.grad.toArray() as Float32Array).reduce((m, x) => Math.max(m, Math.abs(x)), 0);
    assert.ok(largest > 0 && Number.isFinite(largest), `${name}: gradient ${largest}`);
  }
});

// A step of h along the unit gradient changes the loss by 2h|g|; in f32 the loss (about 5) is good to 1e-6, so
// with h|g| near 1e-2 the quotient is good to a few 1e-4, and curvature adds its square: 1e-2 has room for both.
test("the gradient is the slope of the loss", () => {
  using _scope = t.tensorScope();
  const model = new V4(device, tinyConfig({ index_topk: 64 }), { seed: 2 });
  const data = batch();
  t.backward(lossOf(model, data));
  const params = model.parameters().flatMap((p) => (p.grad ? [{ p, g: p.grad.toArray() as Float32Array }] : []));
  const norm = Math.sqrt(params.reduce((sum, { g }) => sum + g.reduce((s, x) => s + x * x, 0), 0));
  const h = 1e-2 / norm;
  const before = params.map(({ p }) => p.toArray() as Float32Array);
  const at = (sign: number): number => {
    params.forEach(({ p, g }, i) => p.copyFrom(before[i]!.map((x, j) => x + (sign * h * g[j]!) / norm)));
    using _inner = t.tensorScope();
    return t.noGrad(() => lossOf(model, data)).item();
  };
  const slope = (at(1) - at(-1)) / (2 * h);
  assert.ok(Math.abs(slope - norm) <= 1e-2 * norm, `slope ${slope}, gradient norm ${norm}`);
});

test("running blocks again gives the same gradients", () => {
  const grads = [false, true].map((checkpoint) => {
    using _scope = t.tensorScope();
    const model = new V4(device, tinyConfig(), { seed: 1 });
    t.backward(lossOf(model, batch(), checkpoint));
    return model.parameters().map((p) => p.grad?.toArray());
  });
  assert.deepEqual(grads[1], grads[0]);
});
