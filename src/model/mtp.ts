/**
 * The multi-token-prediction module: from the network's streams at position p and the token at p+1 it predicts
 * the token at p+2 (a denser training signal, and drafts for speculation). One window block with its own
 * stream collapse and norm; embedding and head are the network's. Its own streams may be read like the network's, which
 * makes it a module for any depth.
 * Main function: `predict`. Source: DeepSeek-V4 preview checkpoints, mtp.0.
 */
import { RMSNorm } from "../nn/layers.ts";
import * as t from "../tensor/ops.ts";
import type { Parameter, Tensor } from "../tensor/tensor.ts";
import { Block, type BlockContext } from "./block.ts";
import type { V4Config } from "./config.ts";
import { hcCollapse, initHcCollapse } from "./hyper-connection.ts";
import type { Init, Projection } from "./init.ts";
import { fp8Linear, narrowInput } from "./numerics.ts";
import type { RopeTables } from "./rope.ts";

export class MtpModule extends Block {
  readonly e_proj: Projection;
  readonly h_proj: Projection;
  readonly enorm: RMSNorm;
  readonly hnorm: RMSNorm;
  readonly norm: RMSNorm;
  readonly hc_head_fn: Parameter;
  readonly hc_head_base: Parameter;
  readonly hc_head_scale: Parameter;

  constructor(init: Init, config: V4Config, rope: RopeTables) {
    super(init, config, { ratio: 0, isHash: false }, rope);
    const d = config.hidden_size;
    const eps = { eps: config.rms_norm_eps };
    this.e_proj = init.projection(d, d);
    this.h_proj = init.projection(d, d);
    this.enorm = new RMSNorm(init.device, d, eps);
    this.hnorm = new RMSNorm(init.device, d, eps);
    this.norm = new RMSNorm(init.device, d, eps);
    ({ fn: this.hc_head_fn, base: this.hc_head_base, scale: this.hc_head_scale } = initHcCollapse(init, config));
  }

  /** streams [R,n,D] before the network's collapse, next [R,D] embeddings of the next tokens -> streams, hidden [R,D]. */
  predict(streams: Tensor, next: Tensor, context: BlockContext): { readonly streams: Tensor; readonly hidden: Tensor } {
    const [rows, n, d] = streams.shape as [number, number, number];
    const { numerics } = this.config;
    const project = (from: Tensor, layer: Projection): Tensor =>
      fp8Linear(narrowInput(from, numerics), layer, numerics);
    const e = t.reshape(project(this.enorm.forward(next), this.e_proj), [rows, 1, d]);
    const x = t.add(project(this.hnorm.forward(streams), this.h_proj), t.expand(e, [rows, n, d]));
    const out = this.run(x, context);
    const head = { fn: this.hc_head_fn, base: this.hc_head_base, scale: this.hc_head_scale };
    return { streams: out, hidden: this.norm.forward(hcCollapse(out, head, this.config)) };
  }
}
