/**
 * Trains the visual tokenizer: batches of pictures and clips -> reconstruction loss -> Muon + AdamW.
 * The loop is `trainVisual`; the loss is visual-loss.ts, the network model/visual-tokenizer.ts.
 * Resumable to the bit: batches depend on (seed, step) only.
 */
import type { Device } from "../device/device.ts";
import {
  codesToIds,
  isDecoderParameter,
  visualTokenizerConfigs,
  VisualTokenizer,
  type VisualTokenizerConfig,
} from "../model/visual-tokenizer.ts";
import { loadCheckpoint, saveCheckpoint } from "../nn/checkpoint.ts";
import { clipGradNorm, makeOptimizer } from "../nn/optim.ts";
import { learningRate, planOf } from "../nn/schedule.ts";
import * as t from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { mse, psnrFromMse, reconstructionLoss, squaredError } from "./visual-loss.ts";
import { Run, type RunOptions } from "./run.ts";

/** Where pixels come from; implemented over the built data set and the generators. Deterministic by (split, index). */
export interface PixelSource {
  /** 8-bit RGB [H,W,3]; any index >= 0. */
  image(split: "train" | "heldOut", index: number): Uint8Array;
  /** 8-bit RGB [F,H,W,3]. */
  clip(split: "train" | "heldOut", index: number): Uint8Array;
  readonly numFrames: number;
}

export interface VisualTrainOptions extends RunOptions {
  readonly config: keyof typeof visualTokenizerConfigs;
  readonly seed: number;
  readonly imagesPerStep: number;
  /** Every `clipEvery`-th step is a clip step (0: never). */
  readonly clipEvery: number;
  readonly clipsPerStep: number;
  readonly peakLr: number;
  readonly saveEvery: number;
  /**
   * "all": encoder and decoder on the mixed loss. "decoder": codes stay as they are, so what was made of them stays
   * valid, and the decoder alone learns squared error, which is what PSNR measures.
   */
  readonly part: "all" | "decoder";
  /** Fills the weights of a run that has no checkpoint yet. */
  readonly start?: ((model: VisualTokenizer) => void) | undefined;
}

/** 8-bit pixels -> f32 in [-1,1]. */
export function toUnitPixels(device: Device, pixels: readonly Uint8Array[], shape: readonly number[]): Tensor {
  const per = pixels[0]!.length;
  const out = new Float32Array(per * pixels.length);
  pixels.forEach((p, i) => {
    for (let j = 0; j < per; j++) out[i * per + j] = p[j]! / 127.5 - 1;
  });
  return Tensor.from(device, out, [pixels.length, ...shape]);
}

/** f32 in about [-1,1] -> 8-bit, clamped. */
export function toBytes(unit: ArrayLike<number>): Uint8Array {
  const out = new Uint8Array(unit.length);
  for (let i = 0; i < out.length; i++) out[i] = Math.max(0, Math.min(255, Math.round((unit[i]! + 1) * 127.5)));
  return out;
}

export async function trainVisual(
  device: Device,
  source: PixelSource,
  options: VisualTrainOptions,
): Promise<VisualTokenizer> {
  const config: VisualTokenizerConfig = visualTokenizerConfigs[options.config];
  const model = new VisualTokenizer(device, config, options.seed);
  const isTrained = options.part === "all" ? () => true : isDecoderParameter;
  const trained = model.namedParameters().filter(([name]) => isTrained(name));
  const optimizer = makeOptimizer(trained, {
    isMuon: (name, p) => p.ndim >= 2 && !/^(to_code|from_code|enc_in|dec_out)\./.test(name),
    muon: { weightDecay: 0 },
    adamw: { beta2: 0.99, eps: 1e-10, weightDecay: 0 },
    adamwLrScale: 0.5,
  });
  const resumed = loadCheckpoint(options.dir, { model, optimizer });
  if (!resumed) options.start?.(model);
  const start = resumed?.step ?? 0;
  using run = new Run(options, start);
  const size = config.imageSize;
  const schedule = planOf(options.numSteps, { peak: options.peakLr, final: 0.02, warmup: 50, decayFrom: 0.5 });

  let step = start;
  let lossSum = 0;
  let lossCount = 0;
  let images = 0;
  let markMs = performance.now();
  while (step < options.numSteps && !run.shouldStop) {
    await run.breathe();
    using _scope = t.tensorScope();
    const isClip = options.clipEvery > 0 && step % options.clipEvery === options.clipEvery - 1;
    const count = isClip ? options.clipsPerStep : options.imagesPerStep;
    const frames = isClip ? source.numFrames : 1;
    const base = step * 4096;
    const pixels = Array.from({ length: count }, (_, i) =>
      isClip ? source.clip("train", base + i) : source.image("train", base + i),
    );
    const target = toUnitPixels(device, pixels, [frames, size, size, 3]);
    const loss = stepLoss(model, target, options.part);
    t.backward(loss);
    clipGradNorm(
      trained.map(([, p]) => p),
      1,
    );
    optimizer.step({ lr: learningRate(step, schedule) });
    optimizer.zeroGrad();
    step++;
    lossSum += loss.item();
    lossCount++;
    images += count * frames;
    if (step % 20 === 0 || step === options.numSteps) {
      const rate = images / ((performance.now() - markMs) / 1000);
      run.report({ step, loss: lossSum / lossCount, framesPerS: Math.round(rate) }, `${rate.toFixed(0)} frames/s`);
      [lossSum, lossCount, images, markMs] = [0, 0, 0, performance.now()];
    }
    if (step % options.saveEvery === 0) saveCheckpoint(options.dir, { model, optimizer }, { step });
  }
  saveCheckpoint(options.dir, { model, optimizer }, { step });
  return model;
}

function stepLoss(model: VisualTokenizer, target: Tensor, part: VisualTrainOptions["part"]): Tensor {
  if (part === "all") return reconstructionLoss(model.forward(target), target);
  const codes = t.noGrad(() => model.quantize(model.encodeLatents(target)));
  return squaredError(model.decodeLatents(codes), target);
}

export interface VisualMetrics {
  readonly imagePsnr: number;
  readonly clipPsnr: number;
  /** PSNR of showing the first real frame throughout. */
  readonly staticPsnr: number;
  readonly usedCodes: number;
}

/** Pictures (frames = 1) or clips through the codes and back, in batches; `ids` of all of them in order. */
export function roundTrip(
  model: VisualTokenizer,
  items: readonly Uint8Array[],
  frames: number,
): { readonly pixels: Uint8Array[]; readonly ids: number[] } {
  const { imageSize: size, levels } = model.config;
  const batch = Math.max(1, Math.floor(64 / frames));
  const pixels: Uint8Array[] = [];
  const ids: number[] = [];
  for (let start = 0; start < items.length; start += batch) {
    using _scope = t.tensorScope();
    const some = items.slice(start, start + batch);
    const codes = t.noGrad(() => model.quantize(model.encodeLatents(toUnitPixels(model.device, some, [frames, size, size, 3])))); // prettier-ignore
    for (const id of codesToIds(codes.toArray(), levels)) ids.push(id);
    const bytes = toBytes(t.noGrad(() => model.decodeLatents(codes)).toArray());
    some.forEach((_, i) => pixels.push(bytes.slice(i * some[0]!.length, (i + 1) * some[0]!.length)));
  }
  return { pixels, ids };
}

/** The first frame throughout. */
export function stillOf(clip: Uint8Array, frames: number): Uint8Array {
  const still = new Uint8Array(clip.length);
  for (let f = 0; f < frames; f++) still.set(clip.subarray(0, clip.length / frames), (f * clip.length) / frames);
  return still;
}

export const meanPsnr = (got: readonly Uint8Array[], want: readonly Uint8Array[]): number =>
  got.reduce((sum, g, i) => sum + psnrFromMse(mse(g, want[i]!)), 0) / got.length;

/** On held-out concepts; PSNRs are means of per-item decibels. */
export function measureVisual(
  model: VisualTokenizer,
  source: PixelSource,
  counts: { readonly images: number; readonly clips: number },
): VisualMetrics {
  const images = Array.from({ length: counts.images }, (_, i) => source.image("heldOut", i));
  const clips = Array.from({ length: counts.clips }, (_, i) => source.clip("heldOut", i));
  const { numFrames } = source;
  const [seenImages, seenClips] = [roundTrip(model, images, 1), roundTrip(model, clips, numFrames)];
  const stills = clips.map((clip) => stillOf(clip, numFrames));
  return {
    imagePsnr: meanPsnr(seenImages.pixels, images),
    clipPsnr: meanPsnr(seenClips.pixels, clips),
    staticPsnr: meanPsnr(stills, clips),
    usedCodes: new Set([...seenImages.ids, ...seenClips.ids]).size,
  };
}
