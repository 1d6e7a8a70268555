/**
 * Speculation: a drafter guesses a few tokens, the network reads them in one call, and a guess stands where it is what the
 * sampler draws from the network's own logits. Guesses are drawn with the sampler's random numbers for their places, so
 * drafter and network meet as often as their distributions allow with common numbers; the answer has the very tokens it
 * would have without drafts, sampled or greedy. This class decides how much to guess, and counts.
 * Main class: `Drafts`. Source of the idea: arXiv:2211.17192; there a guess is accepted by a ratio of probabilities,
 * which keeps the distribution but not the tokens.
 */
import { assert } from "../base/errors.ts";
import type { ForwardOutput, V4 } from "../model/v4.ts";
import { drafterFor, type Drafter, type DraftRequest, type Token } from "./drafters.ts";

export interface DraftCounts {
  /** Calls of the network that had guesses in them, and those without. */
  readonly draftedCalls: number;
  readonly plainCalls: number;
  readonly drafted: number;
  readonly accepted: number;
}

/** Most guesses a call, unless told. */
export const MAX_DRAFTS = 2;
/** Below this share of guesses that stand drafting does not pay (bench speculation: 0.53 broke even); then there is a pause of so many calls. */
const WORTH = 0.55;
const PAUSE = 32;
/** Of the running mean, per call. */
const FORGETTING = 0.2;

export class Drafts {
  readonly taps: readonly number[];
  private readonly drafter: Drafter;
  private readonly limit: number;
  /** Of guesses, how many stood. */
  private rate = 0.7;
  private pause = 0;
  private open = 0;
  private stood = 0;
  private count = { draftedCalls: 0, plainCalls: 0, drafted: 0, accepted: 0 };

  constructor(drafter: Drafter, limit = MAX_DRAFTS) {
    assert(limit > 0, `drafts: expected at least 1 a call, got ${limit}`);
    this.drafter = drafter;
    this.taps = drafter.taps;
    this.limit = limit;
  }
  get counts(): DraftCounts {
    return this.count;
  }

  read(out: ForwardOutput, sequence: readonly Token[]): void {
    this.drafter.read(out, sequence);
  }
  rollback(length: number): void {
    this.drafter.rollback(length);
  }

  /** Guesses for the network's next call; none while drafting does not pay. */
  next(request: Omit<DraftRequest, "count">): number[] {
    this.settle();
    if (this.pause > 0) {
      if (--this.pause === 0) this.rate = WORTH;
      this.count.plainCalls++;
      return [];
    }
    const ids = this.drafter.draft({ ...request, count: this.limit });
    this.open = ids.length;
    this.count.drafted += ids.length;
    if (ids.length > 0) this.count.draftedCalls++;
    else this.count.plainCalls++;
    return ids;
  }

  /** One more guess of the last call stands. */
  accept(): void {
    this.stood++;
    this.count.accepted++;
  }

  dispose(): void {
    this.drafter.dispose();
  }

  /** What the last call's guesses were worth. */
  private settle(): void {
    if (this.open > 0) {
      this.rate += FORGETTING * (this.stood / this.open - this.rate);
      if (this.rate < WORTH) this.pause = PAUSE;
    }
    this.open = this.stood = 0;
  }
}

/** Of the drafter that the network has, if it has one and `limit` is not 0. */
export function draftsFor(model: V4, limit = MAX_DRAFTS): Drafts | undefined {
  const drafter = limit > 0 ? drafterFor(model) : undefined;
  return drafter && new Drafts(drafter, limit);
}
