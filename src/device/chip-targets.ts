/**
 * The chips kernels are built for: how a tile program becomes a kernel of theirs and how many blocks run its grid.
 * Simulators (sim/targets.ts) and drivers (ascend/, mlu/) both start from here. Main table: `chipTargets`.
 */
import { chips } from "../tile/chips/chips.ts";
import type { Chip, ChipName, Figure } from "../tile/chips/types.ts";
import { emitAscend } from "../tile/emit/ascend/ascend.ts";
import { CORES, teamTasks } from "../tile/cluster.ts";
import { emitAscendList } from "../tile/emit/ascend/list.ts";
import { emitMlu, emitMluCluster } from "../tile/emit/mlu.ts";
import { emitMluList } from "../tile/emit/mlu/list.ts";
import type { TileProgram } from "../tile/ir.ts";

/** What an emitter hands over: a function `symbol` that runs a share of the grid on every block. */
export interface EmittedKernel {
  /** Arguments: the program's parameters in order, three int64 grid dims, then the workspace if it has one. */
  readonly source: string;
  /** vector: on the vector cores; cube: on the matrix cores; mix: one of them and two vector cores a block; mix11: and one; block: any core. */
  readonly kind: string;
  readonly workspaceBytesPerBlock: number;
  /** The same for blocks that work together; which of the two a launch takes is up to its grid: 0 blocks is the first. */
  readonly together?: { readonly source: string; readonly kind: string; readonly blocksFor: (grid: Grid, cores?: Cores) => number }; // prettier-ignore
}
/** One kernel that runs a list of launches of several programs (launch-list.ts), on all cores at once. */
export interface EmittedList {
  /** Arguments: the list, how many launches, then the workspace if it has one. */
  readonly source: string;
  readonly kind: string;
  readonly numBlocks: number;
  readonly workspaceBytesPerBlock: number;
  /** By the program's place in the list that was emitted: which of the kernel's cases runs a grid of it. */
  readonly caseOf: (program: number, grid: Grid) => number;
}
/** Programs along x, y and z. */
export type Grid = readonly [number, number, number];

/** Cores that a launch can use; a device knows its own, a chip's table those of one product. */
export interface Cores {
  readonly matrix: number;
  readonly vector: number;
}

export interface ChipTarget {
  readonly chip: Chip;
  readonly cores: Cores;
  readonly emit: (program: TileProgram, symbol: string, chip: Chip) => EmittedKernel;
  readonly emitList: (programs: readonly TileProgram[], symbol: string, cores?: Cores) => EmittedList;
  /** Blocks to start for a grid of so many programs. */
  readonly numBlocks: (kind: string, numPrograms: number, cores?: Cores) => number;
}

/** A count that a rumour only bounds is taken at its lower end. */
const countOf = (figure: Figure): number =>
  figure.kind === "unknown" ? 1 : figure.kind === "rumoured" ? figure.low : figure.value;

const coresOf = ({ rates }: Chip): Cores => ({
  matrix: countOf(rates.matrixCores),
  vector: countOf(rates.vectorCores),
});

function ascend(name: ChipName): ChipTarget {
  const chip = chips[name];
  const own = coresOf(chip);
  return {
    chip,
    cores: own,
    emit: (program, symbol) => emitAscend(program, chip, symbol),
    emitList: (programs, symbol, cores = own) => {
      const { source, kind, workspaceBytesPerBlock } = emitAscendList(programs, chip, symbol);
      const numBlocks = kind === "vector" ? cores.vector : cores.matrix;
      return { source, kind, workspaceBytesPerBlock, numBlocks, caseOf: (program) => program };
    },
    numBlocks: (kind, numPrograms, cores = own) => Math.min(numPrograms, kind === "vector" ? cores.vector : cores.matrix), // prettier-ignore
  };
}

function mlu(name: ChipName): ChipTarget {
  const chip = chips[name];
  const own = coresOf(chip);
  return {
    chip,
    cores: own,
    emit: (program, symbol) => {
      const block = { source: emitMlu(program, chip, symbol).source, kind: "block", workspaceBytesPerBlock: 0 };
      const union = emitMluCluster(program, chip, symbol);
      if (!union) return block;
      return { ...block, together: { source: union.source, kind: "union1", blocksFor: (grid, cores = own) => teamTasks(grid, union.axis, cores.vector) } }; // prettier-ignore
    },
    emitList: (programs, symbol, cores = own) => {
      // The largest job there is; what a chip has beyond it stays idle.
      const clusters = unionSizes.findLast((n) => CORES * n <= cores.vector) ?? 1;
      const numBlocks = CORES * clusters;
      const { source, teams } = emitMluList(programs, chip, symbol);
      const caseOf = (program: number, grid: Grid): number => {
        const team = teams.get(program);
        return team && teamTasks(grid, team.axis, numBlocks) > 0 ? team.number : program;
      };
      return { source, kind: `union${clusters}`, numBlocks, workspaceBytesPerBlock: 0, caseOf };
    },
    numBlocks: (_kind, numPrograms, cores = own) => Math.min(numPrograms, cores.vector),
  };
}
/** Clusters of one job: the task types Union1 to Union16. */
const unionSizes = [1, 2, 4, 8, 16] as const;

export const chipTargets: Readonly<Record<ChipName, ChipTarget>> = {
  "ascend-910b": ascend("ascend-910b"),
  "ascend-910c": ascend("ascend-910c"),
  "ascend-950": ascend("ascend-950"),
  "mlu-370": mlu("mlu-370"),
  "mlu-590": mlu("mlu-590"),
};
