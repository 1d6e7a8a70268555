/** A quantity with how sure it is: rumours have two ends, and whatever is made from one stays marked. Main function: `rangeOf`. */
import type { Figure } from "./chips/types.ts";

export interface Range {
  readonly low: number;
  readonly high: number;
  readonly isRumoured: boolean;
}

export const exactly = (value: number): Range => ({ low: value, high: value, isRumoured: false });
/** Undefined where nobody says a number. */
export function rangeOf(figure: Figure): Range | undefined {
  if (figure.kind === "unknown") return undefined;
  return figure.kind === "rumoured" ? { low: figure.low, high: figure.high, isRumoured: true } : exactly(figure.value);
}
export const plus = (...terms: readonly Range[]): Range => ({
  low: terms.reduce((s, t) => s + t.low, 0),
  high: terms.reduce((s, t) => s + t.high, 0),
  isRumoured: terms.some((t) => t.isRumoured),
});
/** The larger one, at either end. */
export const atLeast = (...terms: readonly Range[]): Range => ({
  low: Math.max(...terms.map((t) => t.low)),
  high: Math.max(...terms.map((t) => t.high)),
  isRumoured: terms.some((t) => t.isRumoured),
});
/** The smaller one, at either end. */
export const atMost = (...terms: readonly Range[]): Range => ({
  low: Math.min(...terms.map((t) => t.low)),
  high: Math.min(...terms.map((t) => t.high)),
  isRumoured: terms.some((t) => t.isRumoured),
});
/** The first without the others, all at the same end. */
export const less = (from: Range, ...terms: readonly Range[]): Range => ({
  low: terms.reduce((s, t) => s - t.low, from.low),
  high: terms.reduce((s, t) => s - t.high, from.high),
  isRumoured: from.isRumoured || terms.some((t) => t.isRumoured),
});
export const scaled = (r: Range, by: number): Range => ({ ...r, low: r.low * by, high: r.high * by });
/** Amount over rate: the fast end of the rate is the low end of the time. */
export const over = (amount: number, rate: Range): Range => ({ low: amount / rate.high, high: amount / rate.low, isRumoured: rate.isRumoured }); // prettier-ignore
