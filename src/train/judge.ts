/**
 * Trains the picture judge: batches of pictures, each seen anew (data/judge-data.ts), some of them through the visual
 * tokenizer so that its blur is nothing strange -> cross-entropy over the concepts -> Muon + AdamW.
 * Resumable to the bit: batches depend on (seed, step) only. The network is model/picture-judge.ts.
 * Main functions: `trainJudge`, `measureJudge`, `topRank`.
 */
import { join } from "node:path";
import { Prng, randomBits } from "../base/prng.ts";
import type { Device } from "../device/device.ts";
import { PictureJudge, type PictureJudgeConfig } from "../model/picture-judge.ts";
import type { VisualTokenizer } from "../model/visual-tokenizer.ts";
import { loadCheckpoint, saveCheckpoint } from "../nn/checkpoint.ts";
import { clipGradNorm, makeOptimizer } from "../nn/optim.ts";
import { learningRate, planOf } from "../nn/schedule.ts";
import * as t from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { augmented } from "./data/judge-data.ts";
import { Run, type RunOptions } from "./run.ts";
import { roundTrip, toUnitPixels } from "./visual.ts";

/** Pictures and the row of the judge that names each; implemented over the built data set. */
export interface JudgeSource {
  readonly size: number;
  readonly concepts: readonly string[];
  /** Which pictures are learned from and which are only measured. */
  readonly train: readonly number[];
  readonly heldOut: readonly number[];
  /** 8-bit RGB [size,size,3]. */
  picture(index: number): Uint8Array;
  labelOf(index: number): number;
}

export interface JudgeTrainOptions extends RunOptions {
  readonly seed: number;
  readonly config: Omit<PictureJudgeConfig, "concepts">;
  readonly picturesPerStep: number;
  /** Share of each batch that goes through the visual tokenizer; 0 where there is none. */
  readonly roundTripShare: number;
  readonly peakLr: number;
  readonly saveEvery: number;
}

export async function trainJudge(
  device: Device,
  source: JudgeSource,
  visual: VisualTokenizer | undefined,
  options: JudgeTrainOptions,
): Promise<PictureJudge> {
  const { size, concepts, train } = source;
  const { seed, picturesPerStep, numSteps } = options;
  const judge = new PictureJudge(device, { ...options.config, concepts }, seed);
  const optimizer = makeOptimizer(judge.namedParameters(), {
    muon: { weightDecay: 0.02 },
    adamw: { beta2: 0.99, eps: 1e-10, weightDecay: 0.02 },
    adamwLrScale: 0.5,
  });
  const start = loadCheckpoint(options.dir, { model: judge, optimizer })?.step ?? 0;
  using run = new Run(options, start);
  const numRoundTrips = visual ? Math.round(picturesPerStep * options.roundTripShare) : 0;
  const schedule = planOf(numSteps, { peak: options.peakLr, final: 0.02, warmup: 50, decayFrom: 0.4 });

  let step = start;
  let lossSum = 0;
  let lossCount = 0;
  let markMs = performance.now();
  while (step < numSteps && !run.shouldStop) {
    await run.breathe();
    using _scope = t.tensorScope();
    const drawn = Array.from({ length: picturesPerStep }, (_, i) => {
      const random = new Prng(randomBits(seed, step * picturesPerStep + i));
      const index = train[random.int(train.length)]!;
      return { label: source.labelOf(index), pixels: augmented(source.picture(index), size, random) };
    });
    const pixels = drawn.map((d) => d.pixels);
    if (numRoundTrips > 0) pixels.splice(0, numRoundTrips, ...roundTrip(visual!, pixels.slice(0, numRoundTrips), 1).pixels); // prettier-ignore
    const labels = Tensor.from(device, Int32Array.from(drawn, (d) => d.label), [picturesPerStep]); // prettier-ignore
    const loss = t.crossEntropy(judge.forward(toUnitPixels(device, pixels, [size, size, 3])), labels);
    t.backward(loss);
    clipGradNorm(judge.parameters(), 1);
    optimizer.step({ lr: learningRate(step, schedule) });
    optimizer.zeroGrad();
    step++;
    lossSum += loss.item();
    lossCount++;
    if (step % 20 === 0 || step === numSteps) {
      const rate = (lossCount * picturesPerStep) / ((performance.now() - markMs) / 1000);
      run.report({ step, loss: lossSum / lossCount, picturesPerS: Math.round(rate) }, `${rate.toFixed(0)} pictures/s`);
      [lossSum, lossCount, markMs] = [0, 0, performance.now()];
    }
    if (step % options.saveEvery === 0) saveCheckpoint(options.dir, { model: judge, optimizer }, { step });
  }
  saveCheckpoint(options.dir, { model: judge, optimizer }, { step });
  return judge;
}

/** Place of the right concept in the judge's order, 0 for the first; equal scores count against it. */
export function ranksOf(
  judge: PictureJudge,
  pictures: readonly Uint8Array[],
  size: number,
  labels: readonly number[],
): number[] {
  // prettier-ignore
  const device = judge.head.weight.device;
  const k = judge.config.concepts.length;
  const out: number[] = [];
  const batch = 32;
  for (let start = 0; start < pictures.length; start += batch) {
    using _scope = t.tensorScope();
    const some = pictures.slice(start, start + batch);
    const logits = t.noGrad(() => judge.forward(toUnitPixels(device, some, [size, size, 3])).toArray());
    some.forEach((_, i) => {
      const row = logits.subarray(i * k, (i + 1) * k) as Float32Array;
      const right = row[labels[start + i]!]!;
      out.push(row.reduce((n, x) => n + (x < right ? 0 : 1), -1));
    });
  }
  return out;
}

export interface JudgeAccuracy {
  readonly n: number;
  readonly top1: number;
  readonly top5: number;
}

export function accuracyOf(ranks: readonly number[]): JudgeAccuracy {
  const share = (k: number): number => ranks.filter((r) => r < k).length / ranks.length;
  return { n: ranks.length, top1: share(1), top5: share(5) };
}

export interface JudgeMetrics {
  /** Pictures of concepts it knows in a style it did not see of them, as they are and through the tokenizer. */
  readonly unseen: JudgeAccuracy;
  readonly unseenRoundTrip?: JudgeAccuracy;
  /** As many pictures it learned from. */
  readonly seen: JudgeAccuracy;
}

export function measureJudge(
  judge: PictureJudge,
  source: JudgeSource,
  visual: VisualTokenizer | undefined,
  maxCount = Infinity,
): JudgeMetrics {
  // prettier-ignore
  const { size, train } = source;
  const unseen = source.heldOut.slice(0, maxCount);
  const seen = unseen.map((_, i) => train[Math.floor((i * train.length) / unseen.length)]!);
  const read = (list: readonly number[]): Uint8Array[] => list.map((i) => source.picture(i));
  const measure = (list: readonly number[], pictures: readonly Uint8Array[]): JudgeAccuracy =>
    accuracyOf(ranksOf(judge, pictures, size, list.map((i) => source.labelOf(i)))); // prettier-ignore
  return {
    unseen: measure(unseen, read(unseen)),
    ...(visual && { unseenRoundTrip: measure(unseen, roundTrip(visual, read(unseen), 1).pixels) }),
    seen: measure(seen, read(seen)),
  };
}

export const JUDGE_FILE = "judge.safetensors";
export const judgeDir = (runDir: string): string => join(runDir, "judge");
/** What pack puts beside the model. */
export const judgeFile = (runDir: string): string => join(judgeDir(runDir), JUDGE_FILE);
