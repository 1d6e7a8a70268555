/**
 * What a sequence carries from one call to the next, so that chunked calls equal one call: per layer the last
 * window keys, and per compressor its entries and the projected rows of groups still needed (the open group, and
 * with overlap the last closed one). A batch of sequences moves in lock-step: same length, same chunks.
 * Main parts: `V4State`, `LayerState`, `CompressorState`. Owns its tensors; `dispose` frees them.
 */
import { ShapeError } from "../base/errors.ts";
import { cloneTensor } from "../tensor/ops-elementwise.ts";
import * as t from "../tensor/ops.ts";
import { tensorScope, untrack } from "../tensor/scope.ts";
import { noGrad } from "../tensor/tape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A tensor [B, rows, C] that outlives scopes; replacing it frees the one before. */
export class Held {
  private value: Tensor | undefined;

  get tensor(): Tensor | undefined {
    return this.value;
  }
  get rows(): number {
    return this.value?.shape[1] ?? 0;
  }
  /** Old rows followed by `more`, not yet stored. */
  with(more: Tensor): Tensor {
    return this.value === undefined ? more : t.concat([this.value, more], 1);
  }
  /** Keeps rows [start, end) of `from`, copied so that nothing else shares the memory. */
  set(from: Tensor | undefined, start = 0, end = from?.shape[1] ?? 0): void {
    const before = this.value;
    if (from === undefined || end <= start) this.value = undefined;
    else {
      const own = cloneTensor(t.slice(from, 1, start, end));
      untrack(own.data);
      this.value = own;
    }
    before?.dispose();
  }
}

export class CompressorState {
  /** Projected rows (kv, score) from the first row any later entry needs. */
  readonly kv = new Held();
  readonly score = new Held();
  /** Finished entries [B, numEntries, d]. */
  readonly entries = new Held();
}

export class LayerState {
  /** Rotated keys of the last window-1 positions. */
  readonly window = new Held();
  readonly compressor = new CompressorState();
  readonly indexer = new CompressorState();

  private get held(): Held[] {
    const parts = [this.compressor, this.indexer].flatMap((c) => [c.kv, c.score, c.entries]);
    return [this.window, ...parts];
  }
  dispose(): void {
    for (const h of this.held) h.set(undefined);
  }
  /** Fills this empty state from parts of others, tensor by tensor. */
  fill(others: readonly LayerState[], combine: (tensors: readonly Tensor[]) => Tensor): void {
    this.held.forEach((h, i) => {
      const tensors = others.flatMap((o) => o.held[i]!.tensor ?? []);
      if (tensors.length > 0) h.set(combine(tensors));
    });
  }
}

export class V4State {
  /** Positions done; the next token stands here. */
  length = 0;
  readonly batch: number;
  readonly layers: readonly LayerState[];

  constructor(numLayers: number, batch = 1) {
    this.batch = batch;
    this.layers = Array.from({ length: numLayers }, () => new LayerState());
  }
  /** Several sequences of equal length as one batch; copies. */
  static stack(states: readonly V4State[]): V4State {
    const first = states[0]!;
    const lengths = states.map((s) => s.length);
    if (lengths.some((n) => n !== first.length))
      throw new ShapeError(`stack: expected sequences of equal length, got ${lengths.join(", ")}`);
    return first.derive(
      states,
      states.reduce((n, s) => n + s.batch, 0),
      (tensors) => t.concat(tensors, 0),
    );
  }
  /** One sequence of the batch; copies. */
  pick(idx: number): V4State {
    return this.derive([this], 1, ([x]) => t.slice(x!, 0, idx, idx + 1));
  }
  clone(): V4State {
    return this.derive([this], this.batch, ([x]) => x!);
  }
  dispose(): void {
    for (const layer of this.layers) layer.dispose();
    this.length = 0;
  }
  private derive(from: readonly V4State[], batch: number, combine: (tensors: readonly Tensor[]) => Tensor): V4State {
    const out = new V4State(this.layers.length, batch);
    out.length = this.length;
    noGrad(() => {
      using _scope = tensorScope();
      out.layers.forEach((layer, i) => layer.fill(from.map((s) => s.layers[i]!), combine)); // prettier-ignore
    });
    return out;
  }
}
