/**
 * Which programs may run on different cores of an MLU. Device memory is written in lines of 64 bytes, so two cores that write one
 * line may lose each other's bytes; programs whose stores start within a line must stay on one core.
 * A store starts at a sum of products; with the numbers of a launch, every product must be a multiple of a line. Neighbours
 * along x may instead go to one core `group` at a time. Main functions: `lineRule`, from a program alone, which the emitter
 * prints (emit/mlu/group.ts), and `groupOf`, what the kernel then finds for a launch.
 */
import { dtypes } from "../base/dtype.ts";
import type { IndexExpr, Stmt, TileProgram, View } from "./ir.ts";
import { tilesOf } from "./walk.ts";

export const LINE = 64;

/** Bytes: a constant times index parameters. */
export interface Bytes {
  readonly constant: number;
  readonly params: readonly string[];
}
export interface LineRule {
  /** Whether no numbers could put programs on different cores. */
  readonly isNever: boolean;
  /** Must start on a line. */
  readonly buffers: readonly string[];
  /** Must be whole lines. */
  readonly whole: readonly Bytes[];
  /** Times the group must be whole lines; `fixed` of it is known without numbers. */
  readonly steps: readonly Bytes[];
  readonly fixed: number;
}

/** constant * params [* program x] [* something that differs between programs or turns]. */
interface Term extends Bytes {
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
  private readonly shapes: ReadonlyMap<number, readonly number[]>;
  constructor(program: TileProgram) {
    this.shapes = new Map(tilesOf(program).map((t) => [t.id, t.shape]));
    this.list(program.body);
  }
  private list(stmts: readonly Stmt[]): void {
    for (const s of stmts)
      if (s.kind === "store") this.found.push({ view: s.view, at: s.at, box: this.shapes.get(s.value)! });
      else if (s.kind === "scatter") {
        // Rows that only the data knows.
        const row: IndexExpr = { kind: "program", axis: 2 };
        this.found.push({ view: s.view, at: [row, s.col], box: this.shapes.get(s.value)! });
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
        return [{ ...one, params: [e.name] }];
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

export function lineRule(program: TileProgram): LineRule {
  const sites = new Sites(program);
  const buffers = new Set<string>();
  const [whole, steps] = [new Map<string, Bytes>(), new Map<string, Bytes>()];
  const keep = (table: Map<string, Bytes>, { constant, params }: Bytes): void => void table.set([...params, Math.abs(constant)].join(), { constant: Math.abs(constant), params }); // prettier-ignore
  let [fixed, isNever] = [1, false];
  for (const { view, at, box } of sites.found) {
    const { size } = dtypes[view.dtype];
    buffers.add(view.buffer);
    const scaled = at.flatMap((x, d) => sites.terms(x).flatMap((t) => sites.terms(view.strides[d]!).map((s) => product(t, s)))); // prettier-ignore
    const terms = [...sites.terms(view.offset), ...scaled].map((t) => ({ ...t, constant: t.constant * size }));
    const isStatic = (t: Term): boolean => t.params.length === 0;
    const isShift = (t: Term): boolean => isStatic(t) && !t.varies;
    for (const t of terms) {
      if (isShift(t) || t.constant % LINE === 0) continue;
      if (t.hasX && isStatic(t)) while ((fixed * t.constant) % LINE !== 0) fixed *= 2;
      else if (t.hasX) keep(steps, t);
      else if (isStatic(t)) isNever = true;
      else keep(whole, t);
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
        else keep(whole, bytes);
      }
    }
    const smallest = Math.min(...terms.filter((t) => t.varies && isStatic(t)).map((t) => t.constant));
    if (extent > smallest) isNever = true;
  }
  const wholes = withoutMultiples([...whole.values()]);
  // What is whole lines alone is so times any group.
  const others = withoutMultiples([...steps.values()]).filter((s) => !wholes.some((w) => isMultiple(s, w)));
  return { isNever, buffers: [...buffers], whole: wholes, steps: others, fixed };
}

/** Whether `a` is a multiple of `b` whatever the numbers. */
function isMultiple(a: Bytes, b: Bytes): boolean {
  const left = a.params.slice();
  const isPart = b.params.every((name) => left.includes(name) && left.splice(left.indexOf(name), 1).length > 0);
  return isPart && a.constant % b.constant === 0;
}
/** Those that the others do not imply. */
const withoutMultiples = (all: readonly Bytes[]): Bytes[] =>
  all.filter((a, i) => !all.some((b, j) => i !== j && isMultiple(a, b) && (j < i || !isMultiple(b, a))));

/** Whether a core may take several neighbours and not all; else it takes one, or one core takes all. */
export const hasGroups = ({ isNever, fixed, steps }: LineRule): boolean => !isNever && (fixed > 1 || steps.length > 0);

/** Programs that go to one core together in a launch whose buffers start on lines. */
export function groupOf(rule: LineRule, [x, y, z]: readonly [number, number, number], numbers: Readonly<Record<string, number>>): number {
  const all = x * y * z;
  const bytes = ({ constant, params }: Bytes): number => params.reduce((p, name) => p * numbers[name]!, constant);
  if (rule.isNever || rule.whole.some((b) => bytes(b) % LINE !== 0)) return all;
  let group = rule.fixed;
  while (group < LINE && rule.steps.some((b) => (group * bytes(b)) % LINE !== 0)) group *= 2;
  return hasGroups(rule) && x !== all && x % group !== 0 ? all : group;
} // prettier-ignore
