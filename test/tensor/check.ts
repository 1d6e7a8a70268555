/**
 * Finite-difference checking of gradient rules. The loss is sum(y * c) with fixed random c, so every
 * element of every output counts. Central differences in f32: the error is rounding (about 2^-24 |loss| / h)
 * plus curvature (h^2), so h near the cube root of 2^-24, about 4e-3, balances them; with |x| near 1 both
 * are a few 1e-5 of the scale, and the bound of 1e-2 relative to the largest gradient leaves room for
 * losses of up to a hundred terms while a wrong rule misses by its own size.
 */
import assert from "node:assert/strict";
import type { Device } from "../../src/device/device.ts";
import * as t from "../../src/tensor/ops.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { TestDevice } from "./device.ts";

export interface GradCase {
  readonly name: string;
  /** Leaves, fresh for each call; all that require gradients are checked. */
  readonly inputs: (device: Device) => Tensor[];
  readonly run: (...inputs: Tensor[]) => Tensor | readonly Tensor[];
  readonly h?: number;
  /** Relative to the largest element of the gradient. */
  readonly bound?: number;
}

/** Elements tried per input: all of a small one, a fixed spread of a large one. */
const MAX_PROBES = 24;

export function checkGradients(device: TestDevice, { inputs, run, h = 4e-3, bound = 1e-2 }: GradCase): void {
  const before = device.live.size;
  check(device, { inputs, run, h, bound });
  assert.equal(device.live.size, before, "every buffer made on the way is freed with its scope");
}

function check(device: Device, { inputs, run, h, bound }: Required<Omit<GradCase, "name">>): void {
  using _scope = t.tensorScope();
  const leaves = inputs(device);
  const asList = (y: Tensor | readonly Tensor[]): readonly Tensor[] => (y instanceof t.Tensor ? [y] : y);
  /** In doubles on the host, so that only the op's own rounding counts. */
  const lossOf = (): number => {
    using _inner = t.tensorScope();
    let loss = 0;
    const outputs = asList(t.noGrad(() => run(...leaves)));
    outputs.forEach((y, which) => y.toArray().forEach((v, i) => (loss += v * weightAt(which, i))));
    return loss;
  };
  const outputs = asList(run(...leaves));
  let total: Tensor | undefined;
  outputs.forEach((y, which) => {
    const c = t.Tensor.from(device, Float32Array.from({ length: y.size }, (_, i) => weightAt(which, i)), y.shape); // prettier-ignore
    const term = t.sumAll(t.mul(t.cast(y, "f32"), c));
    total = total === undefined ? term : t.add(total, term);
  });
  t.backward(total!);
  leaves.forEach((leaf, which) => {
    if (!leaf.requiresGrad) return;
    assert.ok(leaf.grad, `input ${which} got no gradient`);
    assert.deepEqual(leaf.grad.shape, leaf.shape);
    const got = leaf.grad.toArray();
    const scale = Math.max(1e-3, ...got.map(Math.abs));
    const x = leaf.toArray() as Float32Array;
    const stride = Math.max(1, Math.floor(x.length / MAX_PROBES));
    for (let i = 0; i < x.length; i += stride) {
      const before = x[i]!;
      const at = (v: number): number => {
        x[i] = v;
        leaf.copyFrom(x);
        return lossOf();
      };
      const [up, down] = [Math.fround(before + h), Math.fround(before - h)];
      const want = (at(up) - at(down)) / (up - down);
      x[i] = before;
      leaf.copyFrom(x);
      assert.ok(
        Math.abs(got[i]! - want) <= bound * scale,
        `input ${which} [${leaf.shape}] element ${i}: rule gives ${got[i]}, differences give ${want}`,
      );
    }
    leaf.grad.dispose();
    leaf.grad = undefined;
  });
}

const weightAt = (which: number, i: number): number => Math.cos(1 + 2.7 * i + which) + 0.3;

/** A leaf of normal numbers. */
export const leaf = (
  device: Device,
  shape: readonly number[],
  seed: number,
  options: { std?: number; mean?: number } = {},
): Tensor => t.randn(device, shape, { seed, requiresGrad: true, ...options });
