/** Floors against the byte accounting of the released checkpoint, and whole steps of the small model on chips. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeConfig } from "../../src/model/config.ts";
import { released } from "../../src/model/released.ts";
import { stepCost, tensorParts } from "../../src/model/step-cost.ts";
import { floorOf } from "../../src/model/step-floor.ts";
import { parseStored, type Storage } from "../../src/model/storage.ts";
import { products } from "../../src/tile/chips/chips.ts";

const flash = parseStored(released["v4-flash"], "v4-flash");
const plain: Storage = { linear: "bf16", expert: "bf16", drafter: { kind: "none" } };

test("V4-Flash's floor is that of the published accounting", () => {
  const shape = { batch: 1, tokens: 1, context: 0 };
  // 11.2 GB native, about 14.3 in W8A8, about 26.5 in bf16; one card more or less of the last digit.
  for (const [format, gb] of [
    ["native", 11.2],
    ["W8A8", 14.3],
    ["bf16", 26.5],
  ] as const) {
    const { dense, experts } = floorOf(flash.config, flash.storage, shape, format);
    assert.ok(Math.abs((dense + experts) / 1e9 / gb - 1) < 0.03, `${format}: expected about ${gb} GB, got ${(dense + experts) / 1e9}`); // prettier-ignore
  }
  const { distinctExperts } = floorOf(flash.config, flash.storage, { ...shape, batch: 64 }, "native");
  // 256 (1 - (250 / 256)^64)
  assert.equal(distinctExperts.toFixed(1), "199.9");
});

test("keys read grow with the context", () => {
  const at = (context: number): number => floorOf(flash.config, flash.storage, { batch: 1, tokens: 1, context }, "native").keys; // prettier-ignore
  assert.ok(at(2 ** 17) > at(2 ** 13) && at(2 ** 20 - 1) > 4 * at(2 ** 17));
});

test("heads and groups say over how many cards a step can be cut", () => {
  assert.equal(tensorParts(flash.config, 8), 8);
  assert.equal(tensorParts(flash.config, 16), 8);
  assert.equal(tensorParts(makeConfig("nano", { vocab_size: 300 }), 8), 2);
});

test("a decode step of the nano model: every launch is priced, MLU590 stays a rumour", () => {
  const config = makeConfig("nano", { vocab_size: 300 });
  const shape = { batch: 2, tokens: 1, context: 100 };
  const one = stepCost({ config, storage: plain, chip: products["ascend-910b"], cards: 1, shape, weights: "bf16" });
  assert.equal(one.communication.high, 0);
  assert.equal(one.seconds.isRumoured, false);
  // It cannot move less than it must.
  assert.ok(one.bytes >= one.ownFloor.dense, `expected at least ${one.ownFloor.dense} bytes, got ${one.bytes}`);
  const names = one.kernels.map((k) => k.name);
  for (const name of ["sparse_attention", "grouped_matmul ffn.experts.w1", "moe_router", "matmul head"]) assert.ok(names.includes(name), `expected ${name} among ${names.join(", ")}`); // prettier-ignore
  const two = stepCost({ config, storage: plain, chip: products["mlu-590"], cards: 2, shape, weights: "bf16" });
  assert.deepEqual([two.tensor, two.seconds.isRumoured], [2, true]);
  assert.ok(two.seconds.high > two.seconds.low);
});

test("V4-Flash in the released form on 950: bytes of codes instead of bf16", () => {
  const shape = { batch: 1, tokens: 1, context: 1024 };
  const costOf = (weights: "bf16" | "native") => stepCost({ ...flash, chip: products["ascend-950dt"], cards: 1, shape, weights }); // prettier-ignore
  const [wide, native] = [costOf("bf16"), costOf("native")];
  const bytesOf = (c: typeof wide, name: RegExp): number => c.kernels.filter((k) => name.test(k.name)).reduce((s, k) => s + k.bytes, 0); // prettier-ignore
  // 17 bytes for 32 numbers, and a byte for one, instead of two; rows and products are little beside them.
  const experts = bytesOf(native, /ffn\.experts/) / bytesOf(wide, /ffn\.experts/);
  assert.ok(Math.abs(experts - 17 / 64) < 0.01, `expected 17/64 of the bytes for experts, got ${experts}`);
  // Not wo_a, of which the wide network makes a narrow copy in every step.
  const projections = /attn\.(wq_[ab]|wkv|wo_b)|shared_experts|indexer\.wq_b/;
  const dense = bytesOf(native, projections) / bytesOf(wide, projections);
  assert.ok(Math.abs(dense - 0.5) < 0.01, `expected half of the bytes for projections, got ${dense}`);
  const names = native.kernels.map((k) => k.name);
  for (const name of ["fp4_matmul ffn.experts.w1", "fp8_matmul attn.wq_b", "fp8_wide_matmul attn.wo_a"]) assert.ok(names.includes(name), `expected ${name} among ${names.join(", ")}`); // prettier-ignore
});
