/**
 * Attention with one shared key-value vector per token (key = value): a sliding window, and in layers with
 * compression the entries of everything before, in one softmax with a sink per head. The output's rotated
 * dims are turned back, so that what a value contributes depends on distance only; then a grouped projection.
 * Main function: `forward`, which continues a `LayerState` when given one.
 * Source: DeepSeek-V4 report section 2.3.
 */
import { RMSNorm, type Linear } from "../nn/layers.ts";
import { Module } from "../nn/module.ts";
import * as t from "../tensor/ops.ts";
import { Parameter, zeros, type Tensor } from "../tensor/tensor.ts";
import { Compressor } from "./compressor.ts";
import { CSA_RATIO, type V4Config } from "./config.ts";
import { Indexer } from "./indexer.ts";
import type { Init } from "./init.ts";
import { fp8Linear, fp8Weight, headNorm, narrowInput, storedKeys } from "./numerics.ts";
import type { RopeTables } from "./rope.ts";
import type { LayerState } from "./state.ts";

export class Attention extends Module {
  readonly wq_a: Linear;
  readonly q_norm: RMSNorm;
  readonly wq_b: Linear;
  readonly wkv: Linear;
  readonly kv_norm: RMSNorm;
  /** Block-diagonal: [g * o_lora_rank, H*D/g]. */
  readonly wo_a: Linear;
  readonly wo_b: Linear;
  /** [H] */
  readonly attn_sink: Parameter;
  readonly compressor: Compressor | undefined;
  readonly indexer: Indexer | undefined;
  private readonly config: V4Config;
  private readonly ratio: number;
  private readonly freqs: Tensor;

  constructor(init: Init, config: V4Config, ratio: number, rope: RopeTables) {
    super();
    this.config = config;
    this.ratio = ratio;
    this.freqs = ratio > 0 ? rope.compress : rope.main;
    const { hidden_size: d, num_attention_heads: heads, head_dim, q_lora_rank, o_groups, o_lora_rank } = config;
    const eps = { eps: config.rms_norm_eps };
    this.wq_a = init.linear(d, q_lora_rank);
    this.q_norm = new RMSNorm(init.device, q_lora_rank, eps);
    this.wq_b = init.linear(q_lora_rank, heads * head_dim);
    this.wkv = init.linear(d, head_dim);
    this.kv_norm = new RMSNorm(init.device, head_dim, eps);
    this.wo_a = init.linear((heads * head_dim) / o_groups, o_groups * o_lora_rank);
    this.wo_b = init.linear(o_groups * o_lora_rank, d, { isResidualOut: true });
    this.attn_sink = new Parameter(zeros(init.device, [heads]));
    this.compressor =
      ratio > 0
        ? new Compressor(init, config, ratio, head_dim, (keys) =>
            storedKeys(keys, config.qk_rope_head_dim, config.numerics),
          )
        : undefined;
    this.indexer = ratio === CSA_RATIO ? new Indexer(init, config) : undefined;
  }

  /** x [B,T,D] at positions start.. -> [B,T,D]. */
  forward(x: Tensor, start: number, state?: LayerState): Tensor {
    const { num_attention_heads: heads, head_dim: dim, sliding_window: window, rms_norm_eps: eps } = this.config;
    const { numerics, qk_rope_head_dim: rotated } = this.config;
    const [b, tokens] = x.shape as [number, number, number];
    const { freqs } = this;
    const input = narrowInput(x, numerics);
    const qr = narrowInput(this.q_norm.forward(fp8Linear(input, this.wq_a, numerics)), numerics);
    const heads4 = t.reshape(fp8Linear(qr, this.wq_b, numerics), [b, tokens, heads, dim]);
    const q = t.rope(headNorm(heads4, eps, numerics), { freqs, start });
    const plainKv = t.reshape(this.kv_norm.forward(fp8Linear(input, this.wkv, numerics)), [b, tokens, 1, dim]);
    const rows = storedKeys(t.reshape(t.rope(plainKv, { freqs, start }), [b, tokens, dim]), rotated, numerics);
    const kv = state === undefined ? rows : state.window.with(rows);
    const keyStart = start + tokens - kv.shape[1]!;
    const ckv = this.compressor?.forward(x, freqs, start, state?.compressor);
    const mask = this.indexer?.forward(x, qr, freqs, start, state?.indexer);
    const o = t.sparseAttention({
      q,
      kv,
      ckv,
      mask,
      sink: this.attn_sink,
      queryStart: start,
      keyStart,
      window,
      ratio: Math.max(1, this.ratio),
      scale: dim ** -0.5,
      inSlots: numerics.probsBf16Blocks64,
    });
    state?.window.set(kv, Math.max(0, kv.shape[1]! - (window - 1)));
    return this.project(t.rope(o, { freqs, start, inverse: true }));
  }

  /** o [B,T,H,D] -> [B,T,hidden]: each group of heads through its own low-rank map, then one map over all. */
  private project(o: Tensor): Tensor {
    const { o_groups: g, o_lora_rank: rank, numerics } = this.config;
    const out = (low: Tensor): Tensor => fp8Linear(narrowInput(low, numerics), this.wo_b, numerics);
    // FP8 in the released files too, but its input stays wide.
    const [b, tokens, heads, dim] = o.shape as [number, number, number, number];
    const inDim = (heads * dim) / g;
    if (g === 1) return out(fp8Linear(t.reshape(o, [b, tokens, inDim]), this.wo_a, numerics));
    const grouped = t.permute(t.reshape(o, [b * tokens, g, inDim]), [1, 0, 2]);
    const w = t.reshape(t.cast(fp8Weight(this.wo_a, numerics), o.dtype), [g, rank, inDim]);
    const low = t.matmul(grouped, w, { transB: true }); // [g, B*T, rank]
    return out(t.reshape(t.permute(low, [1, 0, 2]), [b, tokens, g * rank]));
  }
}
