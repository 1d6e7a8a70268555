/** A tiny network with every layer kind, for tests that need no golden values. */
import { makeConfig, type V4Config } from "../../src/model/config.ts";

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
