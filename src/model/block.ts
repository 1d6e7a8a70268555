/**
 * One transformer block on n residual streams: attention and mixture of experts, each read from and written to
 * the streams through its own hyper-connection. Field names are the checkpoint's.
 */
import { RMSNorm } from "../nn/layers.ts";
import { Module } from "../nn/module.ts";
import type { Routing } from "../tensor/ops-moe.ts";
import * as t from "../tensor/ops.ts";
import type { Parameter, Tensor } from "../tensor/tensor.ts";
import { Attention } from "./attention.ts";
import type { Choose } from "./choose.ts";
import type { V4Config } from "./config.ts";
import { hcRead, hcWrite, initHc } from "./hyper-connection.ts";
import type { Init } from "./init.ts";
import { Moe } from "./moe.ts";
import type { RopeTables } from "./rope.ts";
import type { LayerState } from "./state.ts";

export interface BlockContext {
  readonly batch: number;
  /** Position of the first token. */
  readonly start: number;
  /** Token ids of all rows, i32 [B,T]: hash layers route by them. */
  readonly ids: Tensor;
  readonly state?: LayerState | undefined;
  /** Instead of attention over what came before: x [B,T,D] -> [B,T,D]. */
  readonly attend?: ((x: Tensor) => Tensor) | undefined;
  readonly onRouting?: ((routing: Routing) => void) | undefined;
  readonly choose?: Choose | undefined;
}

export class Block extends Module {
  readonly hc_attn_fn: Parameter;
  readonly hc_attn_base: Parameter;
  readonly hc_attn_scale: Parameter;
  readonly attn_norm: RMSNorm;
  readonly attn: Attention;
  readonly hc_ffn_fn: Parameter;
  readonly hc_ffn_base: Parameter;
  readonly hc_ffn_scale: Parameter;
  readonly ffn_norm: RMSNorm;
  readonly ffn: Moe;
  protected readonly config: V4Config;

  constructor(
    init: Init,
    config: V4Config,
    options: { readonly ratio: number; readonly isHash: boolean },
    rope: RopeTables,
  ) {
    super();
    this.config = config;
    const eps = { eps: config.rms_norm_eps };
    ({ fn: this.hc_attn_fn, base: this.hc_attn_base, scale: this.hc_attn_scale } = initHc(init, config));
    this.attn_norm = new RMSNorm(init.device, config.hidden_size, eps);
    this.attn = new Attention(init, config, options.ratio, rope);
    ({ fn: this.hc_ffn_fn, base: this.hc_ffn_base, scale: this.hc_ffn_scale } = initHc(init, config));
    this.ffn_norm = new RMSNorm(init.device, config.hidden_size, eps);
    this.ffn = new Moe(init, config, options.isHash);
  }

  /** streams [B*T,n,D] -> the same shape. */
  run(streams: Tensor, context: BlockContext): Tensor {
    const { batch, start, ids, state, attend, onRouting, choose } = context;
    const [rows, , d] = streams.shape as [number, number, number];
    const attn = { fn: this.hc_attn_fn, base: this.hc_attn_base, scale: this.hc_attn_scale };
    const ffn = { fn: this.hc_ffn_fn, base: this.hc_ffn_base, scale: this.hc_ffn_scale };
    const a = hcRead(streams, attn, this.config);
    const tokens = t.reshape(this.attn_norm.forward(a.input), [batch, rows / batch, d]);
    const attended = t.reshape(attend?.(tokens) ?? this.attn.forward(tokens, start, state, choose), [rows, d]);
    const between = hcWrite(attended, streams, a.mixing);
    const f = hcRead(between, ffn, this.config);
    const fed = this.ffn.forward(this.ffn_norm.forward(f.input), ids, onRouting, choose);
    return hcWrite(fed, between, f.mixing);
  }
}
