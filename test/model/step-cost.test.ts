/** Floors against the byte accounting of the released checkpoint, and whole steps of the small model on chips. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeConfig } from "../../src/model/config.ts";
import { released } from "../../src/model/released.ts";
import { stepCost } from "../../src/model/step-cost.ts";
import { cutter, MOST_BYTES, MOST_LAUNCHES, tensorParts } from "../../src/model/step-cut.ts";
import { planStep, type StepPart } from "../../src/model/step-plan.ts";
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

test("a decode step asks the host for its ids and gives it logits; layers have their experts without it", () => {
  const config = makeConfig("nano", { vocab_size: 300, n_routed_experts: 16 });
  for (const name of ["ascend-910b", "mlu-370"] as const) {
    const shape = { batch: 2, tokens: 1, context: 100 };
    const plan = planStep(config, products[name], shape, plain);
    const transfers = (part: StepPart): string[] => part.variants.flatMap(({ events }) => events.filter((e) => e.kind === "upload" || e.kind === "download").map((e) => e.kind)); // prettier-ignore
    for (const part of plan.parts) assert.deepEqual(transfers(part), part.name === "ends" ? ["upload", "download"] : [], part.name); // prettier-ignore
    const { kernels } = stepCost({ config, storage: plain, chip: products[name], cards: 1, shape, weights: "bf16" });
    // How rows sort by expert is known without running them: what two rows choose is read, and not everything there is.
    const { bytes, runs } = kernels.find((k) => k.name === "grouped_matmul ffn.experts.w1")!;
    const expert = 2 * config.hidden_size * config.moe_intermediate_size;
    const k = config.num_experts_per_tok;
    assert.ok(bytes / runs >= k * expert && bytes / runs < (2 * k + 1) * expert, `${name}: expected ${k} to ${2 * k} experts a layer, got ${bytes / runs / expert}`); // prettier-ignore
  }
});

test("a grouped product has at most as many programs as rows could make tiles, and cards share them", () => {
  const config = makeConfig("nano", { vocab_size: 300, n_routed_experts: 16 });
  const shape = { batch: 8, tokens: 1, context: 100 };
  const chip = products["mlu-370"];
  const slots = shape.batch * config.num_experts_per_tok;
  for (const { variants } of planStep(config, chip, shape, plain).parts)
    for (const event of variants.flatMap(({ events }) => events))
      if (event.kind === "launch" && event.program.name === "grouped_matmul") assert.ok(event.grid[1] <= slots && event.grid[2] === 1, `expected at most ${slots} tiles, got ${event.grid}`); // prettier-ignore
  const rowOf = (cards: number) => stepCost({ config, storage: plain, chip, cards, shape, weights: "bf16" }).kernels.find((k) => k.name === "grouped_matmul ffn.experts.w1")!; // prettier-ignore
  const [one, two] = [rowOf(1), rowOf(2)];
  // A tile is on the card of its expert.
  assert.equal(2 * two.bytes, one.bytes);
  assert.ok(two.seconds.high < one.seconds.high);
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

test("V4-Flash's decode on 8 cards, in codes that the chip has, keeps to its bytes and launches", () => {
  for (const name of ["ascend-910b", "ascend-910c", "ascend-950dt", "mlu-370", "mlu-590"] as const)
    for (const batch of [1, 64]) {
      const shape = { batch, tokens: 1, context: 8192 };
      const step = stepCost({ ...flash, chip: products[name], cards: 8, shape, weights: name === "ascend-950dt" ? "native" : "w8a8" }); // prettier-ignore
      const ratio = step.bytes / step.floor.total;
      assert.ok(ratio >= 1 && ratio <= MOST_BYTES, `${name}, batch ${batch}: expected 1 to ${MOST_BYTES} of the floor, got ${ratio}`); // prettier-ignore
      // Collectives count as launches. Where some plan keeps to both it is such a one, and the fastest.
      const quiet = step.alternatives.filter((x) => x.bytes <= MOST_BYTES * step.floor.total && x.launchesPerLayer <= MOST_LAUNCHES); // prettier-ignore
      assert.ok(step.launchesPerLayer <= MOST_LAUNCHES, `${name}, batch ${batch}: expected at most ${MOST_LAUNCHES} launches a layer, got ${step.launchesPerLayer}`); // prettier-ignore
      for (const other of quiet) assert.ok(other.seconds.high >= step.seconds.high, `${name}, batch ${batch}: ${other.options}`); // prettier-ignore
      // What every core shares, and what one launch does for all sequences.
      const row = (kernel: string): number => step.kernels.find((k) => k.name === kernel)!.runs;
      assert.equal(row("hc_project"), 2 * 43 + 1);
      assert.ok(row("append_rows") < 3 * 43, `expected a launch for window keys and one for each compressor, got ${row("append_rows")}`); // prettier-ignore
    }
});

test("each launch has one place in the plan", () => {
  const [plain, all] = [cutter([]), cutter(["router", "sequences", "streams"])];
  const pairs = [
    ["int8_matmul", "attn.wq_a", "outputs", "outputs"],
    ["int8_matmul", "attn.wo_b", "inputs", "inputs"],
    ["matmul", "ffn.gate", "whole", "outputs"],
    ["sparse_attention", "attn.attn_sink", "heads", "tokens"],
    ["hc_project", "hc_attn_fn", "whole", "tokens"],
    ["rms_norm", "attn_norm", "whole", "tokens"],
    ["rms_norm", "attn.q_norm", undefined, undefined],
  ] as const;
  for (const [kernel, label, without, having] of pairs) assert.deepEqual([plain(kernel, label)?.by, all(kernel, label)?.by], [without, having]); // prettier-ignore
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
