/**
 * What generation really launches, on every chip: the programs of a prefill and of one decoded token of the shipped
 * shapes, and of a clip read and written by the visual tokenizer, all have a lowering and fit. Nothing is computed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PlanningDevice } from "../../src/device/planning.ts";
import { makeConfig } from "../../src/model/config.ts";
import { V4 } from "../../src/model/v4.ts";
import { VisualTokenizer, visualTokenizerConfigs } from "../../src/model/visual-tokenizer.ts";
import * as t from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { hasFp8Products } from "../../src/kernels/fp8-matmul.ts";
import { chipNames, chips } from "../../src/tile/chips/chips.ts";
import { lower } from "../../src/tile/passes.ts";

/** One layer of each kind of the mini shapes; few experts, and an indexer that has to choose. */
const config = makeConfig("mini", {
  vocab_size: 300,
  num_hidden_layers: 3,
  compress_ratios: [0, 4, 128],
  n_routed_experts: 4,
  num_hash_layers: 1,
  index_topk: 16,
  visual: { start_id: 100, levels: [7, 5, 5], max_rows: 8, max_cols: 8, max_frames: 4 },
});

function generate(model: V4): void {
  const state = model.newState();
  for (const tokens of [160, 1]) {
    using _scope = t.tensorScope();
    const ids = Tensor.from(model.device, new Int32Array(tokens), [1, tokens]);
    const visual = new Int32Array(tokens * 4).fill(1);
    const { hidden } = t.noGrad(() => model.forward(ids, { state, visual }));
    t.noGrad(() => model.logits(t.slice(hidden, 1, tokens - 1, tokens), { start: 100, end: 275 }));
  }
}

function pictures(tokenizer: VisualTokenizer): void {
  const { imageSize } = tokenizer.config;
  t.noGrad(() => {
    tokenizer.encode(Tensor.from(tokenizer.device, new Float32Array(5 * imageSize * imageSize * 3), [1, 5, imageSize, imageSize, 3])); // prettier-ignore
    tokenizer.decode(new Int32Array(2 * (imageSize / 8) ** 2), 2);
  });
}

test("every program that generation launches is legal and fits on every chip", () => {
  for (const name of chipNames) {
    const device = new PlanningDevice({ name, target: name, numThreads: 1, features: [], chip: chips[name] });
    for (const dtype of ["bf16", "f32"] as const) generate(new V4(device, config, { init: "zeros", dtype }));
    for (const expert of ["int8", "int4"] as const) generate(new V4(device, config, { init: "zeros", packed: { linear: "int8", outA: "int8", expert, group: 64 } })); // prettier-ignore
    if (hasFp8Products(chips[name])) for (const expert of ["fp8", "fp4"] as const) generate(new V4(device, config, { init: "zeros", packed: { linear: "fp8", outA: "fp8", expert, group: 64 } })); // prettier-ignore
    pictures(new VisualTokenizer(device, visualTokenizerConfigs.nano));
    const names = new Set(device.programs.map((p) => p.name));
    for (const kernel of [
      "sparse_attention",
      "topk_last_stage",
      "grouped_matmul",
      "conv3x3",
      "rope",
      "map_swiglu10",
      "quantize_rows",
      "int8_matmul",
      "int4_matmul",
    ])
      assert.ok(names.has(kernel), `${name}: expected a launch of ${kernel}, got ${[...names].join(", ")}`);
    for (const program of device.programs) lower(program, chips[name]);
  }
});
