/**
 * Which programs may run on different cores. Device memory is written in lines of 64 bytes, so two cores that write one
 * line may lose each other's bytes; programs whose stores start within a line must stay on one core.
 * A store starts at a sum of products; the kernel checks, with the numbers of its launch, that every product is a
 * multiple of a line. Neighbours along x may instead go to one core `group` at a time.
 * Main function: `groupLines`, lines of BANG C that define `group`.
 */
import { dtypes } from "../../../base/dtype.ts";
import type { IndexExpr, Stmt, TileProgram, View } from "../../ir.ts";
import type { MluEmission } from "./emission.ts";

const LINE = 64;

/** constant * params [* program x] [* something that differs between programs or turns]. */
interface Term {
  readonly constant: number;
  readonly params: readonly string[];
  readonly hasX: boolean;
  readonly varies: boolean;
}
const one: Term = { constant: 1, params: [], hasX: false, varies: false };
const product = (a: Term, b: Term): Term => ({
  constant: a.constant * b.constant,
  params: [...a.params, ...b.params],
  hasX: a.hasX || b.hasX,
  varies: a.varies || b.varies,
});

interface StoreSite {
  readonly view: View;
  readonly at: readonly IndexExpr[];
  readonly box: readonly number[];
}

class Sites {
  readonly found: StoreSite[] = [];
  private readonly loops = new Map<number, { readonly start: IndexExpr; readonly step: number }>();
  private readonly e: MluEmission;
  constructor(e: MluEmission, program: TileProgram) {
    this.e = e;
    this.list(program.body);
  }
  private list(stmts: readonly Stmt[]): void {
    for (const s of stmts)
      if (s.kind === "store") this.found.push({ view: s.view, at: s.at, box: this.e.tile(s.value).shape });
      else if (s.kind === "scatter") {
        // Rows that only the data knows.
        const row: IndexExpr = { kind: "program", axis: 2 };
        this.found.push({ view: s.view, at: [row, s.col], box: this.e.tile(s.value).shape });
      } else if (s.kind === "loop") {
        this.loops.set(s.id, s);
        this.list(s.body);
      } else if (s.kind === "if") this.list(s.body);
  }
  /** An expression as a sum of terms, each of which has to be a multiple of a line. */
  terms(e: IndexExpr): Term[] {
    const varying: Term = { ...one, varies: true };
    switch (e.kind) {
      case "const":
        return e.value === 0 ? [] : [{ ...one, constant: e.value }];
      case "param":
        return [{ ...one, params: [`n_${e.name}`] }];
      case "program":
        return [e.axis === 0 ? { ...varying, hasX: true } : varying];
      case "loop": {
        const { start, step } = this.loops.get(e.id)!;
        return [...this.terms(start), { ...varying, constant: step }];
      }
      case "read":
        return [varying];
      case "bin": {
        const [a, b] = [this.terms(e.a), this.terms(e.b)];
        if (e.op === "mul") return a.flatMap((x) => b.map((y) => product(x, y)));
        return ["add", "sub", "min", "max"].includes(e.op) ? [...a, ...b] : [varying];
      }
    }
  }
}

export function groupLines(e: MluEmission, program: TileProgram): string[] {
  const sites = new Sites(e, program);
  const conditions = new Set<string>();
  const steps = new Set<string>();
  let fixed = 1;
  for (const { view, at, box } of sites.found) {
    const { size } = dtypes[view.dtype];
    conditions.add(`(uintptr_t)${view.buffer} % ${LINE} == 0`);
    const scaled = at.flatMap((x, d) => sites.terms(x).flatMap((t) => sites.terms(view.strides[d]!).map((s) => product(t, s)))); // prettier-ignore
    const terms = [...sites.terms(view.offset), ...scaled].map((t) => ({ ...t, constant: t.constant * size }));
    const isStatic = (t: Term): boolean => t.params.length === 0;
    const isShift = (t: Term): boolean => isStatic(t) && !t.varies;
    const text = (t: Term): string => [...t.params, String(Math.abs(t.constant))].join(" * ");
    for (const t of terms) {
      if (isShift(t) || t.constant % LINE === 0) continue;
      if (t.hasX && isStatic(t)) while ((fixed * t.constant) % LINE !== 0) fixed *= 2;
      else if (t.hasX) steps.add(text(t));
      else conditions.add(isStatic(t) ? "false" : `${text(t)} % ${LINE} == 0`);
    }
    // What one program covers from its start on, by axes whose steps are no whole lines, ends before the next program.
    const shift = terms.filter(isShift).reduce((sum, t) => sum + t.constant, 0);
    let extent = shift % LINE === 0 ? size : shift + size;
    for (const [d, n] of box.entries()) {
      if (n === 1) continue;
      for (const s of sites.terms(view.strides[d]!)) {
        const bytes = { ...s, constant: s.constant * size };
        if (bytes.constant % LINE === 0) continue;
        if (isStatic(s)) extent += (n - 1) * bytes.constant;
        else conditions.add(`${text(bytes)} % ${LINE} == 0`);
      }
    }
    const smallest = Math.min(...terms.filter((t) => t.varies && isStatic(t)).map((t) => t.constant));
    if (extent > smallest) conditions.add("false");
  }
  const all = [...conditions];
  if (all.includes("false")) return ["const int64_t group = num_programs;"];
  const lines = [`bool is_apart = ${all.join(" && ")};`];
  lines.push(`int64_t group = ${fixed};`);
  if (steps.size > 0) lines.push(`while (group < ${LINE} && (${[...steps].map((s) => `group * ${s} % ${LINE} != 0`).join(" || ")})) group *= 2;`); // prettier-ignore
  // A group must not run over the end of a row of programs.
  if (fixed > 1 || steps.size > 0)
    lines.push("is_apart = is_apart && (grid_x == num_programs || grid_x % group == 0);");
  return [...lines, "if (!is_apart) group = num_programs;"];
}
