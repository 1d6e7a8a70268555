/**
 * How long a launch takes by the tables, and what bounds it. What a core does adds up, but where copies run a turn ahead
 * of the work or behind it (ahead.ts): there the longer of the two bounds all turns but the first. Beside the core there
 * are limits of the whole chip. Rumoured rates give a range that stays marked.
 * Main function: `costOf`. Assumptions: cost-table.ts; counts: traffic.ts. Nothing was measured on a chip.
 */
import type { DType } from "../base/dtype.ts";
import type { Chip } from "./chips/types.ts";
import { assumptions, clockOf, coreDeviceBytes, coreRates, matrixRate } from "./cost-table.ts";
import type { TileProgram } from "./ir.ts";
import { teamTasks } from "./cluster.ts";
import { lower, ofTeams, type Lowering } from "./passes.ts";
import { atLeast, exactly, less, over, plus, rangeOf, scaled, type Range } from "./range.ts";
import { sumOf, trafficOf, type Launch, type Overlap, type Traffic } from "./traffic.ts";

export const limits = [
  "device memory",
  "core's copies",
  "matrix unit",
  "vector unit",
  "handover",
  "instructions",
  "launch",
] as const;
export type Limit = (typeof limits)[number];

export interface Cost {
  readonly traffic: Traffic;
  /** That device memory must deliver and take, after the shared cache. */
  readonly deviceBytes: number;
  /** That earlier launches left in the cache, and are not among those. */
  readonly cachedBytes: number;
  /** Matrix operations, padding included. */
  readonly ops: number;
  readonly seconds: Range;
  readonly parts: Readonly<Record<Limit, Range>>;
  readonly limit: Limit;
}

const lowered = new WeakMap<TileProgram, Map<Chip["arch"], Lowering>>();
/** A program's lowering for a chip, made once. */
export function loweringOf(program: TileProgram, chip: Chip): Lowering {
  let table = lowered.get(program);
  if (!table) lowered.set(program, (table = new Map()));
  let found = table.get(chip.arch);
  if (!found) table.set(chip.arch, (found = lower(program, chip)));
  return found;
}

/** By buffer. */
export type Bytes = Readonly<Record<string, number>>;

/** What is known of a launch's surroundings. */
export interface Surroundings {
  /** Bytes of each buffer that the launch may touch; reading them again costs nothing where all fit the cache. */
  readonly sizes?: Bytes;
  /** Of those that it reads, what the cache still has from launches before. */
  readonly cached?: Bytes;
  /** Run by a list (emit/ascend/list.ts), after a barrier instead of a start, on 2201 with one vector core to a cube core. */
  readonly isListed?: boolean;
}

/** Of what is moved, each byte once. */
export const once = (moved: Bytes, sizes: Bytes): Bytes => Object.fromEntries(Object.entries(moved).map(([name, n]) => [name, Math.min(n, sizes[name] ?? n)])); // prettier-ignore

function deviceBytesOf(chip: Chip, t: Traffic, { sizes, cached = {} }: Surroundings): number {
  const moved = sumOf(t.read) + sumOf(t.written);
  const cache = rangeOf(chip.rates.cacheBytes)?.low ?? 0;
  if (!sizes) return moved;
  const least = sumOf(once(t.read, sizes)) + sumOf(once(t.written, sizes));
  return (least <= cache ? least : moved) - sumOf(cached);
}

const ofTeam = new WeakMap<Lowering, Lowering>();
/** What a launch moves and computes in the form that a device takes for its grid: cores alone, or the teams of a cluster. */
export function trafficFor(program: TileProgram, chip: Chip, launch: Launch): Traffic {
  const low = loweringOf(program, chip);
  const { plan } = low.cluster;
  if (!plan || teamTasks(launch.grid, plan.axis, rangeOf(chip.rates.vectorCores)!.low) === 0) return trafficOf(low, launch); // prettier-ignore
  let form = ofTeam.get(low);
  if (!form) ofTeam.set(low, (form = ofTeams(low)));
  return trafficOf(form, launch, plan);
}

export const costOf = (program: TileProgram, chip: Chip, launch: Launch, around: Surroundings = {}): Cost => priceOf(trafficFor(program, chip, launch), chip, around); // prettier-ignore

export function priceOf(t: Traffic, chip: Chip, around: Surroundings): Cost {
  const { isListed = false } = around;
  const rates = coreRates[chip.name];
  const isMixed = Object.keys(t.matrixOps).length > 0;
  const isPaired = isMixed || (isListed && chip.arch.matrix.vectorPath !== "direct");
  const cores = rangeOf(isPaired ? chip.rates.matrixCores : chip.rates.vectorCores)!;
  const matrixCores = rangeOf(chip.rates.matrixCores)!;
  const clock = clockOf(chip);
  const deviceRate = coreDeviceBytes(chip);
  const share = t.busiest(cores.low);
  const moved = sumOf(t.read) + sumOf(t.written) + t.workspaceRead + t.workspaceWritten;
  const deviceBytes = deviceBytesOf(chip, t, around);
  const perCycle = (amount: number): Range => over(amount * share, clock);
  const memory = rangeOf(chip.rates.memoryBytesPerSecond)!;
  // Where a core's own rate is not published, some multiple of its even share.
  const copies =
    deviceRate === undefined
      ? scaled(over(moved * share, memory), cores.low / assumptions.coreShare.value)
      : plus(
          perCycle(Math.min(deviceBytes, moved) / deviceRate),
          perCycle(Math.max(0, moved - deviceBytes) / rates.cacheBytes!),
        );
  const matrix = (ops: Traffic["matrixOps"]): Range => plus(exactly(0), ...(Object.entries(ops) as [DType, number][]).map(([dtype, n]) => scaled(over(n * share, matrixRate(chip, dtype)!), matrixCores.low))); // prettier-ignore
  const vector = (bytes: number): Range => perCycle(bytes / t.vectorCores / rates.vectorBytes);
  const issue = (c: Pick<Traffic, "instructions" | "scalarReads" | "syncs">): Range =>
    perCycle(
      c.instructions * assumptions.issueCycles.value +
        c.scalarReads * assumptions.scalarReadCycles.value +
        c.syncs * assumptions.syncCycles.value,
    );
  const handing = (bytes: number): Range => perCycle(bytes === 0 ? 0 : bytes / t.vectorCores / rates.handoverBytes!);
  const parts: Record<Limit, Range> = {
    "device memory": over(deviceBytes, memory),
    "core's copies": copies,
    "matrix unit": matrix(t.matrixOps),
    "vector unit": vector(t.vectorBytes),
    handover: handing(t.handedOver),
    instructions: issue(t),
    launch: exactly(isListed ? assumptions.barrierSeconds.value : assumptions.launchSeconds.value),
  };
  const { "matrix unit": m, "vector unit": v, handover, instructions, launch: overhead } = parts;
  const copying = atLeast(parts["device memory"], copies);
  /** What of a turn's work runs beside the rest of it, a turn ahead of each other: two cores, and the copies between them. */
  const stagesOf = (o: Overlap): Range[] => {
    const [products, numbers, handed] = [matrix(o.matrixOps), vector(o.vectorBytes), handing(o.handedOver)];
    if (!o.passed) return [plus(products, numbers, handed, issue(o))];
    const theirs = { ...o.passed, scalarReads: 0 };
    const own = { instructions: o.instructions - theirs.instructions, syncs: o.syncs - theirs.syncs, scalarReads: o.scalarReads }; // prettier-ignore
    const [matrixCore, vectorCore] = [plus(products, issue(theirs)), plus(numbers, issue(own))];
    if (o.passed.isHandedBeside) return [matrixCore, vectorCore, handed];
    return o.passed.isByMatrixCore ? [plus(matrixCore, handed), vectorCore] : [matrixCore, plus(vectorCore, handed)];
  };
  /** What turns save whose copies run beside their work: all but the longest, but in the turns that fill. */
  const saved = (o: Overlap): Range => {
    const stages = [...(o.copied > 0 ? [scaled(copying, o.copied / moved)] : []), ...stagesOf(o)];
    const fill = o.loop === undefined ? Math.min(1, cores.low / o.turns) : o.entries / o.turns;
    const longest = stages.reduce((a, b) => atLeast(a, b));
    return scaled(less(plus(...stages), longest), 1 - fill);
  };
  const seconds = less(plus(overhead, copying, m, v, handover, instructions), ...t.overlaps.map(saved));
  const limit = limits.reduce((a, b) => (parts[b].high > parts[a].high ? b : a));
  return {
    traffic: t,
    deviceBytes,
    cachedBytes: sumOf(around.cached ?? {}),
    ops: sumOf(t.matrixOps as Record<string, number>),
    seconds,
    parts,
    limit,
  };
}
