/**
 * A training step of the network beside the same network in PyTorch (transformers' DeepSeek-V4), in turns in one run.
 * A step is forward, cross-entropy over the whole vocabulary, backward, clipping and the optimizer, on one batch of random
 * ids. Ours runs with AdamW, which is what PyTorch runs, and with the optimizer of our recipe, Muon, which does more.
 * Main functions: `benchTrain`, `flopPerToken`.
 */
import { DeviceError } from "../src/base/errors.ts";
import { randomBits } from "../src/base/prng.ts";
import { openCpu } from "../src/device/cpu/cpu-device.ts";
import { openRuntime } from "../src/device/cpu/runtime.ts";
import type { Device } from "../src/device/device.ts";
import { configFor, CSA_RATIO, sizesOf, type V4Config } from "../src/model/config.ts";
import { V4 } from "../src/model/v4.ts";
import { clipGradNorm, makeOptimizer, type Optimizer } from "../src/nn/optim.ts";
import { vocabularies } from "../src/processor/vocabulary.ts";
import * as t from "../src/tensor/ops.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { activationDType } from "../src/train/language.ts";
import { shippedConfig } from "../src/train/recipes.ts";
import { measurePeak, type Peak } from "./peak.ts";
import { timeOf, timingOf, type StepTime } from "./timing.ts";
import { openTorch } from "./torch.ts";

/** Without visual ids, which transformers does not know: text tokens only, over the whole vocabulary. */
export const trainConfigs = {
  nano: (): V4Config => ({ ...configFor("nano", vocabularies.nano), visual: undefined }),
  mini: (): V4Config => ({ ...configFor("mini", vocabularies.mini), visual: undefined }),
  shipped: (): V4Config => ({ ...shippedConfig(), visual: undefined }),
} as const;
export type TrainConfigName = keyof typeof trainConfigs;

export interface TrainBenchOptions {
  readonly config: TrainConfigName;
  readonly batch: number;
  readonly length: number;
  /** Turns of each contender, and steps a turn. */
  readonly rounds: number;
  readonly steps: number;
  readonly python: string;
  readonly torchDType: "bfloat16" | "float32";
}
export interface TrainRow {
  readonly name: string;
  readonly optimizer: string;
  readonly dtype: string;
  readonly bestTokensPerS: number;
  readonly medianTokensPerS: number;
  /** By processor time: what an otherwise idle machine would do. */
  readonly byCpuTokensPerS: number;
  /** Model FLOP/s over the peak of the activations' type, by the same clock. */
  readonly ofPeak: number;
  readonly byCpuOfPeak: number;
  /** After the last step; each began with its own random weights. */
  readonly loss: number;
}
export interface TrainReport {
  readonly config: TrainConfigName;
  readonly batch: number;
  readonly length: number;
  readonly numThreads: number;
  readonly parameters: number;
  readonly flopPerToken: number;
  readonly peak: Peak;
  readonly rows: readonly TrainRow[];
  /** Versions, or why there is no peer. */
  readonly torch: string;
}

/**
 * Multiply-adds of the matrices that one token meets and of its scores and sums of values, two operations each; the
 * backward pass costs twice the forward one, but the indexer's scores pass no gradient. Norms, rotations and streams are
 * not counted, and neither is what an implementation computes only to mask it.
 */
export function flopPerToken(c: V4Config, length: number): number {
  const mean = (f: (seen: number) => number): number =>
    Array.from({ length }, (_, p) => f(p + 1)).reduce((a, b) => a + b, 0) / length;
  const heads = c.num_attention_heads * c.head_dim;
  let [attention, indexer] = [0, 0];
  for (const ratio of c.compress_ratios.slice(0, c.num_hidden_layers)) {
    const entries = (seen: number): number => (ratio === 0 ? 0 : Math.floor(seen / ratio));
    const chosen = (seen: number): number =>
      ratio === CSA_RATIO ? Math.min(entries(seen), c.index_topk) : entries(seen);
    attention += 2 * heads * mean((seen) => Math.min(seen, c.sliding_window) + chosen(seen));
    if (ratio === CSA_RATIO) indexer += c.index_n_heads * c.index_head_dim * mean(entries);
  }
  return 6 * (sizesOf(c).active + attention) + 2 * indexer;
}

/** One model under two optimizers; a step of either costs the same whatever the weights are. */
class OurStep {
  readonly dtype: "f32" | "bf16";
  readonly parameters: number;
  private readonly model: V4;
  private readonly ids: Int32Array;
  private readonly shape: readonly [number, number];
  readonly optimizers: Readonly<Record<"AdamW" | "Muon and AdamW", Optimizer>>;

  constructor(device: Device, config: V4Config, [batch, length]: readonly [number, number]) {
    this.dtype = activationDType(device);
    this.model = new V4(device, config, { seed: 1, dtype: this.dtype });
    this.shape = [batch, length];
    this.ids = Int32Array.from({ length: batch * length }, (_, i) => (randomBits(1, i) >>> 0) % config.vocab_size);
    const named = [...this.model.namedParameters()];
    this.parameters = named.reduce((sum, [, p]) => sum + (p.requiresGrad ? p.size : 0), 0);
    this.optimizers = {
      AdamW: makeOptimizer(named, { isMuon: () => false }),
      "Muon and AdamW": makeOptimizer(named, { adamwLrScale: 1 / 3 }),
    };
  }

  run(optimizer: Optimizer): number {
    using _scope = t.tensorScope();
    const { model, ids, shape } = this;
    const { device } = model;
    const rows = ids.length;
    // Each position speaks about the next; the last of a sequence about none.
    const next = ids.map((_, i) => ((i + 1) % shape[1] === 0 ? -100 : ids[i + 1]!));
    const { hidden } = model.forward(Tensor.from(device, ids, shape));
    const flat = t.reshape(hidden, [rows, model.config.hidden_size]);
    const loss = t.linearCrossEntropy(flat, model.head.weight, Tensor.from(device, next, [rows]));
    t.backward(loss);
    clipGradNorm(model.parameters(), 1);
    optimizer.step({ lr: 1e-4 });
    optimizer.zeroGrad();
    return loss.item();
  }
}

interface Contender {
  readonly name: string;
  readonly optimizer: string;
  readonly dtype: string;
  readonly run: (steps: number) => Promise<{ readonly times: StepTime[]; readonly loss: number }>;
}

export async function benchTrain(options: TrainBenchOptions): Promise<TrainReport> {
  const [device, runtime] = [openCpu(), openRuntime()];
  if (!device || !runtime)
    throw new DeviceError("bench train: expected a C++ compiler, found none", { backend: "cpu" });
  const { batch, length, python } = options;
  const config = trainConfigs[options.config]();
  const { numThreads } = device.properties;
  const peak = measurePeak(runtime, numThreads);
  const ours = new OurStep(device, config, [batch, length]);
  const peer = await openTorch({ python, config, batch, length, threads: numThreads, dtype: options.torchDType });
  const torch = "reason" in peer ? undefined : peer;
  const contenders: Contender[] = Object.entries(ours.optimizers).map(([name, optimizer]) => ({
    name: "ours",
    optimizer: name,
    dtype: ours.dtype,
    run: (steps) => {
      let loss = NaN;
      const times = Array.from({ length: steps }, () => timeOf(() => void (loss = ours.run(optimizer))));
      return Promise.resolve({ times, loss });
    },
  }));
  if (torch) contenders.push({ name: "PyTorch", optimizer: "AdamW", dtype: options.torchDType, run: torch.run });
  const times = contenders.map(() => [] as StepTime[]);
  const losses = contenders.map(() => NaN);
  try {
    if (torch && torch.parameters !== ours.parameters)
      throw new DeviceError(`bench train: expected the same network, got ${ours.parameters} parameters of ours and ${torch.parameters} of PyTorch's`, { backend: "cpu" }); // prettier-ignore
    for (const { run } of contenders) await run(1); // kernels are built, memory is found
    for (let round = 0; round < options.rounds; round++)
      for (const [i, { run }] of contenders.entries()) {
        const block = await run(options.steps);
        times[i]!.push(...block.times);
        losses[i] = block.loss;
      }
  } finally {
    torch?.close();
  }

  const flop = flopPerToken(config, length);
  const rows = contenders.map(({ name, optimizer, dtype }, i): TrainRow => {
    const { bestMs, medianMs, cpuMs } = timingOf(times[i]!);
    const perS = (ms: number): number => (batch * length) / (ms / 1000);
    const byCpu = perS(cpuMs) * numThreads;
    const roof = peak[dtype === "bf16" || dtype === "bfloat16" ? "bf16" : "f32"];
    return {
      name,
      optimizer,
      dtype,
      bestTokensPerS: perS(bestMs),
      medianTokensPerS: perS(medianMs),
      byCpuTokensPerS: byCpu,
      ofPeak: (perS(bestMs) * flop) / roof.wall,
      byCpuOfPeak: (byCpu * flop) / roof.cpu,
      loss: losses[i]!,
    };
  });
  return {
    config: options.config,
    batch,
    length,
    numThreads,
    parameters: ours.parameters,
    flopPerToken: flop,
    peak,
    rows,
    torch: "reason" in peer ? peer.reason : `torch ${peer.torch}, transformers ${peer.transformers}`,
  };
}
