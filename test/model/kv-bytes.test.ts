/** Bytes per token against the published totals, and against what a state really allocates. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { kvBytesPerToken, windowBytes } from "../../src/model/kv-bytes.ts";
import { V4 } from "../../src/model/v4.ts";
import * as t from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { openTestDevice } from "../tensor/device.ts";
import { someIds, tinyConfig } from "./tiny.ts";

const alternating = (count: number): number[] => Array.from({ length: count }, () => [4, 128]).flat();
const shape = { head_dim: 512, qk_rope_head_dim: 64, index_head_dim: 128, sliding_window: 128 } as const;
const flash = { ...shape, num_hidden_layers: 43, compress_ratios: [0, 0, ...alternating(20), 4, 0] };
const pro = { ...shape, num_hidden_layers: 61, compress_ratios: [128, 128, ...alternating(29), 4, 0] };
const MILLION = 2 ** 20;
const GIB = 2 ** 30;

/** Source: DeepSeek-V4 spec section 3.1; 9.62 GiB is also vLLM's published figure. */
test("published totals of V4-Flash and V4-Pro", () => {
  assert.equal(Math.round(kvBytesPerToken(flash, "packed")), 3514);
  assert.equal(Math.round(kvBytesPerToken(pro, "packed")), 5031);
  assert.equal(Math.round(kvBytesPerToken(flash, "packed, e4m3 index")), 3850);
  assert.equal(Math.round(kvBytesPerToken(pro, "packed, e4m3 index")), 5511);
  const gib = (config: typeof flash, format: "packed" | "bf16"): string =>
    ((kvBytesPerToken(config, format) * MILLION) / GIB).toFixed(2);
  assert.deepEqual([gib(flash, "packed"), gib(flash, "bf16")], ["3.43", "6.72"]);
  assert.deepEqual([gib(pro, "packed"), gib(pro, "bf16")], ["4.91", "9.62"]);
  assert.deepEqual([windowBytes(flash, "packed"), windowBytes(flash, "bf16")], [43 * 128 * 584, 43 * 128 * 1024]);
});

test("a reserved state grows by the formula's bytes for each token", () => {
  const config = tinyConfig({ max_position_embeddings: 4096 });
  const device = openTestDevice();
  const model = new V4(device, config, { init: "zeros" });
  const allocated = (reserve: number): number => {
    const state = model.newState(1, { reserve });
    using _scope = t.tensorScope();
    t.noGrad(() => model.forward(Tensor.from(device, someIds(37, 50), [1, 37]), { state }));
    const { sizeBytes } = state;
    state.dispose();
    return sizeBytes;
  };
  assert.equal(allocated(4096) - allocated(1024), 3072 * kvBytesPerToken(config, "f32"));
});
