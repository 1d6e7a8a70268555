/**
 * A tiny network with every layer kind through the whole engine on any device: what a device is checked with, and what
 * tests build on. Main functions: `greedy`, `programsOf` (its kernels ahead).
 */
import type { Device, DeviceProperties } from "../device/device.ts";
import { PlanningDevice } from "../device/planning.ts";
import { makeConfig, type V4Config } from "../model/config.ts";
import { V4State } from "../model/state.ts";
import { V4 } from "../model/v4.ts";
import { SIDE_WIDTH } from "../model/visual-embedding.ts";
import * as t from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { TileProgram } from "../tile/ir.ts";
import { generateTokens } from "./generate.ts";
import type { Grammar } from "./modality.ts";

/** A small grammar: text ids 0..39, specials 40..49, codes from 50. */
export const END = 1;
export const NULL = 2;

export const grammar: Grammar = {
  boi: 40,
  eoi: 41,
  bov: 42,
  eov: 43,
  vpad: 44,
  styles: new Map([
    ["flat", 45],
    ["round", 46],
  ]),
  sizes: new Map([[47, { rows: 4, cols: 4 }]]),
  frames: new Map([[48, 2]]),
  codes: { start: 50, end: 70 },
};
export const plan = { size: 47, frames: 48 };

export const tinyConfig = (own: Partial<V4Config> = {}): V4Config =>
  makeConfig("nano", {
    vocab_size: 70,
    hidden_size: 32,
    num_hidden_layers: 4,
    num_attention_heads: 4,
    head_dim: 16,
    qk_rope_head_dim: 8,
    q_lora_rank: 16,
    o_groups: 2,
    o_lora_rank: 8,
    sliding_window: 8,
    compress_ratios: [0, 4, 16, 4],
    n_routed_experts: 4,
    num_experts_per_tok: 2,
    moe_intermediate_size: 16,
    num_hash_layers: 1,
    index_n_heads: 4,
    index_head_dim: 8,
    index_topk: 3,
    hc_mult: 2,
    max_position_embeddings: 128,
    num_nextn_predict_layers: 1,
    visual: { start_id: 50, levels: [5, 4], max_rows: 4, max_cols: 4, max_frames: 3 },
    ...own,
  });

/** Token ids below `limit`, spread by a fixed rule. */
export const someIds = (count: number, limit: number, salt = 0): Int32Array =>
  Int32Array.from({ length: count }, (_, i) => (i * i * 7 + i * 13 + salt * 31 + 5) % limit);

/** The tiny network with weights large enough that layers matter. */
export function loudModel(device: Device, config = tinyConfig(), seed = 5): V4 {
  const model = new V4(device, config, { seed });
  for (const [name, p] of model.namedParameters())
    if (p.dtype === "f32" && p.ndim >= 2 && !name.includes("hc_"))
      p.copyFrom((p.toArray() as Float32Array).map((x) => x * 8));
  return model;
}

/** Greedy tokens: text, then a picture under guidance. */
export function greedy(device: Device, model = loudModel(device)): number[] {
  const ids: number[] = [];
  const run = generateTokens(model, grammar, {
    prompt: [...someIds(9, 40)],
    params: { maxTokens: 30, temperature: 0, topP: 1, topK: 0, seed: 0, guidance: 2 },
    plan,
    isTextLegal: (id) => id < 40,
    isEnd: (id) => id === END,
    blank: (list) => list.map((id) => (id < 40 ? NULL : id)),
    stopAfterSegment: true,
  });
  for (const event of run) ids.push(event.id);
  return ids;
}

/** Most of what `greedy` launches on a device with these properties, so that it is built together. */
export function programsOf(properties: DeviceProperties, create = loudModel): readonly TileProgram[] {
  const device = new PlanningDevice(properties);
  const model = create(device);
  const { start_id: startId } = model.config.visual!;
  for (const batch of [1, 2]) {
    const state = model.newState(batch);
    for (const tokens of [9, 1, 1, 1, 1, 2, 3, 4, 8, 16]) {
      using _scope = t.tensorScope();
      const ids = Tensor.from(device, new Int32Array(batch * tokens), [batch, tokens]);
      for (const visual of [undefined, new Int32Array(batch * tokens * SIDE_WIDTH)]) {
        const { hidden } = t.noGrad(() => model.forward(ids, { state, ...(visual && { visual }) }));
        const last = t.slice(hidden, 1, tokens - 1, tokens);
        for (const range of [
          { start: 0, end: startId },
          { start: startId, end: model.config.vocab_size },
        ])
          t.noGrad(() => model.logits(last, range).toArray());
      }
    }
  }
  const state = model.newState();
  t.noGrad(() => model.forward(Tensor.from(device, new Int32Array(20), [1, 20]), { state }));
  V4State.stack([state, state]).pick(0);
  return device.programs;
}
