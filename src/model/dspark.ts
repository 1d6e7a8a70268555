/**
 * DSpark, the drafter of the 0731 and 0813 checkpoints: three window blocks that write a block of tokens at once from
 * what the network's last layers say of a position. Each stage keeps the last window of keys, made from the network's
 * features alone; the drafts see these and each other. The last stage has the head: network logits plus a term of the
 * token before (a low-rank Markov chain), and a confidence that the network will agree.
 * Main class: `DSpark` (`observe`, `draft`). Field names are the checkpoint's.
 * Source: DeepSeek-V4-Flash-0731, mtp.0 to mtp.2; twin in tools/reference/dspark_golden.py.
 */
import { ShapeError } from "../base/errors.ts";
import { Embedding, Linear, RMSNorm } from "../nn/layers.ts";
import { Module } from "../nn/module.ts";
import { cloneTensor } from "../tensor/ops-elementwise.ts";
import * as t from "../tensor/ops.ts";
import { untrack } from "../tensor/scope.ts";
import { Tensor, type Parameter } from "../tensor/tensor.ts";
import { Block } from "./block.ts";
import type { V4Config } from "./config.ts";
import { hcCollapse, initHcCollapse } from "./hyper-connection.ts";
import type { Init, Projection } from "./init.ts";
import type { RopeTables } from "./rope.ts";
import type { V4 } from "./v4.ts";

export const DSPARK_STAGES = 3;

class MarkovHead extends Module {
  /** [V,r]: the row of the token before. */
  readonly markov_w1: Embedding;
  /** [V,r] */
  readonly markov_w2: Linear;
  constructor(init: Init, config: V4Config, rank: number) {
    super();
    this.markov_w1 = new Embedding(init.device, config.vocab_size, rank, { seed: init.seed() });
    this.markov_w2 = init.linear(rank, config.vocab_size);
  }
}
class ConfidenceHead extends Module {
  /** [1, D+r] */
  readonly proj: Linear;
  constructor(init: Init, config: V4Config, rank: number) {
    super();
    this.proj = init.linear(config.hidden_size + rank, 1);
  }
}

export class DSparkStage extends Block {
  /** Of the first stage: the network's features [.., taps*D] -> [.., D]. */
  readonly main_proj: Projection | undefined;
  readonly main_norm: RMSNorm | undefined;
  /** Of the last stage. */
  readonly norm: RMSNorm | undefined;
  readonly hc_head_fn: Parameter | undefined;
  readonly hc_head_base: Parameter | undefined;
  readonly hc_head_scale: Parameter | undefined;
  readonly markov_head: MarkovHead | undefined;
  readonly confidence_head: ConfidenceHead | undefined;

  constructor(init: Init, config: V4Config, rope: RopeTables, stage: number) {
    super(init, config, { ratio: 0, isHash: false }, rope);
    const { hidden_size: d, rms_norm_eps: eps } = config;
    if (stage === 0) {
      this.main_proj = init.projection(config.dspark_target_layer_ids!.length * d, d);
      this.main_norm = new RMSNorm(init.device, d, { eps });
    }
    if (stage < DSPARK_STAGES - 1) return;
    this.norm = new RMSNorm(init.device, d, { eps });
    ({ fn: this.hc_head_fn, base: this.hc_head_base, scale: this.hc_head_scale } = initHcCollapse(init, config));
    this.markov_head = new MarkovHead(init, config, config.dspark_markov_rank!);
    this.confidence_head = new ConfidenceHead(init, config, config.dspark_markov_rank!);
  }
}

/** What one draft says, before its tokens are chosen. */
export interface DSparkBlock {
  readonly size: number;
  /** f32 [V]: logits of the i-th token, given the one before it. */
  logits(i: number, before: number): Float32Array;
  /** How likely the network is to take the i-th token, given the one before it; in (0, 1). */
  confidence(i: number, before: number): number;
}

/** The drafter of one sequence. Owns its rings; `dispose` frees them. */
export class DSpark {
  readonly taps: readonly number[];
  private readonly network: V4;
  private readonly stages: readonly DSparkStage[];
  private rings: (Tensor | undefined)[] = [];
  /** Positions of the network that were observed. */
  private length = 0;

  constructor(network: V4) {
    const stages = network.mtp.filter((stage) => stage instanceof DSparkStage);
    if (stages.length !== DSPARK_STAGES) throw new ShapeError(`dspark: expected a network with ${DSPARK_STAGES} stages, got ${stages.length}`); // prettier-ignore
    this.network = network;
    this.stages = stages;
    this.taps = network.config.dspark_target_layer_ids!;
  }

  /** Features [1,T,taps*D] of the next T positions (`ForwardOutput.tapped`); only kept tokens come here. */
  observe(tapped: Tensor): void {
    using _scope = t.tensorScope();
    t.noGrad(() => {
      const [first] = this.stages;
      const main = first!.main_norm!.forward(first!.main_proj!.forward(tapped));
      this.rings = this.stages.map((stage, i) => {
        const fresh = stage.attn.keys(main, this.length);
        const all = this.rings[i] ? t.concat([this.rings[i], fresh], 1) : fresh;
        const rows = all.shape[1]!;
        const kept = cloneTensor(t.slice(all, 1, Math.max(0, rows - this.network.config.sliding_window), rows));
        untrack(kept.data);
        this.rings[i]?.dispose();
        return kept;
      });
    });
    this.length += tapped.shape[1]!;
  }

  /** A block after `token`, which the network has chosen and not yet read. */
  draft(token: number): DSparkBlock {
    const { config, device } = this.network;
    const { dspark_block_size: size, dspark_noise_token_id: noise, hidden_size: d, hc_mult: n } = config;
    const noised = Int32Array.from({ length: size! }, (_, i) => (i === 0 ? token : noise!));
    using _scope = t.tensorScope();
    return t.noGrad(() => {
      const ids = Tensor.from(device, noised, [1, size!]);
      const x = this.network.embedTokens(ids);
      let streams = t.expand(t.reshape(x, [size!, 1, d]), [size!, n, d]);
      this.stages.forEach((stage, i) => {
        const attend = (tokens: Tensor): Tensor => stage.attn.draft(tokens, this.length, this.rings[i]!);
        streams = stage.run(streams, { batch: 1, start: this.length, ids, attend });
      });
      const last = this.stages.at(-1)!;
      const head = { fn: last.hc_head_fn!, base: last.hc_head_base!, scale: last.hc_head_scale! };
      const collapsed = hcCollapse(streams, head, config);
      const base = this.network.logits(last.norm!.forward(collapsed)).toArray() as Float32Array;
      return this.blockOf(base, t.cast(collapsed, "f32").toArray() as Float32Array, last);
    });
  }

  dispose(): void {
    for (const ring of this.rings) ring?.dispose();
    this.rings = [];
    this.length = 0;
  }

  /** base f32 [K,V], x f32 [K,D]. */
  private blockOf(
    base: Float32Array,
    x: Float32Array,
    { markov_head: markov, confidence_head: head }: DSparkStage,
  ): DSparkBlock {
    // prettier-ignore
    const { device, config } = this.network;
    const { vocab_size: v, hidden_size: d } = config;
    const rowOf = (before: number): Tensor => t.cast(markov!.markov_w1.forward(Tensor.from(device, Int32Array.of(before), [1])), "f32"); // prettier-ignore
    return {
      size: config.dspark_block_size!,
      logits: (i, before) => {
        using _scope = t.tensorScope();
        const change = t.noGrad(() => t.linear(rowOf(before), markov!.markov_w2.weight)).toArray();
        return base.slice(i * v, (i + 1) * v).map((logit, id) => logit + Number(change[id]));
      },
      confidence: (i, before) => {
        using _scope = t.tensorScope();
        const row = Tensor.from(device, x.slice(i * d, (i + 1) * d), [1, d]);
        const logit = t.noGrad(() => head!.proj.forward(t.concat([row, rowOf(before)], 1))).toArray()[0];
        return 1 / (1 + Math.exp(-Number(logit)));
      },
    };
  }
}
