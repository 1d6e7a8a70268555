/**
 * Tile program -> BANG C for Cambricon MLU370 and MLU590: a kernel of task type Block. Tasks take programs of the grid
 * in turns, `group` neighbours at a time (lines.ts says how many must stay together, because cores must not share a
 * 64-byte line of device memory). Tiles are where passes.ts put them: buffers in one NRAM arena, the right operands of
 * products in WRAM, what the cores of a cluster load alike in SRAM: such a program has a second form, of type Union1.
 * Main functions: `emitMlu`, `emitMluCluster`. Meaning: interpret.ts. A kernel that has no lowering is a CompileError with op and dtype.
 */
import type { Chip } from "../chips/types.ts";
import type { ClusterPlan } from "../cluster.ts";
import type { Param, TileProgram } from "../ir.ts";
import { lower, ofTeams, type Lowering } from "../passes.ts";
import { LineWriter } from "./c-like/line-writer.ts";
import { MluEmission } from "./mlu/emission.ts";
import { groupLines } from "./mlu/group.ts";
import { Statements } from "./mlu/statements.ts";
import { elementType } from "./mlu/types.ts";

export interface MluKernel {
  /** Arguments: the program's parameters in order, then three int64_t grid dims. */
  readonly source: string;
  readonly entry: string;
  /** Block: cores need not meet, so any number of them may run any tasks. Union1: four cores and a memory core do. */
  readonly taskType: "block" | "union1";
  readonly nramBytes: number;
  readonly wramBytes: number;
  readonly sramBytes: number;
  /** Device memory beyond the arguments. */
  readonly workspaceBytes: number;
}

const declare = (p: Param): string =>
  p.kind === "buffer"
    ? `${p.dtype === "bool" ? "uint8_t" : (elementType[p.dtype] ?? "uint8_t")}* ${p.name}`
    : p.kind === "scalar"
      ? `float s_${p.name}`
      : `int64_t n_${p.name}`;

export function emitMlu(program: TileProgram, chip: Chip, entry = program.name): MluKernel {
  return emit(lower(program, chip), entry);
}

/** For clusters whose cores take neighbours along an axis of the grid; undefined where the plan shares nothing. */
export function emitMluCluster(program: TileProgram, chip: Chip, entry = program.name): (MluKernel & { readonly axis: number }) | undefined {
  const planned = lower(program, chip);
  const { plan } = planned.cluster;
  return plan && { ...emit(ofTeams(planned), entry, plan), axis: plan.axis };
} // prettier-ignore

/** A program as the text of a function: what a kernel is made of, alone or in a list (mlu/list.ts). */
export interface MluBody {
  /** `type name` of every parameter, then three grid sizes. */
  readonly params: readonly string[];
  /** Statements on arenas `nram`, `wram` and `sram` of these sizes. */
  readonly text: string;
  readonly nramBytes: number;
  readonly wramBytes: number;
  readonly sramBytes: number;
}

/** One line for each memory that is in use. */
export const arenas = ({ nramBytes, wramBytes, sramBytes }: Pick<MluBody, "nramBytes" | "wramBytes" | "sramBytes">): string[] =>
  ([["__nram__", "nram", nramBytes], ["__wram__", "wram", wramBytes], ["__mlu_shared__", "sram", sramBytes]] as const)
    .flatMap(([space, name, bytes]) => (bytes > 0 ? [`${space} char ${name}[${bytes}];`] : [])); // prettier-ignore

export const mluIncludes = ["#include <bang.h>", "#include <algorithm>", "#include <cmath>"] as const;

/** A program for cores alone, and where the plan shares something for the teams of clusters. */
export function mluBodies(program: TileProgram, chip: Chip): { readonly alone: MluBody; readonly team: (MluBody & { readonly axis: number }) | undefined } {
  const planned = lower(program, chip);
  const { plan } = planned.cluster;
  return { alone: bodyOf(planned), team: plan && { ...bodyOf(ofTeams(planned), plan), axis: plan.axis } };
} // prettier-ignore

function bodyOf(state: Lowering, plan?: ClusterPlan): MluBody {
  const { program } = state;
  const e = new MluEmission(state);
  new Statements(e, plan).programs(program.body);
  const { NRAM: nramBytes = 0, WRAM: wramBytes = 0 } = state.memory.peakBytes;
  const text = new LineWriter();
  text.add(...e.declarations(), "", "const int64_t num_programs = grid_x * grid_y * grid_z;");
  text.add("// Cores must not share a 64-byte line of device memory: so many neighbouring programs go to one core.");
  text.add(...groupLines(program, plan !== undefined));
  text.add(...e.out.toString().split("\n").map((line) => line.slice(2))); // prettier-ignore
  const params = [...program.params.map(declare), ...["x", "y", "z"].map((axis) => `int64_t grid_${axis}`)];
  return { params, text: text.toString(), nramBytes, wramBytes, sramBytes: plan?.sramBytes ?? 0 };
}

function emit(state: Lowering, entry: string, plan?: ClusterPlan): MluKernel {
  const { params, text, ...sizes } = bodyOf(state, plan);
  const source = [
    `// ${state.program.name}: tile program for ${state.chip.arch.name}`,
    ...mluIncludes,
    "",
    `extern "C" __mlu_global__ void ${entry}(${params.join(", ")}) {`,
    ...arenas(sizes).map((line) => `  ${line}`),
    text,
    "}",
    "",
  ].join("\n");
  return { source, entry, taskType: plan ? "union1" : "block", ...sizes, workspaceBytes: 0 };
}
