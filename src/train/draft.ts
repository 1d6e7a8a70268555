/**
 * Teaches a finished network an MTP module, for drafts (engine/speculate.ts). The network stays as it is, so its answers
 * do: only the module learns, from the network's streams, to say what the network will say. It is right when it has the
 * network's own choice, so that is its target, not the data's; a second turn reads its own streams, as a second draft does.
 * It starts as one more of the network's last layers.
 * Main functions: `withMtp`, `trainDraft`. Source: DeepSeek-V3 report (arXiv:2412.19437), section 2.2; the targets are ours.
 */
import { MtpModule } from "../model/mtp.ts";
import { V4 } from "../model/v4.ts";
import { loadCheckpoint, saveCheckpoint, type Json } from "../nn/checkpoint.ts";
import { clipGradNorm, makeOptimizer } from "../nn/optim.ts";
import { learningRate, planOf } from "../nn/schedule.ts";
import { sideInputs } from "../processor/visual.ts";
import type { Vocabulary } from "../processor/vocabulary.ts";
import * as t from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { Batcher, type BatcherState, type MicroBatch, type TokenSample } from "./batching.ts";
import { Run, type RunOptions } from "./run.ts";

export interface DraftTrainOptions extends RunOptions {
  readonly vocabulary: Vocabulary;
  /** Deterministic by index. */
  readonly sample: (index: number) => TokenSample;
  readonly tokensPerStep: number;
  readonly tokensPerMicroBatch: number;
  readonly maxLength: number;
  /** Muon's; AdamW gets a third. */
  readonly peakLr: number;
  readonly saveEvery: number;
}

/** What the loss of the i-th turn counts. */
const TURNS = [1, 0.5] as const;
const LOG_EVERY = 10;

/** The same network with an MTP module beside it, whose layer starts as the network's last one. */
export function withMtp(base: V4, dtype: "f32" | "bf16" = base.dtype): V4 {
  const { config, device } = base;
  const ratios = [...config.compress_ratios.slice(0, config.num_hidden_layers), 0];
  const out = new V4(device, { ...config, compress_ratios: ratios, num_nextn_predict_layers: 1 }, { seed: 1, dtype });
  const from = new Map(base.namedParameters());
  const last = `layers.${config.num_hidden_layers - 1}.`;
  for (const [name, p] of out.namedParameters()) {
    const own = name.replace("mtp.0.", "");
    const source = from.get(name) ?? from.get(last + own) ?? from.get(own);
    if (source !== undefined && source.shape.join() === p.shape.join()) p.copyFrom(source.toArray());
    else if (/(e|h)_proj/.test(name)) p.copyFrom(identity(config.hidden_size));
  }
  return out;
}

function identity(n: number): Float32Array {
  const out = new Float32Array(n * n);
  for (let i = 0; i < n; i++) out[i * n + i] = 1;
  return out;
}

export interface DraftMetrics {
  /** Of the network's choices in text, how many a first and a second draft had; over the last logged steps. */
  readonly agreement: readonly number[];
}

/** Trains `network.mtp[0]`; everything else is left as it is. */
export async function trainDraft(
  network: V4,
  options: DraftTrainOptions,
): Promise<DraftMetrics & { readonly isDone: boolean }> {
  const { numSteps, peakLr } = options;
  const model = network.mtp[0] as MtpModule;
  const learned = new Set(model.parameters());
  for (const p of network.parameters()) p.requiresGrad = learned.has(p);
  const optimizer = makeOptimizer(model.namedParameters(), {
    muon: { weightDecay: 0.05 },
    adamw: { weightDecay: 0 },
    adamwLrScale: 1 / 3,
  });
  const resumed = loadCheckpoint(options.dir, { model, optimizer });
  const batcher = new Batcher({ ...options, bucketSize: 32 }, resumed?.extra as BatcherState | undefined);
  using run = new Run(options, resumed?.step ?? 0);
  const schedule = planOf(numSteps, { peak: peakLr, final: 0.03, warmup: 20, decayFrom: 0.4 });
  const save = (step: number): void =>
    void saveCheckpoint(options.dir, { model, optimizer }, { step, extra: batcher.state() as unknown as Json });
  let step = resumed?.step ?? 0;
  let counts = newCounts();
  let metrics: DraftMetrics = { agreement: [] };
  let tokens = 0;
  let markMs = performance.now();
  while (step < numSteps && !run.shouldStop) {
    await run.breathe();
    const batches = batcher.nextStep(options.tokensPerStep);
    const total = batches.reduce((n, b) => n + b.samples.reduce((m, s) => m + targetsOf(s, 0, options).length, 0), 0);
    for (const batch of batches) {
      using _scope = t.tensorScope();
      const loss = draftLoss(network, batch, options, { total, counts });
      if (loss) t.backward(loss);
      tokens += batch.length * batch.samples.length;
    }
    // A step whose gradient is not finite must not reach the weights.
    if (Number.isFinite(clipGradNorm(model.parameters(), 1))) optimizer.step({ lr: learningRate(step, schedule) });
    else process.stderr.write(`step ${step + 1}: the gradient is not finite; skipped\n`);
    optimizer.zeroGrad();
    step++;
    if (step % LOG_EVERY === 0 || step === numSteps) {
      const rate = tokens / ((performance.now() - markMs) / 1000);
      const agreement = counts.map((c) => c.right / Math.max(1, c.all));
      const [first = 0, second = 0] = agreement;
      run.report({ step, loss: counts[0]!.loss / Math.max(1, counts[0]!.all), first, second, tokensPerS: Math.round(rate) }, `${rate.toFixed(0)} tok/s, ${(100 * first).toFixed(1)} % agree`); // prettier-ignore
      metrics = { agreement };
      [counts, tokens, markMs] = [newCounts(), 0, performance.now()];
    }
    if (step % options.saveEvery === 0) save(step);
  }
  save(step);
  return { ...metrics, isDone: step === numSteps };
}

interface Count {
  loss: number;
  all: number;
  right: number;
}
const newCounts = (): Count[] => TURNS.map(() => ({ loss: 0, all: 0, right: 0 }));

/** Positions p of a sample at which turn i has a target: the text of answers, i + 2 tokens on. */
function targetsOf({ ids, isTarget }: TokenSample, turn: number, { vocabulary }: DraftTrainOptions): number[] {
  const out: number[] = [];
  for (let p = turn; p + 2 < ids.length; p++)
    if (isTarget[p + 2] && ids[p + 2]! < vocabulary.visual.startId) out.push(p);
  return out;
}

function draftLoss(
  network: V4,
  batch: MicroBatch,
  options: DraftTrainOptions,
  { total, counts }: { readonly total: number; readonly counts: readonly Count[] },
): Tensor | undefined {
  const { vocabulary } = options;
  const { device, config } = network;
  const { length } = batch;
  const pad = vocabulary.id("<｜▁pad▁｜>");
  const shape = [batch.samples.length, length] as const;
  const read = (shift: number): { ids: Tensor; visual: Int32Array } => {
    const ids = new Int32Array(shape[0] * length).fill(pad);
    const visual = new Int32Array(shape[0] * length * 4);
    batch.samples.forEach((sample, b) => {
      const all = new Int32Array(length + shift).fill(pad);
      all.set(sample.ids);
      ids.set(all.subarray(shift), b * length);
      visual.set(sideInputs(vocabulary, all).subarray(shift * 4), b * length * 4);
    });
    return { ids: Tensor.from(device, ids, shape), visual };
  };
  const [now, next] = [read(0), read(1)];
  const trunk = t.noGrad(() => network.forward(now.ids, now));
  const rowsOf = (x: Tensor, rows: readonly number[]): Tensor =>
    t.embedding(t.reshape(x, [shape[0] * length, config.hidden_size]), Tensor.from(device, Int32Array.from(rows), [rows.length])); // prettier-ignore
  const head = t.slice(network.head.weight, 0, 0, vocabulary.visual.startId);
  const choices = (hidden: Tensor, rows: readonly number[]): Int32Array =>
    t.noGrad(() => argmaxRows(t.linear(t.cast(rowsOf(hidden, rows), "f32"), head)));
  let streams = trunk.streams;
  let loss: Tensor | undefined;
  for (const [turn, weight] of TURNS.entries()) {
    const out = network.mtpForward(streams, next.ids, { visual: next.visual });
    const rows = batch.samples.flatMap((s, b) => targetsOf(s, turn, options).map((p) => b * length + p));
    if (rows.length === 0) return loss;
    const targets = choices(trunk.hidden, rows.map((r) => r + 1)); // prettier-ignore
    const guesses = choices(out.hidden, rows);
    const rowWeights = Tensor.from(device, new Float32Array(rows.length).fill(weight / total), [rows.length]);
    const own = t.linearCrossEntropy(rowsOf(out.hidden, rows), head, Tensor.from(device, targets, [rows.length]), { rowWeights }); // prettier-ignore
    const count = counts[turn]!;
    count.loss += (own.item() * total) / weight;
    count.all += rows.length;
    count.right += guesses.filter((id, i) => id === targets[i]).length;
    loss = loss === undefined ? own : t.add(loss, own);
    streams = shifted(out.streams, shape);
  }
  return loss;
}

/** Row p gets the streams of row p - 1: a second draft stands one position further on. */
function shifted(streams: Tensor, [batch, length]: readonly [number, number]): Tensor {
  const [rows, n, d] = streams.shape as [number, number, number];
  const x = t.reshape(streams, [batch, length, n * d]);
  return t.reshape(t.concat([t.slice(x, 1, 0, 1), t.slice(x, 1, 0, length - 1)], 1), [rows, n, d]);
}

function argmaxRows(logits: Tensor): Int32Array {
  const [rows, width] = logits.shape as [number, number];
  const all = logits.toArray() as Float32Array;
  return Int32Array.from({ length: rows }, (_, r) => {
    let best = r * width;
    for (let i = best + 1; i < (r + 1) * width; i++) if (all[i]! > all[best]!) best = i;
    return best - r * width;
  });
}
