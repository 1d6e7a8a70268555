/**
 * The V4 network: token ids in, hidden states and logits out. One definition for training (a whole sequence, no
 * state) and for inference (a chunk continuing a `V4State`). Float computation throughout, as transformers has it;
 * `dtype` is the activations' type, weights stay f32 masters.
 * Main functions: `forward`, `logits`, `mtpHidden`, `mtpStep`. Field names are the checkpoint's.
 * Source: DeepSeek-V4 report; visual ids follow the text ids and carry extra embeddings (visual-embedding.ts).
 */
import type { DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { Embedding, Linear, RMSNorm } from "../nn/layers.ts";
import { Module } from "../nn/module.ts";
import type { Routing } from "../tensor/ops-moe.ts";
import * as t from "../tensor/ops.ts";
import { noGrad } from "../tensor/tape.ts";
import { Parameter, type Tensor } from "../tensor/tensor.ts";
import { Block } from "./block.ts";
import type { Choose } from "./choose.ts";
import type { V4Config } from "./config.ts";
import { DSparkStage, DSPARK_STAGES } from "./dspark.ts";
import { hcCollapse, initHcCollapse } from "./hyper-connection.ts";
import { Init, INIT_STD } from "./init.ts";
import { MtpModule } from "./mtp.ts";
import { ropeTables } from "./rope.ts";
import { V4State, type StateOptions } from "./state.ts";
import type { Packed } from "./storage.ts";
import { SIDE_WIDTH, VisualEmbedding } from "./visual-embedding.ts";

export interface V4Options {
  readonly seed?: number;
  /** "zeros" when weights are about to be loaded. */
  readonly init?: "normal" | "zeros";
  /** Of activations. */
  readonly dtype?: Extract<DType, "f32" | "bf16">;
  /** Matrices that stay codes, for weights about to be loaded; inference only. */
  readonly packed?: Packed | undefined;
}

export interface ForwardOptions {
  /** Continues these sequences and moves the state on; no gradients then. */
  readonly state?: V4State;
  /** Side information of visual tokens, i32 [B*T*4] (visual-embedding.ts); absent: text only. */
  readonly visual?: Int32Array | undefined;
  /** Keep only block inputs and run each block again in the backward pass. */
  readonly checkpoint?: boolean;
  /** Layers whose outputs are wanted beside, the mean of their streams. */
  readonly taps?: readonly number[] | undefined;
  /** Sees each layer's routing, for load balancing. */
  readonly onRouting?: (layerIdx: number, routing: Routing) => void;
  /** Chooses for a layer, for verification. */
  readonly choose?: (layerIdx: number) => Choose;
  /** Called before each layer, and after the last one with the number of layers. */
  readonly onLayer?: (layerIdx: number) => void;
}

export interface ForwardOutput {
  /** Before the final collapse, [B*T,n,D]; what MTP reads. */
  readonly streams: Tensor;
  /** After the final norm, [B,T,D]; the head's input. */
  readonly hidden: Tensor;
  /** Of the layers asked for, side by side [B,T,taps*D]; what DSpark reads. */
  readonly tapped: Tensor | undefined;
}

export class V4 extends Module {
  readonly embed: Embedding;
  readonly embed_visual: VisualEmbedding | undefined;
  readonly layers: Block[];
  readonly hc_head_fn: Parameter;
  readonly hc_head_base: Parameter;
  readonly hc_head_scale: Parameter;
  readonly norm: RMSNorm;
  readonly head: Linear;
  /** One MTP module, or the stages of DSpark, or nothing. */
  readonly mtp: (MtpModule | DSparkStage)[];
  readonly config: V4Config;
  readonly device: Device;
  readonly dtype: "f32" | "bf16";

  constructor(device: Device, config: V4Config, options: V4Options = {}) {
    super();
    this.device = device;
    this.config = config;
    this.dtype = options.dtype ?? "f32";
    const { vocab_size, hidden_size, num_hidden_layers, num_hash_layers, rms_norm_eps } = config;
    const { init: kind = "normal", packed } = options;
    const isInt = [packed?.linear, packed?.expert].some((form) => form === "int8" || form === "int4");
    if (isInt && (config.numerics.actFp8 || config.numerics.weightFp8 || config.numerics.expertFp4))
      throw new ShapeError("v4: expected numerics without actFp8, weightFp8 and expertFp4 for integer weights");
    const init = new Init(device, { seed: options.seed ?? 0, kind, numLayers: num_hidden_layers, packed });
    const rope = ropeTables(device, config);
    this.embed = new Embedding(device, vocab_size, hidden_size, { seed: init.seed(), std: INIT_STD, init: kind });
    this.embed_visual = config.visual ? new VisualEmbedding(init, config.visual, hidden_size) : undefined;
    this.layers = Array.from(
      { length: num_hidden_layers },
      (_, i) => new Block(init, config, { ratio: config.compress_ratios[i]!, isHash: i < num_hash_layers }, rope),
    );
    ({ fn: this.hc_head_fn, base: this.hc_head_base, scale: this.hc_head_scale } = initHcCollapse(init, config));
    this.norm = new RMSNorm(device, hidden_size, { eps: rms_norm_eps });
    this.head = init.linear(hidden_size, vocab_size);
    this.mtp =
      config.dspark_block_size === undefined
        ? Array.from({ length: config.num_nextn_predict_layers }, () => new MtpModule(init, config, rope))
        : Array.from({ length: DSPARK_STAGES }, (_, i) => new DSparkStage(init, config, rope, i));
  }

  newState(batch = 1, options: Omit<StateOptions, "batch"> = {}): V4State {
    const { compress_ratios, num_hidden_layers, sliding_window } = this.config;
    const layout = { ratios: compress_ratios.slice(0, num_hidden_layers), window: sliding_window };
    return new V4State(layout, { ...options, batch });
  }

  /** Of the MTP module: a sequence of its own, one position behind. */
  newMtpState(batch = 1): V4State {
    return new V4State({ ratios: [0], window: this.config.sliding_window }, { batch });
  }

  /** ids i32 [B,T]. */
  forward(ids: Tensor, options: ForwardOptions = {}): ForwardOutput {
    const { state } = options;
    if (state === undefined) return this.run(ids, options);
    const [batch, tokens] = ids.shape as [number, number];
    if (batch !== state.batch)
      throw new ShapeError(`forward: expected ids of ${state.batch} sequences, got [${ids.shape}]`);
    const out = noGrad(() => this.run(ids, options));
    state.advance(tokens);
    return out;
  }

  /** hidden [..,D] -> f32 logits [..,V], or of the ids in `range` only. */
  logits(hidden: Tensor, range?: { readonly start: number; readonly end: number }): Tensor {
    return t.wideLinear(hidden, this.head.weight, range);
  }

  /** The MTP module's hidden states [B,T,D]: row p has seen the token at p+1 and speaks about p+2. */
  mtpHidden(streams: Tensor, nextIds: Tensor, options: Pick<ForwardOptions, "visual"> = {}): Tensor {
    return this.mtpForward(streams, nextIds, options).hidden;
  }

  /** The same for a chunk that continues `state`; `streams` are the network's, or the module's own for a deeper draft. */
  mtpStep(
    streams: Tensor,
    nextIds: Tensor,
    state: V4State,
    visual?: Int32Array,
  ): { readonly streams: Tensor; readonly hidden: Tensor } {
    const out = noGrad(() => this.mtpForward(streams, nextIds, { state, visual }));
    state.advance(nextIds.shape[1]!);
    return out;
  }

  /** The module's streams [B*T,n,D] and hidden states [B,T,D]. */
  mtpForward(
    streams: Tensor,
    nextIds: Tensor,
    options: Pick<ForwardOptions, "visual" | "state">,
  ): { readonly streams: Tensor; readonly hidden: Tensor } {
    const [module] = this.mtp;
    if (!(module instanceof MtpModule)) throw new ShapeError("mtp: expected a network with an MTP module, got none");
    const [batch, tokens] = nextIds.shape as [number, number];
    const { state, visual } = options;
    const next = this.embedTokens(nextIds, visual);
    const context = { batch, start: state?.length ?? 0, ids: nextIds, state: state?.layers[0] };
    const out = module.predict(streams, next, context);
    return { streams: out.streams, hidden: t.reshape(out.hidden, [batch, tokens, this.config.hidden_size]) };
  }

  private run(ids: Tensor, options: ForwardOptions): ForwardOutput {
    const { state, checkpoint = false, taps = [], onRouting, onLayer, choose } = options;
    const { hidden_size: d, hc_mult: n } = this.config;
    const [batch, tokens] = ids.shape as [number, number];
    const rows = batch * tokens;
    const x = t.reshape(this.embedTokens(ids, options.visual), [rows, 1, d]);
    let streams = t.expand(x, [rows, n, d]);
    const tapped = new Map<number, Tensor>();
    this.layers.forEach((layer, i) => {
      onLayer?.(i);
      const step = (s: Tensor): Tensor =>
        layer.run(s, {
          batch,
          start: state?.length ?? 0,
          ids,
          state: state?.layers[i],
          onRouting: onRouting && ((routing) => onRouting(i, routing)),
          choose: choose?.(i),
        });
      if (state) {
        // Without gradients nothing of a layer is needed but its streams.
        using scope = t.tensorScope();
        streams = scope.keep(step(streams));
      } else streams = checkpoint ? t.checkpoint(step, [streams]) : step(streams);
      if (taps.includes(i)) tapped.set(i, t.reshape(t.mean(streams, 1), [batch, tokens, d]));
    });
    onLayer?.(this.layers.length);
    const head = { fn: this.hc_head_fn, base: this.hc_head_base, scale: this.hc_head_scale };
    const hidden = this.norm.forward(hcCollapse(streams, head, this.config));
    const beside = taps.length > 0 ? t.concat(taps.map((i) => tapped.get(i)!), -1) : undefined; // prettier-ignore
    return { streams, hidden: t.reshape(hidden, [batch, tokens, d]), tapped: beside };
  }

  /** ids [B,T] -> [B*T,D] in the activations' type. */
  embedTokens(ids: Tensor, visual?: Int32Array): Tensor {
    const rows = ids.size;
    const x = t.reshape(this.embed.forward(ids), [rows, this.config.hidden_size]);
    if (visual === undefined) return t.cast(x, this.dtype);
    if (this.embed_visual === undefined) throw new ShapeError("forward: expected a network with a visual part");
    if (visual.length !== rows * SIDE_WIDTH)
      throw new ShapeError(
        `forward: expected ${rows * SIDE_WIDTH} numbers of visual side information, got ${visual.length}`,
      );
    const extra = this.embed_visual.forward(visual);
    return t.cast(extra === undefined ? x : t.add(x, extra), this.dtype);
  }
}
