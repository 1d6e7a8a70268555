/**
 * What a sequence carries from one call to the next, so that chunked calls equal one call to the bit: per layer the
 * last window keys, and per compressor its entries and the projected rows of groups still needed (the open group, and
 * with overlap the last closed one). Rows that the last `maxDraft` tokens replaced are kept, so that rejected drafts
 * can be taken back. A batch of sequences moves in lock-step: same length, same chunks.
 * Main parts: `V4State` (`rollback`, `clone`, `stack`), `LayerState`, `CompressorState`. Owns its memory; `dispose`
 * frees it. Source: DeepSeek-V4 spec sections 3.2 to 3.4; memory is a sliding row buffer instead of a ring.
 */
import { CapacityError, ShapeError } from "../base/errors.ts";
import { KEY_ANCHOR } from "../kernels/sparse-attention.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { CSA_RATIO } from "./config.ts";
import { Rows } from "./rows.ts";

/** Tokens that can be taken back, unless told. */
export const MAX_DRAFT = 8;

export interface StateLayout {
  /** Of each layer; 0 is window only. */
  readonly ratios: readonly number[];
  readonly window: number;
}

export interface StateOptions {
  readonly batch?: number;
  /** Tokens that `rollback` can take back. */
  readonly maxDraft?: number;
  /** Length to make room for at once; longer sequences still grow. */
  readonly reserve?: number;
}

export class CompressorState {
  /** Projected rows by position. */
  readonly kv = new Rows();
  readonly score = new Rows();
  /** Finished entries by number. */
  readonly entries: Rows;
  private readonly ratio: number;
  private readonly maxDraft: number;

  constructor(ratio: number, maxDraft: number, reserve: number) {
    this.ratio = ratio;
    this.maxDraft = maxDraft;
    this.entries = new Rows(ratio > 0 ? Math.ceil(reserve / ratio) : 0);
  }
  /** Position of the first row that a token at `position` or later may need: its group's, or the one before. */
  rowsFrom(position: number): number {
    const m = this.ratio;
    const group = position - (position % m);
    return m === CSA_RATIO ? Math.max(0, group - m) : group;
  }
  pushRows(kv: Tensor, score: Tensor): void {
    const { end } = this.kv;
    const needed = this.rowsFrom(oldestOf(end, kv.shape[1]!, this.maxDraft));
    const parts = [
      { to: this.kv, rows: kv },
      { to: this.score, rows: score },
    ];
    Rows.append(parts, needed);
  }
  get parts(): readonly Rows[] {
    return [this.kv, this.score, this.entries];
  }
  truncate(length: number): void {
    if (this.kv.end <= length) return;
    this.kv.truncate(length);
    this.score.truncate(length);
    this.entries.truncate(Math.floor(length / this.ratio));
  }
}

/** First position that may still come next, once `tokens` from `start` on are in. */
const oldestOf = (start: number, tokens: number, maxDraft: number): number =>
  Math.max(0, Math.min(start, start + tokens - maxDraft));

export class LayerState {
  /** Rotated window keys by position. */
  readonly window = new Rows(0, KEY_ANCHOR);
  readonly compressor: CompressorState;
  readonly indexer: CompressorState;
  private readonly windowSize: number;
  private readonly maxDraft: number;

  constructor(ratio: number, windowSize: number, { maxDraft, reserve }: { maxDraft: number; reserve: number }) {
    this.windowSize = windowSize;
    this.maxDraft = maxDraft;
    this.compressor = new CompressorState(ratio, maxDraft, reserve);
    this.indexer = new CompressorState(ratio, maxDraft, ratio === CSA_RATIO ? reserve : 0);
  }
  pushKeys(keys: Tensor): void {
    const oldest = oldestOf(this.window.end, keys.shape[1]!, this.maxDraft);
    this.window.append(keys, Math.max(0, oldest - this.windowSize + 1));
  }
  get parts(): readonly Rows[] {
    return [this.window, ...this.compressor.parts, ...this.indexer.parts];
  }
  truncate(length: number): void {
    this.window.truncate(length);
    this.compressor.truncate(length);
    this.indexer.truncate(length);
  }
}

export class V4State {
  /** Positions done; the next token stands here. */
  length = 0;
  readonly batch: number;
  readonly maxDraft: number;
  readonly layers: readonly LayerState[];
  private readonly layout: StateLayout;
  /** The shortest length that `rollback` reaches. */
  private oldest = 0;

  constructor(layout: StateLayout, { batch = 1, maxDraft = MAX_DRAFT, reserve = 0 }: StateOptions = {}) {
    this.layout = layout;
    this.batch = batch;
    this.maxDraft = maxDraft;
    this.layers = layout.ratios.map((ratio) => new LayerState(ratio, layout.window, { maxDraft, reserve }));
  }
  /** `tokens` more are in; called by the network when all layers have them. */
  advance(tokens: number): void {
    this.length += tokens;
    this.oldest = Math.max(this.oldest, this.length - this.maxDraft);
  }
  /** Takes tokens back until `length` are left: what comes next has the bits it would have had without them. */
  rollback(length: number): void {
    if (!Number.isInteger(length) || length < this.oldest || length > this.length)
      throw new CapacityError(`rollback: expected a length from ${this.oldest} to ${this.length}, got ${length} (rows of at most ${this.maxDraft} tokens are kept)`); // prettier-ignore
    for (const layer of this.layers) layer.truncate(length);
    this.length = length;
  }
  /** Memory held, used or not. */
  get sizeBytes(): number {
    return this.layers.flatMap((layer) => layer.parts).reduce((n, rows) => n + rows.sizeBytes, 0);
  }
  /** Several sequences of equal length as one batch; copies. */
  static stack(states: readonly V4State[]): V4State {
    const first = states[0]!;
    const lengths = states.map((s) => s.length);
    if (lengths.some((n) => n !== first.length))
      throw new ShapeError(`stack: expected sequences of equal length, got ${lengths.join(", ")}`);
    return V4State.of(states.flatMap((state) => Array.from({ length: state.batch }, (_, i) => ({ state, sequence: i })))); // prettier-ignore
  }
  /** One sequence of the batch; copies. */
  pick(idx: number): V4State {
    return V4State.of([{ state: this, sequence: idx }]);
  }
  clone(): V4State {
    return V4State.stack([this]);
  }
  dispose(): void {
    for (const rows of this.layers.flatMap((layer) => layer.parts)) rows.dispose();
    this.length = this.oldest = 0;
  }
  private static of(from: readonly { readonly state: V4State; readonly sequence: number }[]): V4State {
    const { layout, maxDraft, length } = from[0]!.state;
    const out = new V4State(layout, { batch: from.length, maxDraft });
    out.length = length;
    out.oldest = Math.max(...from.map(({ state }) => state.oldest));
    out.layers.forEach((layer, i) =>
      layer.parts.forEach((rows, j) =>
        rows.fill(from.map(({ state, sequence }) => ({ rows: state.layers[i]!.parts[j]!, sequence }))),
      ),
    );
    return out;
  }
}
