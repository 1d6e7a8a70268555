/**
 * The V4 network's configuration: field names are the hub's config.json, plus `visual`, our block for the
 * visual codes that live in the same vocabulary. Presets `nano` (tests, CI) and `mini` (the shipped model).
 * Main functions: `makeConfig`, `parseConfig`, `sizesOf`.
 * Source: the released DeepSeek-V4 config.json; small shapes are ours.
 */
import { z } from "zod";
import { FormatError } from "../base/errors.ts";
import { numericsSchema, type NumericsInput } from "./numerics.ts";
import type { Vocabulary } from "../processor/vocabulary.ts";

/** CSA has this ratio, overlapping groups and an indexer; any other positive ratio is HCA; 0 is window only. */
export const CSA_RATIO = 4;

const count = z.number().int().positive();

const visualSchema = z.object({
  /** First visual id; ids [start_id, start_id + product of levels) are codes, mixed radix, first level slowest. */
  start_id: z.number().int().nonnegative(),
  levels: z.array(count).min(1),
  /** Sizes of the row, column and frame tables. */
  max_rows: count,
  max_cols: count,
  max_frames: count,
});

const configSchema = z.object({
  vocab_size: count,
  hidden_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  head_dim: count,
  qk_rope_head_dim: count,
  q_lora_rank: count,
  o_groups: count,
  o_lora_rank: count,
  sliding_window: count,
  /** One per layer; entries beyond num_hidden_layers belong to MTP stages and are 0. */
  compress_ratios: z.array(z.number().int().nonnegative()),
  n_routed_experts: count,
  n_shared_experts: z.literal(1),
  num_experts_per_tok: count,
  moe_intermediate_size: count,
  num_hash_layers: z.number().int().nonnegative(),
  routed_scaling_factor: z.number().positive(),
  swiglu_limit: z.number().positive(),
  index_n_heads: count,
  index_head_dim: count,
  index_topk: count,
  hc_mult: count,
  hc_sinkhorn_iters: count,
  hc_eps: z.number().positive(),
  rms_norm_eps: z.number().positive(),
  rope_theta: z.number().positive(),
  compress_rope_theta: z.number().positive(),
  /** YaRN, for layers with compression only; absent: none. */
  rope_scaling: z
    .object({
      factor: z.number().positive(),
      original_max_position_embeddings: count,
      beta_fast: z.number().positive(),
      beta_slow: z.number().positive(),
    })
    .nullish(),
  max_position_embeddings: count,
  num_nextn_predict_layers: z.number().int().min(0).max(1),
  /** DSpark drafts this many tokens at once; its three stages then stand in the place of the MTP module. */
  dspark_block_size: count.optional(),
  dspark_noise_token_id: z.number().int().nonnegative().optional(),
  dspark_markov_rank: count.optional(),
  /** Layers whose outputs the drafter reads. */
  dspark_target_layer_ids: z.array(z.number().int().nonnegative()).min(1).optional(),
  visual: visualSchema.optional(),
  /** Ours: "hf", "official", or single switches (numerics.ts). */
  numerics: numericsSchema,
});

export type V4Config = Readonly<z.infer<typeof configSchema>>;
export type VisualIds = Readonly<z.infer<typeof visualSchema>>;

type Shape = Omit<V4Config, "vocab_size" | "visual" | "numerics">;

/** What all our own models share with the released ones. */
const common = {
  n_shared_experts: 1,
  routed_scaling_factor: 1.5,
  swiglu_limit: 10,
  hc_eps: 1e-6,
  rms_norm_eps: 1e-6,
  rope_theta: 10000,
  // The released 160000 with YaRN serves 1M tokens; at 2048 the plain base resolves positions better.
  compress_rope_theta: 10000,
  hc_sinkhorn_iters: 20,
} as const;

export const presets = {
  /** An image is 16 tokens, so the window holds two latent frames and one heavy entry covers two. */
  nano: {
    ...common,
    hidden_size: 192,
    num_hidden_layers: 6,
    num_attention_heads: 6,
    head_dim: 32,
    qk_rope_head_dim: 16,
    q_lora_rank: 96,
    o_groups: 2,
    o_lora_rank: 64,
    sliding_window: 32,
    compress_ratios: [0, 4, 32, 4, 32, 4],
    n_routed_experts: 4,
    num_experts_per_tok: 2,
    moe_intermediate_size: 128,
    num_hash_layers: 1,
    index_n_heads: 4,
    index_head_dim: 32,
    index_topk: 128,
    hc_mult: 4,
    max_position_embeddings: 512,
    num_nextn_predict_layers: 0,
  },
  /** An image is 64 tokens; window 128 and heavy ratio 128 are the released ones. */
  mini: {
    ...common,
    hidden_size: 384,
    num_hidden_layers: 10,
    num_attention_heads: 8,
    head_dim: 64,
    qk_rope_head_dim: 32,
    q_lora_rank: 128,
    o_groups: 2,
    o_lora_rank: 128,
    sliding_window: 128,
    compress_ratios: [0, 4, 128, 4, 128, 4, 128, 4, 128, 4],
    n_routed_experts: 8,
    num_experts_per_tok: 2,
    moe_intermediate_size: 256,
    num_hash_layers: 3,
    index_n_heads: 4,
    index_head_dim: 32,
    index_topk: 512,
    hc_mult: 4,
    max_position_embeddings: 2048,
    num_nextn_predict_layers: 0,
  },
} as const satisfies Record<string, Shape>;

export type PresetName = keyof typeof presets;

/** A preset with a vocabulary, and with any field replaced. */
export function makeConfig(
  preset: PresetName,
  own: Partial<Shape> &
    Pick<V4Config, "vocab_size"> & { readonly visual?: VisualIds; readonly numerics?: NumericsInput },
): V4Config {
  return parseConfig({ ...presets[preset], ...own }, `preset ${preset}`);
}

/** A preset for a vocabulary: its size, where its codes are, and tables as large as its pictures and clips. */
export function configFor(preset: PresetName, vocabulary: Vocabulary, own: Partial<Shape> = {}): V4Config {
  const { startId, levels, side, numLatents } = vocabulary.visual;
  const visual = { start_id: startId, levels: [...levels], max_rows: side, max_cols: side, max_frames: numLatents };
  return makeConfig(preset, { ...own, vocab_size: vocabulary.size, visual });
}

/** Checks a config.json's contents. Fields we do not know are the hub's and are left alone. */
export function parseConfig(json: unknown, file: string): V4Config {
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const key = issue.path.join(".");
    throw new FormatError(`config: ${file}: field "${key}": ${issue.message}`, { file, key });
  }
  const c = parsed.data;
  const fail = (key: string, message: string): never => {
    throw new FormatError(`config: ${file}: field "${key}": ${message}`, { file, key });
  };
  if (c.compress_ratios.length < c.num_hidden_layers)
    fail("compress_ratios", `expected at least ${c.num_hidden_layers} entries, got ${c.compress_ratios.length}`);
  const dspark = [c.dspark_block_size, c.dspark_noise_token_id, c.dspark_markov_rank, c.dspark_target_layer_ids];
  if (dspark.some((x) => x === undefined) && dspark.some((x) => x !== undefined))
    fail("dspark_block_size", "expected all four dspark_* fields or none of them");
  if ((c.dspark_noise_token_id ?? 0) >= c.vocab_size)
    fail("dspark_noise_token_id", `expected an id below ${c.vocab_size}, got ${c.dspark_noise_token_id}`);
  for (const id of c.dspark_target_layer_ids ?? [])
    if (id >= c.num_hidden_layers) fail("dspark_target_layer_ids", `expected layers below ${c.num_hidden_layers}, got ${id}`); // prettier-ignore
  if (c.num_attention_heads % c.o_groups !== 0)
    fail("o_groups", `expected a divisor of ${c.num_attention_heads} heads, got ${c.o_groups}`);
  if (c.qk_rope_head_dim % 2 !== 0 || c.qk_rope_head_dim > Math.min(c.head_dim, c.index_head_dim))
    fail("qk_rope_head_dim", `expected an even number within head_dim and index_head_dim, got ${c.qk_rope_head_dim}`);
  if (c.num_experts_per_tok > c.n_routed_experts)
    fail("num_experts_per_tok", `expected at most ${c.n_routed_experts}, got ${c.num_experts_per_tok}`);
  if (c.visual && c.visual.start_id + numVisualIds(c.visual) > c.vocab_size)
    fail(
      "visual",
      `expected codes within ${c.vocab_size} ids, got ${numVisualIds(c.visual)} from ${c.visual.start_id}`,
    );
  return c;
}

export const numVisualIds = (visual: VisualIds): number => visual.levels.reduce((p, n) => p * n, 1);

export interface Sizes {
  readonly total: number;
  /** Used by one token: top-k experts of each layer, both vocabulary matrices' one row and all. */
  readonly active: number;
  readonly embedding: number;
  readonly head: number;
}

/** Parameter counts from shapes alone; buffers (routing tables and biases) are not counted. */
export function sizesOf(c: V4Config): Sizes {
  const d = c.hidden_size;
  const heads = c.num_attention_heads * c.head_dim;
  const hc = (2 + c.hc_mult) * c.hc_mult;
  const hcParams = hc * c.hc_mult * d + hc + 3;
  const hcHead = c.hc_mult * c.hc_mult * d + c.hc_mult + 1;
  const expert = 3 * d * c.moe_intermediate_size;
  const compressor = (ratio: number, dim: number): number => {
    const width = (ratio === CSA_RATIO ? 2 : 1) * dim;
    return 2 * d * width + ratio * width + dim;
  };
  const indexer = (): number =>
    c.q_lora_rank * c.index_n_heads * c.index_head_dim + d * c.index_n_heads + compressor(CSA_RATIO, c.index_head_dim);
  const block = (ratio: number, numExperts: number): number =>
    2 * hcParams +
    2 * d +
    (d + 1) * c.q_lora_rank +
    c.q_lora_rank * heads +
    (d + 1) * c.head_dim +
    c.num_attention_heads +
    heads * c.o_lora_rank +
    c.o_groups * c.o_lora_rank * d +
    (ratio > 0 ? compressor(ratio, c.head_dim) : 0) +
    (ratio === CSA_RATIO ? indexer() : 0) +
    d * c.n_routed_experts +
    (numExperts + 1) * expert;
  const ratios = c.compress_ratios.slice(0, c.num_hidden_layers);
  const layers = (numExperts: number): number =>
    ratios.reduce((sum, ratio) => sum + block(ratio, numExperts), 0) +
    c.num_nextn_predict_layers * (block(0, numExperts) + 2 * d * d + 3 * d + hcHead);
  const embedding =
    c.vocab_size * d +
    (c.visual
      ? d * (c.visual.levels.reduce((p, n) => p + n, 0) + c.visual.max_rows + c.visual.max_cols + c.visual.max_frames)
      : 0);
  const head = c.vocab_size * d + d + hcHead;
  return {
    total: embedding + head + layers(c.n_routed_experts),
    active: d + head + layers(c.num_experts_per_tok),
    embedding,
    head,
  };
}
