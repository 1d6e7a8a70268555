/** The rule of tile/lines.ts in a kernel: lines of BANG C that define `group`, and where a group ends. Main functions: `groupLines`, `groupEnd`. */
import type { TileProgram } from "../../ir.ts";
import { hasGroups, LINE, lineRule, type Bytes } from "../../lines.ts";

const text = ({ constant, params }: Bytes): string => [...params.map((name) => `n_${name}`), String(constant)].join(" * "); // prettier-ignore

/** `isTeam`: for clusters, whose cores all pass. */
export function groupLines(program: TileProgram, isTeam: boolean): string[] {
  const rule = lineRule(program);
  const { isNever, buffers, whole, steps, fixed } = rule;
  if (isNever) return [isTeam ? "const int64_t group = num_programs;" : "if (taskId != 0) return;"];
  const conditions = [...buffers.map((b) => `(uintptr_t)${b} % ${LINE} == 0`), ...whole.map((b) => `${text(b)} % ${LINE} == 0`)]; // prettier-ignore
  const lines = [`bool is_apart = ${conditions.join(" && ")};`];
  lines.push(`int64_t group = ${fixed};`);
  if (steps.length > 0) lines.push(`while (group < ${LINE} && (${steps.map((b) => `group * ${text(b)} % ${LINE} != 0`).join(" || ")})) group *= 2;`); // prettier-ignore
  // A group must not run over the end of a row of programs.
  if (hasGroups(rule)) lines.push("is_apart = is_apart && (grid_x == num_programs || grid_x % group == 0);"); // prettier-ignore
  return [...lines, "if (!is_apart) group = num_programs;"];
}

/** Where the group that begins at `first` ends; one program, or all of them, cannot run over `count`. */
export const groupEnd = (program: TileProgram, count: string): string =>
  hasGroups(lineRule(program)) ? `std::min<int64_t>(first + group, ${count})` : "first + group";
