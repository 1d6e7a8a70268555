/**
 * A token's cost by the length of what came before it, on V4-Flash's schedule of layers (43: two window layers, then light
 * and heavy compression in turn) with small widths. The long states are synthetic: random rows of the right shapes, as many
 * as a sequence of that length has, so that a decode step reads and selects what it would. Beside them one real prefill
 * in chunks shows what memory a chunk takes. Main function: `benchContext`.
 */
import { DeviceError } from "../src/base/errors.ts";
import { openCpu } from "../src/device/cpu/cpu-device.ts";
import type { Device, DeviceBuffer, DeviceProperties } from "../src/device/device.ts";
import { PlanningDevice } from "../src/device/planning.ts";
import { CSA_RATIO, makeConfig, sizesOf, type V4Config } from "../src/model/config.ts";
import { kvBytesPerToken } from "../src/model/kv-bytes.ts";
import { KEY_ANCHOR } from "../src/kernels/sparse-attention.ts";
import type { Rows } from "../src/model/rows.ts";
import type { CompressorState, V4State } from "../src/model/state.ts";
import { V4 } from "../src/model/v4.ts";
import * as t from "../src/tensor/ops.ts";
import { cast, randn, Tensor } from "../src/tensor/ops.ts";
import { activationDType } from "../src/train/language.ts";
import { takeTurns } from "./timing.ts";

const CONTEXTS = { "8K": 2 ** 13, "64K": 2 ** 16, "256K": 2 ** 18, "1M": 2 ** 20 } as const;
type ContextName = keyof typeof CONTEXTS;
const names = Object.keys(CONTEXTS) as readonly ContextName[];

/** As in V4-Flash: window 128, ratios 4 and 128, index keys a quarter as wide as entries. */
const benchConfig = (): V4Config =>
  makeConfig("mini", {
    vocab_size: 4096,
    hidden_size: 512,
    num_hidden_layers: 43,
    compress_ratios: [0, 0, ...Array.from({ length: 20 }, () => [CSA_RATIO, 128]).flat(), CSA_RATIO],
    num_attention_heads: 8,
    head_dim: 128,
    q_lora_rank: 256,
    o_lora_rank: 256,
    n_routed_experts: 6,
    num_experts_per_tok: 4,
    moe_intermediate_size: 512,
    max_position_embeddings: 2 ** 20 + 128,
  });

export interface ContextBenchOptions {
  /** Decode steps of each context. */
  readonly rounds: number;
  /** Tokens of the real prefill, and of each of its chunks. */
  readonly prefill: number;
  readonly chunk: number;
}
export interface ContextRow {
  readonly context: ContextName;
  readonly tokens: number;
  readonly state: "synthetic: random rows of the right shapes";
  readonly bestMsPerToken: number;
  readonly medianMsPerToken: number;
  /** By processor time over all threads. */
  readonly cpuMsPerToken: number;
  readonly stateBytes: number;
}
export interface PrefillRow {
  /** Tokens after the chunk. */
  readonly tokens: number;
  readonly ms: number;
  /** Most memory at once beyond weights and state. */
  readonly peakBytes: number;
  readonly stateBytes: number;
}
export interface ContextReport {
  readonly layers: number;
  readonly dtype: string;
  readonly numThreads: number;
  readonly parameters: number;
  readonly activeParameters: number;
  readonly kvBytesPerToken: number;
  readonly chunk: number;
  readonly contexts: readonly ContextRow[];
  /** Time per token at 1M over that at 8K, by the best step and by processor time. */
  readonly ratio: { readonly best: number; readonly cpu: number };
  readonly prefill: readonly PrefillRow[];
}

export async function benchContext({ rounds, prefill, chunk }: ContextBenchOptions): Promise<ContextReport> {
  const cpu = openCpu();
  if (!cpu) throw new DeviceError("bench context: expected a C++ compiler", { backend: "cpu" });
  const config = benchConfig();
  const dtype = activationDType(cpu);
  await cpu.prepare(`bench context ${dtype} ${chunk} ${JSON.stringify(config)}`, () => plan(config, dtype, chunk, cpu.properties), () => {}); // prettier-ignore
  const meter = new Meter(cpu);
  const model = new V4(meter.device, config, { dtype, seed: 1 });
  const [sizes, perToken] = [sizesOf(config), kvBytesPerToken(config, dtype)];
  const rows = prefillRows(model, meter, prefill, chunk);
  const contexts = decodeRows(model, rounds);
  const [short, long] = [contexts[0]!, contexts[contexts.length - 1]!];
  return {
    layers: config.num_hidden_layers,
    dtype,
    numThreads: cpu.properties.numThreads,
    parameters: sizes.total,
    activeParameters: sizes.active,
    kvBytesPerToken: perToken,
    chunk,
    contexts,
    ratio: { best: long.bestMsPerToken / short.bestMsPerToken, cpu: long.cpuMsPerToken / short.cpuMsPerToken },
    prefill: rows,
  };
}

function step(model: V4, state: V4State, tokens: number): void {
  using _scope = t.tensorScope();
  const ids = Int32Array.from({ length: tokens }, (_, i) => (state.length + i * 7 + 1) % model.config.vocab_size);
  const { hidden } = t.noGrad(() => model.forward(Tensor.from(model.device, ids, [1, tokens]), { state }));
  t.noGrad(() => model.logits(t.slice(hidden, 1, tokens - 1, tokens)).toArray());
}

/** Every step of the benchmark on a device that only lists its kernels. */
function plan(
  config: V4Config,
  dtype: "f32" | "bf16",
  chunk: number,
  properties: DeviceProperties,
): PlanningDevice["programs"] {
  // prettier-ignore
  const device = new PlanningDevice(properties);
  const model = new V4(device, config, { dtype, init: "zeros" });
  for (const tokens of [8192, 2 ** 20]) {
    const state = synthetic(model, tokens);
    for (const n of [1, chunk]) step(model, state, n);
  }
  const state = model.newState();
  for (let i = 0; i < 3; i++) step(model, state, chunk);
  return device.programs;
}

/** One real sequence in chunks; memory beyond weights and state by chunk. */
function prefillRows(model: V4, meter: Meter, length: number, chunk: number): PrefillRow[] {
  const state = model.newState();
  const rows: PrefillRow[] = [];
  while (state.length < length) {
    const before = meter.restart();
    const start = performance.now();
    const bytes = state.sizeBytes;
    step(model, state, Math.min(chunk, length - state.length));
    const grown = state.sizeBytes - bytes;
    rows.push({
      tokens: state.length,
      ms: performance.now() - start,
      peakBytes: meter.peak - before - grown,
      stateBytes: state.sizeBytes,
    });
  }
  state.dispose();
  return rows;
}

/** Single tokens in turns over all contexts; each is taken back, so that the length stays. */
function decodeRows(model: V4, rounds: number): ContextRow[] {
  const states = new Map(names.map((name) => [name, synthetic(model, CONTEXTS[name])]));
  const runs = Object.fromEntries(
    names.map((name) => [
      name,
      (): void => {
        const state = states.get(name)!;
        step(model, state, 1);
        state.rollback(CONTEXTS[name]);
      },
    ]),
  ) as Record<ContextName, () => void>;
  const times = takeTurns(runs, { rounds, repeats: 1 });
  return names.map((name) => ({
    context: name,
    tokens: CONTEXTS[name],
    state: "synthetic: random rows of the right shapes",
    bestMsPerToken: times[name].bestMs,
    medianMsPerToken: times[name].medianMs,
    cpuMsPerToken: times[name].cpuMs,
    stateBytes: states.get(name)!.sizeBytes,
  }));
}

/** Random rows are drawn once per width and repeated. */
const DRAWN = 4096;

/** A state of `length` tokens that no tokens made. */
function synthetic(model: V4, length: number): V4State {
  const { config, device, dtype } = model;
  const state = model.newState(1, { reserve: length + 128 });
  using _scope = t.tensorScope();
  const drawn = new Map<number, Tensor>();
  const draw = (width: number): Tensor => {
    const known = drawn.get(width) ?? cast(randn(device, [1, DRAWN, width], { seed: width }), dtype);
    drawn.set(width, known);
    return known;
  };
  const fill = (rows: Rows, from: number, to: number, width: number): void => {
    rows.startAt(from);
    for (let at = from; at < to; at += DRAWN) rows.append(t.slice(draw(width), 1, 0, Math.min(DRAWN, to - at)));
  };
  const compressed = (part: CompressorState, ratio: number, width: number): void => {
    const from = part.rowsFrom(length - state.maxDraft);
    for (const rows of [part.kv, part.score]) fill(rows, from, length, ratio === CSA_RATIO ? 2 * width : width);
    fill(part.entries, 0, Math.floor(length / ratio), width);
  };
  state.layers.forEach((layer, i) => {
    const ratio = config.compress_ratios[i]!;
    const oldest = length - state.maxDraft - config.sliding_window;
    fill(layer.window, oldest - (oldest % KEY_ANCHOR), length, config.head_dim);
    if (ratio > 0) compressed(layer.compressor, ratio, config.head_dim);
    if (ratio === CSA_RATIO) compressed(layer.indexer, ratio, config.index_head_dim);
  });
  state.advance(length);
  return state;
}

/** The device, and how much of its memory is in use. */
class Meter {
  readonly device: Device;
  peak = 0;
  private live = 0;

  constructor(inner: Device) {
    const device: Device = Object.assign(Object.create(inner) as Device, {
      alloc: (sizeBytes: number): DeviceBuffer => {
        this.live += sizeBytes;
        this.peak = Math.max(this.peak, this.live);
        return inner.alloc.call(device, sizeBytes);
      },
      free: (buffer: DeviceBuffer): void => {
        this.live -= buffer.sizeBytes;
        inner.free(buffer);
      },
    });
    this.device = device;
  }
  /** Begins a new peak; returns what is in use. */
  restart(): number {
    return (this.peak = this.live);
  }
}
