/** The rule of tile/lines.ts in a kernel: lines of BANG C that define `group`. Main function: `groupLines`. */
import type { TileProgram } from "../../ir.ts";
import { LINE, lineRule, type Bytes } from "../../lines.ts";

const text = ({ constant, params }: Bytes): string => [...params.map((name) => `n_${name}`), String(constant)].join(" * "); // prettier-ignore

export function groupLines(program: TileProgram): string[] {
  const { isNever, buffers, whole, steps, fixed } = lineRule(program);
  if (isNever) return ["const int64_t group = num_programs;"];
  const conditions = [...buffers.map((b) => `(uintptr_t)${b} % ${LINE} == 0`), ...whole.map((b) => `${text(b)} % ${LINE} == 0`)]; // prettier-ignore
  const lines = [`bool is_apart = ${conditions.join(" && ")};`];
  lines.push(`int64_t group = ${fixed};`);
  if (steps.length > 0) lines.push(`while (group < ${LINE} && (${steps.map((b) => `group * ${text(b)} % ${LINE} != 0`).join(" || ")})) group *= 2;`); // prettier-ignore
  // A group must not run over the end of a row of programs.
  if (fixed > 1 || steps.length > 0) lines.push("is_apart = is_apart && (grid_x == num_programs || grid_x % group == 0);"); // prettier-ignore
  return [...lines, "if (!is_apart) group = num_programs;"];
}
