/**
 * Where the official inference code rounds and plain float computation (as in transformers) does not: one named switch
 * for each such point, and what a switch does, in one place. Gradients pass straight through.
 * Main parts: `numericsSchema` (the config's field), the presets `hf` and `official`, and the functions the layers call.
 * Source: DeepSeek-V4 spec sections 2.0 to 2.9. Everything here assumes bf16 activations where it says bf16.
 */
import { z } from "zod";
import type { Linear } from "../nn/layers.ts";
import { PackedLinear } from "../nn/packed-linear.ts";
import * as t from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";

const switches = z.object({
  /** Window keys and compressed entries in FP8, blocks of 64, but for the rotated dims. */
  kvFp8: z.boolean(),
  /** Inputs of products with FP8 or FP4 weights in FP8, blocks of 128; products that share an input share its rounding. */
  actFp8: z.boolean(),
  /** Weights of attention and of the shared expert in FP8, blocks of 128 x 128. No change where they came from FP8. */
  weightFp8: z.boolean(),
  /** Routed experts in FP4, blocks of 32 inputs. No change where they came from FP4. */
  expertFp4: z.boolean(),
  /** Index queries and keys rotated by Hadamard, then in FP4, blocks of 32. */
  indexHadamardFp4: z.boolean(),
  /** Index scores rounded to bf16 after each product and after the sum. */
  indexScoreBf16: z.boolean(),
  /** The norm of each query head rounded to bf16 after each step. */
  queryNormBf16: z.boolean(),
  /** Attention probabilities rounded to bf16 against the running maximum over blocks of 64 keys, window first. */
  probsBf16Blocks64: z.boolean(),
  /** The compressors' projections stay f32 up to their norm. */
  compressorF32: z.boolean(),
  /** Experts' outputs are added in f32 and rounded once. */
  moeSumF32: z.boolean(),
});
export type Numerics = Readonly<z.infer<typeof switches>>;
export type NumericsSwitch = keyof Numerics;

export const numericsSwitches = Object.keys(switches.shape) as readonly NumericsSwitch[];
const all = (on: boolean): Numerics => switches.parse(Object.fromEntries(numericsSwitches.map((name) => [name, on])));

export const numericsPresets = { hf: all(false), official: all(true) } as const;

/** A preset's name, or switches that differ from `hf`. */
export const numericsSchema = z
  .union([z.enum(["hf", "official"]), switches.partial().strict()])
  .default("hf")
  .transform((given): Numerics =>
    typeof given === "string" ? numericsPresets[given] : { ...numericsPresets.hf, ...given },
  );

export type NumericsInput = z.input<typeof numericsSchema>;

/** Input of a product with FP8 or FP4 weights. */
export const narrowInput = (x: Tensor, { actFp8 }: Numerics): Tensor =>
  actFp8 ? t.quantize(x, { format: "e4m3", block: 128 }) : x;

/**
 * x, which `narrowInput` has been through, times a weight that official checkpoints hold in FP8, others in int8, and that may
 * stay so. Where the matrix unit takes e4m3, codes are multiplied as they are: rounding what has been rounded changes nothing.
 */
export function fp8Linear(x: Tensor, layer: Linear | PackedLinear, numerics: Numerics): Tensor {
  if (layer instanceof PackedLinear) return layer.forward(x);
  if (numerics.weightFp8 && numerics.actFp8 && !layer.bias && t.hasFp8Linear(x, layer.weight))
    return t.fp8Linear(x, layer.weight);
  return fp8WeightLinear(x, layer, numerics);
}

/** The same for an x that stays wide. */
export const fp8WeightLinear = (x: Tensor, layer: Linear, { weightFp8 }: Numerics): Tensor =>
  t.linear(x, layer.weight, layer.bias, weightFp8 ? { weightFormat: "fp8" } : {});

/** Several products of one x: layers that hold codes, which all have one form, share its rounding. */
export function fp8Linears(x: Tensor, layers: readonly (Linear | PackedLinear)[], numerics: Numerics): Tensor[] {
  const packed = layers.filter((layer) => layer instanceof PackedLinear);
  if (packed.length === layers.length) return t.packedLinears(x, packed);
  return layers.map((layer) => fp8Linear(x, layer, numerics));
}

/** The weight alone, for products of another form. */
export const fp8Weight = (layer: Linear, { weightFp8 }: Numerics): Tensor =>
  weightFp8 ? t.quantize(layer.weight, { format: "e4m3", block: 128, square: true }) : layer.weight;

/** Keys [.., D] as the cache holds them; the last `rotated` dims stay wide. */
export const storedKeys = (x: Tensor, rotated: number, { kvFp8 }: Numerics): Tensor =>
  kvFp8 ? t.quantize(x, { format: "e4m3", block: 64, width: x.shape[x.ndim - 1]! - rotated }) : x;

/** Index queries and keys [.., D] as they are compared. */
export const indexVectors = (x: Tensor, { indexHadamardFp4 }: Numerics): Tensor =>
  indexHadamardFp4 ? t.quantize(t.hadamard(x), { format: "e2m1", block: 32 }) : x;

/** Each head [.., D] to a root mean square of 1. */
export const headNorm = (x: Tensor, eps: number, { queryNormBf16 }: Numerics): Tensor =>
  queryNormBf16 ? t.headNormSteps(x, eps) : t.rmsNorm(x, undefined, { eps });
