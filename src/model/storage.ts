/**
 * How a checkpoint keeps its weights: which tensors an official file has for a config, with dtype and shape, from the
 * config alone. `weightsOf` lists the network's weights; `storedAs` says which tensors hold one of them; `inventoryOf`
 * is all tensors of a checkpoint. Nothing here reads a file.
 * Source: names, dtypes and shapes of the released safetensors headers; the counts and totals of the released
 * checkpoints come out exactly (test/model/storage.test.ts).
 */
import { z } from "zod";
import { FormatError } from "../base/errors.ts";
import { CSA_RATIO, parseConfig, type V4Config } from "./config.ts";
import { INT4_GROUP, intConfigSchema, intScaleName, isOutA, packedName, parseIntConfig, shapeName, type IntForm, type IntStorage } from "./int-format.ts"; // prettier-ignore

/** One e8m0 scale per 128 x 128 block of e4m3, and per 32 numbers of a row of e2m1. */
export const FP8_BLOCK = 128;
export const FP4_BLOCK = 32;

const count = z.number().int().positive();

/** Fields of the hub's config.json that concern storage and the drafter, not the network. */
const storageSchema = z.object({
  expert_dtype: z.enum(["fp4", "fp8", "bf16", "f32"]).optional(),
  quantization_config: z
    .discriminatedUnion("quant_method", [
      z.object({
        quant_method: z.literal("fp8"),
        scale_fmt: z.literal("ue8m0").optional(),
        weight_block_size: z.tuple([z.literal(FP8_BLOCK), z.literal(FP8_BLOCK)]).optional(),
      }),
      intConfigSchema,
    ])
    .nullish(),
  torch_dtype: z.enum(["bfloat16", "float32"]).optional(),
  dspark_block_size: count.optional(),
  dspark_markov_rank: count.optional(),
  dspark_target_layer_ids: z.array(z.number().int().nonnegative()).optional(),
});

/** What drafts tokens: nothing, the one MTP module, or DSpark's stages (both live under mtp.N). */
export type Drafter =
  | { readonly kind: "none" }
  | { readonly kind: "mtp" }
  | { readonly kind: "dspark"; readonly numStages: number; readonly markovRank: number; readonly numTargets: number };

export interface Storage {
  readonly linear: "fp8" | "bf16" | "f32" | "int8";
  readonly expert: "fp4" | "fp8" | "bf16" | "f32" | IntForm;
  /** Of matrices in integers. */
  readonly integers?: IntStorage;
  readonly drafter: Drafter;
}

/** Matrices that stay codes in memory, by role; undefined where they are numbers there. */
export interface Packed {
  readonly linear: "int8" | "fp8" | undefined;
  /** Of wo_a. */
  readonly outA: "int8" | "fp8" | undefined;
  readonly expert: "int8" | "int4" | "fp8" | "fp4" | undefined;
  /** Numbers that share a scale of int4. */
  readonly group: number;
}

/** Codes as they are stored, without widening; undefined where there are none. */
export function packedOf({ linear, expert, integers }: Storage): Packed | undefined {
  if (integers) return integers;
  const [l, e] = [linear === "fp8" ? linear : undefined, expert === "fp8" || expert === "fp4" ? expert : undefined];
  return l || e ? { linear: l, outA: l, expert: e, group: INT4_GROUP } : undefined;
}

/** The network and its storage from one config.json. */
export function parseStored(json: unknown, file: string): { readonly config: V4Config; readonly storage: Storage } {
  const config = parseConfig(json, file);
  const parsed = storageSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const key = issue.path.join(".");
    throw new FormatError(`config: ${file}: field "${key}": ${issue.message}`, { file, key });
  }
  const { expert_dtype, quantization_config, torch_dtype, dspark_markov_rank, dspark_target_layer_ids } = parsed.data;
  const plain = torch_dtype === "float32" ? "f32" : "bf16";
  const integers = quantization_config?.quant_method === "compressed-tensors" ? parseIntConfig(quantization_config) : undefined; // prettier-ignore
  if (typeof integers === "string") throw new FormatError(`config: ${file}: field "quantization_config.config_groups": expected ${integers}`, { file, key: "quantization_config" }); // prettier-ignore
  const linear = integers ? (integers.linear ?? plain) : quantization_config ? "fp8" : plain;
  // num_nextn_predict_layers says 1 in DSpark checkpoints too: their own fields and the schedule's tail tell.
  const isDspark = dspark_markov_rank !== undefined && dspark_target_layer_ids !== undefined;
  const drafter: Drafter = isDspark
    ? {
        kind: "dspark",
        numStages: config.compress_ratios.length - config.num_hidden_layers,
        markovRank: dspark_markov_rank,
        numTargets: dspark_target_layer_ids.length,
      }
    : { kind: config.num_nextn_predict_layers > 0 ? "mtp" : "none" };
  const expert = expert_dtype ?? (integers ? (integers.expert ?? plain) : linear);
  return { config, storage: { linear, expert, drafter, ...(integers && { integers }) } };
}

/** `wide` stays f32 and `half` bf16 in every official file; `linear` and `expert` may be quantised; `ids` are integers. */
export type Role = "wide" | "half" | "linear" | "expert" | "ids";

export interface Weight {
  /** The official name of the tensor that holds the values or codes. */
  readonly name: string;
  /** Of the values, [out, in] for a matrix. */
  readonly shape: readonly number[];
  readonly role: Role;
}

/** Every weight of the network and of its drafter, in the order of a forward pass. */
export function weightsOf(c: V4Config, drafter: Drafter): Weight[] {
  const d = c.hidden_size;
  const out: Weight[] = [{ name: "embed.weight", shape: [c.vocab_size, d], role: "half" }];
  if (c.visual) {
    const { levels, max_rows, max_cols, max_frames } = c.visual;
    const tables = { level: levels.reduce((sum, n) => sum + n, 0), row: max_rows, col: max_cols, frame: max_frames };
    for (const [name, rows] of Object.entries(tables)) out.push({ name: `embed_visual.${name}`, shape: [rows, d], role: "half" }); // prettier-ignore
  }
  for (let i = 0; i < c.num_hidden_layers; i++)
    out.push(...blockWeights(`layers.${i}`, c, c.compress_ratios[i]!, i < c.num_hash_layers));
  out.push(...collapseWeights("", c));
  out.push({ name: "norm.weight", shape: [d], role: "half" });
  out.push({ name: "head.weight", shape: [c.vocab_size, d], role: "half" });
  return [...out, ...drafterWeights(c, drafter)];
}

/** The weights that make n streams one again; at the end of the network and of a drafter. */
function collapseWeights(prefix: string, c: V4Config): Weight[] {
  const n = c.hc_mult;
  const shapes: Record<string, number[]> = { fn: [n, n * c.hidden_size], base: [n], scale: [1] };
  return Object.entries(shapes).map(([part, shape]) => ({ name: `${prefix}hc_head_${part}`, shape, role: "wide" }));
}

function blockWeights(prefix: string, c: V4Config, ratio: number, isHash: boolean): Weight[] {
  const { hidden_size: d, hc_mult: n, moe_intermediate_size: i } = c;
  const wide = (name: string, ...shape: number[]): Weight => ({ name: `${prefix}.${name}`, shape, role: "wide" });
  const half = (name: string, ...shape: number[]): Weight => ({
    name: `${prefix}.${name}.weight`,
    shape,
    role: "half",
  });
  const linear = (name: string, ...shape: number[]): Weight => ({ name: `${prefix}.${name}.weight`, shape, role: "linear" }); // prettier-ignore
  const hc = (which: string): Weight[] => [
    wide(`hc_${which}_fn`, (2 + n) * n, n * d),
    wide(`hc_${which}_base`, (2 + n) * n),
    wide(`hc_${which}_scale`, 3),
  ];
  const compressor = (name: string, dim: number): Weight[] => {
    const width = (ratio === CSA_RATIO ? 2 : 1) * dim;
    return [
      wide(`${name}.ape`, ratio, width),
      half(`${name}.wkv`, width, d),
      half(`${name}.wgate`, width, d),
      half(`${name}.norm`, dim),
    ];
  };
  const heads = c.num_attention_heads * c.head_dim;
  const experts = Array.from(
    { length: c.n_routed_experts },
    (_, e) =>
    (["w1", "w2", "w3"] as const).map((w): Weight => ({ name: `${prefix}.ffn.experts.${e}.${w}.weight`, shape: w === "w2" ? [d, i] : [i, d], role: "expert" })), // prettier-ignore
  );
  return [
    ...hc("attn"),
    half("attn_norm", d),
    linear("attn.wq_a", c.q_lora_rank, d),
    half("attn.q_norm", c.q_lora_rank),
    linear("attn.wq_b", heads, c.q_lora_rank),
    linear("attn.wkv", c.head_dim, d),
    half("attn.kv_norm", c.head_dim),
    linear("attn.wo_a", c.o_groups * c.o_lora_rank, heads / c.o_groups),
    linear("attn.wo_b", d, c.o_groups * c.o_lora_rank),
    wide("attn.attn_sink", c.num_attention_heads),
    ...(ratio > 0 ? compressor("attn.compressor", c.head_dim) : []),
    ...(ratio === CSA_RATIO
      ? [
          linear("attn.indexer.wq_b", c.index_n_heads * c.index_head_dim, c.q_lora_rank),
          half("attn.indexer.weights_proj", c.index_n_heads, d),
          ...compressor("attn.indexer.compressor", c.index_head_dim),
        ]
      : []),
    ...hc("ffn"),
    half("ffn_norm", d),
    half("ffn.gate", c.n_routed_experts, d),
    isHash
      ? { name: `${prefix}.ffn.gate.tid2eid`, shape: [c.vocab_size, c.num_experts_per_tok], role: "ids" }
      : wide("ffn.gate.bias", c.n_routed_experts),
    ...experts.flat(),
    linear("ffn.shared_experts.w1", i, d),
    linear("ffn.shared_experts.w2", d, i),
    linear("ffn.shared_experts.w3", i, d),
  ];
}

function drafterWeights(c: V4Config, drafter: Drafter): Weight[] {
  const d = c.hidden_size;
  const half = (name: string, ...shape: number[]): Weight => ({ name: `${name}.weight`, shape, role: "half" });
  const linear = (name: string, ...shape: number[]): Weight => ({ name: `${name}.weight`, shape, role: "linear" });
  if (drafter.kind === "none") return [];
  if (drafter.kind === "mtp")
    return [
      ...blockWeights("mtp.0", c, 0, false),
      linear("mtp.0.e_proj", d, d),
      linear("mtp.0.h_proj", d, d),
      half("mtp.0.enorm", d),
      half("mtp.0.hnorm", d),
      half("mtp.0.norm", d),
      ...collapseWeights("mtp.0.", c),
    ];
  const { numStages, markovRank, numTargets } = drafter;
  const last = `mtp.${numStages - 1}`;
  return [
    linear("mtp.0.main_proj", d, numTargets * d),
    half("mtp.0.main_norm", d),
    ...Array.from({ length: numStages }, (_, i) => blockWeights(`mtp.${i}`, c, 0, false)).flat(),
    half(`${last}.norm`, d),
    ...collapseWeights(`${last}.`, c),
    half(`${last}.markov_head.markov_w1`, c.vocab_size, markovRank),
    half(`${last}.markov_head.markov_w2`, c.vocab_size, markovRank),
    half(`${last}.confidence_head.proj`, 1, d + markovRank),
  ];
}

/** A tensor of a file. */
export interface TensorSpec {
  readonly name: string;
  readonly fileDType: string;
  readonly shape: readonly number[];
}

/** `layers.0.attn.wq_a.weight` -> `layers.0.attn.wq_a.scale`. */
export const scaleName = (name: string): string => `${name.replace(/\.weight$/, "")}.scale`;

const plainDTypes = { f32: "F32", bf16: "BF16" } as const;

/** The tensors that hold one weight: its values, or its codes and their scales. */
export function storedAs({ name, shape, role }: Weight, storage: Storage): TensorSpec[] {
  const wanted = role === "linear" || role === "expert" ? storage[role] : role;
  const kind = wanted === "int8" && isOutA(name) && !storage.integers?.outA ? "bf16" : wanted;
  const [rows, cols] = shape as [number, number];
  switch (kind) {
    case "ids":
      return [{ name, fileDType: "I64", shape }];
    case "wide":
      return [{ name, fileDType: "F32", shape }];
    case "half":
      return [{ name, fileDType: storage.linear === "f32" ? "F32" : "BF16", shape }];
    case "fp8":
      return [
        { name, fileDType: "F8_E4M3", shape },
        { name: scaleName(name), fileDType: "F8_E8M0", shape: [Math.ceil(rows / FP8_BLOCK), Math.ceil(cols / FP8_BLOCK)] }, // prettier-ignore
      ];
    case "fp4":
      return [
        { name, fileDType: "I8", shape: [rows, cols / 2] },
        { name: scaleName(name), fileDType: "F8_E8M0", shape: [rows, cols / FP4_BLOCK] },
      ];
    case "int8":
      return [
        { name, fileDType: "I8", shape },
        { name: intScaleName(name), fileDType: "F32", shape: [rows, 1] },
      ];
    case "int4":
      return [
        { name: packedName(name), fileDType: "I32", shape: [rows, cols / 8] },
        { name: intScaleName(name), fileDType: "F32", shape: [rows, cols / storage.integers!.group] },
        { name: shapeName(name), fileDType: "I64", shape: [2] },
      ];
    default:
      return [{ name, fileDType: plainDTypes[kind], shape }];
  }
}

export const inventoryOf = (config: V4Config, storage: Storage): TensorSpec[] =>
  weightsOf(config, storage.drafter).flatMap((weight) => storedAs(weight, storage));
