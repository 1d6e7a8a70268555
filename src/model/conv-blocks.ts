/**
 * Convolution parts shared by the visual tokenizer and the picture judge: a residual block and the
 * space-to-depth rearrangements. All tensors are NHWC.
 */
import type { Device } from "../device/device.ts";
import { Conv3x3, LayerNorm, Linear } from "../nn/layers.ts";
import { Module } from "../nn/module.ts";
import * as t from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** x + W(relu(conv3x3(LN x))), W starting at zero. */
export class ResBlock extends Module {
  readonly norm: LayerNorm;
  readonly conv: Conv3x3;
  readonly out: Linear;
  constructor(device: Device, channels: number, seed: number) {
    super();
    this.norm = new LayerNorm(device, channels);
    this.conv = new Conv3x3(device, channels, 2 * channels, { seed });
    this.out = new Linear(device, 2 * channels, channels, { bias: true, init: "zeros" });
  }
  forward(x: Tensor): Tensor {
    return t.add(x, this.out.forward(t.relu(this.conv.forward(this.norm.forward(x)))));
  }
}

/** [N,H,W,C] -> [N,H/p,W/p,p*p*C] */
export function spaceToDepth(x: Tensor, p: number): Tensor {
  const [n, h, w, c] = x.shape as [number, number, number, number];
  const split = t.reshape(x, [n, h / p, p, w / p, p, c]);
  return t.reshape(t.permute(split, [0, 1, 3, 2, 4, 5]), [n, h / p, w / p, p * p * c]);
}

/** [N,h,w,p*p*C] -> [N,h*p,w*p,C] */
export function depthToSpace(x: Tensor, p: number): Tensor {
  const [n, h, w, c] = x.shape as [number, number, number, number];
  const channels = c / (p * p);
  const split = t.reshape(x, [n, h, w, p, p, channels]);
  return t.reshape(t.permute(split, [0, 1, 3, 2, 4, 5]), [n, h * p, w * p, channels]);
}
