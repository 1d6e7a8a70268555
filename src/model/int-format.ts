/**
 * Integer weights in files, in the form of compressed-tensors: which matrices, under which names, packed how.
 *   int8  `weight` I8 [N,K], `weight_scale` F32 [N,1]: one scale per output channel (as ModelSlim's W8A8 dynamic)
 *   int4  `weight_packed` I32 [N,K/8], eight numbers + 8 a word, low bits first; `weight_scale` F32 [N,K/group];
 *         `weight_shape` I64 [2]
 * Activations are int8 per token, at run time. Main parts: `intMixes`, `intConfig`, `parseIntConfig`, `quantizeInt`.
 * Group: 64 numbers, so that half a group, one product of kernels/int-matmul.ts, fills the cube's 32 bytes of depth, and
 * experts of small networks hold whole groups; deployments use 128 (compressed-tensors' W4A8) or 256 (ModelSlim), which
 * a config may state.
 * Source: compressed-tensors' public schemes and formats; chips spec E.2.
 */
import { z } from "zod";
import { INT8_MAX, toNearestEven } from "../kernels/quantize-rows.ts";

export const INT4_GROUP = 64;
const INT4_MAX = 7;

export type IntForm = "int8" | "int4";
/** Forms of the two roles that may be integers; W4A8 has only the routed experts in int4, as ModelSlim's. */
export const intMixes = {
  w8a8: { linear: "int8", outA: "int8", expert: "int8" },
  w4a8: { linear: "int8", outA: "int8", expert: "int4" },
} as const satisfies Record<string, { linear: "int8"; outA: "int8"; expert: IntForm }>;
export type IntMix = keyof typeof intMixes;

/**
 * What stays bf16 or f32 beside them: the roles `half` and `wide` of storage.ts (embedding, head, norms, routers,
 * compressors, index weights, hyper-connections, sinks). Of the role `linear` others often leave wo_a wide, whose input
 * the official code does not round and which is a product of groups; a config says what its files do.
 */
export const isOutA = (name: string): boolean => name.endsWith(".wo_a.weight");

const suffixed = (suffix: string) => (name: string): string => `${name.replace(/\.weight$/, "")}.${suffix}`; // prettier-ignore
export const intScaleName = suffixed("weight_scale");
export const packedName = suffixed("weight_packed");
export const shapeName = suffixed("weight_shape");

const targets = {
  linear: [
    "re:.*\\.attn\\.(wq_a|wq_b|wkv|wo_a|wo_b|indexer\\.wq_b)$",
    "re:.*\\.shared_experts\\.w[123]$",
    "re:.*\\.(e_proj|h_proj|main_proj)$",
  ],
  expert: ["re:.*\\.ffn\\.experts\\.\\d+\\.w[123]$"],
} as const;
const ignored = ["embed", "head", "re:.*\\.gate$", "re:.*\\.compressor\\.(wkv|wgate)$", "re:.*\\.weights_proj$", "re:.*\\.markov_head\\..*", "re:.*\\.confidence_head\\..*"]; // prettier-ignore
/** A module of each role, to find out which group of a config it falls into. */
const examples = {
  linear: "layers.0.attn.wq_a",
  outA: "layers.0.attn.wo_a",
  expert: "layers.0.ffn.experts.0.w1",
} as const;

/** The config's quantization_config of a mix. */
export function intConfig(mix: IntMix): object {
  const { expert } = intMixes[mix];
  const input_activations = { num_bits: 8, type: "int", symmetric: true, strategy: "token", dynamic: true };
  const group = (form: IntForm, list: readonly string[]): object => ({
    format: form === "int8" ? "int-quantized" : "pack-quantized",
    targets: list,
    weights: { num_bits: form === "int8" ? 8 : 4, type: "int", symmetric: true, strategy: form === "int8" ? "channel" : "group", group_size: form === "int8" ? null : INT4_GROUP, dynamic: false }, // prettier-ignore
    input_activations,
  });
  const groups = expert === "int8" ? [group("int8", [...targets.linear, ...targets.expert])] : [group("int8", targets.linear), group(expert, targets.expert)]; // prettier-ignore
  return {
    quant_method: "compressed-tensors",
    format: groups.length === 1 ? "int-quantized" : "mixed-precision",
    quantization_status: "compressed",
    config_groups: Object.fromEntries(groups.map((g, i) => [`group_${i}`, g])),
    ignore: ignored,
  };
}

const symmetric = { type: z.literal("int"), symmetric: z.literal(true), dynamic: z.literal(false).optional() };
const weightScheme = z.discriminatedUnion("num_bits", [
  z.object({ num_bits: z.literal(8), strategy: z.literal("channel"), ...symmetric }),
  z.object({ num_bits: z.literal(4), strategy: z.literal("group"), group_size: z.number().int().multipleOf(64).positive(), ...symmetric }), // prettier-ignore
]);
export const intConfigSchema = z.object({
  quant_method: z.literal("compressed-tensors"),
  ignore: z.array(z.string()).default([]),
  config_groups: z.record(
    z.string(),
    z.object({
      targets: z.array(z.string()),
      weights: weightScheme,
      input_activations: z.object({ num_bits: z.literal(8), type: z.literal("int"), symmetric: z.literal(true), strategy: z.literal("token"), dynamic: z.literal(true) }), // prettier-ignore
    }),
  ),
});

export interface IntStorage {
  readonly linear: "int8" | undefined;
  /** Of wo_a. */
  readonly outA: "int8" | undefined;
  readonly expert: IntForm | undefined;
  readonly group: number;
}

/** What a config says of each role; undefined where its matrices stay wide. */
export function parseIntConfig({ config_groups, ignore }: z.infer<typeof intConfigSchema>): IntStorage | string {
  const matches = (target: string, module: string): boolean => (target.startsWith("re:") ? new RegExp(`^(?:${target.slice(3)})`).test(module) : target === module || target === "Linear"); // prettier-ignore
  const schemeOf = (module: string) => ignore.some((x) => matches(x, module)) ? undefined : Object.values(config_groups).find((g) => g.targets.some((x) => matches(x, module)))?.weights; // prettier-ignore
  const [linear, outA, expert] = [examples.linear, examples.outA, examples.expert].map(schemeOf);
  if (linear?.num_bits === 4 || outA?.num_bits === 4) return "int8 for attention and shared experts, got int4";
  return {
    linear: linear && "int8",
    outA: outA && "int8",
    expert: expert && (expert.num_bits === 8 ? "int8" : "int4"),
    group: expert?.num_bits === 4 ? expert.group_size : INT4_GROUP,
  };
}

/** Codes [rows, cols] and scales [rows, cols / group] of plain numbers; the largest of a group is 127 or 7 steps. */
export function quantizeInt(
  x: Float32Array,
  cols: number,
  form: IntForm,
  group = cols,
): { codes: Int8Array; scale: Float32Array } {
  const most = form === "int8" ? INT8_MAX : INT4_MAX;
  const codes = new Int8Array(x.length);
  const scale = new Float32Array(x.length / group);
  for (let b = 0; b < scale.length; b++) {
    let largest = 0;
    for (let i = b * group; i < (b + 1) * group; i++) largest = Math.max(largest, Math.abs(x[i]!));
    // Zeros have a scale too: readers divide by nothing, but refuse what is not positive.
    scale[b] = largest > 0 ? largest / most : 1;
    for (let i = b * group; i < (b + 1) * group; i++) codes[i] = Math.min(most, Math.max(-most, toNearestEven(x[i]! / scale[b]!))); // prettier-ignore
  }
  return { codes, scale };
}

export function packWords(codes: Int8Array): Int32Array {
  const words = new Int32Array(codes.length / 8);
  for (let i = 0; i < codes.length; i++) words[i >> 3] = words[i >> 3]! | ((codes[i]! + 8) << (4 * (i & 7)));
  return words;
}
export function unpackWords(words: Int32Array): Int8Array {
  return Int8Array.from({ length: words.length * 8 }, (_, i) => ((words[i >> 3]! >>> (4 * (i & 7))) & 15) - 8);
}
