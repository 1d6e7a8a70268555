/**
 * The layout of llama.cpp's `deepseek4`: its tensor names and metadata. Vectors, hyper-connections and other wide weights
 * are F32 there, experts stand in one stack a kind, and packed e2m1 becomes MXFP4 (scale and codes of 32 numbers together).
 * It has no place for our visual tables; of drafters it is given none.
 * Main functions: `ggufPlacement`, `toGgufMetadata`, `configFromGguf`, `toMxfp4`, `unpackedMxfp4`.
 * Source: names as in llama.cpp's gguf-py/gguf/constants.py, conversion/deepseek.py and src/models/deepseek4.cpp.
 */
import { FormatError } from "../base/errors.ts";
import type { GgufFile, GgufScalar, GgufType, GgufValue } from "../nn/gguf.ts";
import type { RawTensor } from "../nn/safetensors.ts";
import type { StoredTensor, TensorSet } from "../nn/tensor-set.ts";
import type { Placement } from "./assembly.ts";
import type { V4Config } from "./config.ts";
import { ggufIndexDim } from "./gguf-index.ts";
import { FP4_BLOCK } from "./storage.ts";

export const ARCHITECTURE = "deepseek4";

const top: Readonly<Record<string, string>> = {
  "embed.weight": "token_embd.weight",
  "norm.weight": "output_norm.weight",
  "head.weight": "output.weight",
  hc_head_fn: "output_hc_fn.weight",
  hc_head_base: "output_hc_base.weight",
  hc_head_scale: "output_hc_scale.weight",
};

const inLayer: Readonly<Record<string, string>> = {
  hc_attn_fn: "hc_attn_fn.weight",
  hc_attn_base: "hc_attn_base.weight",
  hc_attn_scale: "hc_attn_scale.weight",
  hc_ffn_fn: "hc_ffn_fn.weight",
  hc_ffn_base: "hc_ffn_base.weight",
  hc_ffn_scale: "hc_ffn_scale.weight",
  "attn_norm.weight": "attn_norm.weight",
  "ffn_norm.weight": "ffn_norm.weight",
  "attn.wq_a.weight": "attn_q_a.weight",
  "attn.q_norm.weight": "attn_q_a_norm.weight",
  "attn.wq_b.weight": "attn_q_b.weight",
  "attn.wkv.weight": "attn_kv.weight",
  "attn.kv_norm.weight": "attn_kv_a_norm.weight",
  "attn.wo_a.weight": "attn_output_a.weight",
  "attn.wo_b.weight": "attn_output_b.weight",
  "attn.attn_sink": "attn_sinks.weight",
  "attn.compressor.wkv.weight": "attn_compressor_kv.weight",
  "attn.compressor.wgate.weight": "attn_compressor_gate.weight",
  "attn.compressor.ape": "attn_compressor_ape.weight",
  "attn.compressor.norm.weight": "attn_compressor_norm.weight",
  "attn.indexer.wq_b.weight": "indexer.attn_q_b.weight",
  "attn.indexer.weights_proj.weight": "indexer.proj.weight",
  "attn.indexer.compressor.wkv.weight": "indexer_compressor_kv.weight",
  "attn.indexer.compressor.wgate.weight": "indexer_compressor_gate.weight",
  "attn.indexer.compressor.ape": "indexer_compressor_ape.weight",
  "attn.indexer.compressor.norm.weight": "indexer_compressor_norm.weight",
  "ffn.gate.weight": "ffn_gate_inp.weight",
  "ffn.gate.bias": "exp_probs_b.bias",
  "ffn.gate.tid2eid": "ffn_gate_tid2eid.weight",
  "ffn.shared_experts.w1.weight": "ffn_gate_shexp.weight",
  "ffn.shared_experts.w2.weight": "ffn_down_shexp.weight",
  "ffn.shared_experts.w3.weight": "ffn_up_shexp.weight",
};

const stacks: Readonly<Record<string, string>> = { w1: "ffn_gate_exps", w2: "ffn_down_exps", w3: "ffn_up_exps" };
/** Of the tensor that holds the scales of an unpacked MXFP4 one; only in memory. */
const SCALES = ".scale";

export function ggufPlacement(config: V4Config): Placement {
  return (official) => {
    if (top[official] !== undefined) return { name: top[official] };
    const [, layer, leaf] = /^layers\.(\d+)\.(.+)$/.exec(official) ?? [];
    if (leaf === undefined) return undefined;
    const [, expert, which, kind] = /^ffn\.experts\.(\d+)\.(w[123])\.(weight|scale)$/.exec(leaf) ?? [];
    if (expert === undefined)
      return inLayer[leaf] === undefined ? undefined : { name: `blk.${layer}.${inLayer[leaf]}` };
    const name = `blk.${layer}.${stacks[which!]!}.weight${kind === "scale" ? SCALES : ""}`;
    return { name, part: { index: Number(expert), count: config.n_routed_experts } };
  };
}

/** The fields of a config as metadata: key after the architecture, type, field. */
const fields: readonly (readonly [key: string, type: GgufType, field: keyof V4Config])[] = [
  ["vocab_size", "u32", "vocab_size"],
  ["embedding_length", "u32", "hidden_size"],
  ["block_count", "u32", "num_hidden_layers"],
  ["context_length", "u32", "max_position_embeddings"],
  ["attention.head_count", "u32", "num_attention_heads"],
  ["attention.key_length", "u32", "head_dim"],
  ["attention.layer_norm_rms_epsilon", "f32", "rms_norm_eps"],
  ["attention.q_lora_rank", "u32", "q_lora_rank"],
  ["attention.sliding_window", "u32", "sliding_window"],
  ["attention.output_lora_rank", "u32", "o_lora_rank"],
  ["attention.output_group_count", "u32", "o_groups"],
  ["attention.compress_rope_freq_base", "f32", "compress_rope_theta"],
  ["attention.indexer.head_count", "u32", "index_n_heads"],
  ["attention.indexer.key_length", "u32", "index_head_dim"],
  ["attention.indexer.top_k", "u32", "index_topk"],
  ["rope.dimension_count", "u32", "qk_rope_head_dim"],
  ["rope.freq_base", "f32", "rope_theta"],
  ["expert_count", "u32", "n_routed_experts"],
  ["expert_used_count", "u32", "num_experts_per_tok"],
  ["expert_shared_count", "u32", "n_shared_experts"],
  ["expert_feed_forward_length", "u32", "moe_intermediate_size"],
  ["expert_weights_scale", "f32", "routed_scaling_factor"],
  ["hash_layer_count", "u32", "num_hash_layers"],
  ["hyper_connection.count", "u32", "hc_mult"],
  ["hyper_connection.sinkhorn_iterations", "u32", "hc_sinkhorn_iters"],
  ["hyper_connection.epsilon", "f32", "hc_eps"],
];

/** llama.cpp's number of the router's score function sqrt(softplus(x)). */
const SQRT_SOFTPLUS = 4;
/** Our whole config.json as text: what the fields above do not say (pictures, names) comes back from it. */
const OWN_CONFIG = "tessera.config_json";

const f32 = Math.fround;

export function toGgufMetadata(
  c: V4Config,
  json: object,
  name: string,
  tokenizer: ReadonlyMap<string, GgufValue>,
): Map<string, GgufValue> {
  // prettier-ignore
  const out = new Map<string, GgufValue>();
  const put = (key: string, type: GgufType, value: GgufScalar | readonly GgufScalar[]): void => void out.set(key, { type, value }); // prettier-ignore
  const own = (key: string): string => `${ARCHITECTURE}.${key}`;
  put("general.architecture", "string", ARCHITECTURE);
  put("general.name", "string", name);
  put("general.quantization_version", "u32", 2);
  const stored = { ...c, index_head_dim: ggufIndexDim(c.index_head_dim) };
  for (const [key, type, field] of fields) put(own(key), type, stored[field] as number);
  put(own("attention.head_count_kv"), "u32", 1);
  put(own("attention.value_length"), "u32", c.head_dim);
  put(own("attention.compress_ratios"), "u32", c.compress_ratios.slice(0, c.num_hidden_layers));
  put(own("expert_gating_func"), "u32", SQRT_SOFTPLUS);
  put(own("expert_weights_norm"), "bool", true);
  put(
    own("swiglu_clamp_exp"),
    "f32",
    Array.from({ length: c.num_hidden_layers }, () => c.swiglu_limit),
  );
  put(own("nextn_predict_layers"), "u32", 0);
  if (c.rope_scaling) {
    put(own("rope.scaling.type"), "string", "yarn");
    put(own("rope.scaling.factor"), "f32", c.rope_scaling.factor);
    put(own("rope.scaling.original_context_length"), "u32", c.rope_scaling.original_max_position_embeddings);
    put(own("rope.scaling.yarn_beta_fast"), "f32", c.rope_scaling.beta_fast);
    put(own("rope.scaling.yarn_beta_slow"), "f32", c.rope_scaling.beta_slow);
  }
  for (const [key, value] of tokenizer) out.set(key, value);
  put(OWN_CONFIG, "string", JSON.stringify(json));
  return out;
}

/** A config.json from the metadata; with ours in it, ours, if the two agree. */
export function configFromGguf({ metadata, path }: GgufFile): Readonly<Record<string, unknown>> {
  const fail = (key: string, message: string): never => {
    throw new FormatError(`gguf: ${path}: metadata "${key}": ${message}`, { file: path, key });
  };
  const architecture = metadata.get("general.architecture")?.value;
  if (architecture !== ARCHITECTURE) fail("general.architecture", `expected ${ARCHITECTURE}, got ${String(architecture)}`); // prettier-ignore
  const get = (key: string): GgufValue["value"] => metadata.get(`${ARCHITECTURE}.${key}`)?.value ?? fail(`${ARCHITECTURE}.${key}`, "expected a value, got none"); // prettier-ignore
  const read = Object.fromEntries(fields.map(([key, type, field]) => [field, type === "f32" ? shortest(get(key) as number) : get(key)])); // prettier-ignore
  const clamp = get("swiglu_clamp_exp");
  const ratios = get("attention.compress_ratios");
  const has = (key: string): boolean => metadata.has(`${ARCHITECTURE}.${key}`);
  const found: Record<string, unknown> = {
    ...read,
    compress_ratios: ratios,
    swiglu_limit: shortest(Number(Array.isArray(clamp) ? clamp[0] : clamp)),
    num_nextn_predict_layers: 0,
    ...(has("rope.scaling.factor") && get("rope.scaling.type") === "yarn"
      ? {
          rope_scaling: {
            type: "yarn",
            factor: get("rope.scaling.factor"),
            original_max_position_embeddings: get("rope.scaling.original_context_length"),
            beta_fast: has("rope.scaling.yarn_beta_fast") ? get("rope.scaling.yarn_beta_fast") : 32,
            beta_slow: has("rope.scaling.yarn_beta_slow") ? get("rope.scaling.yarn_beta_slow") : 1,
          },
        }
      : {}),
  };
  const text = metadata.get(OWN_CONFIG)?.value;
  if (typeof text !== "string") return { architectures: ["DeepseekV4ForCausalLM"], model_type: "deepseek_v4", ...found }; // prettier-ignore
  const own = parseOwn(text, () => fail(OWN_CONFIG, "expected a JSON object"));
  const isWidened = ggufIndexDim(Number(own["index_head_dim"])) === found["index_head_dim"];
  for (const [, , field] of fields)
    if (f32(Number(own[field])) !== f32(Number(found[field])) && !(field === "index_head_dim" && isWidened)) fail(OWN_CONFIG, `expected ${field} ${String(found[field])}, got ${String(own[field])}`); // prettier-ignore
  return own;
}

/** Of an index head in the file; the config says it before widening. */
export const storedIndexDim = ({ metadata }: GgufFile): number => Number(metadata.get(`${ARCHITECTURE}.attention.indexer.key_length`)!.value); // prettier-ignore

function parseOwn(text: string, fail: () => never): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    fail();
  }
  return typeof json === "object" && json !== null && !Array.isArray(json) ? (json as Record<string, unknown>) : fail();
}

/** The decimal that a person wrote for an f32: 1e-6, not 9.999999974752427e-7. */
const shortest = (x: number): number => Number(x.toPrecision(7));

/** codes [o, i/2] and scales [o, i/32] -> one MXFP4 tensor: per 32 numbers the scale, then number j low and j+16 high. */
export function toMxfp4(codes: RawTensor, scales: RawTensor): RawTensor {
  const [rows, half] = codes.shape as [number, number];
  const chunks = (): Uint8Array[] => {
    const [packed, scale] = [joined(codes.chunks()), joined(scales.chunks())];
    const out = new Uint8Array(scale.length * 17);
    for (let b = 0; b < scale.length; b++) {
      out[b * 17] = scale[b]!;
      for (let j = 0; j < 16; j++) out[b * 17 + 1 + j] = nibble(packed, b * 32 + j) | (nibble(packed, b * 32 + j + 16) << 4); // prettier-ignore
    }
    return [out];
  };
  return { name: codes.name, fileDType: "MXFP4", shape: [rows, half * 2], chunks };
}

const nibble = (packed: Uint8Array, i: number): number => (i % 2 === 0 ? packed[i >> 1]! & 15 : packed[i >> 1]! >> 4);

function joined(chunks: Iterable<Uint8Array>): Uint8Array {
  const parts = [...chunks];
  return parts.length === 1 ? parts[0]! : new Uint8Array(Buffer.concat(parts));
}

/** The same file with each MXFP4 tensor as two: packed codes, and scales under a name of their own. */
export function unpackedMxfp4(file: TensorSet): TensorSet {
  const tensors = new Map<string, StoredTensor>();
  for (const [name, t] of file.tensors) {
    if (t.fileDType !== "MXFP4") tensors.set(name, t);
    else {
      const [cols, rest] = [t.shape.at(-1)!, t.shape.slice(0, -1)];
      tensors.set(name, { name, fileDType: "I8", shape: [...rest, cols / 2] });
      tensors.set(name + SCALES, { name: name + SCALES, fileDType: "F8_E8M0", shape: [...rest, cols / FP4_BLOCK], fileName: name }); // prettier-ignore
    }
  }
  return {
    ...file,
    tensors,
    readBytes: (name, begin = 0, end) => {
      const source = name.endsWith(SCALES) ? name.slice(0, -SCALES.length) : name;
      if (file.tensors.get(source)?.fileDType !== "MXFP4") return file.readBytes(name, begin, end);
      // A range of codes or scales is whole blocks in all that is asked for: rows of matrices.
      const perBlock = source === name ? 16 : 1;
      const blocks = file.readBytes(source, (begin / perBlock) * 17, end === undefined ? undefined : (end / perBlock) * 17); // prettier-ignore
      const out = new Uint8Array((blocks.length / 17) * perBlock);
      for (let b = 0; b < blocks.length / 17; b++) {
        const qs = blocks.subarray(b * 17 + 1, (b + 1) * 17);
        if (perBlock === 1) out[b] = blocks[b * 17]!;
        else for (let k = 0; k < 16; k++) out[b * 16 + k] = halfOf(qs, 2 * k) | (halfOf(qs, 2 * k + 1) << 4);
      }
      return out;
    },
  };
}

/** Number j of 32: low halves are 0..15, high halves 16..31. */
const halfOf = (qs: Uint8Array, j: number): number => (j < 16 ? qs[j]! & 15 : qs[j - 16]! >> 4);
