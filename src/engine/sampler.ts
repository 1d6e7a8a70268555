/**
 * From logits to one token id: guidance, legality, temperature, top-k, top-p, and a draw whose randomness is a
 * function of (seed, counter) alone, so the same request gives the same tokens whatever runs beside it.
 * Main functions: `draw`, `guide`.
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

/** Ids that may be drawn, and their weights. */
interface Weighed {
  readonly kept: readonly number[];
  readonly weights: Float64Array;
  readonly total: number;
}

/** An id and the probability that it had; `logits[i]` belongs to id `firstId + i`. */
export function draw(
  logits: Float32Array,
  options: SampleOptions,
  firstId = 0,
): { readonly id: number; readonly chance: number } {
  const { kept, weights, total } = weigh(logits, options, firstId);
  let left = uniform(options.seed, options.counter) * total;
  let at = kept[kept.length - 1]!;
  for (const i of kept) {
    left -= weights[i]!;
    if (left >= 0) continue;
    at = i;
    break;
  }
  return { id: firstId + at, chance: weights[at]! / total };
}

export const sample = (logits: Float32Array, options: SampleOptions, firstId = 0): number =>
  draw(logits, options, firstId).id;

function weigh(logits: Float32Array, options: Omit<SampleOptions, "seed" | "counter">, firstId: number): Weighed {
  const { temperature, topP, topK, isLegal } = options;
  let best = -1;
  for (let i = 0; i < logits.length; i++)
    if ((best < 0 || logits[i]! > logits[best]!) && (isLegal === undefined || isLegal(firstId + i))) best = i;
  assert(best >= 0, "sample: no legal id");
  assert(Number.isFinite(logits[best]!), `sample: logit of id ${firstId + best} is ${logits[best]}`);
  const weights = new Float64Array(logits.length);
  if (temperature === 0 || topK === 1) {
    weights[best] = 1;
    return { kept: [best], weights, total: 1 };
  }
  const floor = logits[best]! - NEGLIGIBLE * temperature;
  let kept: number[] = [];
  let total = 0;
  for (let i = 0; i < logits.length; i++) {
    if (!(logits[i]! >= floor) || (isLegal !== undefined && !isLegal(firstId + i))) continue;
    kept.push(i);
    total += weights[i] = Math.exp((logits[i]! - logits[best]!) / temperature);
  }
  // Ids break ties, so the order is the same on every machine.
  const order = (a: number, b: number): number => logits[b]! - logits[a]! || a - b;
  if (topK > 0 && topK < kept.length) {
    kept = kept.sort(order).slice(0, topK);
    total = 0;
    for (const i of kept) total += weights[i]!;
  }
  if (topP < 1) {
    kept = likeliest(kept, weights, topP * total).sort(order);
    let count = 0;
    let sum = 0;
    while (count < kept.length && (count === 0 || sum < topP * total)) sum += weights[kept[count++]!]!;
    kept = kept.slice(0, count);
    total = sum;
  }
  return { kept, weights, total };
}

/** Ids whose weights are above some bound and sum to `enough`: most of a vocabulary need not be sorted. */
function likeliest(ids: readonly number[], weights: Float64Array, enough: number): number[] {
  for (let bound = 0.1; bound > 1e-9; bound /= 4) {
    const above = ids.filter((i) => weights[i]! >= bound);
    let sum = 0;
    for (const i of above) sum += weights[i]!;
    if (sum >= enough) return above;
  }
  return [...ids];
}

/** Classifier-free guidance: away from what the model would do without the prompt. */
export function guide(conditional: Float32Array, unconditional: Float32Array, scale: number): Float32Array {
  return conditional.map((c, i) => unconditional[i]! + scale * (c - unconditional[i]!));
}
