/**
 * What a whole decode or prefill step of a network costs on N cards of a chip, as our kernels are today: the launches of
 * one card from step-plan.ts through the cost model, and what the cards tell each other. Beside it the floor.
 * Cards: attention, the shared expert and the head are cut into `tensor` parts, routed experts are spread over the same
 * cards; what does not divide is copied into `replicas` that share the batch. The indexer, the latents and the router are
 * on every card. Two all-reduces a layer. Main function: `stepCost`.
 */
import { dtypes } from "../base/dtype.ts";
import type { BufferArg } from "../device/device.ts";
import type { DeviceEvent, RecordedBuffer } from "../device/recording.ts";
import type { Chip } from "../tile/chips/types.ts";
import { costOf, type Cost, type Limit } from "../tile/cost.ts";
import { assumptions, linkRate } from "../tile/cost-table.ts";
import type { TileProgram } from "../tile/ir.ts";
import { exactly, over, plus, rangeOf, scaled, type Range } from "../tile/range.ts";
import type { Launch } from "../tile/traffic.ts";
import type { V4Config } from "./config.ts";
import { floorOf, weightFormatOf, type Floor } from "./step-floor.ts";
import { planStep, type StepPlan, type StepShape } from "./step-plan.ts";
import type { Storage } from "./storage.ts";
import { packedIn, type WeightForm } from "./weight-form.ts";

export interface KernelRow {
  /** Of the kernel, and of the weight it reads if any. */
  readonly name: string;
  readonly launches: number;
  readonly seconds: Range;
  readonly bytes: number;
  readonly ops: number;
  /** What bounds the most of its time. */
  readonly limit: Limit | "queue";
}

export interface StepCost {
  readonly shape: StepShape;
  readonly cards: number;
  readonly tensor: number;
  readonly replicas: number;
  readonly kernels: readonly KernelRow[];
  readonly launches: number;
  readonly launchesPerLayer: number;
  readonly copies: number;
  readonly hostWaits: number;
  readonly seconds: Range;
  readonly communication: Range;
  /** Of device memory, over all cards. */
  readonly bytes: number;
  readonly floor: Floor;
  /** The same step with every weight in bf16. */
  readonly ownFloor: Floor;
  readonly floorSeconds: Range;
}

type LaunchEvent = Extract<DeviceEvent, { kind: "launch" }>;

/** Cards that attention can be cut over. */
export function tensorParts(c: V4Config, cards: number): number {
  for (let n = cards; n > 1; n--)
    if (cards % n === 0 && [c.num_attention_heads, c.o_groups, c.vocab_size, c.moe_intermediate_size, c.n_routed_experts].every((x) => x % n === 0)) return n; // prettier-ignore
  return 1;
}

interface Sum {
  launches: number;
  seconds: Range;
  bytes: number;
  ops: number;
  limits: Map<Limit | "queue", number>;
}

export interface StepCostOptions {
  readonly config: V4Config;
  readonly storage: Storage;
  readonly chip: Chip;
  readonly cards: number;
  readonly shape: StepShape;
  /** Of the matrices that may be codes; the others are bf16. */
  readonly weights: WeightForm;
}

export function stepCost({ config, storage, chip, cards, shape, weights }: StepCostOptions): StepCost {
  const tensor = tensorParts(config, cards);
  const replicas = cards / tensor;
  const own: StepShape = { ...shape, batch: Math.ceil(shape.batch / replicas) };
  const card: V4Config = { ...config, num_attention_heads: config.num_attention_heads / tensor, o_groups: config.o_groups / tensor, vocab_size: config.vocab_size / tensor }; // prettier-ignore
  const plan = planStep(card, chip, own, packedIn(weights, storage));
  const sums = new Map<string, Sum>();
  const known: Known = new Map();
  const counts = { launch: 0, copy: 0, upload: 0, download: 0 };
  for (const { count, variants } of plan.parts)
    for (const { share, events } of variants) {
      const times = count * share;
      let stage: Stage = "dense";
      for (const event of events) {
        counts[event.kind] += times;
        if (event.kind !== "launch") {
          add(sums, `(${event.kind})`, times, queued(event, chip));
          continue;
        }
        stage = nextStage(stage, event);
        const { name, cost } = launchCost(plan, event, chip, tensor, stage, known);
        add(sums, name, times, { seconds: cost.seconds, bytes: cost.deviceBytes, ops: cost.ops, limit: cost.limit });
        if (event.program.name === "combine_rows") stage = "shared";
      }
    }
  const rows = [...sums].map(([name, s]): KernelRow => ({ name, launches: s.launches, seconds: s.seconds, bytes: s.bytes, ops: s.ops, limit: [...s.limits].reduce((a, b) => (b[1] > a[1] ? b : a))[0] })); // prettier-ignore
  const kernels = rows.toSorted((a, b) => b.seconds.high - a.seconds.high);
  const communication = communicationOf(config, chip, tensor, own);
  const format = weightFormatOf[chip.name];
  // Every replica reads its own weights.
  const floor = floorOf(config, storage, shape, format);
  const bandwidth = scaled(rangeOf(chip.rates.memoryBytesPerSecond)!, cards);
  return {
    shape,
    cards,
    tensor,
    replicas,
    kernels,
    launches: counts.launch,
    launchesPerLayer: counts.launch / config.num_hidden_layers,
    copies: counts.copy + counts.upload,
    hostWaits: counts.download,
    seconds: plus(communication, ...kernels.map((k) => k.seconds)),
    communication,
    bytes: kernels.reduce((s, k) => s + k.bytes, 0) * cards,
    floor,
    ownFloor: floorOf(config, storage, shape, "bf16"),
    floorSeconds: over(floor.total, bandwidth),
  };
}

/** Where in a layer a launch is: what the cards of a group divide among them depends on it. */
type Stage = "dense" | "routed" | "shared";
const nextStage = (stage: Stage, { program }: LaunchEvent): Stage =>
  program.name === "gather_rows" ? "routed" : program.name === "hc_post" ? "dense" : stage;

function queued(event: Exclude<DeviceEvent, LaunchEvent>, chip: Chip): Piece {
  const wait = event.kind === "download" ? assumptions.hostWaitSeconds.value : assumptions.copySeconds.value;
  const bytes = event.kind === "copy" ? 2 * event.sizeBytes : event.sizeBytes;
  return { seconds: plus(exactly(wait), over(bytes, rangeOf(chip.rates.memoryBytesPerSecond)!)), bytes, ops: 0, limit: "queue" }; // prettier-ignore
}

interface Piece {
  readonly seconds: Range;
  readonly bytes: number;
  readonly ops: number;
  readonly limit: Limit | "queue";
}
function add(sums: Map<string, Sum>, name: string, times: number, p: Piece): void {
  let s = sums.get(name);
  if (!s) sums.set(name, (s = { launches: 0, seconds: exactly(0), bytes: 0, ops: 0, limits: new Map() }));
  s.launches += times;
  s.seconds = plus(s.seconds, scaled(p.seconds, times));
  s.bytes += p.bytes * times;
  s.ops += p.ops * times;
  s.limits.set(p.limit, (s.limits.get(p.limit) ?? 0) + p.seconds.high * times);
}

/** Costs of one plan: the same program, grid, numbers and place cost the same in every layer. */
type Known = Map<TileProgram, Map<string, Cost>>;

/** What the host wrote there, as integers. */
function wordsOf({ buffer, byteOffset }: BufferArg): Int32Array | undefined {
  const { contents } = buffer as RecordedBuffer;
  return contents && new Int32Array(contents.slice(byteOffset).buffer);
}

function launchCost(plan: StepPlan, event: LaunchEvent, chip: Chip, tensor: number, stage: Stage, known: Known): { name: string; cost: Cost } {
  const { program, grid, args } = event;
  const buffers = program.params.filter((p) => p.kind === "buffer");
  const weight = buffers.map((p) => plan.weightNames.get((args[p.name] as BufferArg).buffer)).find((n) => n !== undefined);
  const label = weight?.replace(/^layers\.\d+\./, "").replace(/\.weight$/, "");
  const name = label && /matmul|cast/.test(program.name) ? `${program.name} ${label}` : program.name;
  const sizes = Object.fromEntries(buffers.map((p) => { const { buffer, byteOffset } = args[p.name] as BufferArg; return [p.name, buffer.sizeBytes - byteOffset]; })); // prettier-ignore
  const numbers: Record<string, number> = {};
  for (const [key, value] of Object.entries(args)) if (typeof value === "number") numbers[key] = value;
  if (label === "ffn.shared_experts.w2") numbers["k"] = numbers["k"]! / tensor;
  const words = new Map<string, Int32Array | undefined>();
  const read = (buffer: string, element: number): number | undefined => {
    if (!words.has(buffer)) words.set(buffer, wordsOf(args[buffer] as BufferArg));
    return words.get(buffer)?.[element];
  };
  const launch: Launch = { grid, numbers, read };
  const key = JSON.stringify([grid, numbers, sizes, stage, label === "ffn.shared_experts.w2"]);
  const table = known.get(program) ?? new Map<string, Cost>();
  known.set(program, table);
  const found = table.get(key);
  if (found) return { name, cost: found };
  const keep = (cost: Cost): { name: string; cost: Cost } => {
    table.set(key, cost);
    return { name, cost };
  };
  const axis = stage === "routed" && (grid[2] ?? 1) > 1 ? 2 : stage !== "dense" && label !== "ffn.shared_experts.w2" ? 0 : undefined; // prettier-ignore
  if (axis === undefined || tensor === 1) return keep(costOf(program, chip, launch, sizes));
  const each = Math.ceil(grid[axis] / tensor);
  // Experts are not equally busy: the step waits for the card with the most to do.
  const cards = axis === 2 ? tensor : 1;
  const costs = Array.from({ length: cards }, (_, i) => costOf(program, chip, { ...launch, share: { axis, from: i * each, to: (i + 1) * each } }, sizes)); // prettier-ignore
  const slowest = costs.reduce((a, b) => (b.seconds.high > a.seconds.high ? b : a));
  return keep({ ...slowest, deviceBytes: costs.reduce((s, c) => s + c.deviceBytes, 0) / cards });
} // prettier-ignore

/** Rings: every card sends and takes 2 (n - 1) / n of the bytes. */
function communicationOf(c: V4Config, chip: Chip, tensor: number, { batch, tokens }: StepShape): Range {
  if (tensor === 1) return exactly(0);
  const bytes = batch * tokens * c.hidden_size * dtypes.bf16.size;
  const one = plus(
    exactly(assumptions.collectiveSeconds.value),
    over((2 * (tensor - 1) * bytes) / tensor, linkRate(chip)),
  );
  return scaled(one, 2 * c.num_hidden_layers + 1);
}
