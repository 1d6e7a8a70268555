/**
 * What each recorded launch of a plan costs on one card of a group, one after another: its part of the work by the cut, and
 * what the cache still has of launches before. Main class: `LaunchPricer`.
 */
import type { BufferArg } from "../device/device.ts";
import type { DeviceEvent, RecordedBuffer } from "../device/recording.ts";
import type { Chip } from "../tile/chips/types.ts";
import { once, priceOf, trafficFor, type Bytes, type Cost } from "../tile/cost.ts";
import { assumptions } from "../tile/cost-table.ts";
import type { TileProgram } from "../tile/ir.ts";
import { rangeOf } from "../tile/range.ts";
import type { Launch, Traffic } from "../tile/traffic.ts";
import { SharedCache } from "./step-cache.ts";
import { cutProduct, type Cut } from "./step-cut.ts";
import type { StepPlan, StepVariant } from "./step-plan.ts";

export type LaunchEvent = Extract<DeviceEvent, { kind: "launch" }>;

export interface PricedLaunch {
  readonly cost: Cost;
  /** Of the weight that it reads, within its layer. */
  readonly label: string | undefined;
}

/** Costs of one chip: the same program, grid, numbers and place cost the same in every layer. */
export type KnownCosts = Map<TileProgram, KnownOfOne>;
interface KnownOfOne {
  /** By grid, numbers and place; of each card where these differ. */
  readonly traffic: Map<string, Traffic[]>;
  readonly cost: Map<string, Cost>;
}

export interface PricerOptions {
  readonly plan: StepPlan;
  readonly chip: Chip;
  readonly parts: number;
  readonly isFused: boolean;
  readonly known: KnownCosts;
  readonly cutBy: (kernel: string, label: string | undefined) => Cut | undefined;
  /** A plan of a card's own sequences, or of all of them; each has launches that the other has not. */
  readonly isTokens: boolean;
}

export class LaunchPricer {
  /** Rows of routed experts lie on the experts' cards. */
  private isRouted = false;
  private cache: SharedCache;
  private readonly o: PricerOptions;

  constructor(options: PricerOptions) {
    this.o = options;
    this.cache = this.emptyCache();
  }
  private emptyCache(): SharedCache {
    return new SharedCache(assumptions.cacheShare.value * (rangeOf(this.o.chip.rates.cacheBytes)?.low ?? 0));
  }

  /** A layer begins; what came right before it left something in the cache. */
  begin({ before }: StepVariant): void {
    this.cache = this.emptyCache();
    this.isRouted = false;
    for (const event of before) if (event.kind === "launch") this.price(event);
    this.isRouted = false;
  }

  /** Undefined: not a launch of this plan. */
  price(event: LaunchEvent): PricedLaunch | undefined {
    const { parts, cutBy, isTokens } = this.o;
    const { name } = event.program;
    if (name === "gather_rows") this.isRouted = true;
    const label = this.labelOf(event);
    const cut = parts > 1 ? cutBy(name, label) : undefined;
    const isOurs = (cut?.by === "tokens") === isTokens;
    const cost = isOurs ? this.costOf(event, cut, label) : undefined;
    if (name === "combine_rows") this.isRouted = false;
    return cost && { cost, label };
  }

  private labelOf({ program, args }: LaunchEvent): string | undefined {
    const { weightNames } = this.o.plan;
    const names = program.params.map((p) => (p.kind === "buffer" ? weightNames.get((args[p.name] as BufferArg).buffer) : undefined)); // prettier-ignore
    return names
      .find((n) => n !== undefined)
      ?.replace(/^layers\.\d+\./, "")
      .replace(/\.weight$/, "");
  }

  private costOf({ program, grid, args }: LaunchEvent, cut: Cut | undefined, label: string | undefined): Cost {
    const { chip, parts, isFused, known } = this.o;
    const sizes: Record<string, number> = {};
    const numbers: Record<string, number> = {};
    for (const [name, value] of Object.entries(args))
      if (typeof value === "number") numbers[name] = value;
      else sizes[name] = value.buffer.sizeBytes - value.byteOffset;
    const launch = cutProduct({ grid, numbers, read: readerOf(args) }, cut?.by, label, parts);
    const place = JSON.stringify([launch.grid, launch.numbers, sizes, this.isRouted]);
    const table: KnownOfOne = known.get(program) ?? { traffic: new Map(), cost: new Map() };
    known.set(program, table);
    const traffics = found(table.traffic, place, () => this.shares(launch, "tiles" in args).map((own) => trafficFor(program, chip, own))); // prettier-ignore
    const cached = this.cachedOf(traffics[0]!, sizes, args);
    const cost = found(table.cost, place + JSON.stringify(cached), () => {
      // Experts are not equally busy: the step waits for the card with the most to do.
      const costs = traffics.map((t) => priceOf(t, chip, { sizes, cached, isListed: isFused }));
      const slowest = costs.reduce((a, b) => (b.seconds.high > a.seconds.high ? b : a));
      return { ...slowest, deviceBytes: costs.reduce((s, c) => s + c.deviceBytes, 0) / costs.length };
    });
    this.passed(cost.traffic, sizes, args, cut);
    return cost;
  }

  /** The launch, or what of it falls to each card where rows of experts do. */
  private shares(launch: Launch, isGrouped: boolean): Launch[] {
    const { parts } = this.o;
    const { grid } = launch;
    if (!this.isRouted || parts === 1) return [launch];
    return isGrouped ? expertShares(launch, parts) : [{ ...launch, grid: [Math.ceil(grid[0] / parts), grid[1], grid[2]] }]; // prettier-ignore
  }

  /** Only results of launches before. Weights and keys count as read, as where a network is larger than the cache. */
  private cachedOf(t: Traffic, sizes: Bytes, args: LaunchEvent["args"]): Bytes {
    const hits: Record<string, number> = {};
    for (const [name, bytes] of Object.entries(once(t.read, sizes))) {
      const { buffer } = args[name] as BufferArg;
      const hit = (buffer as RecordedBuffer).use === "step" ? this.cache.has(buffer, bytes) : 0;
      if (hit > 0) hits[name] = hit;
    }
    return hits;
  }

  private passed(t: Traffic, sizes: Bytes, args: LaunchEvent["args"], cut: Cut | undefined): void {
    const moved = (bytes: Bytes) => Object.entries(once(bytes, sizes)).map(([name, n]) => [(args[name] as BufferArg).buffer, n] as const); // prettier-ignore
    const written = moved(t.written);
    this.cache.pass([...moved(t.read), ...written]);
    // What the cards make one comes from other cards.
    if (cut?.joined) for (const [buffer] of written) this.cache.drop(buffer);
  }
}

function found<T>(table: Map<string, T>, key: string, make: () => T): T {
  let value = table.get(key);
  if (value === undefined) table.set(key, (value = make()));
  return value;
}

/** Elements of what the host wrote, or launches made of that, as integers. */
function readerOf(args: LaunchEvent["args"]): (buffer: string, element: number) => number | undefined {
  const words = new Map<string, Int32Array | undefined>();
  const wordsOf = ({ buffer, byteOffset }: BufferArg): Int32Array | undefined => {
    const { contents } = buffer as RecordedBuffer;
    return contents && new Int32Array(contents.slice(byteOffset).buffer);
  };
  return (name, element) => {
    if (!words.has(name)) words.set(name, wordsOf(args[name] as BufferArg));
    return words.get(name)?.[element];
  };
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
