/**
 * Index expressions of a program as functions of where in a launch it is: which loop turns, which place of the grid. With
 * them, how much of a box lies in its view. Main class: `Positions`.
 */
import { foldIndex } from "./builder.ts";
import type { IndexExpr, TileValue, View } from "./ir.ts";
import { rowNumbers } from "./row-numbers.ts";
import type { Launch } from "./traffic.ts";

export interface At {
  /** Of the grid, and how many programs come before. */
  readonly p: number[];
  before: () => number;
  readonly loops: number[];
}
export type Eval = (at: At) => number;

export class Positions {
  private readonly launch: Launch;
  private readonly tile: (id: number) => TileValue;
  private readonly loopIds = new Map<number, number>();

  constructor(launch: Launch, tile: (id: number) => TileValue) {
    this.launch = launch;
    this.tile = tile;
  }
  /** Where `At.loops` has the turn of a loop from now on. */
  enter(loop: number): number {
    const slot = this.loopIds.size;
    this.loopIds.set(loop, slot);
    return slot;
  }

  index(e: IndexExpr): Eval {
    switch (e.kind) {
      case "const": {
        const { value } = e;
        return () => value;
      }
      case "param": {
        const value = this.launch.numbers[e.name]!;
        return () => value;
      }
      case "program": {
        const { axis } = e;
        return ({ p }) => p[axis]!;
      }
      case "loop": {
        const slot = this.loopIds.get(e.id)!;
        return ({ loops }) => loops[slot]!;
      }
      case "bin": {
        const [a, b, fold] = [this.index(e.a), this.index(e.b), foldIndex[e.op]];
        return (at) => fold(a(at), b(at));
      }
      case "read":
        return this.element(e.view, e.at);
    }
  }
  /** Outside of the view, or unknown: 0. */
  private element(view: View, at: readonly IndexExpr[]): Eval {
    const [where, bounds, strides] = [at, view.shape, view.strides].map((list) => list.map((x) => this.index(x))) as [Eval[], Eval[], Eval[]]; // prettier-ignore
    const offset = this.index(view.offset);
    return (now) => {
      let element = offset(now);
      for (let d = 0; d < where.length; d++) {
        const x = where[d]!(now);
        if (x < 0 || x >= bounds[d]!(now)) return 0;
        element += x * strides[d]!(now);
      }
      return this.launch.read?.(view.buffer, element) ?? 0;
    };
  }
  /** Elements that the scalar unit reads for it. */
  readsIn(e: IndexExpr): number {
    if (e.kind === "bin") return this.readsIn(e.a) + this.readsIn(e.b);
    return e.kind === "read" ? 1 + e.at.reduce((s, x) => s + this.readsIn(x), 0) : 0;
  }

  /** Elements of a box that lie in its view. */
  inside(view: View, at: readonly IndexExpr[], shape: readonly number[]): Eval {
    const axes = shape.map((n, d) => {
      const [start, bound] = [at[d]!, view.shape[d]!];
      const isWhole = start.kind === "const" && bound.kind === "const" && start.value >= 0 && start.value + n <= bound.value; // prettier-ignore
      return isWhole ? { n, from: undefined } : { n, from: this.index(start), bound: this.index(bound) };
    });
    const whole = axes.reduce((p, a) => (a.from ? p : p * a.n), 1);
    const partial = axes.filter((a) => a.from) as { n: number; from: Eval; bound: Eval }[];
    return (now) => {
      let count = whole;
      for (const { n, from, bound } of partial) {
        const start = from(now);
        const rows = Math.min(start + n, bound(now)) - Math.max(start, 0);
        if (rows <= 0) return 0;
        count *= rows;
      }
      return count;
    };
  }
  /** How many of the rows that a tile names exist in a view; those that are not known do. */
  rowsInside(id: number, view: View): Eval {
    const bound = this.index(view.shape[0]!);
    const numbers = rowNumbers<At>({ tile: (x) => this.tile(x), index: (e) => this.index(e), read: this.launch.read }, id); // prettier-ignore
    return (now) => {
      const end = bound(now);
      return numbers(now).filter((row) => row === undefined || (row >= 0 && row < end)).length;
    };
  }
}
