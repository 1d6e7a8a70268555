/**
 * The visual tokenizer: a causal convolutional autoencoder with finite scalar quantisation (FSQ).
 * An image is a clip of one frame. Frame 0 is one latent; each later latent covers 4 frames, seen
 * together with the frame before them, so every prefix of a clip decodes by itself.
 * Owns the network and its codes; the loss is train/visual.ts, the token order processor/visual.ts.
 * Main functions: `encodeLatents`, `quantize`, `decodeLatents`; `encode` and `decode` for pixels and ids.
 * Source: FSQ arXiv:2309.15505; causal factorised video tokenizers as in Cosmos arXiv:2501.03575.
 */
import { ShapeError } from "../base/errors.ts";
import { Module } from "../nn/module.ts";
import { LayerNorm, Linear } from "../nn/layers.ts";
import { depthToSpace, ResBlock, spaceToDepth } from "./conv-blocks.ts";
import * as t from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Device } from "../device/device.ts";

export interface VisualTokenizerConfig {
  /** Pixels per side; a multiple of 8. */
  readonly imageSize: number;
  /** Channels at 1/4 and at 1/8 resolution. */
  readonly channels: readonly [number, number];
  /** Residual blocks per level; the decoder has one more. */
  readonly numBlocks: number;
  /** FSQ levels, all odd; their product is the number of codes. */
  readonly levels: readonly number[];
}

export const FRAMES_PER_LATENT = 4;

export const visualTokenizerConfigs = {
  nano: { imageSize: 32, channels: [32, 64], numBlocks: 1, levels: [7, 5, 5, 5] },
  mini: { imageSize: 64, channels: [48, 128], numBlocks: 1, levels: [7, 5, 5, 5, 5] },
} as const satisfies Record<string, VisualTokenizerConfig>;

/** The part after the codes: it may be trained on while codes that were written down stay valid. */
export const isDecoderParameter = (name: string): boolean => /^(from_code|time_state|time_out|dec_\w+)\./.test(name);

export const numCodes = (levels: readonly number[]): number => levels.reduce((p, n) => p * n, 1);

export class VisualTokenizer extends Module {
  readonly config: VisualTokenizerConfig;
  readonly device: Device;
  readonly enc_in: Linear;
  readonly enc_high: ResBlock[];
  readonly enc_down: Linear;
  readonly enc_low: ResBlock[];
  readonly time_first: Linear;
  readonly time_in: Linear;
  readonly to_code: Linear;
  readonly from_code: Linear;
  readonly time_state: Linear;
  readonly time_out: Linear;
  readonly dec_low: ResBlock[];
  readonly dec_up: Linear;
  readonly dec_high: ResBlock[];
  readonly dec_norm: LayerNorm;
  readonly dec_out: Linear;

  constructor(device: Device, config: VisualTokenizerConfig, seed = 1) {
    super();
    this.device = device;
    this.config = config;
    const [c1, c2] = config.channels;
    const d = config.levels.length;
    let s = seed * 1000;
    const linear = (inDim: number, outDim: number): Linear =>
      new Linear(device, inDim, outDim, { bias: true, seed: s++ });
    const blocks = (count: number, channels: number): ResBlock[] =>
      Array.from({ length: count }, () => new ResBlock(device, channels, s++));
    this.enc_in = linear(48, c1);
    this.enc_high = blocks(config.numBlocks, c1);
    this.enc_down = linear(4 * c1, c2);
    this.enc_low = blocks(config.numBlocks, c2);
    this.time_first = linear(c2, c2);
    this.time_in = linear((FRAMES_PER_LATENT + 1) * c2, c2);
    this.to_code = linear(c2, d);
    this.from_code = linear(d, c2);
    this.time_state = linear(2 * c2, c2);
    this.time_out = linear(2 * c2, FRAMES_PER_LATENT * c2);
    this.dec_low = blocks(config.numBlocks + 1, c2);
    this.dec_up = linear(c2, 4 * c1);
    this.dec_high = blocks(config.numBlocks + 1, c1);
    this.dec_norm = new LayerNorm(device, c1);
    this.dec_out = linear(c1, 48);
  }

  get tokensPerLatent(): number {
    return (this.config.imageSize / 8) ** 2;
  }

  /** Pixels [B,F,H,W,3] f32 in [-1,1], F = 1 + 4k -> bounded codes before rounding [B,1+k,h,w,d]. */
  encodeLatents(pixels: Tensor): Tensor {
    const [b, f, h, w] = pixels.shape as [number, number, number, number, number];
    if ((f - 1) % FRAMES_PER_LATENT !== 0) throw new ShapeError(`visual tokenizer: expected 1 + 4k frames, got ${f}`);
    const c2 = this.config.channels[1];
    let x = this.enc_in.forward(spaceToDepth(t.reshape(pixels, [b * f, h, w, 3]), 4));
    for (const block of this.enc_high) x = block.forward(x);
    x = this.enc_down.forward(spaceToDepth(x, 2));
    for (const block of this.enc_low) x = block.forward(x);
    const side = h / 8;
    const frames = t.reshape(x, [b, f, side * side, c2]);
    const latents: Tensor[] = [this.time_first.forward(t.slice(frames, 1, 0, 1))];
    for (let k = 0; k * FRAMES_PER_LATENT + 1 < f; k++) {
      // Frames 4k .. 4k+4: the last frame already coded, then the four new ones.
      const group = t.slice(frames, 1, k * FRAMES_PER_LATENT, (k + 1) * FRAMES_PER_LATENT + 1);
      const packed = t.reshape(t.permute(group, [0, 2, 1, 3]), [b, 1, side * side, (FRAMES_PER_LATENT + 1) * c2]);
      latents.push(this.time_in.forward(packed));
    }
    const all = latents.length === 1 ? latents[0]! : t.concat(latents, 1);
    const half = this.levelScale();
    return t.mul(t.tanh(this.to_code.forward(all)), half);
  }

  /** Rounds to the levels; gradients pass straight through. */
  quantize(latents: Tensor): Tensor {
    return t.roundStraightThrough(latents);
  }

  /** Integer-valued codes [B,L,hw,d] -> pixels [B,1+4(L-1),H,W,3]. */
  decodeLatents(codes: Tensor): Tensor {
    const [b, l, hw] = codes.shape as [number, number, number, number];
    const c2 = this.config.channels[1];
    const side = Math.round(Math.sqrt(hw));
    const z = this.from_code.forward(t.div(codes, this.levelScale()));
    let state = t.slice(z, 1, 0, 1);
    const frames: Tensor[] = [state];
    for (let k = 1; k < l; k++) {
      const next = t.add(state, this.time_state.forward(t.concat([t.slice(z, 1, k, k + 1), state], 3)));
      const out = this.time_out.forward(t.concat([next, state], 3)); // [B,1,hw,4*C2]
      const split = t.permute(t.reshape(out, [b, hw, FRAMES_PER_LATENT, c2]), [0, 2, 1, 3]);
      // The new frames start from the state, so a still picture costs nothing to keep.
      frames.push(t.add(split, state));
      state = next;
    }
    const f = 1 + (l - 1) * FRAMES_PER_LATENT;
    const all = frames.length === 1 ? frames[0]! : t.concat(frames, 1);
    let x = t.reshape(all, [b * f, side, side, c2]);
    for (const block of this.dec_low) x = block.forward(x);
    x = depthToSpace(this.dec_up.forward(x), 2);
    for (const block of this.dec_high) x = block.forward(x);
    x = depthToSpace(this.dec_out.forward(this.dec_norm.forward(x)), 4);
    return t.reshape(x, [b, f, side * 8, side * 8, 3]);
  }

  forward(pixels: Tensor): Tensor {
    return this.decodeLatents(this.quantize(this.encodeLatents(pixels)));
  }

  /** Pixels -> code ids, row-major per latent: Int32Array of B * L * h * w. */
  encode(pixels: Tensor): Int32Array {
    return t.noGrad(() => {
      const codes = this.quantize(this.encodeLatents(pixels)).toArray();
      return codesToIds(codes, this.config.levels);
    });
  }

  /** Ids of `numLatents` latents, row-major each -> pixels [1,F,H,W,3] in about [-1,1]. */
  decode(ids: ArrayLike<number>, numLatents: number): Tensor {
    const hw = this.tokensPerLatent;
    if (ids.length !== numLatents * hw)
      throw new ShapeError(`visual tokenizer: expected ${numLatents * hw} ids, got ${ids.length}`);
    return t.noGrad(() => {
      const codes = idsToCodes(ids, this.config.levels);
      return this.decodeLatents(Tensor.from(this.device, codes, [1, numLatents, hw, this.config.levels.length]));
    });
  }

  /** Half range of each level, [d]. */
  private levelScale(): Tensor {
    const half = Float32Array.from(this.config.levels, (n) => (n - 1) / 2);
    return Tensor.from(this.device, half, [half.length]);
  }
}

/** Mixed radix, first dimension most significant; codes are integers in [-(L-1)/2, (L-1)/2]. */
export function codesToIds(codes: ArrayLike<number>, levels: readonly number[]): Int32Array {
  const d = levels.length;
  const ids = new Int32Array(codes.length / d);
  for (let i = 0; i < ids.length; i++) {
    let id = 0;
    for (let j = 0; j < d; j++) id = id * levels[j]! + Math.round(codes[i * d + j]!) + (levels[j]! - 1) / 2;
    ids[i] = id;
  }
  return ids;
}

export function idsToCodes(ids: ArrayLike<number>, levels: readonly number[]): Float32Array {
  const d = levels.length;
  const total = numCodes(levels);
  const codes = new Float32Array(ids.length * d);
  for (let i = 0; i < ids.length; i++) {
    let id = ids[i]!;
    if (!(id >= 0 && id < total)) throw new ShapeError(`visual tokenizer: expected ids in [0, ${total}), got ${id}`);
    for (let j = d - 1; j >= 0; j--) {
      codes[i * d + j] = (id % levels[j]!) - (levels[j]! - 1) / 2;
      id = Math.floor(id / levels[j]!);
    }
  }
  return codes;
}
