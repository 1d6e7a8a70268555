/**
 * The released DeepSeek-V4 configurations, under the hub's field names. Only shapes and constants: no weight of them is
 * needed for a plan (`tessera inspect --plan`). Main table: `released`.
 * Source: config.json of deepseek-ai/DeepSeek-V4-Flash, -Flash-0731, -Pro and -Pro-0813 on the hub (MIT).
 */

const common = {
  architectures: ["DeepseekV4ForCausalLM"],
  model_type: "deepseek_v4",
  vocab_size: 129280,
  num_key_value_heads: 1,
  head_dim: 512,
  qk_rope_head_dim: 64,
  o_lora_rank: 1024,
  sliding_window: 128,
  n_shared_experts: 1,
  num_experts_per_tok: 6,
  num_hash_layers: 3,
  scoring_func: "sqrtsoftplus",
  topk_method: "noaux_tc",
  norm_topk_prob: true,
  swiglu_limit: 10,
  index_n_heads: 64,
  index_head_dim: 128,
  hc_mult: 4,
  hc_sinkhorn_iters: 20,
  hc_eps: 1e-6,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  compress_rope_theta: 160000,
  rope_scaling: { type: "yarn", factor: 16, original_max_position_embeddings: 65536, beta_fast: 32, beta_slow: 1 },
  max_position_embeddings: 1048576,
  num_nextn_predict_layers: 1,
  bos_token_id: 0,
  eos_token_id: 1,
  pad_token_id: 2,
  tie_word_embeddings: false,
  attention_bias: false,
  expert_dtype: "fp4",
  torch_dtype: "bfloat16",
  quantization_config: {
    quant_method: "fp8",
    fmt: "e4m3",
    scale_fmt: "ue8m0",
    activation_scheme: "dynamic",
    weight_block_size: [128, 128],
  },
} as const;

/** `times` pairs of a CSA and an HCA layer, and one more CSA layer. */
const alternating = (times: number): number[] => [...Array.from({ length: times }, () => [4, 128]).flat(), 4];

const flash = {
  ...common,
  hidden_size: 4096,
  num_hidden_layers: 43,
  num_attention_heads: 64,
  q_lora_rank: 1024,
  o_groups: 8,
  n_routed_experts: 256,
  moe_intermediate_size: 2048,
  routed_scaling_factor: 1.5,
  index_topk: 512,
};
const pro = {
  ...common,
  hidden_size: 7168,
  num_hidden_layers: 61,
  num_attention_heads: 128,
  q_lora_rank: 1536,
  o_groups: 16,
  n_routed_experts: 384,
  moe_intermediate_size: 3072,
  routed_scaling_factor: 2.5,
  index_topk: 1024,
};

/** DSpark checkpoints still say one MTP layer; the schedule has an entry for each of their three stages. */
const dspark = (markovRank: number, targets: readonly number[]): object => ({
  dspark_block_size: 5,
  dspark_noise_token_id: 128799,
  dspark_markov_rank: markovRank,
  dspark_target_layer_ids: targets,
});

export const released = {
  "v4-flash": { ...flash, compress_ratios: [0, 0, ...alternating(20), 0] },
  "v4-flash-0731": { ...flash, compress_ratios: [0, 0, ...alternating(20), 0, 0, 0], ...dspark(256, [40, 41, 42]) },
  "v4-pro": { ...pro, compress_ratios: [128, 128, ...alternating(29), 0] },
  "v4-pro-0813": { ...pro, compress_ratios: [128, 128, ...alternating(29), 0, 0, 0], ...dspark(512, [58, 59, 60]) },
} as const;

export type ReleasedName = keyof typeof released;
export const releasedNames = Object.keys(released) as ReleasedName[];
