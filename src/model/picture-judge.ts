/**
 * The picture judge: a small convolutional classifier that names the concept of a 64x64 picture.
 * It is trained on the same captioned pictures as the model and only measures generated ones
 * (top-5 concept accuracy beside its own accuracy on real pictures); it never helps to draw.
 * Its file is bf16 weights and, in the header, the concepts its rows stand for.
 * Main function: `PictureJudge.forward`; `saveJudge` and `loadJudge` for the file.
 */
import { z } from "zod";
import { FormatError, ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { LayerNorm, Linear } from "../nn/layers.ts";
import { Module } from "../nn/module.ts";
import { openSafetensors } from "../nn/safetensors.ts";
import * as t from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { ResBlock, spaceToDepth } from "./conv-blocks.ts";
import { loadOfficial, saveOfficial } from "./weights.ts";

export interface PictureJudgeConfig {
  /** Codes of the concepts, in the order of the logits. */
  readonly concepts: readonly string[];
  /** Channels at 1/4, 1/8, 1/16 ... of the picture's side; one block each. */
  readonly channels: readonly number[];
  /** Length of the vector that is compared with every concept's. */
  readonly width: number;
}

export class PictureJudge extends Module {
  readonly config: PictureJudgeConfig;
  readonly down: Linear[];
  readonly blocks: ResBlock[];
  readonly norm: LayerNorm;
  readonly out: Linear;
  readonly head: Linear;

  constructor(device: Device, config: PictureJudgeConfig, seed = 7) {
    super();
    this.config = config;
    const { channels, concepts, width } = config;
    const last = channels.at(-1)!;
    const s = seed * 100;
    this.down = channels.map((c, i) => new Linear(device, i === 0 ? 48 : 4 * channels[i - 1]!, c, { bias: true, seed: s + i })); // prettier-ignore
    this.blocks = channels.map((c, i) => new ResBlock(device, c, s + 20 + i));
    this.norm = new LayerNorm(device, 4 * last);
    this.out = new Linear(device, 4 * last, width, { bias: true, seed: s + 40 });
    this.head = new Linear(device, width, concepts.length, { bias: true, seed: s + 41 });
  }

  /** Pixels [B,H,W,3] in [-1,1] -> logits [B,K]. Pools over a 2x2 grid, so layout still counts. */
  forward(pixels: Tensor): Tensor {
    const multiple = 4 * 2 ** this.config.channels.length;
    const [, height, width] = pixels.shape as [number, number, number, number];
    if (height % multiple !== 0 || width % multiple !== 0)
      throw new ShapeError(`judge: expected sides that are multiples of ${multiple}, got ${height} x ${width}`);
    let x = pixels;
    this.down.forEach((down, i) => {
      x = this.blocks[i]!.forward(down.forward(spaceToDepth(x, i === 0 ? 4 : 2)));
    });
    const [b, h, w, c] = x.shape as [number, number, number, number];
    const quads = t.permute(t.reshape(x, [b, 2, h / 2, 2, w / 2, c]), [0, 1, 3, 2, 4, 5]);
    const pooled = t.reshape(t.mean(t.reshape(quads, [b, 4, (h / 2) * (w / 2), c]), 2), [b, 4 * c]);
    return this.head.forward(t.relu(this.out.forward(this.norm.forward(pooled))));
  }
}

const count = z.number().int().positive();
const configSchema = z.object({
  concepts: z.array(z.string()).min(1),
  channels: z.array(count).min(1),
  width: count,
});
const KEY = "picture_judge";

export function saveJudge(path: string, judge: PictureJudge): void {
  saveOfficial(path, judge, { format: "bf16", metadata: { [KEY]: JSON.stringify(judge.config) } });
}

export function loadJudge(path: string, device: Device): PictureJudge {
  const judge = new PictureJudge(device, readConfig(path));
  loadOfficial(path, judge);
  return judge;
}

function readConfig(path: string): PictureJudgeConfig {
  using file = openSafetensors(path);
  const text = file.metadata[KEY];
  const fail = (found: string): never => {
    throw new FormatError(`judge: ${path}: metadata "${KEY}": expected concepts, channels and width, found ${found}`, { file: path, key: KEY }); // prettier-ignore
  };
  if (text === undefined) return fail("none");
  try {
    return configSchema.parse(JSON.parse(text));
  } catch {
    return fail(text.slice(0, 60));
  }
}
