/**
 * What a whole decode or prefill step of a network costs on N cards of a chip, as our kernels are today: the launches of
 * one card from step-plan.ts through the cost model, and what the cards tell each other. Beside it the floor.
 * Cards: the weights are cut into `tensor` parts by the plan of step-cut.ts, with those of its options with which the step is
 * fastest among those that move few bytes; what does not divide is copied into `replicas` that share the batch. Main function: `stepCost`.
 */
import type { DeviceEvent } from "../device/recording.ts";
import type { Chip } from "../tile/chips/types.ts";
import type { Limit } from "../tile/cost.ts";
import { assumptions } from "../tile/cost-table.ts";
import { exactly, over, plus, rangeOf, scaled, type Range } from "../tile/range.ts";
import type { V4Config } from "./config.ts";
import { cardConfig, choicesOf, collectivesOf, cutsOf, cutter, MOST_BYTES, MOST_LAUNCHES, tensorParts, type Choice, type Collective, type Cut } from "./step-cut.ts"; // prettier-ignore
import { floorOf, weightFormatOf, type Floor } from "./step-floor.ts";
import { LaunchPricer, type KnownCosts, type LaunchEvent } from "./step-launch.ts";
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
  /** Results of launches that others found in the cache, which are not among those (step-cache.ts). */
  readonly cachedBytes: number;
  readonly floor: Floor;
  /** The same step with every weight in bf16. */
  readonly ownFloor: Floor;
  readonly floorSeconds: Range;
}

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
  const known: KnownCosts = new Map();
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
    cachedBytes: counts.cachedBytes * cards,
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
  readonly known: KnownCosts;
}
/** `breaks`: places where launches follow something that a list does not hold. */
type Counts = Record<DeviceEvent["kind"] | "breaks" | "breaksInLayers" | "launchesInLayers" | "cachedBytes", number>;

function summed(plans: Plans, pricing: Pricing, choice: Choice): { sums: Map<string, Sum>; counts: Counts } {
  const { chip } = pricing;
  const sums = new Map<string, Sum>();
  const counts: Counts = { launch: 0, copy: 0, upload: 0, download: 0, breaks: 0, breaksInLayers: 0, launchesInLayers: 0, cachedBytes: 0 };
  const cutBy = cutter(choice);
  const addPlan = (plan: StepPlan, isTokens: boolean): void => {
    const pricer = new LaunchPricer({ plan, cutBy, isTokens, ...pricing });
    for (const { name: part, count, variants } of plan.parts)
      for (const variant of variants) {
        const times = count * variant.share;
        const inLayers = part === "ends" ? 0 : times;
        let wasLaunch = true;
        pricer.begin(variant);
        for (const event of variant.events) {
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
          const priced = pricer.price(event);
          if (!priced) continue;
          const { cost, label } = priced;
          counts.launch += times;
          counts.launchesInLayers += inLayers;
          counts.cachedBytes += times * cost.cachedBytes;
          const name = label && /matmul|cast/.test(event.program.name) ? `${event.program.name} ${label}` : event.program.name;
          add(sums, name, times, { seconds: cost.seconds, bytes: cost.deviceBytes, ops: cost.ops, limit: cost.limit });
        }
      }
  };
  addPlan(plans.whole, false);
  if (plans.tokens) addPlan(plans.tokens, true);
  return { sums, counts };
} // prettier-ignore

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
