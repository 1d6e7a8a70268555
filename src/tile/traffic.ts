/**
 * What one launch of a lowered program moves and computes: bytes between device memory and the chip's memories, matrix
 * operations, vector cycles' worth of bytes, instructions. The emitters' own decisions about where tiles live (Homes) say
 * what is copied; positions are computed for every program of the grid, so tails and idle programs count as they are.
 * Main function: `trafficOf`. test/device/traffic.ts holds the bytes against the simulators' counters.
 */
import type { DType } from "../base/dtype.ts";
import { homesOf } from "./ahead.ts";
import type { Space } from "./chips/types.ts";
import { coreOf, CORES, type ClusterPlan } from "./cluster.ts";
import { addTo, WEIGHT, type Tally } from "./counters.ts";
import { forEachRun, isFalling } from "./falling.ts";
import { isHalved } from "./halves.ts";
import { groupOf, lineRule } from "./lines.ts";
import type { Lowering } from "./passes.ts";
import type { At } from "./positions.ts";
import { Walker } from "./walker.ts";

export interface Launch {
  readonly grid: readonly [number, number, number];
  /** Index and scalar arguments by name. */
  readonly numbers: Readonly<Record<string, number>>;
  /** Element of a buffer of integers, where its contents are known. */
  readonly read?: (buffer: string, element: number) => number | undefined;
}

export interface Traffic {
  /** By copy engines from and to device memory (or the cache before it), by buffer. */
  readonly read: Readonly<Record<string, number>>;
  readonly written: Readonly<Record<string, number>>;
  /** Through slots between matrix and vector cores, both ways counted. */
  readonly workspaceRead: number;
  readonly workspaceWritten: number;
  /** Between memories of the two cores, where there is a way of its own. */
  readonly handedOver: number;
  /** Into and out of each on-chip memory. */
  readonly local: Readonly<Partial<Record<Space, number>>>;
  /** Single elements that the scalar unit reads from device memory. */
  readonly scalarReads: number;
  /** Bytes of vector instructions: one such instruction handles the chip's vector width of them a cycle. */
  readonly vectorBytes: number;
  /** Multiply-adds of padded products, twice, by operand type. */
  readonly matrixOps: Readonly<Partial<Record<DType, number>>>;
  readonly instructions: number;
  readonly syncs: number;
  /** What runs beside copies, by the turns in which it does. */
  readonly overlaps: readonly Overlap[];
  /** Of a block, that share its vector instructions and what they hand over. */
  readonly vectorCores: 1 | 2;
  /** Programs, and the share of the work that the core with the most of it has, were there `cores` of them. */
  readonly programs: number;
  readonly busiest: (cores: number) => number;
}

/** Turns of a loop, or of the programs of a core, whose copies run beside the work of the turn before or after. */
export interface Overlap {
  /** Undefined: the programs of a core. */
  readonly loop: number | undefined;
  /** Bytes of those copies. */
  readonly copied: number;
  /** Of the work that is in no such turns further inside. */
  readonly vectorBytes: number;
  readonly matrixOps: Readonly<Partial<Record<DType, number>>>;
  readonly instructions: number;
  readonly syncs: number;
  readonly scalarReads: number;
  readonly handedOver: number;
  /**
   * Where one of the two cores hands its tiles to the other a turn ahead and takes nothing back: what of the work is the
   * matrix core's, and whether the copies between them run beside their writer's own.
   */
  readonly passed:
    | {
        readonly instructions: number;
        readonly syncs: number;
        readonly isByMatrixCore: boolean;
        readonly isHandedBeside: boolean;
      }
    | undefined;
  /** How often the loop begins, and its turns in all. */
  readonly entries: number;
  readonly turns: number;
}

export const sumOf = (bytes: Readonly<Record<string, number>>): number => Object.values(bytes).reduce((s, n) => s + n, 0); // prettier-ignore

/** `plan`: of a launch whose programs go to clusters, four neighbours at a time; `low` is then of that form (passes.ts, `ofTeams`). */
export function trafficOf(low: Lowering, launch: Launch, plan?: ClusterPlan): Traffic {
  const programs = launch.grid[0] * launch.grid[1] * launch.grid[2];
  const group = homesOf(low).split ? 1 : groupOf(lineRule(low.program), launch.grid, launch.numbers);
  const team = plan && { plan, lanes: group < programs ? CORES : 1 };
  const walker = new Walker(low, launch, team);
  const { counters } = walker;
  const act = walker.list(low.program.body);
  const { grid: sizes, numbers } = launch;
  const [x, y] = sizes;
  const weights = new Float64Array(programs);
  const at: At = {
    p: [0, 0, 0],
    loops: [],
    before: () => at.p[0]! + x * (at.p[1]! + y * at.p[2]!),
  };
  const falls = [0, 1, 2].map((axis) => sizes[axis]! > 2 && axis !== plan?.axis && isFalling(low.program.body, { axis }, walker.live, numbers)); // prettier-ignore
  /** All programs whose places along the axes above `axis` are those of `at`; their weights begin at `from`. */
  const walk = (axis: number, from: number): Tally => {
    const sum = counters.tally();
    if (axis < 0) {
      act(at, sum);
      weights[from] = sum[WEIGHT]!;
      return sum;
    }
    const each = sizes.slice(0, axis).reduce((p, n) => p * n, 1);
    const visit = (i: number): Tally => {
      at.p[axis] = i;
      return walk(axis - 1, from + i * each);
    };
    forEachRun(sizes[axis]!, falls[axis]!, visit, (i, times, counts, isVisited) => {
      addTo(sum, counts, times);
      if (!isVisited) for (let j = i; j < i + times; j++) weights.copyWithin(from + j * each, from + (i - 1) * each, from + i * each); // prettier-ignore
    });
    return sum;
  };
  const t = programs === 0 ? counters.tally() : walk(2, 0);
  const total = weights.reduce((s, w) => s + w, 0);
  const busiest = (cores: number): number => {
    const each = new Float64Array(Math.max(1, team ? cores : Math.min(cores, Math.ceil(programs / group))));
    // Programs that find nothing to do are idle alike.
    if (total === 0) return 1 / each.length;
    weights.forEach((w, pid) => (each[coreOf(pid, sizes, group, each.length, team)]! += w));
    return Math.max(...each) / total;
  };
  const value = (name: string): number => counters.valueOf(t, name);
  return {
    read: counters.table(t, "read:"),
    written: counters.table(t, "written:"),
    workspaceRead: value("workspaceRead"),
    workspaceWritten: value("workspaceWritten"),
    handedOver: value("handedOver"),
    local: counters.table(t, "local:"),
    scalarReads: value("scalarReads"),
    vectorBytes: value("vectorBytes"),
    matrixOps: counters.table(t, "matrixOps:"),
    instructions: value("instructions"),
    syncs: value("syncs"),
    overlaps: walker.overlaps(t, programs),
    vectorCores: isHalved(low) ? 2 : 1,
    programs,
    busiest,
  };
}
