/**
 * The layout of `transformers`: its names for the official tensors, and its config.json. Experts are one stack a layer,
 * w1 above w3 in one tensor. It has no place for MTP and DSpark stages nor for our visual tables.
 * Main functions: `transformersPlacement`, `toTransformersConfig`, `fromTransformersConfig`.
 * Source: names and config fields of `DeepseekV4ForCausalLM` in transformers 5.23 (tools/reference/export_golden.py).
 */
import { FormatError } from "../base/errors.ts";
import { CSA_RATIO, type V4Config } from "./config.ts";
import type { Placement } from "./assembly.ts";

const top: Readonly<Record<string, string>> = {
  "embed.weight": "model.embed_tokens.weight",
  "norm.weight": "model.norm.weight",
  "head.weight": "lm_head.weight",
  hc_head_fn: "model.hc_head.hc_fn",
  hc_head_base: "model.hc_head.hc_base",
  hc_head_scale: "model.hc_head.hc_scale",
};

/** Within a layer. A quantised matrix keeps its name for the codes and gets `_scale_inv` for the scales. */
const inLayer: Readonly<Record<string, string>> = {
  hc_attn_fn: "attn_hc.fn",
  hc_attn_base: "attn_hc.base",
  hc_attn_scale: "attn_hc.scale",
  hc_ffn_fn: "ffn_hc.fn",
  hc_ffn_base: "ffn_hc.base",
  hc_ffn_scale: "ffn_hc.scale",
  "attn_norm.weight": "input_layernorm.weight",
  "ffn_norm.weight": "post_attention_layernorm.weight",
  "attn.wq_a.weight": "self_attn.q_a_proj.weight",
  "attn.q_norm.weight": "self_attn.q_a_norm.weight",
  "attn.wq_b.weight": "self_attn.q_b_proj.weight",
  "attn.wkv.weight": "self_attn.kv_proj.weight",
  "attn.kv_norm.weight": "self_attn.kv_norm.weight",
  "attn.wo_a.weight": "self_attn.o_a_proj.weight",
  "attn.wo_b.weight": "self_attn.o_b_proj.weight",
  "attn.attn_sink": "self_attn.sinks",
  "attn.compressor.wkv.weight": "self_attn.compressor.kv_proj.weight",
  "attn.compressor.wgate.weight": "self_attn.compressor.gate_proj.weight",
  "attn.compressor.ape": "self_attn.compressor.position_bias",
  "attn.compressor.norm.weight": "self_attn.compressor.kv_norm.weight",
  "attn.indexer.wq_b.weight": "self_attn.compressor.indexer.q_b_proj.weight",
  "attn.indexer.weights_proj.weight": "self_attn.compressor.indexer.scorer.weights_proj.weight",
  "attn.indexer.compressor.wkv.weight": "self_attn.compressor.indexer.kv_proj.weight",
  "attn.indexer.compressor.wgate.weight": "self_attn.compressor.indexer.gate_proj.weight",
  "attn.indexer.compressor.ape": "self_attn.compressor.indexer.position_bias",
  "attn.indexer.compressor.norm.weight": "self_attn.compressor.indexer.kv_norm.weight",
  "ffn.gate.weight": "mlp.gate.weight",
  "ffn.gate.bias": "mlp.gate.e_score_correction_bias",
  "ffn.gate.tid2eid": "mlp.gate.tid2eid",
  "ffn.shared_experts.w1.weight": "mlp.shared_experts.gate_proj.weight",
  "ffn.shared_experts.w2.weight": "mlp.shared_experts.down_proj.weight",
  "ffn.shared_experts.w3.weight": "mlp.shared_experts.up_proj.weight",
};

const expertName = /^ffn\.experts\.(\d+)\.(w[123])$/;
/** Tensor of the stack, and the expert's part of it among how many per expert. */
const stacks: Readonly<Record<string, readonly [name: string, at: number, perExpert: number]>> = {
  w1: ["mlp.experts.gate_up_proj", 0, 2],
  w3: ["mlp.experts.gate_up_proj", 1, 2],
  w2: ["mlp.experts.down_proj", 0, 1],
};

export function transformersPlacement(config: V4Config): Placement {
  return (official) => {
    const isScale = official.endsWith(".scale");
    const weight = isScale ? official.replace(/scale$/, "weight") : official;
    const suffix = isScale ? "_scale_inv" : "";
    if (top[weight] !== undefined) return { name: top[weight] + suffix };
    const [, layer, leaf] = /^layers\.(\d+)\.(.+)$/.exec(weight) ?? [];
    if (leaf === undefined) return undefined;
    const expert = expertName.exec(leaf.replace(/\.weight$/, ""));
    if (expert === null) return inLayer[leaf] === undefined ? undefined : { name: `model.layers.${layer}.${inLayer[leaf]}${suffix}` }; // prettier-ignore
    const [name, at, perExpert] = stacks[expert[2]!]!;
    const part = { index: Number(expert[1]) * perExpert + at, count: config.n_routed_experts * perExpert };
    return { name: `model.layers.${layer}.${name}${suffix}`, part };
  };
}

/** Shape of a stack: [experts, rows of all its parts, columns]. */
export const expertStackShape =
  (config: V4Config) =>
  (_name: string, parts: readonly { readonly shape: readonly number[] }[]): number[] => {
    // prettier-ignore
    const [rows, cols] = parts[0]!.shape as [number, number];
    return [config.n_routed_experts, (rows * parts.length) / config.n_routed_experts, cols];
  };

const WINDOW = "sliding_attention";
const CSA = "compressed_sparse_attention";
const HCA = "heavily_compressed_attention";
type Json = Readonly<Record<string, unknown>>;

/** The hub's fields that transformers says in its own way. `compress_ratios` stays, since its tail is the drafter's. */
const OWN_FIELDS = ["num_hash_layers", "rope_scaling"] as const;

/** The hub's config.json as transformers writes it. */
export function toTransformersConfig(json: Json, c: V4Config, file: string): Json {
  const heavy = new Set(c.compress_ratios.slice(0, c.num_hidden_layers).filter((r) => r !== 0 && r !== CSA_RATIO));
  if (heavy.size > 1)
    throw new FormatError(`config: ${file}: field "compress_ratios": expected one ratio beside 0 and 4 (transformers has one per kind of layer), found ${[...heavy]}`, { file, key: "compress_ratios" }); // prettier-ignore
  const partial = { partial_rotary_factor: c.qk_rope_head_dim / c.head_dim };
  const yarn = c.rope_scaling ? { ...c.rope_scaling, rope_type: "yarn", attention_factor: 1 } : { rope_type: "default" }; // prettier-ignore
  const kind = (ratio: number): string => (ratio === 0 ? WINDOW : ratio === CSA_RATIO ? CSA : HCA);
  const rest = Object.fromEntries(Object.entries(json).filter(([key]) => !OWN_FIELDS.some((own) => own === key)));
  return {
    ...rest,
    architectures: ["DeepseekV4ForCausalLM"],
    model_type: "deepseek_v4",
    num_key_value_heads: 1,
    tie_word_embeddings: false,
    ...partial,
    layer_types: c.compress_ratios.slice(0, c.num_hidden_layers).map(kind),
    compress_rates: { [CSA]: CSA_RATIO, [HCA]: [...heavy][0] ?? 128 },
    mlp_layer_types: Array.from({ length: c.num_hidden_layers }, (_, i) => (i < c.num_hash_layers ? "hash_moe" : "moe")), // prettier-ignore
    rope_parameters: {
      main: { rope_type: "default", rope_theta: c.rope_theta, ...partial },
      compress: { ...yarn, rope_theta: c.compress_rope_theta, ...partial },
    },
  };
}

const isTransformersConfig = (json: Json): boolean => Array.isArray(json["layer_types"]); // prettier-ignore

/** And back; a config that has the hub's fields is returned as it is. */
export function fromTransformersConfig(json: Json, file: string): Json {
  if (!isTransformersConfig(json)) return json;
  const fail = (key: string, message: string): never => {
    throw new FormatError(`config: ${file}: field "${key}": ${message}`, { file, key });
  };
  const rates = (json["compress_rates"] ?? {}) as Json;
  const ratios: Readonly<Record<string, unknown>> = { [WINDOW]: 0, [CSA]: rates[CSA] ?? CSA_RATIO, [HCA]: rates[HCA] ?? 128 }; // prettier-ignore
  if (ratios[CSA] !== CSA_RATIO) fail("compress_rates", `expected ${CSA_RATIO} for ${CSA}, found ${String(ratios[CSA])}`); // prettier-ignore
  const types = json["layer_types"] as readonly unknown[];
  const compress_ratios = types.map((type) => (Object.hasOwn(ratios, String(type)) ? ratios[String(type)] : fail("layer_types", `expected one of ${Object.keys(ratios)}, found ${String(type)}`))); // prettier-ignore
  const tail = Array.isArray(json["compress_ratios"]) ? json["compress_ratios"].slice(types.length) : [];
  const mlp = (json["mlp_layer_types"] ?? []) as readonly unknown[];
  const num_hash_layers = mlp.filter((type) => type === "hash_moe").length;
  if (mlp.lastIndexOf("hash_moe") >= num_hash_layers) fail("mlp_layer_types", "expected the hash layers first");
  const { main, compress } = (json["rope_parameters"] ?? {}) as { main?: Json; compress?: Json };
  const { factor, original_max_position_embeddings, beta_fast, beta_slow } = compress ?? {};
  const rope_scaling = compress?.["rope_type"] === "yarn" ? { type: "yarn", factor, original_max_position_embeddings, beta_fast, beta_slow } : undefined; // prettier-ignore
  return {
    ...json,
    qk_rope_head_dim: json["qk_rope_head_dim"] ?? Number(json["partial_rotary_factor"]) * Number(json["head_dim"]),
    rope_theta: main?.["rope_theta"] ?? json["rope_theta"],
    compress_rope_theta: compress?.["rope_theta"] ?? json["compress_rope_theta"],
    compress_ratios: [...compress_ratios, ...tail],
    num_hash_layers,
    ...(rope_scaling && { rope_scaling }),
  };
}
