/**
 * From logits to one token id: guidance, legality, temperature, top-k, top-p, and a draw whose randomness is a
 * function of (seed, counter) alone, so the same request gives the same tokens whatever runs beside it.
 * Main functions: `sample`, `guide`.
 */
import { assert } from "../base/errors.ts";
import { uniform } from "../base/prng.ts";

export interface SampleOptions {
  /** 0 is greedy, lowest id on ties. */
  readonly temperature: number;
  /** Smallest set of likeliest ids with this much probability; 1 is off. */
  readonly topP: number;
  /** 0 is off. */
  readonly topK: number;
  readonly seed: number;
  /** Position of the draw in the request. */
  readonly counter: number;
  /** Ids that may be drawn; absent: all. */
  readonly isLegal?: (id: number) => boolean;
}

/** Ids this much below the best one (in units of temperature) have less than 1e-13 of its probability. */
const NEGLIGIBLE = 30;

/** `logits[i]` belongs to id `firstId + i`. */
export function sample(logits: Float32Array, options: SampleOptions, firstId = 0): number {
  const { temperature, topP, topK, seed, counter, isLegal } = options;
  let best = -1;
  for (let i = 0; i < logits.length; i++)
    if ((best < 0 || logits[i]! > logits[best]!) && (isLegal === undefined || isLegal(firstId + i))) best = i;
  assert(best >= 0, "sample: no legal id");
  assert(Number.isFinite(logits[best]!), `sample: logit of id ${firstId + best} is ${logits[best]}`);
  if (temperature === 0 || topK === 1) return firstId + best;
  const floor = logits[best]! - NEGLIGIBLE * temperature;
  let kept: number[] = [];
  for (let i = 0; i < logits.length; i++)
    if (logits[i]! >= floor && (isLegal === undefined || isLegal(firstId + i))) kept.push(i);
  const isCut = topP < 1 || (topK > 0 && topK < kept.length);
  // Ids break ties, so the order is the same on every machine.
  if (isCut) kept.sort((a, b) => logits[b]! - logits[a]! || a - b);
  if (topK > 0) kept = kept.slice(0, topK);
  const weights = kept.map((i) => Math.exp((logits[i]! - logits[best]!) / temperature));
  let total = 0;
  for (const w of weights) total += w;
  let count = kept.length;
  if (topP < 1) {
    let sum = 0;
    count = 0;
    while (count < kept.length && (count === 0 || sum < topP * total)) sum += weights[count++]!;
    total = sum;
  }
  let left = uniform(seed, counter) * total;
  for (let i = 0; i < count; i++) {
    left -= weights[i]!;
    if (left < 0) return firstId + kept[i]!;
  }
  return firstId + kept[count - 1]!;
}

/** Classifier-free guidance: away from what the model would do without the prompt. */
export function guide(conditional: Float32Array, unconditional: Float32Array, scale: number): Float32Array {
  return conditional.map((c, i) => unconditional[i]! + scale * (c - unconditional[i]!));
}
