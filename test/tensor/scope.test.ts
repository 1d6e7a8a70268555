import assert from "node:assert/strict";
import { test } from "node:test";
import { tensorScope } from "../../src/tensor/scope.ts";
import { arange, full, Parameter, randn, Tensor, zeros } from "../../src/tensor/tensor.ts";
import { hostMemory } from "./host-memory.ts";

test("a scope frees what was made inside, keeps what is kept, and hands it outwards", () => {
  const device = hostMemory();
  const outside = zeros(device, [2]);
  let kept: Tensor;
  {
    using outer = tensorScope();
    {
      using inner = tensorScope();
      zeros(device, [3]);
      kept = inner.keep(full(device, [4], 7));
    }
    assert.equal(device.live.size, 2);
    assert.equal(outer.numBuffers, 1);
    outer.keep([kept, outside]); // keeping what is not ours changes nothing
  }
  assert.deepEqual([...kept.toArray()], [7, 7, 7, 7]);
  assert.equal(device.live.size, 2);
  kept.dispose();
  outside.dispose();
  assert.equal(device.live.size, 0);
});

test("a throw frees too, and the enclosing scope goes on", () => {
  const device = hostMemory();
  using outer = tensorScope();
  assert.throws(() => {
    using _inner = tensorScope();
    zeros(device, [1]);
    throw new Error("boom");
  }, /boom/);
  assert.equal(device.live.size, 0);
  zeros(device, [1]);
  assert.equal(outer.numBuffers, 1);
});

test("parameters outlive scopes; dispose inside a scope does not free twice", () => {
  const device = hostMemory();
  let p: Parameter;
  {
    using _scope = tensorScope();
    p = new Parameter(randn(device, [2, 3], { seed: 1 }));
    zeros(device, [5]).dispose();
  }
  assert.equal(device.live.size, 1);
  assert.equal(p.requiresGrad, true);
  assert.equal(p.size, 6);
});

test("scopes closed out of order are a bug that is named", () => {
  const outer = tensorScope();
  const inner = tensorScope();
  assert.throws(() => outer[Symbol.dispose](), /out of order/);
  inner[Symbol.dispose]();
  outer[Symbol.dispose]();
});

test("host data in and out: dtypes, bf16 rounding, shapes", () => {
  const device = hostMemory();
  using _scope = tensorScope();
  assert.equal(Tensor.from(device, Int32Array.of(1, 2)).dtype, "i32");
  assert.equal(Tensor.from(device, [1, 2, 3]).dtype, "f32");
  const narrow = Tensor.from(device, Float32Array.of(1 + 2 ** -8, -2), [2], "bf16");
  assert.deepEqual([...narrow.toArray()], [1, -2]);
  assert.deepEqual([...arange(device, 4).toArray()], [0, 1, 2, 3]);
  assert.equal(full(device, [], 2.5).item(), 2.5);
  assert.deepEqual([...randn(device, [3], { seed: 4 }).toArray()], [...randn(device, [3], { seed: 4 }).toArray()]);
  assert.throws(() => Tensor.from(device, [1, 2, 3], [2, 2]), /expected 4 elements/);
  assert.throws(() => zeros(device, [2]).item(), /one element, got \[2\]/);
  assert.throws(() => Tensor.from(device, Float32Array.of(1), [1], "i32"), /expected Int32Array/);
  const t = zeros(device, [2], { dtype: "bf16" });
  t.copyFrom([0.5, 3]);
  assert.deepEqual([...t.toArray()], [0.5, 3]);
  assert.equal(t.version, 1);
});
