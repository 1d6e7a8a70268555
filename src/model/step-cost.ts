/**
 * What a whole decode or prefill step of a network costs on N cards of a chip, as our kernels are today: the launches of
 * one card from step-plan.ts through the cost model, and what the cards tell each other. Beside it the floor.
 * Cards: the weights are cut into `tensor` parts by the plan of step-cut.ts, with those of its options with which the step is
 * fastest among those that move few bytes; what does not divide is copied into `replicas` that share the batch. Main function: `stepCost`.
 */
import type { BufferArg } from "../device/device.ts";
import type { DeviceEvent, RecordedBuffer } from "../device/recording.ts";
import type { Chip } from "../tile/chips/types.ts";
import { costOf, type Cost, type Limit } from "../tile/cost.ts";
import { assumptions } from "../tile/cost-table.ts";
import type { TileProgram } from "../tile/ir.ts";
import { exactly, over, plus, rangeOf, scaled, type Range } from "../tile/range.ts";
import type { Launch } from "../tile/traffic.ts";
import type { V4Config } from "./config.ts";
import { cardConfig, choicesOf, collectivesOf, cutProduct, cutsOf, cutter, MOST_BYTES, MOST_LAUNCHES, tensorParts, type Choice, type Collective, type Cut } from "./step-cut.ts"; // prettier-ignore
import { floorOf, weightFormatOf, type Floor } from "./step-floor.ts";
import { planStep, type StepPlan, type StepShape } from "./step-plan.ts";
import type { Storage } from "./storage.ts";
import { packedIn, type WeightForm } from "./weight-form.ts";

export interface KernelRow {
  /** Of the kernel, and of the weight it reads if any. */
  readonly name: string;
  /** How often its programs run, in a list or alone. */
  readonly runs: number;
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
  /** Programs that run, each over its grid. */
  readonly programs: number;
  /** What the host starts: lists of programs, or each alone, and collectives. */
  readonly launches: number;
  /** Mean of those that a layer has, without what comes before the first and after the last. */
  readonly launchesPerLayer: number;
  readonly collectivesPerLayer: number;
  readonly copies: number;
  readonly hostWaits: number;
  readonly seconds: Range;
  /** How the weights lie on the cards. */
  readonly cuts: readonly Cut[];
  /** The plan's options that were taken, and what each choice of them would be. */
  readonly options: Choice;
  readonly alternatives: readonly { readonly options: Choice; readonly bytes: number; readonly launchesPerLayer: number; readonly seconds: Range }[]; // prettier-ignore
  readonly collectives: readonly Collective[];
  /** All collectives together. */
  readonly communication: Range;
  /** Of device memory, over all cards. */
  readonly bytes: number;
  readonly floor: Floor;
  /** The same step with every weight in bf16. */
  readonly ownFloor: Floor;
  readonly floorSeconds: Range;
}

type LaunchEvent = Extract<DeviceEvent, { kind: "launch" }>;

interface Sum {
  runs: number;
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
  /** By default. Launches run as lists (`Device.fuse`), which end where the host or another card is waited for. */
  readonly isFused?: boolean;
}

export function stepCost({ config, storage, chip, cards, shape, weights, isFused = true }: StepCostOptions): StepCost {
  const tensor = tensorParts(config, cards);
  const replicas = cards / tensor;
  const own: StepShape = { ...shape, batch: Math.ceil(shape.batch / replicas) };
  const packed = packedIn(weights, storage);
  const plans: Plans = {
    whole: planStep(cardConfig(config, tensor), chip, own, storage, packed),
    // What a card does of its own sequences it does with all heads.
    tokens: tensor > 1 && own.batch >= tensor ? planStep(config, chip, { ...own, batch: Math.ceil(own.batch / tensor) }, storage, packed) : undefined, // prettier-ignore
  };
  // Every replica reads its own weights.
  const floor = floorOf(config, storage, shape, weightFormatOf[chip.name]);
  const known: Known = new Map();
  const steps = choicesOf(tensor, own).map((choice) => {
    const collectives = collectivesOf(config, chip, tensor, own, choice);
    const { sums, counts } = summed(plans, { chip, parts: tensor, isFused, known }, choice);
    const numCollectives = collectives.reduce((n, x) => n + x.count, 0);
    const lists = 1 + counts.breaks + numCollectives;
    if (isFused) add(sums, "(start of a list)", lists, { seconds: exactly(assumptions.launchSeconds.value), bytes: 0, ops: 0, limit: "launch" }); // prettier-ignore
    const launches = (isFused ? lists : counts.launch) + numCollectives;
    const layers = config.num_hidden_layers;
    const collectivesPerLayer = collectives.reduce((n, x) => n + x.count - x.atEnds, 0) / layers;
    const launchesPerLayer = collectivesPerLayer + (isFused ? collectivesPerLayer + counts.breaksInLayers / layers : counts.launchesInLayers / layers); // prettier-ignore
    const rows = [...sums].map(([name, s]): KernelRow => ({ name, runs: s.runs, seconds: s.seconds, bytes: s.bytes, ops: s.ops, limit: [...s.limits].reduce((x, y) => (y[1] > x[1] ? y : x))[0] })); // prettier-ignore
    const kernels = rows.toSorted((x, y) => y.seconds.high - x.seconds.high);
    const communication = plus(exactly(0), ...collectives.map((x) => x.seconds));
    const bytes = kernels.reduce((s, k) => s + k.bytes, 0) * cards;
    return { choice, kernels, counts, launches, launchesPerLayer, collectivesPerLayer, collectives, communication, bytes, seconds: plus(communication, ...kernels.map((k) => k.seconds)) }; // prettier-ignore
  });
  const few = steps.filter((step) => step.bytes <= MOST_BYTES * floor.total);
  const quiet = few.filter((step) => step.launchesPerLayer <= MOST_LAUNCHES);
  // Where none keeps to the bytes, slower ones gain nothing.
  const best = least(quiet.length > 0 ? quiet : few.length > 0 ? few : steps, (x) => x.seconds.high);
  const { counts } = best;
  return {
    shape,
    cards,
    tensor,
    replicas,
    kernels: best.kernels,
    programs: counts.launch,
    launches: best.launches,
    launchesPerLayer: best.launchesPerLayer,
    collectivesPerLayer: best.collectivesPerLayer,
    copies: counts.copy + counts.upload,
    hostWaits: counts.download,
    cuts: tensor > 1 ? cutsOf(best.choice) : [],
    options: best.choice,
    alternatives: steps.map(({ choice, bytes, launchesPerLayer, seconds }) => ({
      options: choice,
      bytes,
      launchesPerLayer,
      seconds,
    })),
    collectives: best.collectives,
    seconds: best.seconds,
    communication: best.communication,
    bytes: best.bytes,
    floor,
    ownFloor: floorOf(config, storage, shape, "bf16"),
    floorSeconds: over(floor.total, scaled(rangeOf(chip.rates.memoryBytesPerSecond)!, cards)),
  };
}

const least = <T>(list: readonly T[], of: (x: T) => number): T => list.reduce((a, b) => (of(b) < of(a) ? b : a));

/** One card's launches with all tokens, and with its own sequences alone. */
interface Plans {
  readonly whole: StepPlan;
  readonly tokens: StepPlan | undefined;
}

interface Pricing {
  readonly chip: Chip;
  readonly parts: number;
  readonly isFused: boolean;
  readonly known: Known;
}
/** `breaks`: places where launches follow something that a list does not hold. */
type Counts = Record<DeviceEvent["kind"] | "breaks" | "breaksInLayers" | "launchesInLayers", number>;

function summed(plans: Plans, pricing: Pricing, choice: Choice): { sums: Map<string, Sum>; counts: Counts } {
  const { chip, parts } = pricing;
  const sums = new Map<string, Sum>();
  const counts: Counts = { launch: 0, copy: 0, upload: 0, download: 0, breaks: 0, breaksInLayers: 0, launchesInLayers: 0 };
  const cutBy = cutter(choice);
  const addPlan = (plan: StepPlan, isTokens: boolean): void => {
    for (const { name: part, count, variants } of plan.parts)
      for (const { share, events } of variants) {
        const inLayers = part === "ends" ? 0 : count * share;
        const times = count * share;
        let stage: Stage = "dense";
        let wasLaunch = true;
        for (const event of events) {
          const isBreak = !wasLaunch && event.kind === "launch";
          wasLaunch = event.kind === "launch";
          if (isBreak && !isTokens) {
            counts.breaks += times;
            counts.breaksInLayers += inLayers;
          }
          if (event.kind !== "launch") {
            if (isTokens) continue;
            counts[event.kind] += times;
            add(sums, `(${event.kind})`, times, queued(event, chip));
            continue;
          }
          stage = nextStage(stage, event);
          const label = labelOf(plan, event);
          const by = parts > 1 ? cutBy(event.program.name, label) : undefined;
          if ((by === "tokens") === isTokens) {
            counts.launch += times;
            counts.launchesInLayers += inLayers;
            const name = label && /matmul|cast/.test(event.program.name) ? `${event.program.name} ${label}` : event.program.name;
            const cost = launchCost({ event, stage, ...pricing }, (launch) => cutProduct(launch, by, label, parts));
            add(sums, name, times, { seconds: cost.seconds, bytes: cost.deviceBytes, ops: cost.ops, limit: cost.limit });
          }
          if (event.program.name === "combine_rows") stage = "dense";
        }
      }
  };
  addPlan(plans.whole, false);
  if (plans.tokens) addPlan(plans.tokens, true);
  return { sums, counts };
} // prettier-ignore

/** Of the weight that a launch reads, within its layer. */
function labelOf(plan: StepPlan, { program, args }: LaunchEvent): string | undefined {
  const names = program.params.map((p) => (p.kind === "buffer" ? plan.weightNames.get((args[p.name] as BufferArg).buffer) : undefined)); // prettier-ignore
  return names
    .find((n) => n !== undefined)
    ?.replace(/^layers\.\d+\./, "")
    .replace(/\.weight$/, "");
}

/** Where in a layer a launch is: rows of routed experts lie on the experts' cards. */
type Stage = "dense" | "routed";
const nextStage = (stage: Stage, { program }: LaunchEvent): Stage =>
  program.name === "gather_rows" ? "routed" : stage;

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
  if (!s) sums.set(name, (s = { runs: 0, seconds: exactly(0), bytes: 0, ops: 0, limits: new Map() }));
  s.runs += times;
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

interface Priced extends Pricing {
  readonly event: LaunchEvent;
  readonly stage: Stage;
}

function launchCost({ event, chip, parts, stage, known, isFused }: Priced, cut: (launch: Launch) => Launch): Cost {
  const { program, grid, args } = event;
  const buffers = program.params.filter((p) => p.kind === "buffer");
  const sizes = Object.fromEntries(buffers.map((p) => { const { buffer, byteOffset } = args[p.name] as BufferArg; return [p.name, buffer.sizeBytes - byteOffset]; })); // prettier-ignore
  const numbers: Record<string, number> = {};
  for (const [key, value] of Object.entries(args)) if (typeof value === "number") numbers[key] = value;
  const words = new Map<string, Int32Array | undefined>();
  const read = (buffer: string, element: number): number | undefined => {
    if (!words.has(buffer)) words.set(buffer, wordsOf(args[buffer] as BufferArg));
    return words.get(buffer)?.[element];
  };
  const launch = cut({ grid, numbers, read });
  const key = JSON.stringify([launch.grid, launch.numbers, sizes, stage]);
  const table = known.get(program) ?? new Map<string, Cost>();
  known.set(program, table);
  const found = table.get(key);
  if (found) return found;
  const keep = (cost: Cost): Cost => {
    table.set(key, cost);
    return cost;
  };
  if (stage === "dense" || parts === 1) return keep(costOf(program, chip, launch, sizes, isFused));
  if (!("tiles" in args)) return keep(costOf(program, chip, { ...launch, grid: [Math.ceil(grid[0] / parts), grid[1], grid[2]] }, sizes, isFused)); // prettier-ignore
  // Experts are not equally busy: the step waits for the card with the most to do.
  const costs = expertShares(launch, parts).map((own) => costOf(program, chip, own, sizes, isFused));
  const slowest = costs.reduce((a, b) => (b.seconds.high > a.seconds.high ? b : a));
  return keep({ ...slowest, deviceBytes: costs.reduce((s, c) => s + c.deviceBytes, 0) / parts });
}

/** A grouped product on each card: of the work list (kernels/work-list.ts) the run of the card's own experts, then nothing to do. */
function expertShares(launch: Launch, parts: number): Launch[] {
  const { grid, numbers, read } = launch;
  const experts = numbers.experts!;
  const list = Array.from({ length: grid[1] }, (_, t) => [0, 1, 2].map((column) => read!("tiles", 3 * t + column) ?? 0));
  const each = Math.ceil(experts / parts);
  return Array.from({ length: parts }, (_, i) => {
    const own = list.filter(([, , e]) => e! >= i * each && e! < Math.min(experts, (i + 1) * each)).flat();
    return { ...launch, read: (buffer, element) => (buffer === "tiles" ? (own[element] ?? experts) : read!(buffer, element)) };
  });
} // prettier-ignore
