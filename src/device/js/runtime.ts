/**
 * What emitted JavaScript calls: codecs, bounds, random bits, the k largest, products. The names are those of tessera.h,
 * so both targets print the same calls. Nothing here needs Node.
 */
import { fromBf16Bits, roundToBf16, toBf16Bits } from "../../base/bf16.ts";
import { f16FromBits, f16ToBits, roundF16 } from "../../base/f16.ts";
import { decodeE2m1 } from "../../base/fp4.ts";
import { fromE4m3, toE4m3 } from "../../base/fp8.ts";
import { randomBits } from "../../base/prng.ts";
import type { JsRuntime } from "../../tile/emit/js.ts";
import { dot, dotInt } from "./dot.ts";

/** 1.5 * 2^52: adding it leaves no room for a fraction, so the sum is the nearest integer, ties to even. */
const NO_FRACTION = 6755399441055744;

/** The k largest of a row, descending, lowest index on ties: insertion into a short sorted list. */
function topk(
  x: Float32Array,
  from: number,
  n: number,
  k: number,
  values: Float32Array,
  indices: Int32Array,
  to: number,
): void {
  let filled = 0;
  for (let i = 0; i < n; i++) {
    const v = x[from + i]!;
    if (filled === k && !(v > values[to + k - 1]!)) continue;
    let j = filled < k ? filled++ : k - 1;
    for (; j > 0 && v > values[to + j - 1]!; j--) {
      values[to + j] = values[to + j - 1]!;
      indices[to + j] = indices[to + j - 1]!;
    }
    values[to + j] = v;
    indices[to + j] = i;
  }
}

export const jsRuntime: JsRuntime = {
  ts_min: Math.min,
  ts_max: Math.max,
  // `| 0` turns -0 into 0: a loop that starts at -0 would count in floats.
  ts_clamp: (x: number, lo: number, hi: number): number => (x < lo ? lo : x > hi ? hi : x) | 0,
  ts_round: (x: number): number => x + NO_FRACTION - NO_FRACTION,
  ts_random_key: (seed: number): number => seed,
  ts_random: (seed: number, counter: number): number => randomBits(seed, counter >>> 0),
  ts_topk: topk,
  ts_dot: dot,
  ts_dot_int: dotInt,
  ts_from_bf16: fromBf16Bits,
  ts_to_bf16: toBf16Bits,
  ts_round_bf16: roundToBf16,
  ts_from_f16: f16FromBits,
  ts_to_f16: f16ToBits,
  ts_round_f16: roundF16,
  ts_from_e4m3: fromE4m3,
  ts_to_e4m3: toE4m3,
  ts_e2m1: (byte: number, half: number): number => decodeE2m1((byte >> (4 * half)) & 15),
  ts_round_e4m3: (x: number): number => fromE4m3(toE4m3(x)),
};
