/**
 * Attention with one shared key-value vector per token (key = value): a sliding window, and in layers with
 * compression the entries of everything before, in one softmax with a sink per head. The output's rotated
 * dims are turned back, so that what a value contributes depends on distance only; then a grouped projection.
 * Main function: `forward`, which continues a `LayerState` when given one.
 * Source: DeepSeek-V4 report section 2.3.
 */
import { RMSNorm } from "../nn/layers.ts";
import { Module } from "../nn/module.ts";
import { PackedLinear } from "../nn/packed-linear.ts";
import * as t from "../tensor/ops.ts";
import { Parameter, zeros, type Tensor } from "../tensor/tensor.ts";
import type { Choose } from "./choose.ts";
import { Compressor } from "./compressor.ts";
import { CSA_RATIO, type V4Config } from "./config.ts";
import { Indexer } from "./indexer.ts";
import type { Init, Projection } from "./init.ts";
import { fp8Linear, fp8Linears, fp8Weight, fp8WeightLinear, headNorm, narrowInput, storedKeys } from "./numerics.ts";
import type { RopeTables } from "./rope.ts";
import type { LayerState } from "./state.ts";

export class Attention extends Module {
  readonly wq_a: Projection;
  readonly q_norm: RMSNorm;
  readonly wq_b: Projection;
  readonly wkv: Projection;
  readonly kv_norm: RMSNorm;
  /** Block-diagonal: [g * o_lora_rank, H*D/g]. */
  readonly wo_a: Projection;
  readonly wo_b: Projection;
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
    this.wq_a = init.projection(d, q_lora_rank);
    this.q_norm = new RMSNorm(init.device, q_lora_rank, eps);
    this.wq_b = init.projection(q_lora_rank, heads * head_dim);
    this.wkv = init.projection(d, head_dim);
    this.kv_norm = new RMSNorm(init.device, head_dim, eps);
    this.wo_a = init.wideProjection((heads * head_dim) / o_groups, o_groups * o_lora_rank);
    this.wo_b = init.projection(o_groups * o_lora_rank, d, { isResidualOut: true });
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
  forward(x: Tensor, start: number, state?: LayerState, choose?: Choose): Tensor {
    const { head_dim: dim, sliding_window: window, numerics } = this.config;
    const { freqs } = this;
    const input = narrowInput(x, numerics);
    const [latent, keys] = this.latents(input);
    const qr = this.queryLatent(latent);
    const q = this.queries(qr, start);
    const rows = this.storedKeys(keys, start);
    state?.pushKeys(rows);
    const ckv = this.compressor?.forward(x, freqs, start, state?.compressor);
    const choice = this.indexer?.forward(x, qr, freqs, start, state?.indexer, choose);
    const o = t.sparseAttention({
      q,
      kv: state?.window.all ?? rows,
      ckv,
      ...choice,
      sink: this.attn_sink,
      queryStart: start,
      keyStart: state?.window.first ?? start,
      isAnchored: state !== undefined,
      window,
      ratio: Math.max(1, this.ratio),
      scale: dim ** -0.5,
      inSlots: numerics.probsBf16Blocks64,
    });
    return this.project(t.rope(o, { freqs, start, inverse: true }));
  }

  /** Window keys alone: x [B,T,D] at positions start.. -> [B,T,d]. Window layers only. */
  keys(x: Tensor, start: number): Tensor {
    const { numerics } = this.config;
    return this.storedKeys(fp8Linear(narrowInput(x, numerics), this.wkv, numerics), start);
  }

  /**
   * A block of drafts x [1,K,D] at positions start.. sees all of `ring` [1,R,d], the keys up to start - 1, and each
   * other, without a mask. Window layers only.
   */
  draft(x: Tensor, start: number, ring: Tensor): Tensor {
    const { num_attention_heads: heads, head_dim: dim, numerics } = this.config;
    const { freqs } = this;
    const tokens = x.shape[1]!;
    const [latent, keys] = this.latents(narrowInput(x, numerics));
    const q = this.queries(this.queryLatent(latent), start);
    // Every query is a sequence of its own that stands at the ring's last key, and the block's keys are as many entries
    // as it sees from there; the kernel's positions only say what is visible.
    const numRing = ring.shape[1]!;
    const each = (keys: Tensor): Tensor => t.expand(keys, [tokens, keys.shape[1]!, dim]);
    const queryStart = tokens * numRing - 1;
    const o = t.sparseAttention({
      q: t.reshape(q, [tokens, 1, heads, dim]),
      kv: each(ring),
      ckv: each(this.storedKeys(keys, start)),
      sink: this.attn_sink,
      queryStart,
      keyStart: queryStart + 1 - numRing,
      window: numRing,
      ratio: numRing,
      scale: dim ** -0.5,
    });
    return this.project(t.rope(t.reshape(o, [1, tokens, heads, dim]), { freqs, start, inverse: true }));
  }

  /** input [B,T,D] as products take it -> what becomes queries [B,T,q_lora] and keys [B,T,d]. */
  private latents(input: Tensor): [Tensor, Tensor] {
    return fp8Linears(input, [this.wq_a, this.wkv], this.config.numerics) as [Tensor, Tensor];
  }

  /** latent [B,T,q_lora] -> the same normed, as products take it. */
  private queryLatent(latent: Tensor): Tensor {
    return narrowInput(this.q_norm.forward(latent), this.config.numerics);
  }

  /** qr [B,T,q_lora] at positions start.. -> [B,T,H,d], each head normed and rotated. */
  private queries(qr: Tensor, start: number): Tensor {
    const { num_attention_heads: heads, head_dim: dim, rms_norm_eps: eps, numerics } = this.config;
    const [b, tokens] = qr.shape as [number, number, number];
    const heads4 = t.reshape(fp8Linear(qr, this.wq_b, numerics), [b, tokens, heads, dim]);
    return t.rope(headNorm(heads4, eps, numerics), { freqs: this.freqs, start });
  }

  /** keys [B,T,d] of positions start.. -> as the cache holds them. */
  private storedKeys(keys: Tensor, start: number): Tensor {
    const { head_dim: dim, qk_rope_head_dim: rotated, numerics } = this.config;
    const [b, tokens] = keys.shape as [number, number, number];
    const plain = t.reshape(this.kv_norm.forward(keys), [b, tokens, 1, dim]);
    return storedKeys(t.reshape(t.rope(plain, { freqs: this.freqs, start }), [b, tokens, dim]), rotated, numerics);
  }

  /** o [B,T,H,D] -> [B,T,hidden]: each group of heads through its own low-rank map, then one map over all. */
  private project(o: Tensor): Tensor {
    const { o_groups: g, o_lora_rank: rank, numerics } = this.config;
    const out = (low: Tensor): Tensor => fp8Linear(narrowInput(low, numerics), this.wo_b, numerics);
    // FP8 in the released files too, but its input stays wide.
    const [b, tokens, heads, dim] = o.shape as [number, number, number, number];
    const inDim = (heads * dim) / g;
    if (this.wo_a instanceof PackedLinear) return out(t.packedGroups(t.reshape(o, [b, tokens, g * inDim]), this.wo_a, g)); // prettier-ignore
    if (g === 1) return out(fp8WeightLinear(t.reshape(o, [b, tokens, inDim]), this.wo_a, numerics));
    const grouped = t.permute(t.reshape(o, [b * tokens, g, inDim]), [1, 0, 2]);
    const w = t.reshape(t.cast(fp8Weight(this.wo_a, numerics), o.dtype), [g, rank, inDim]);
    const low = t.matmul(grouped, w, { transB: true }); // [g, B*T, rank]
    return out(t.reshape(t.permute(low, [1, 0, 2]), [b, tokens, g * rank]));
  }
}
