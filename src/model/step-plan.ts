/**
 * What one step of a network launches, without weights or numbers: one layer of each kind runs on a recording device at
 * its true shapes, in the middle of sequences of a given length, and each kind counts as often as the network has it.
 * A group of compressed tokens closes in some steps only, so a decode step is a weighted mean of such steps.
 * Main function: `planStep`.
 */
import { Prng } from "../base/prng.ts";
import type { BufferArg } from "../device/device.ts";
import { RecordingDevice, type DeviceEvent } from "../device/recording.ts";
import { KEY_ANCHOR } from "../kernels/sparse-attention.ts";
import { zeroed } from "../kernels/nd-array.ts";
import * as t from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Chip } from "../tile/chips/types.ts";
import { CSA_RATIO, type V4Config } from "./config.ts";
import type { Rows } from "./rows.ts";
import type { CompressorState, V4State } from "./state.ts";
import { storedAs, weightsOf, type Packed, type Storage } from "./storage.ts";
import { V4 } from "./v4.ts";

export interface StepShape {
  /** Sequences, each with `tokens` new tokens after `context` old ones. */
  readonly batch: number;
  readonly tokens: number;
  readonly context: number;
}

/** One kind of layer, or what comes before and after them. */
export type PartName = "window" | "window, hashed" | "CSA" | "CSA, hashed" | "HCA" | "HCA, hashed" | "ends";

export interface StepPart {
  readonly name: PartName;
  /** Layers of this kind. */
  readonly count: number;
  readonly variants: readonly StepVariant[];
}

/** What happens in one step, in what share of all steps it is this, and what happened right before. */
export interface StepVariant {
  readonly share: number;
  readonly events: readonly DeviceEvent[];
  readonly before: readonly DeviceEvent[];
}

export interface StepPlan {
  readonly config: V4Config;
  readonly shape: StepShape;
  readonly device: RecordingDevice;
  readonly parts: readonly StepPart[];
  /** Checkpoint name of the weight a buffer holds, or was made from. */
  readonly weightNames: ReadonlyMap<unknown, string>;
}

interface Kind {
  readonly name: PartName;
  readonly ratio: number;
  readonly isHash: boolean;
  readonly count: number;
}

function kindsOf(config: V4Config): Kind[] {
  const kinds = new Map<string, Kind>();
  for (let i = 0; i < config.num_hidden_layers; i++) {
    const [ratio, isHash] = [config.compress_ratios[i]!, i < config.num_hash_layers];
    const base = ratio === 0 ? "window" : ratio === CSA_RATIO ? "CSA" : "HCA";
    const name: PartName = isHash ? `${base}, hashed` : base;
    // Hashed kinds come first, as in the network.
    kinds.set(`${name} ${ratio}`, { name, ratio, isHash, count: (kinds.get(`${name} ${ratio}`)?.count ?? 0) + 1 });
  }
  return [...kinds.values()];
}

/** The launches of one card's step; `config` is of what that card computes, `storage` of the file it was loaded from. */
export function planStep(config: V4Config, chip: Chip, shape: StepShape, storage: Storage, packed?: Packed): StepPlan {
  const kinds = kindsOf(config);
  const small: V4Config = {
    ...config,
    num_hidden_layers: kinds.length,
    compress_ratios: kinds.map((k) => k.ratio),
    num_hash_layers: kinds.filter((k) => k.isHash).length,
    num_nextn_predict_layers: 0,
    dspark_block_size: undefined,
  };
  const { name } = chip;
  const device = new RecordingDevice({ name, target: name, numThreads: 1, features: [], chip });
  const model = new V4(device, small, { init: "zeros", dtype: "bf16", packed });
  // Narrow copies of weights are made once, by a first step.
  const weightNames = new Map<unknown, string>(model.namedParameters().map(([key, p]) => [p.data.buffer, key]));
  noteForms(model, storage);
  for (const part of run(model, stateOf(device, model, shape), shape)) nameCopies(part, weightNames);
  device.use = "step";
  const largest = Math.max(1, ...kinds.map((k) => k.ratio));
  const offsets = shape.tokens > 1 ? [0] : [1, CSA_RATIO - 1, largest - 1];
  const steps = offsets.map((offset) => {
    // A position `offset` places into a group of every ratio.
    const context = shape.tokens > 1 ? shape.context : shape.context - (shape.context % largest) + offset;
    return run(model, stateOf(device, model, { ...shape, context }), { ...shape, context });
  });
  const variant = (i: number, share: number, step: number): StepVariant => ({ share, events: steps[step]![i]!, before: steps[step]![i - 1] ?? [] }); // prettier-ignore
  const parts = kinds.map((kind, i): StepPart => {
    const { ratio, count } = kind;
    const closed = ratio === CSA_RATIO ? 1 : 2;
    const variants =
      shape.tokens > 1 || ratio === 0
        ? [variant(i, 1, 0)]
        : [variant(i, 1 - 1 / ratio, 0), variant(i, 1 / ratio, closed)];
    return { name: kind.name, count, variants };
  });
  const ends: StepPart = { name: "ends", count: 1, variants: [variant(kinds.length, 1, 0)] };
  return { config, shape, device, weightNames, parts: [...parts, ends] };
}

/** As if loaded from a file of that form (weights.ts). */
function noteForms(model: V4, storage: Storage): void {
  const parameters = new Map(model.namedParameters());
  for (const w of weightsOf(model.config, { kind: "none" })) {
    const p = parameters.get(w.name);
    if (p && storedAs(w, storage)[0]!.fileDType === "BF16") t.noteHalf(p);
  }
}

/** What a launch makes from a weight alone is known by that weight's name. */
function nameCopies(events: readonly DeviceEvent[], names: Map<unknown, string>): void {
  for (const event of events) {
    if (event.kind !== "launch") continue;
    const { params } = event.program;
    const buffers = params.flatMap((p) => (p.kind === "buffer" ? [{ mode: p.mode, buffer: (event.args[p.name] as BufferArg).buffer }] : [])); // prettier-ignore
    const [source, ...others] = buffers.filter((b) => b.mode === "in").map((b) => names.get(b.buffer));
    if (source === undefined || others.length > 0) continue;
    for (const b of buffers) if (b.mode !== "in") names.set(b.buffer, source);
  }
}

/** Events of each layer, and last those before the first and after the last one. */
function run(model: V4, state: V4State, { batch, tokens }: StepShape): DeviceEvent[][] {
  const device = model.device as RecordingDevice;
  const out: DeviceEvent[][] = [[]];
  const take = (): DeviceEvent[] => device.events.splice(0);
  take();
  using _scope = t.tensorScope();
  const ids = Tensor.from(device, new Int32Array(batch * tokens), [batch, tokens]);
  const { hidden } = t.noGrad(() =>
    model.forward(ids, {
      state,
      onLayer: (i) => void (i === 0 ? out[0]!.push(...take()) : out.push(take())),
      // Which experts, a device without numbers cannot say; how rows sort by them, it computes.
      onRouting: (_layer, { indices }) => {
        const at = device.events.length;
        indices.copyFrom(drawExperts(indices.shape, model.config.n_routed_experts));
        device.events.length = at;
      },
    }),
  );
  const last = t.slice(hidden, 1, tokens - 1, tokens);
  t.noGrad(() => model.logits(last).toArray());
  state.dispose();
  const [before, ...layers] = out;
  return [...layers, [...before!, ...take()]];
}

/**
 * k distinct experts for each row, uniformly; the same draw in every layer. The first draw in which as many different
 * experts are used as in the mean, so that a lucky one makes no step cheap.
 */
function drawExperts(shape: readonly number[], experts: number): Int32Array {
  const mean = Math.round(experts * (1 - (1 - shape[1]! / experts) ** shape[0]!));
  for (let seed = 1; ; seed++) {
    const drawn = drawOnce(shape, experts, seed);
    if (new Set(drawn).size === mean || seed === MOST_DRAWS) return drawn;
  }
}
const MOST_DRAWS = 100;

function drawOnce([rows, k]: readonly number[], experts: number, seed: number): Int32Array {
  const random = new Prng(seed);
  const out = new Int32Array(rows! * k!);
  for (let r = 0; r < rows!; r++) {
    const chosen = new Set<number>();
    while (chosen.size < k!) chosen.add(random.int(experts));
    out.set([...chosen], r * k!);
  }
  return out;
}

/** States in which `context` tokens are done. */
function stateOf(device: RecordingDevice, model: V4, { batch, context }: StepShape): V4State {
  const before = device.use;
  device.use = "state";
  using _scope = t.tensorScope();
  const { config, dtype } = model;
  const state = model.newState(batch, { reserve: context + 128 });
  const fill = (rows: Rows, from: number, to: number, width: number): void => {
    rows.startAt(from);
    if (to > from) rows.append(t.reshape(new Tensor(zeroed(device, [batch, to - from, width], dtype)), [batch, to - from, width])); // prettier-ignore
  };
  const compressed = (part: CompressorState, ratio: number, width: number): void => {
    const from = part.rowsFrom(Math.max(0, context - state.maxDraft));
    for (const rows of [part.kv, part.score]) fill(rows, from, context, ratio === CSA_RATIO ? 2 * width : width);
    fill(part.entries, 0, Math.floor(context / ratio), width);
  };
  state.layers.forEach((layer, i) => {
    const ratio = config.compress_ratios[i]!;
    const oldest = Math.max(0, context - state.maxDraft - config.sliding_window);
    fill(layer.window, oldest - (oldest % KEY_ANCHOR), context, config.head_dim);
    if (ratio > 0) compressed(layer.compressor, ratio, config.head_dim);
    if (ratio === CSA_RATIO) compressed(layer.indexer, ratio, config.index_head_dim);
  });
  state.advance(context);
  device.use = before;
  return state;
}
