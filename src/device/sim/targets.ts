/**
 * The simulated chips: how a tile program becomes a kernel of theirs, and which headers of ours stand for their
 * tool kit. Main table: `simTargets`. Figures come from the chip tables; a header takes them as macros.
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chips } from "../../tile/chips/chips.ts";
import { spaceOf, type AscendSpace, type Chip, type ChipName, type Figure } from "../../tile/chips/types.ts";
import { emitAscend } from "../../tile/emit/ascend/ascend.ts";
import { emitMlu, emitMluCluster } from "../../tile/emit/mlu.ts";
import { CORES } from "../../tile/cluster.ts";
import type { TileProgram } from "../../tile/ir.ts";
import { mluCounters, mluRuntime, type RunCounters } from "./mlu/runtime.ts";

/** What an emitter hands over: a function `symbol` that runs a share of the grid on every block. */
export interface EmittedKernel {
  /** Arguments: the program's parameters in order, three int64 grid dims, then the workspace if it has one. */
  readonly source: string;
  /** A key of the target's `kinds`. */
  readonly kind: string;
  readonly workspaceBytesPerBlock: number;
  /** The same for blocks that work together; which of the two a launch takes is up to its grid. */
  readonly together?: { readonly source: string; readonly kind: string; readonly blocksFor: (grid: Grid) => number };
}
/** Programs along x, y and z. */
export type Grid = readonly [number, number, number];

export interface SimTarget {
  readonly chip: Chip;
  readonly emit: (program: TileProgram, symbol: string, chip: Chip) => EmittedKernel;
  /** Folders of headers, and the one that a kernel includes. */
  readonly folders: readonly string[];
  readonly header: string;
  readonly flags: readonly string[];
  /** Cores to choose tiles for; 1 where kernels have their own sizes. */
  readonly numThreads: number;
  /** Kinds of kernels as the headers number them. */
  readonly kinds: Readonly<Record<string, number>>;
  /** Blocks to start for a grid of so many programs. */
  readonly numBlocks: (kind: string, numPrograms: number) => number;
  /** What the last launch did, where the simulator counts. */
  readonly counters?: () => RunCounters;
}

const here = dirname(fileURLToPath(import.meta.url));
const engine = join(here, "engine");

/** A count that a rumour only bounds is taken at its lower end. */
const countOf = (figure: Figure): number =>
  figure.kind === "unknown" ? 1 : figure.kind === "rumoured" ? figure.low : figure.value;

/** vector: on the vector cores; cube: on the matrix cores; mix: a block is one matrix core and its two vector cores. */
const ascendKinds = { vector: 0, cube: 1, mix: 2, mix11: 3 } as const;

function ascend(name: ChipName, npuArch: number): SimTarget {
  const chip = chips[name];
  const size = (space: AscendSpace): string => `-DASC_${space}_BYTES=${spaceOf(chip, space).sizeBytes}`;
  const cubeCores = countOf(chip.rates.matrixCores);
  const vectorCores = countOf(chip.rates.vectorCores);
  return {
    chip,
    emit: (program, symbol) => emitAscend(program, chip, symbol),
    folders: [join(here, "ascend", "include"), engine],
    header: "kernel_operator.h",
    flags: [
      `-D__NPU_ARCH__=${npuArch}`,
      `-DASC_CUBE_CORES=${cubeCores}`,
      `-DASC_VECTOR_CORES=${vectorCores}`,
      ...(["UB", "L1", "L0A", "L0B", "L0C"] as const).map(size),
    ],
    numThreads: 1,
    kinds: ascendKinds,
    numBlocks: (kind, numPrograms) => Math.min(numPrograms, kind === "vector" ? vectorCores : cubeCores),
  };
}

/** The number of clusters that meet in a job; cores of a block never do. */
const mluKinds = { block: 0, union1: 1, union2: 2, union4: 4 } as const;

/**
 * Tasks of a Union1 launch: four for each cluster that gets a team; 0 where Block is better, because no programs share a
 * team or the busiest core would have more to do.
 */
function unionBlocks(grid: Grid, axis: number, cores: number): number {
  const clusters = Math.floor(cores / CORES);
  const teams = grid.reduce((p, n, d) => p * (d === axis ? Math.ceil(n / CORES) : n), 1);
  const alone = Math.ceil(grid.reduce((p, n) => p * n, 1) / cores);
  if (grid[axis]! < 2 || Math.ceil(teams / clusters) > alone) return 0;
  return CORES * Math.min(teams, clusters);
}

function mlu(name: ChipName, arch: number): SimTarget {
  const chip = chips[name];
  const cores = countOf(chip.rates.vectorCores);
  return {
    chip,
    emit: (program, symbol) => {
      const block = { source: emitMlu(program, chip, symbol).source, kind: "block", workspaceBytesPerBlock: 0 };
      const union = emitMluCluster(program, chip, symbol);
      if (!union) return block;
      return { ...block, together: { source: union.source, kind: "union1", blocksFor: (grid) => unionBlocks(grid, union.axis, cores) } }; // prettier-ignore
    },
    folders: [join(here, "mlu", "include"), join(here, "mlu", "include", "bang")],
    header: "bang.h",
    get flags() {
      return [`-D__BANG_ARCH__=${arch}`, "-Wl,--no-as-needed", mluRuntime()];
    },
    numThreads: cores,
    kinds: mluKinds,
    counters: mluCounters,
    numBlocks: (_kind, numPrograms) => Math.min(numPrograms, cores),
  };
}

export const simTargets: Readonly<Record<`sim:${ChipName}`, SimTarget>> = {
  "sim:ascend-910b": ascend("ascend-910b", 2201),
  "sim:ascend-910c": ascend("ascend-910c", 2201),
  "sim:ascend-950": ascend("ascend-950", 3510),
  "sim:mlu-370": mlu("mlu-370", 372),
  "sim:mlu-590": mlu("mlu-590", 592),
};
