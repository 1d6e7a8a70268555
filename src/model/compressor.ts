/**
 * The compressor: every m tokens become one entry, a per-channel softmax mixture of their projections, normalised
 * and rotated to the position of the group's first token. With overlap (CSA) an entry also mixes the group before
 * it, through the first half of the channels. A group that is not complete has no entry.
 * Main function: `forward`, which continues a `CompressorState` when given one.
 * Source: DeepSeek-V4 report section 2.3; pooling and its softmax are f32 inside the kernel.
 */
import type { DType } from "../base/dtype.ts";
import type { Linear } from "../nn/layers.ts";
import { RMSNorm } from "../nn/layers.ts";
import { Module } from "../nn/module.ts";
import * as t from "../tensor/ops.ts";
import { Parameter, zeros, type Tensor } from "../tensor/tensor.ts";
import { CSA_RATIO, type V4Config } from "./config.ts";
import type { Init } from "./init.ts";
import type { CompressorState } from "./state.ts";

export class Compressor extends Module {
  readonly wkv: Linear;
  readonly wgate: Linear;
  /** [m, coff*d]; added to the gate by position within the group. */
  readonly ape: Parameter;
  readonly norm: RMSNorm;
  readonly dim: number;
  readonly ratio: number;
  readonly overlap: boolean;
  private readonly isWide: boolean;
  private readonly stored: (entries: Tensor) => Tensor;

  /** `stored`: what becomes of finished entries [B,E,d] on their way into the cache. */
  constructor(init: Init, config: V4Config, ratio: number, dim: number, stored: (entries: Tensor) => Tensor) {
    super();
    this.isWide = config.numerics.compressorF32;
    this.stored = stored;
    this.ratio = ratio;
    this.dim = dim;
    this.overlap = ratio === CSA_RATIO;
    const width = (this.overlap ? 2 : 1) * dim;
    this.wkv = init.linear(config.hidden_size, width);
    this.wgate = init.linear(config.hidden_size, width);
    this.ape = new Parameter(zeros(init.device, [ratio, width]));
    this.norm = new RMSNorm(init.device, dim, { eps: config.rms_norm_eps });
  }

  /**
   * x [B,T,D] at positions start.. -> all entries so far [B,E,d], or undefined while there are none; with a state
   * its whole memory, whose rows from floor((start+T)/m) on no token sees.
   * Without a state, start is 0 and rows after the last complete group are dropped.
   */
  forward(x: Tensor, freqs: Tensor, start: number, state?: CompressorState): Tensor | undefined {
    const m = this.ratio;
    const input = this.isWide ? t.cast(x, "f32") : x;
    const newKv = this.wkv.forward(input);
    const newScore = this.wgate.forward(input);
    if (state === undefined) return this.pool(newKv, newScore, freqs, 0, false, x.dtype);
    state.pushRows(newKv, newScore);
    const end = start + x.shape[1]!;
    const [group, closed] = [start - (start % m), end - (end % m)];
    if (closed > group) {
      // From a group boundary: the last closed group (overlap only), then those that close now.
      const rows = [state.rowsFrom(start), closed] as const;
      const hasPrevious = rows[0] < group;
      const [kv, score] = [state.kv.between(...rows), state.score.between(...rows)];
      state.entries.append(this.pool(kv, score, freqs, group, hasPrevious, x.dtype)!);
    }
    return state.entries.all;
  }

  /** Entries of the complete groups in the rows; the first group only feeds the second when it `isPrevious`. */
  private pool(
    kv: Tensor,
    score: Tensor,
    freqs: Tensor,
    position: number,
    isPrevious: boolean,
    dtype: DType,
  ): Tensor | undefined {
    const m = this.ratio;
    const numGroups = Math.floor(kv.shape[1]! / m);
    const skip = isPrevious ? 1 : 0;
    if (numGroups <= skip) return undefined;
    const b = kv.shape[0]!;
    const pooled = t.compressPool({ kv, score, ape: this.ape, m, overlap: this.overlap });
    const fresh = t.cast(skip === 0 ? pooled : t.slice(pooled, 1, 1), dtype);
    const normed = t.reshape(this.norm.forward(fresh), [b, numGroups - skip, 1, this.dim]);
    const rotated = t.rope(normed, { freqs, start: position, step: m });
    return this.stored(t.reshape(rotated, [b, numGroups - skip, this.dim]));
  }
}
