/**
 * Which drafted tokens stand. The network's distributions p and the drafter's q decide: a draft x is taken with
 * probability min(1, p(x)/q(x)), the first that is not is drawn anew from what p has more of than q, and if all stand the
 * network adds one of its own. What comes out is distributed as if the network had drawn alone; under greedy sampling,
 * where p is one id, it is the same tokens.
 * Main function: `accept`. Source: Leviathan et al. 2023 (arXiv:2211.17192), algorithm 1.
 */
import { assert } from "../base/errors.ts";

export interface Draft {
  readonly ids: readonly number[];
  /** What each id was drawn from. */
  readonly from: readonly Float64Array[];
}

export interface Accepted {
  /** How many drafts stand, from the first on. */
  readonly count: number;
  /** The token after them. */
  readonly next: number;
}

/** `target[i]` belongs to draft i, one more than drafts; `random` gives numbers in [0, 1). */
export function accept(draft: Draft, target: readonly Float64Array[], random: () => number): Accepted {
  assert(target.length === draft.ids.length + 1, "accept: expected one distribution more than drafts");
  for (let i = 0; i < draft.ids.length; i++) {
    const [id, p, q] = [draft.ids[i]!, target[i]!, draft.from[i]!];
    if (random() * q[id]! < p[id]!) continue;
    const rest = p.map((x, j) => Math.max(0, x - q[j]!));
    return { count: i, next: draw(rest, random()) };
  }
  return { count: draft.ids.length, next: draw(target.at(-1)!, random()) };
}

/** An index by its weight; `u` in [0, 1). */
export function draw(weights: Float64Array, u: number): number {
  let total = 0;
  for (const w of weights) total += w;
  assert(total > 0, "draw: expected a weight above 0, got none");
  let left = u * total;
  let last = -1;
  for (let i = 0; i < weights.length; i++) {
    if (weights[i]! === 0) continue;
    last = i;
    left -= weights[i]!;
    if (left < 0) return i;
  }
  return last;
}
