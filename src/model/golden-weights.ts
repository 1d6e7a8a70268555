/**
 * Weights and token ids as pure functions of a seed and a name, equal bit for bit to what the reference scripts
 * compute, so that golden files hold outputs only. Integer arithmetic and a few exactly rounded f64 operations.
 * Main functions: `fillWeights`, `goldenIds`. The twin is tools/reference/shared.py.
 */
import { roundToBf16 } from "../base/bf16.ts";
import { randomBits, uniform } from "../base/prng.ts";
import type { Module } from "../nn/module.ts";
import { officialNames } from "./weights.ts";

export interface GoldenSeed {
  readonly seed: number;
  /** Widens what feeds a softmax, so that choices are clear. */
  readonly sharp: number;
  /** n_routed_experts, for the hash table. */
  readonly numExperts: number;
}

/** FNV-1a of "seed/name". */
function streamOf(seed: number, name: string): number {
  let h = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(`${seed}/${name}`)) h = Math.imul(h ^ byte, 0x01000193);
  return h >>> 0;
}

/** `count` integers in [0, limit). */
function below(seed: number, name: string, count: number, limit: number): Int32Array {
  const stream = streamOf(seed, name);
  return Int32Array.from({ length: count }, (_, i) => randomBits(stream, i) % limit);
}

export const goldenIds = (seed: number, sequence: number, length: number, vocabSize: number): Int32Array =>
  below(seed, `ids.${sequence}`, length, vocabSize);

/** Kept f32 in the official files; everything else is bf16. */
const wide = /(^|\.)(hc_\w+|attn_sink|ape|gate\.bias)$/;

type Distribution = readonly [mean: number, spread: number];
/** First match wins; `undefined` spread follows from the number of inputs. Sizes at which every part shows in the logits. */
const distributions: readonly (readonly [RegExp, Distribution])[] = [
  [/norm/, [1, 0.2]],
  [/_scale$/, [0.8, 0.2]],
  [/(_base|\.ape|\.attn_sink)$/, [0, 0.7]],
  [/gate\.bias$/, [0, 0.3]],
  [/^(embed|head)\.weight$/, [0, 0.3]],
];
const sharpened = /(wgate|wq_b)\.weight$/;

function weight(
  name: string,
  shape: readonly number[],
  { seed, sharp, numExperts }: GoldenSeed,
): Float32Array | Int32Array {
  const last = shape[shape.length - 1]!;
  const size = shape.reduce((p, n) => p * n, 1);
  if (name.endsWith("tid2eid")) {
    const first = below(seed, name, size / last, numExperts);
    return Int32Array.from({ length: size }, (_, i) => (first[Math.floor(i / last)]! + (i % last)) % numExperts);
  }
  const fromInputs = (): Distribution => [0, Math.sqrt((sharpened.test(name) ? sharp : 1) / last)];
  const [mean, spread] = distributions.find(([pattern]) => pattern.test(name))?.[1] ?? fromInputs();
  const stream = streamOf(seed, name);
  const scale = Math.sqrt(6);
  const rounded = wide.test(name) ? Math.fround : roundToBf16;
  // Two uniforms less 1, times sqrt(6): a triangular distribution of variance 1.
  return Float32Array.from({ length: size }, (_, i) =>
    rounded((uniform(stream, 2 * i) + uniform(stream, 2 * i + 1) - 1) * scale * spread + mean),
  );
}

/** Overwrites every parameter. */
export function fillWeights(module: Module, from: GoldenSeed): void {
  for (const [name, p] of module.namedParameters()) {
    const parts = officialNames(name, p.shape);
    const isStacked = parts[0] !== name;
    const out = p.dtype === "i32" ? new Int32Array(p.size) : new Float32Array(p.size);
    parts.forEach((part, i) =>
      out.set(weight(part, isStacked ? p.shape.slice(1) : p.shape, from), (i * p.size) / parts.length),
    );
    p.copyFrom(out);
  }
}
