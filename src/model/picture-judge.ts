/**
 * The picture judge: a small convolutional classifier that names the concept of a 64x64 picture.
 * It is trained on the same captioned pictures as the model and only measures generated ones
 * (top-5 concept accuracy beside its own accuracy on real pictures); it never helps to draw.
 */
import type { Device } from "../device/device.ts";
import { LayerNorm, Linear } from "../nn/layers.ts";
import { Module } from "../nn/module.ts";
import * as t from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { ResBlock, spaceToDepth } from "./conv-blocks.ts";

export interface PictureJudgeConfig {
  readonly numConcepts: number;
  readonly channels: readonly [number, number];
}

export class PictureJudge extends Module {
  readonly config: PictureJudgeConfig;
  readonly stem: Linear;
  readonly high: ResBlock[];
  readonly down: Linear;
  readonly low: ResBlock[];
  readonly norm: LayerNorm;
  readonly head: Linear;

  constructor(device: Device, config: PictureJudgeConfig, seed = 7) {
    super();
    this.config = config;
    const [c1, c2] = config.channels;
    this.stem = new Linear(device, 48, c1, { bias: true, seed: seed * 100 });
    this.high = [new ResBlock(device, c1, seed * 100 + 1)];
    this.down = new Linear(device, 4 * c1, c2, { bias: true, seed: seed * 100 + 2 });
    this.low = [new ResBlock(device, c2, seed * 100 + 3), new ResBlock(device, c2, seed * 100 + 4)];
    this.norm = new LayerNorm(device, c2 * 4);
    this.head = new Linear(device, c2 * 4, config.numConcepts, { bias: true, seed: seed * 100 + 5 });
  }

  /** Pixels [B,64,64,3] in [-1,1] -> logits [B,numConcepts]. Pools over a 2x2 grid, so layout still counts. */
  forward(pixels: Tensor): Tensor {
    let x = this.stem.forward(spaceToDepth(pixels, 4));
    for (const block of this.high) x = block.forward(x);
    x = this.down.forward(spaceToDepth(x, 2));
    for (const block of this.low) x = block.forward(x);
    const [b, h, w, c] = x.shape as [number, number, number, number];
    const quads = t.permute(t.reshape(x, [b, 2, h / 2, 2, w / 2, c]), [0, 1, 3, 2, 4, 5]);
    const pooled = t.reshape(t.mean(t.reshape(quads, [b, 4, (h / 2) * (w / 2), c]), 2), [b, 4 * c]);
    return this.head.forward(this.norm.forward(pooled));
  }
}
