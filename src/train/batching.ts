/**
 * Turns a stream of token samples into training steps: samples of like length share a micro-batch,
 * so nothing is cut and little is padded, and every sample starts at position 0 as it does when
 * the model answers. A step is a list of micro-batches holding about `tokensPerStep` tokens.
 * The state is a cursor and the indices still waiting, so a resumed run sees the same steps.
 */
import { assert } from "../base/errors.ts";

/** One tokenised example. `visual` is [T,4] or absent for plain text; `isTarget[t]` says whether id t is learned. */
export interface TokenSample {
  readonly ids: Int32Array;
  readonly isTarget: Uint8Array;
  readonly source: string;
}

export interface MicroBatch {
  /** Padded length, a multiple of `bucketSize`. */
  readonly length: number;
  readonly samples: readonly TokenSample[];
}

export interface BatcherState {
  readonly cursor: number;
  readonly waiting: readonly number[];
}

export interface BatcherOptions {
  /** Deterministic by index. */
  readonly sample: (index: number) => TokenSample;
  readonly bucketSize: number;
  readonly maxLength: number;
  readonly tokensPerMicroBatch: number;
}

export class Batcher {
  private readonly options: BatcherOptions;
  private cursor = 0;
  private readonly buckets = new Map<number, { index: number; sample: TokenSample }[]>();

  constructor(options: BatcherOptions, state?: BatcherState) {
    this.options = options;
    if (!state) return;
    for (const index of state.waiting) this.place(index);
    this.cursor = state.cursor;
  }

  nextStep(tokensPerStep: number): MicroBatch[] {
    const batches: MicroBatch[] = [];
    let tokens = 0;
    while (tokens < tokensPerStep) {
      const length = this.place(this.cursor++);
      const bucket = this.buckets.get(length)!;
      if (bucket.length * length < this.options.tokensPerMicroBatch) continue;
      this.buckets.delete(length);
      batches.push({ length, samples: bucket.map((entry) => entry.sample) });
      tokens += bucket.length * length;
    }
    return batches;
  }

  state(): BatcherState {
    const waiting = [...this.buckets.values()].flat().map((entry) => entry.index);
    return { cursor: this.cursor, waiting: waiting.sort((a, b) => a - b) };
  }

  /** Returns the bucket's length. */
  private place(index: number): number {
    const { bucketSize, maxLength } = this.options;
    const sample = this.options.sample(index);
    assert(
      sample.ids.length <= maxLength,
      `sample ${index} of ${sample.source}: ${sample.ids.length} tokens > ${maxLength}`,
    );
    const length = Math.ceil(sample.ids.length / bucketSize) * bucketSize;
    const bucket = this.buckets.get(length) ?? [];
    this.buckets.set(length, bucket);
    bucket.push({ index, sample });
    return length;
  }
}
