/**
 * Who guesses the next tokens: the MTP module, DSpark, or the network itself (which is always right and saves nothing; it
 * shows what the machinery costs). A drafter reads what the network says of its tokens, keeps it until the token behind is
 * known for sure, and forgets what is rolled back; what it guessed leaves no trace.
 * Main parts: `Drafter`, `drafterFor`.
 */
import { DSpark } from "../model/dspark.ts";
import { MtpModule } from "../model/mtp.ts";
import { Rows } from "../model/rows.ts";
import type { V4State } from "../model/state.ts";
import type { ForwardOutput, V4 } from "../model/v4.ts";
import * as t from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Side } from "./modality.ts";

/** A token of the sequence, and where it stands if it is a code. */
export interface Token {
  readonly id: number;
  readonly side: Side;
}
export interface IdRange {
  readonly start: number;
  readonly end: number;
}

/**
 * The i-th guess from the drafter's logits of `range`: what the sampler would draw at that place, and how likely that
 * was; undefined: guess no further.
 */
export type Choose = (logits: Float32Array, i: number) => { readonly id: number; readonly chance: number } | undefined;

export interface DraftRequest {
  /** All tokens so far; the last has not been read by the network, all before it have. */
  readonly sequence: readonly Token[];
  readonly count: number;
  readonly range: IdRange;
  readonly choose: Choose;
}

export interface Drafter {
  /** Layers whose features it reads. */
  readonly taps: readonly number[];
  /** `out` of the network for its next rows. */
  read(out: ForwardOutput, sequence: readonly Token[]): void;
  /** Rows from `length` on were guesses that did not stand. */
  rollback(length: number): void;
  /** Up to `count` ids after the sequence. */
  draft(request: DraftRequest): number[];
  dispose(): void;
}

const idsOf = (model: V4, ids: readonly number[]): Tensor => Tensor.from(model.device, Int32Array.from(ids), [1, ids.length]); // prettier-ignore

/** As [T*4]; undefined for pure text. */
export const sidesOf = (tokens: readonly Token[]): Int32Array | undefined =>
  tokens.some(({ side }) => side[0] >= 0) ? Int32Array.from(tokens.flatMap(({ side }) => [...side])) : undefined;

function lastLogits(model: V4, hidden: Tensor, range: IdRange): Float32Array {
  const rows = hidden.shape[1]!;
  return t.noGrad(() => model.logits(t.slice(hidden, 1, rows - 1, rows), range)).toArray() as Float32Array;
}

/** A long prompt's rows are handed on in portions of at least this many. */
const PORTION = 64;

/** Reads its own streams for every guess after the first. */
export class MtpDrafter implements Drafter {
  readonly taps = [];
  private readonly model: V4;
  private readonly state: V4State;
  /** The network's streams [1, rows, n*D] by position. */
  private readonly streams = new Rows();

  constructor(model: V4) {
    this.model = model;
    this.state = model.newMtpState();
  }

  read({ streams }: ForwardOutput, sequence: readonly Token[]): void {
    const [rows, n, d] = streams.shape as [number, number, number];
    this.streams.append(t.reshape(streams, [1, rows, n * d]), this.state.length);
    if (Math.min(this.streams.end, sequence.length - 1) - this.state.length >= PORTION) this.catchUp(sequence);
  }

  rollback(length: number): void {
    if (this.streams.end > length) this.streams.truncate(length);
  }

  draft({ sequence, count, range, choose }: DraftRequest): number[] {
    const ids: number[] = [];
    using _scope = t.tensorScope();
    let at = this.catchUp(sequence);
    const known = this.state.length;
    let chance = 1;
    while (at !== undefined && ids.length < count) {
      const guess = choose(lastLogits(this.model, at.hidden, range), ids.length);
      if (guess === undefined) break;
      ids.push(guess.id);
      chance *= guess.chance;
      if (ids.length === count || chance < MIN_CHANCE) break;
      const rows = at.streams.shape[0]!;
      at = this.model.mtpStep(t.slice(at.streams, 0, rows - 1, rows), idsOf(this.model, [guess.id]), this.state);
    }
    this.state.rollback(known);
    return ids;
  }

  dispose(): void {
    this.streams.dispose();
    this.state.dispose();
  }

  /** Gives the module all rows whose next token is known; what it says of them. */
  private catchUp(sequence: readonly Token[]): { readonly streams: Tensor; readonly hidden: Tensor } | undefined {
    const { model, state, streams } = this;
    const [start, end] = [state.length, Math.min(streams.end, sequence.length - 1)];
    if (end <= start) return undefined;
    const next = sequence.slice(start + 1, end + 1);
    const rows = streams.between(start, end);
    const { hc_mult: n, hidden_size: d } = model.config;
    return model.mtpStep(t.reshape(rows, [end - start, n, d]), idsOf(model, next.map((x) => x.id)), state, sidesOf(next)); // prettier-ignore
  }
}

/** Where the guesses so far were less likely than this, one more would not be worth its step of the module. */
const MIN_CHANCE = 0.5;

/** A whole block at once. */
export class DSparkDrafter implements Drafter {
  readonly taps: readonly number[];
  private readonly dspark: DSpark;
  private readonly minConfidence: number;
  private readonly tapped = new Rows();
  private done = 0;

  constructor(model: V4, options: { readonly minConfidence?: number } = {}) {
    this.dspark = new DSpark(model);
    this.taps = this.dspark.taps;
    this.minConfidence = options.minConfidence ?? 0;
  }
  read({ tapped }: ForwardOutput, sequence: readonly Token[]): void {
    this.tapped.append(tapped!, this.done);
    if (Math.min(this.tapped.end, sequence.length) - this.done >= PORTION) this.catchUp(sequence);
  }
  rollback(length: number): void {
    if (this.tapped.end > length) this.tapped.truncate(length);
  }
  draft({ sequence, count, range, choose }: DraftRequest): number[] {
    this.catchUp(sequence);
    if (this.done === 0) return [];
    const ids: number[] = [];
    let before = sequence.at(-1)!.id;
    const block = this.dspark.draft(before);
    for (let i = 0; i < Math.min(count, block.size); i++) {
      if (this.minConfidence > 0 && block.confidence(i, before) < this.minConfidence) break;
      const guess = choose(block.logits(i, before).subarray(range.start, range.end), i);
      if (guess === undefined) break;
      ids.push(guess.id);
      before = guess.id;
    }
    return ids;
  }
  dispose(): void {
    this.tapped.dispose();
    this.dspark.dispose();
  }
  private catchUp(sequence: readonly Token[]): void {
    const end = Math.min(this.tapped.end, sequence.length);
    if (end <= this.done) return;
    this.dspark.observe(this.tapped.between(this.done, end));
    this.done = end;
  }
}

/** The network drafts for itself, token by token. */
export class SelfDrafter implements Drafter {
  readonly taps = [];
  private readonly model: V4;
  private readonly state: V4State;

  constructor(model: V4) {
    this.model = model;
    this.state = model.newState();
  }
  read(): void {}
  rollback(): void {}
  draft({ sequence, count, range, choose }: DraftRequest): number[] {
    const ids: number[] = [];
    let logits = this.run(sequence.slice(this.state.length), range);
    const known = this.state.length;
    while (ids.length < count) {
      const guess = choose(logits, ids.length);
      if (guess === undefined) break;
      ids.push(guess.id);
      if (ids.length < count) logits = this.run([{ id: guess.id, side: [-1, 0, 0, 0] }], range);
    }
    this.state.rollback(known);
    return ids;
  }
  dispose(): void {
    this.state.dispose();
  }
  private run(tokens: readonly Token[], range: IdRange): Float32Array {
    using _scope = t.tensorScope();
    const ids = idsOf(this.model, tokens.map((x) => x.id)); // prettier-ignore
    return lastLogits(this.model, this.model.forward(ids, { state: this.state, visual: sidesOf(tokens) }).hidden, range); // prettier-ignore
  }
}

/** The drafter that a checkpoint brings, if any. */
export function drafterFor(model: V4): Drafter | undefined {
  const [first] = model.mtp;
  if (first === undefined) return undefined;
  return first instanceof MtpModule ? new MtpDrafter(model) : new DSparkDrafter(model);
}
