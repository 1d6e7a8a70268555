/**
 * The lightning indexer of CSA layers: small queries score the small keys of all visible entries, and each token
 * attends only to its best `index_topk`. Its choice has no gradient, so training leaves its weights alone.
 * Main function: `forward` -> `EntryChoice`, or undefined when everything visible is chosen anyway.
 * Source: DeepSeek-V4 report section 2.3.1; its FP4, Hadamard and bf16 roundings are switches of numerics.ts.
 */
import { wholeLines } from "../kernels/nd-array.ts";
import type { Linear } from "../nn/layers.ts";
import { Module } from "../nn/module.ts";
import * as t from "../tensor/ops.ts";
import { tensorScope } from "../tensor/scope.ts";
import { noGrad } from "../tensor/tape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Compressor } from "./compressor.ts";
import type { Choose } from "./choose.ts";
import { CSA_RATIO, type V4Config } from "./config.ts";
import type { Init, Projection } from "./init.ts";
import { fp8Linear, indexVectors } from "./numerics.ts";
import type { CompressorState } from "./state.ts";

/**
 * Which entries each token uses: without a state a mask over all of them, with one a list, so that only these are read.
 * Attention in slots takes a mask either way.
 */
export type EntryChoice = { readonly mask: Tensor } | { readonly chosen: Tensor };

/** Scores held at once; the tokens of a chunk take turns when its scores of a long context are more. */
const MAX_SCORES = 2 ** 23;

export class Indexer extends Module {
  readonly wq_b: Projection;
  readonly weights_proj: Linear;
  readonly compressor: Compressor;
  private readonly config: V4Config;

  constructor(init: Init, config: V4Config) {
    super();
    this.config = config;
    this.wq_b = init.projection(config.q_lora_rank, config.index_n_heads * config.index_head_dim);
    this.weights_proj = init.linear(config.hidden_size, config.index_n_heads);
    this.compressor = new Compressor(init, config, CSA_RATIO, config.index_head_dim, (keys) =>
      indexVectors(keys, config.numerics),
    );
  }

  /** x [B,T,D] layer input, qr [B,T,q_lora] the query latent as products take it, both at positions start... */
  forward(
    x: Tensor,
    qr: Tensor,
    freqs: Tensor,
    start: number,
    state?: CompressorState,
    choose?: Choose,
  ): EntryChoice | undefined {
    return noGrad(() => {
      const { index_topk, index_n_heads: heads, index_head_dim: dim } = this.config;
      const [b, tokens] = x.shape as [number, number, number];
      const canSkipForever = Math.floor(this.config.max_position_embeddings / CSA_RATIO) <= index_topk;
      const numEntries = Math.floor((start + tokens) / CSA_RATIO);
      if (numEntries <= index_topk && (state === undefined || canSkipForever)) return undefined;
      const ik = this.compressor.forward(x, freqs, start, state);
      if (ik === undefined || numEntries <= index_topk) return undefined;
      const { numerics } = this.config;
      const plain = t.reshape(fp8Linear(qr, this.wq_b, numerics), [b, tokens, heads, dim]);
      const iq = indexVectors(t.rope(plain, { freqs, start }), numerics);
      const w = t.mul(this.weights_proj.forward(x), (dim * heads) ** -0.5);
      const scores = (from: number, to: number, entries?: number): Tensor =>
        t.indexScores({
          iq: t.slice(iq, 1, from, to),
          ik,
          w: t.slice(w, 1, from, to),
          ratio: CSA_RATIO,
          queryStart: start + from,
          isRounded: numerics.indexScoreBf16,
          ...(entries !== undefined && { numEntries: entries }),
        });
      if (state === undefined || numerics.probsBf16Blocks64) {
        const all = scores(0, tokens);
        return { mask: choose?.entries(all) ?? t.topkMask(all, index_topk) };
      }
      const turn = Math.max(1, Math.floor(MAX_SCORES / (b * numEntries)));
      const lists = Array.from({ length: Math.ceil(tokens / turn) }, (_, i) => {
        using scope = tensorScope();
        return scope.keep(
          t.topkIndices(scores(i * turn, Math.min(tokens, (i + 1) * turn), wholeLines(numEntries, "f32")), index_topk),
        );
      });
      return { chosen: t.concat(lists, 1) };
    });
  }
}
