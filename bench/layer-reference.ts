/**
 * The slow twin of `bench layer`: attention and mixture of experts of V4 in plain loops over f64, straight from the file's
 * bytes, with its own decoding; shares no code with the network. Only the last tokens get an output.
 * Main functions: `attentionReference`, `moeReference`. Source: DeepSeek-V4 report sections 2.1 and 2.3.
 */
import type { V4Config } from "../src/model/config.ts";
import type { TensorSet } from "../src/nn/tensor-set.ts";

type Rows = Float64Array[];

const E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6];
const e4m3 = (code: number): number => {
  const [exponent, mantissa] = [(code >> 3) & 15, code & 7];
  const size = exponent === 0 ? mantissa * 2 ** -9 : (8 + mantissa) * 2 ** (exponent - 10);
  return code & 128 ? -size : size;
};

const E4M3 = Float64Array.from({ length: 256 }, (_, code) => e4m3(code));
const E8M0 = Float64Array.from({ length: 256 }, (_, code) => 2 ** (code - 127));

/** All numbers of a tensor of the file, row by row. */
export function decode(file: TensorSet, name: string): Float64Array {
  const { fileDType, shape } = file.tensors.get(name)!;
  const bytes = file.readBytes(name);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = shape.reduce((p, n) => p * n, 1);
  if (fileDType === "F32") return Float64Array.from({ length: count }, (_, i) => view.getFloat32(4 * i, true));
  const word = new DataView(new ArrayBuffer(4));
  if (fileDType === "BF16")
    return Float64Array.from({ length: count }, (_, i) => {
      word.setUint32(0, view.getUint16(2 * i, true) << 16);
      return word.getFloat32(0);
    });
  const scale = file.readBytes(name.replace(/weight$/, "scale"));
  const out = new Float64Array(fileDType === "I8" ? 2 * count : count);
  const cols = out.length / shape[0]!;
  const [height, width] = fileDType === "I8" ? [1, 32] : [128, 128];
  for (let r = 0; r < shape[0]!; r++)
    for (let c = 0; c < cols; c++) {
      const i = r * cols + c;
      const value = fileDType === "I8" ? E2M1[(bytes[i >> 1]! >> (4 * (i % 2))) & 15]! : E4M3[bytes[i]!]!;
      out[i] = value * E8M0[scale[Math.floor(r / height) * (cols / width) + Math.floor(c / width)]!]!;
    }
  return out;
}

const product = (w: Float64Array, x: Float64Array): Float64Array => {
  const out = new Float64Array(w.length / x.length);
  for (let r = 0; r < out.length; r++) {
    let sum = 0;
    for (let c = 0, at = r * x.length; c < x.length; c++, at++) sum += w[at]! * x[c]!;
    out[r] = sum;
  }
  return out;
};

function rms(x: Float64Array, eps: number, weight?: Float64Array): Float64Array {
  const size = 1 / Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / x.length + eps);
  return x.map((v, i) => v * size * (weight?.[i] ?? 1));
}

/** Turns the last dims of a vector by its position; `sign` -1 turns back. */
function turn(x: Float64Array, position: number, c: V4Config, isCompressed: boolean, sign = 1): Float64Array {
  const dim = c.qk_rope_head_dim;
  const base = isCompressed ? c.compress_rope_theta : c.rope_theta;
  const out = x.slice();
  for (let i = 0; i < dim / 2; i++) {
    let f = base ** ((-2 * i) / dim);
    if (isCompressed && c.rope_scaling) {
      const { factor, original_max_position_embeddings: length, beta_fast, beta_slow } = c.rope_scaling;
      const pair = (turns: number): number => (dim * Math.log(length / (2 * Math.PI * turns))) / (2 * Math.log(base));
      const [low, high] = [Math.max(Math.floor(pair(beta_fast)), 0), Math.min(Math.ceil(pair(beta_slow)), dim - 1)];
      const ramp = Math.min(Math.max((i - low) / (high - low), 0), 1);
      f = (f / factor) * ramp + f * (1 - ramp);
    }
    const [cos, sin] = [Math.cos(position * f), sign * Math.sin(position * f)];
    const at = x.length - dim + 2 * i;
    out[at] = x[at]! * cos - x[at + 1]! * sin;
    out[at + 1] = x[at]! * sin + x[at + 1]! * cos;
  }
  return out;
}

/** Entries of all complete groups; with overlap an entry also mixes the group before, through the first channels. */
function compressed(file: TensorSet, prefix: string, x: Rows, ratio: number, c: V4Config): Rows {
  const dim = c.head_dim;
  const [wkv, wgate, ape, norm] = ["wkv.weight", "wgate.weight", "ape", "norm.weight"].map((name) => decode(file, `${prefix}.${name}`)) as [Float64Array, Float64Array, Float64Array, Float64Array]; // prettier-ignore
  const overlap = ratio === 4;
  const width = overlap ? 2 * dim : dim;
  const kv = x.map((row) => product(wkv, row));
  const score = x.map((row, t) => product(wgate, row).map((v, i) => v + ape[(t % ratio) * width + i]!));
  return Array.from({ length: Math.floor(x.length / ratio) }, (_, j) => {
    const entry = new Float64Array(dim);
    for (let ch = 0; ch < dim; ch++) {
      const own = Array.from({ length: ratio }, (_v, i) => [j * ratio + i, ch + (overlap ? dim : 0)] as const);
      const before = overlap && j > 0 ? Array.from({ length: ratio }, (_v, i) => [(j - 1) * ratio + i, ch] as const) : []; // prettier-ignore
      const slots = [...before, ...own];
      const top = Math.max(...slots.map(([t, at]) => score[t]![at]!));
      let [sum, total] = [0, 0];
      for (const [t, at] of slots) {
        const p = Math.exp(score[t]![at]! - top);
        total += p;
        sum += p * kv[t]![at]!;
      }
      entry[ch] = sum / total;
    }
    return turn(rms(entry, c.rms_norm_eps, norm), j * ratio, c, true);
  });
}

/** x of positions 0.. -> outputs of the last `count` positions. The indexer chooses nothing while all entries are visible. */
export function attentionReference(
  file: TensorSet,
  prefix: string,
  x: Rows,
  ratio: number,
  c: V4Config,
  count: number,
): Rows {
  // prettier-ignore
  const get = (name: string): Float64Array => decode(file, `${prefix}.${name}`);
  const isCompressed = ratio > 0;
  const [wkv, kvNorm] = [get("wkv.weight"), get("kv_norm.weight")];
  const keys = x.map((row, t) => turn(rms(product(wkv, row), c.rms_norm_eps, kvNorm), t, c, isCompressed));
  const entries = isCompressed ? compressed(file, `${prefix}.compressor`, x, ratio, c) : [];
  const [wqA, qNorm, wqB, sink, woA] = ["wq_a.weight", "q_norm.weight", "wq_b.weight", "attn_sink", "wo_a.weight"].map(get) as [Float64Array, Float64Array, Float64Array, Float64Array, Float64Array]; // prettier-ignore
  const woB = get("wo_b.weight");
  const [heads, dim, groups] = [c.num_attention_heads, c.head_dim, c.o_groups];
  return Array.from({ length: count }, (_, i) => x.length - count + i).map((t) => {
    const q = product(wqB, rms(product(wqA, x[t]!), c.rms_norm_eps, qNorm));
    const seen = [...keys.slice(Math.max(0, t - c.sliding_window + 1), t + 1), ...entries.slice(0, isCompressed ? Math.floor((t + 1) / ratio) : 0)]; // prettier-ignore
    const o = new Float64Array(heads * dim);
    for (let h = 0; h < heads; h++) {
      const query = turn(rms(q.slice(h * dim, (h + 1) * dim), c.rms_norm_eps), t, c, isCompressed);
      const logits = seen.map((k) => k.reduce((sum, v, j) => sum + v * query[j]!, 0) / Math.sqrt(dim));
      const top = Math.max(...logits);
      const weights = logits.map((l) => Math.exp(l - top));
      const total = weights.reduce((a, b) => a + b, 0) + Math.exp(sink[h]! - top);
      const mixed = new Float64Array(dim);
      seen.forEach((k, j) => k.forEach((v, n) => (mixed[n] = mixed[n]! + (weights[j]! / total) * v)));
      o.set(turn(mixed, t, c, isCompressed, -1), h * dim);
    }
    const per = o.length / groups;
    const low = new Float64Array(groups * c.o_lora_rank);
    for (let g = 0; g < groups; g++) low.set(product(woA.subarray(g * c.o_lora_rank * per, (g + 1) * c.o_lora_rank * per), o.subarray(g * per, (g + 1) * per)), g * c.o_lora_rank); // prettier-ignore
    return product(woB, low);
  });
}

function expert(file: TensorSet, prefix: string, x: Float64Array, limit: number, weight: number): Float64Array {
  const a = product(decode(file, `${prefix}.w1.weight`), x);
  const b = product(decode(file, `${prefix}.w3.weight`), x);
  const gated = a.map((v, i) => {
    const gate = Math.min(v, limit);
    return (gate / (1 + Math.exp(-gate))) * Math.min(Math.max(b[i]!, -limit), limit) * weight;
  });
  return product(decode(file, `${prefix}.w2.weight`), gated);
}

export function moeReference(file: TensorSet, prefix: string, x: Rows, c: V4Config): Rows {
  const [gate, bias] = [decode(file, `${prefix}.gate.weight`), decode(file, `${prefix}.gate.bias`)];
  return x.map((row) => {
    const s = product(gate, row).map((v) => Math.sqrt(Math.log1p(Math.exp(v))));
    const best = [...s.keys()].sort((a, b) => s[b]! + bias[b]! - s[a]! - bias[a]!).slice(0, c.num_experts_per_tok);
    const total = best.reduce((sum, e) => sum + s[e]!, 0);
    const out = expert(file, `${prefix}.shared_experts`, row, c.swiglu_limit, 1);
    for (const e of best) {
      const weight = (c.routed_scaling_factor * s[e]!) / total;
      expert(file, `${prefix}.experts.${e}`, row, c.swiglu_limit, weight).forEach((v, i) => (out[i] = out[i]! + v));
    }
    return out;
  });
}
