/**
 * Trains the V4 network on a stream of token samples: text, pictures and clips in one sequence, one loss.
 * Text targets are scored against the text rows of the output head and visual targets against the visual rows, which
 * is what the engine samples from (engine/modality.ts), and saves most of the head's work.
 * Main function: `trainLanguage`. Recipe: Muon for matrices, AdamW for the rest, z-loss, load-balancing bias.
 */
import { randomBits } from "../base/prng.ts";
import { TesseraError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import type { V4Config } from "../model/config.ts";
import { balanceBias, type Gate } from "../model/moe.ts";
import type { V4 } from "../model/v4.ts";
import { loadCheckpoint, saveCheckpoint, type Json } from "../nn/checkpoint.ts";
import { clipGradNorm, makeOptimizer } from "../nn/optim.ts";
import { learningRate, planOf } from "../nn/schedule.ts";
import { sideInputs } from "../processor/visual.ts";
import type { Vocabulary } from "../processor/vocabulary.ts";
import * as t from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { Batcher, type BatcherState, type MicroBatch, type TokenSample } from "./batching.ts";
import { Run, type RunOptions } from "./run.ts";
import { Trainee } from "./trainee.ts";

export interface LanguageTrainOptions extends RunOptions {
  readonly config: V4Config;
  readonly vocabulary: Vocabulary;
  /** Deterministic by index. */
  readonly sample: (index: number) => TokenSample;
  readonly seed: number;
  readonly tokensPerStep: number;
  readonly tokensPerMicroBatch: number;
  readonly maxLength: number;
  /** Muon's; AdamW gets a third. */
  readonly peakLr: number;
  readonly saveEvery: number;
  /** Fills the weights of a run that has no checkpoint yet. */
  readonly start?: ((model: Trainee) => void) | undefined;
  /** Called after every `sampleEvery`-th step, to write what the model makes so far. */
  readonly sampleEvery?: number;
  readonly onSample?: (model: V4, step: number) => Promise<void> | void;
}

/** Of visual ids on the input side, so that the model learns to go on after its own mistakes. */
const INPUT_NOISE = 0.05;
/** CPU features that make bf16 products faster than f32 ones; activations are bf16 there, weights stay f32. */
const bf16Units: ReadonlySet<string> = new Set(["avx512bf16", "amx-bf16"]);
/** Of activations in training. */
export const activationDType = ({ properties }: Device): "f32" | "bf16" =>
  properties.features.some((f) => bf16Units.has(f)) ? "bf16" : "f32";

/** In a row. */
const MAX_SKIPPED = 5;
const Z_LOSS = 1e-4;
const LOG_EVERY = 10;

interface LossParts {
  text: number;
  visual: number;
  textTokens: number;
  visualTokens: number;
}

export async function trainLanguage(device: Device, options: LanguageTrainOptions): Promise<V4> {
  const { config, numSteps, peakLr } = options;
  const model = new Trainee(device, config, { seed: options.seed, dtype: activationDType(device) });
  const { network } = model;
  const optimizer = makeOptimizer(model.namedParameters(), {
    muon: { weightDecay: 0.05 },
    adamw: { weightDecay: 0 },
    adamwLrScale: 1 / 3,
  });
  const resumed = loadCheckpoint(options.dir, { model, optimizer });
  if (!resumed) options.start?.(model);
  const batcher = new Batcher({ ...options, bucketSize: 32 }, resumed?.extra as BatcherState | undefined);
  using run = new Run(options, resumed?.step ?? 0);
  const schedule = planOf(numSteps, { peak: peakLr, final: 0.03, warmup: 40, decayFrom: 0.6 });
  const save = (step: number): void =>
    void saveCheckpoint(options.dir, { model, optimizer }, { step, extra: batcher.state() as unknown as Json });

  /** A step whose gradient is not finite must not reach the weights; many in a row mean that they are lost already. */
  const refuse = (step: number, inRow: number): void => {
    const bad = model.namedParameters().find(([, p]) => p.grad?.toArray().some((g) => !Number.isFinite(g)));
    const where = `step ${step + 1}: the gradient is not finite (first in ${bad?.[0] ?? "none alone"})`;
    if (inRow > MAX_SKIPPED) throw new TesseraError("train", `${where}, as in the ${inRow - 1} steps before; ${options.dir} keeps the last checkpoint; go on with a lower --lr`); // prettier-ignore
    process.stderr.write(`${where}; skipped\n`);
  };

  let step = resumed?.step ?? 0;
  let skipped = 0;
  let parts = noLoss();
  let tokens = 0;
  let markMs = performance.now();
  while (step < numSteps && !run.shouldStop) {
    await run.breathe();
    const batches = batcher.nextStep(options.tokensPerStep);
    const counts = config.compress_ratios.map(() => new Float64Array(config.n_routed_experts));
    const total = batches.reduce((n, b) => n + numTargets(b), 0);
    for (const batch of batches) {
      using _scope = t.tensorScope();
      const loss = microBatchLoss(model, options, batch, { step, total, parts, counts });
      if (loss) t.backward(loss);
      tokens += batch.length * batch.samples.length;
    }
    const gradNorm = clipGradNorm(model.parameters(), 1);
    if (Number.isFinite(gradNorm)) {
      skipped = 0;
      optimizer.step({ lr: learningRate(step, schedule) });
    } else refuse(step, ++skipped);
    optimizer.zeroGrad();
    network.layers.forEach((layer, i) => balanceBias(layer.ffn.gate as Gate, counts[i]!));
    step++;
    if (step % LOG_EVERY === 0 || step === numSteps) {
      const rate = tokens / ((performance.now() - markMs) / 1000);
      const textLoss = parts.text / Math.max(1, parts.textTokens);
      const visualLoss = parts.visual / Math.max(1, parts.visualTokens);
      const loss = (parts.text + parts.visual) / (parts.textTokens + parts.visualTokens);
      run.report({ step, loss, textLoss, visualLoss, gradNorm, tokensPerS: Math.round(rate) }, `${rate.toFixed(0)} tok/s`); // prettier-ignore
      [parts, tokens, markMs] = [noLoss(), 0, performance.now()];
    }
    if (skipped === 0 && step % options.saveEvery === 0) save(step);
    if (options.sampleEvery && step % options.sampleEvery === 0) {
      const unfold = model.fold();
      await options.onSample?.(network, step);
      unfold();
    }
  }
  save(step);
  model.fold();
  return network;
}

const noLoss = (): LossParts => ({ text: 0, visual: 0, textTokens: 0, visualTokens: 0 });

const numTargets = (batch: MicroBatch): number =>
  batch.samples.reduce((n, s) => n + s.isTarget.subarray(1).reduce((a, b) => a + b, 0), 0);

/** Sum over this micro-batch's targets of their loss, over the step's number of targets. */
export function microBatchLoss(
  model: Trainee,
  options: LanguageTrainOptions,
  batch: MicroBatch,
  state: { step: number; total: number; parts: LossParts; counts: Float64Array[] },
): Tensor | undefined {
  const { vocabulary, config } = options;
  const { startId } = vocabulary.visual;
  const { length } = batch;
  const rows = batch.samples.length * length;
  const ids = new Int32Array(rows).fill(vocabulary.id("<｜▁pad▁｜>"));
  const side = new Int32Array(rows * 4).fill(0);
  const text: { row: number; target: number }[] = [];
  const visual: { row: number; target: number }[] = [];
  batch.samples.forEach((sample, b) => {
    const noisy = withNoise(sample.ids, vocabulary, options.seed + state.step * 131 + b);
    ids.set(noisy, b * length);
    side.set(sideInputs(vocabulary, ids.subarray(b * length, (b + 1) * length)), b * length * 4);
    for (let p = 0; p + 1 < sample.ids.length; p++) {
      if (!sample.isTarget[p + 1]) continue;
      const target = sample.ids[p + 1]!;
      const row = b * length + p;
      if (target >= startId) visual.push({ row, target: target - startId });
      else text.push({ row, target });
    }
  });
  const { network } = model;
  const { device } = network;
  const { hidden } = network.forward(Tensor.from(device, ids, [batch.samples.length, length]), {
    visual: side,
    onRouting: (layer, routing) => {
      for (const e of routing.indices.toArray()) state.counts[layer]![e]!++;
    },
  });
  const flat = t.reshape(hidden, [rows, config.hidden_size]);
  const lossOf = (list: typeof text, head: () => Tensor): Tensor | undefined => {
    if (list.length === 0) return undefined;
    const x = t.embedding(flat, Tensor.from(device, Int32Array.from(list, (r) => r.row), [list.length])); // prettier-ignore
    const targets = Tensor.from(device, Int32Array.from(list, (r) => r.target), [list.length]); // prettier-ignore
    const rowWeights = Tensor.from(device, new Float32Array(list.length).fill(1 / state.total), [list.length]);
    return t.linearCrossEntropy(x, head(), targets, { zLoss: Z_LOSS, rowWeights });
  };
  const textLoss = lossOf(text, () => t.slice(network.head.weight, 0, 0, startId));
  const visualLoss = lossOf(visual, () => model.visualHead());
  if (textLoss) state.parts.text += textLoss.item() * state.total;
  if (visualLoss) state.parts.visual += visualLoss.item() * state.total;
  state.parts.textTokens += text.length;
  state.parts.visualTokens += visual.length;
  return textLoss && visualLoss ? t.add(textLoss, visualLoss) : (textLoss ?? visualLoss);
}

/** A copy in which a few visual codes are others, drawn from (seed, position). */
function withNoise(ids: Int32Array, vocabulary: Vocabulary, seed: number): Int32Array {
  const { startId, numCodes } = vocabulary.visual;
  const out = ids.slice();
  for (let p = 0; p < out.length; p++) {
    if (out[p]! < startId) continue;
    const bits = randomBits(seed, p) >>> 0;
    if (bits < INPUT_NOISE * 2 ** 32) out[p] = startId + ((randomBits(seed ^ 0x5bd1e995, p) >>> 0) % numCodes);
  }
  return out;
}
