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
import { lower, type Lowering } from "./passes.ts";
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

/** Bytes of each buffer that the launch may touch; reading them again costs nothing where all fit the cache. */
export type Sizes = Readonly<Record<string, number>>;

function deviceBytesOf(chip: Chip, t: Traffic, sizes: Sizes | undefined): number {
  const moved = sumOf(t.read) + sumOf(t.written);
  const cache = rangeOf(chip.rates.cacheBytes)?.low ?? 0;
  if (!sizes) return moved;
  const once = (bytes: Readonly<Record<string, number>>): number => Object.entries(bytes).reduce((s, [name, n]) => s + Math.min(n, sizes[name] ?? n), 0); // prettier-ignore
  const least = once(t.read) + once(t.written);
  return least <= cache ? least : moved;
}

/** `isListed`: run by a list (emit/ascend/list.ts), after a barrier instead of a start, on 2201 with one vector core to a cube core. */
export function costOf(program: TileProgram, chip: Chip, launch: Launch, sizes?: Sizes, isListed = false): Cost {
  const t = trafficOf(loweringOf(program, chip), launch);
  const rates = coreRates[chip.name];
  const isMixed = Object.keys(t.matrixOps).length > 0;
  const isPaired = isMixed || (isListed && chip.arch.matrix.vectorPath !== "direct");
  const cores = rangeOf(isPaired ? chip.rates.matrixCores : chip.rates.vectorCores)!;
  const matrixCores = rangeOf(chip.rates.matrixCores)!;
  const clock = clockOf(chip);
  const deviceRate = coreDeviceBytes(chip);
  const share = t.busiest(cores.low);
  const moved = sumOf(t.read) + sumOf(t.written) + t.workspaceRead + t.workspaceWritten;
  const deviceBytes = deviceBytesOf(chip, t, sizes);
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
  return { traffic: t, deviceBytes, ops: sumOf(t.matrixOps as Record<string, number>), seconds, parts, limit };
}
