/**
 * Along which variable (a program axis, a loop) nothing that a list of statements moves can become more: boxes step
 * away from the first byte of views whose ends stay where they are, and conditions only turn false. Then equal counts at
 * two places mean equal counts between them, and a walk over a grid visits few of its programs.
 * Main functions: `isFalling`, which errs towards no; `forEachRun`.
 */
import type { IndexExpr, Stmt, View } from "./ir.ts";
import type { Liveness } from "./liveness.ts";
import { followed } from "./row-numbers.ts";
import { operandsOf } from "./walk.ts";

/** A program axis, or the id of a loop. */
export type Variable = { readonly axis: number } | { readonly loop: number };

class Analysis {
  private readonly v: Variable;
  private readonly live: Liveness;
  private readonly numbers: Readonly<Record<string, number>>;
  constructor(v: Variable, live: Liveness, numbers: Readonly<Record<string, number>>) {
    this.v = v;
    this.live = live;
    this.numbers = numbers;
  }

  private isVariable(e: IndexExpr): boolean {
    return ("axis" in this.v && e.kind === "program" && e.axis === this.v.axis) || ("loop" in this.v && e.kind === "loop" && e.id === this.v.loop); // prettier-ignore
  }
  isFree(e: IndexExpr): boolean {
    if (e.kind === "bin") return this.isFree(e.a) && this.isFree(e.b);
    if (e.kind === "read") return [...viewExprs(e.view), ...e.at].every((x) => this.isFree(x));
    return !this.isVariable(e);
  }
  /** At least 0 and never less where the variable is more. */
  private isRising(e: IndexExpr): boolean {
    if (e.kind === "const") return e.value >= 0;
    if (e.kind === "param") return this.numbers[e.name]! >= 0;
    if (e.kind === "loop") return this.isRising(this.live.loops.get(e.id)!.stmt.start);
    if (e.kind === "bin") return ["add", "mul", "div", "min", "max"].includes(e.op) && this.isRising(e.a) && (e.op === "div" ? e.b.kind === "const" : this.isRising(e.b)); // prettier-ignore
    return e.kind !== "read";
  }
  private box(view: View, at: readonly IndexExpr[]): boolean {
    return at.every((x, d) => this.isFree(view.shape[d]!) && (this.isFree(x) || this.isRising(x)));
  }
  /** Rows that an index tile names do not change at all. */
  private rows(id: number): boolean {
    const tile = this.live.tiles.get(id)!;
    const { op } = tile;
    if (op.kind === "index") return this.isFree(op.value);
    if (op.kind === "load") return [...viewExprs(op.view), ...op.at].every((x) => this.isFree(x));
    return !followed.has(op.kind) || operandsOf(tile).every((x) => this.rows(x));
  }
  private condition(e: IndexExpr): boolean {
    if (this.isFree(e)) return true;
    if (e.kind !== "bin") return false;
    if (e.op === "and") return this.condition(e.a) && this.condition(e.b);
    return (e.op === "lt" || e.op === "le") && this.isRising(e.a) && this.isFree(e.b);
  }
  private stmt(s: Stmt): boolean {
    switch (s.kind) {
      case "let": {
        const { op } = s.tile;
        if (op.kind === "load") return this.box(op.view, op.at);
        if (op.kind === "gather") return this.isFree(op.view.shape[0]!) && this.rows(op.rows) && this.box({ ...op.view, shape: [op.view.shape[1]!] }, [op.col]); // prettier-ignore
        return true;
      }
      case "store":
        return this.box(s.view, s.at);
      case "scatter":
        return this.isFree(s.view.shape[0]!) && this.rows(s.rows) && this.box({ ...s.view, shape: [s.view.shape[1]!] }, [s.col]); // prettier-ignore
      case "if":
        return this.condition(s.cond) && this.list(s.body);
      case "loop":
        return this.isFree(s.start) && this.isFree(s.end) && this.list(s.body);
    }
  }
  list(stmts: readonly Stmt[]): boolean {
    return stmts.every((s) => this.stmt(s));
  }
}

const viewExprs = (v: View): readonly IndexExpr[] => [...v.shape, ...v.strides, v.offset];

export const isFalling = (body: readonly Stmt[], v: Variable, live: Liveness, numbers: Readonly<Record<string, number>>): boolean =>
  new Analysis(v, live, numbers).list(body); // prettier-ignore

const isEqual = (a: Float64Array, b: Float64Array): boolean => a.every((x, i) => x === b[i]);

/**
 * Counts of `n` places in order, as runs of equal ones: `take(first, times, counts)` covers all of them. Places between
 * two equal ones are not visited where counts only fall: they come as one run, `times` of what was just before them.
 */
export function forEachRun(
  n: number,
  falls: boolean,
  visit: (i: number) => Float64Array,
  take: (first: number, times: number, counts: Float64Array, isVisited: boolean) => void,
): void {
  if (!falls || n <= 2) {
    for (let i = 0; i < n; i++) take(i, 1, visit(i), true);
    return;
  }
  // Both ends are taken; what is between them follows.
  const between = (lo: number, hi: number, a: Float64Array, b: Float64Array): void => {
    if (hi - lo < 2) return;
    if (isEqual(a, b)) return take(lo + 1, hi - lo - 1, a, false);
    const mid = (lo + hi) >> 1;
    const c = visit(mid);
    between(lo, mid, a, c);
    take(mid, 1, c, true);
    between(mid, hi, c, b);
  };
  const [first, last] = [visit(0), visit(n - 1)];
  take(0, 1, first, true);
  between(0, n - 1, first, last);
  take(n - 1, 1, last, true);
}
