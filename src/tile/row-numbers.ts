/**
 * The numbers of a tile that names rows, as far as the arguments of a launch tell them: positions, comparisons and choices
 * among them, and elements of buffers whose contents are known. What is not known is undefined; what does not depend on
 * it is known all the same. Main function: `rowNumbers`.
 */
import type { IndexExpr, TileOp, TileValue } from "./ir.ts";
import { binaryOps, compareOps } from "./interpret.ts";
import { sizeOf } from "./walk.ts";

type Known = number | undefined;
/** Numbers in row-major order, at a place of a walk. */
export type Numbers<At> = (now: At) => readonly Known[];

export interface Source<At> {
  tile(id: number): TileValue;
  index(e: IndexExpr): (now: At) => number;
  /** Element of a buffer, undefined where its contents are not known. */
  readonly read: ((buffer: string, element: number) => Known) | undefined;
}

/** Ops that are followed to what they read; numbers of any other are unknown. */
export const followed: ReadonlySet<TileOp["kind"]> = new Set(["load", "full", "index", "iota", "unary", "binary", "compare", "select", "cast", "broadcast", "reshape"]); // prettier-ignore

const strideOf = (shape: readonly number[]): number[] => shape.map((_, d) => sizeOf(shape.slice(d + 1)));
const positionOf = (i: number, shape: readonly number[], strides: readonly number[]): number[] => shape.map((n, d) => Math.floor(i / strides[d]!) % n); // prettier-ignore

export function rowNumbers<At>(from: Source<At>, id: number): Numbers<At> {
  const { op, shape, dtype } = from.tile(id);
  const n = sizeOf(shape);
  const of = (x: number): Numbers<At> => rowNumbers(from, x);
  const each = (x: Numbers<At>, f: (v: number) => number): Numbers<At> => (now) => x(now).map((v) => (v === undefined ? v : f(v))); // prettier-ignore
  const both = (a: Numbers<At>, b: Numbers<At>, f: (x: Known, y: Known) => Known): Numbers<At> => (now) => {
    const y = b(now);
    return a(now).map((x, i) => f(x, y[i]));
  }; // prettier-ignore
  const known = (f: (x: number, y: number) => number) => (x: Known, y: Known): Known => (x === undefined || y === undefined ? undefined : f(x, y)); // prettier-ignore
  switch (op.kind) {
    case "load":
      return loaded(from, op, shape);
    case "full":
      return () => Array.from({ length: n }, () => op.value);
    case "index": {
      const value = from.index(op.value);
      return (now) => [value(now)];
    }
    case "iota": {
      const step = strideOf(shape)[op.axis]!;
      const numbers = Array.from({ length: n }, (_, i) => Math.floor(i / step) % shape[op.axis]!);
      return () => numbers;
    }
    case "unary":
      if (op.op === "not" && dtype === "bool") return each(of(op.x), (v) => Number(v === 0));
      return op.op === "neg" ? each(of(op.x), (v) => -v) : unknown(n);
    case "binary": {
      const [a, b, f] = [of(op.a), of(op.b), binaryOps[op.op]];
      const plain = known((x, y) => f(x, y, true));
      // A side that decides alone does so whatever the other is.
      if (dtype === "bool" && op.op === "and") return both(a, b, (x, y) => (x === 0 || y === 0 ? 0 : plain(x, y)));
      if (dtype === "bool" && op.op === "or") return both(a, b, (x, y) => (x === 1 || y === 1 ? 1 : plain(x, y)));
      return both(a, b, plain);
    }
    case "compare":
      return both(of(op.a), of(op.b), known((x, y) => Number(compareOps[op.op](x, y)))); // prettier-ignore
    case "select": {
      const [cond, a, b] = [of(op.cond), of(op.a), of(op.b)];
      return (now) => {
        const [x, y] = [a(now), b(now)];
        return cond(now).map((c, i) => (c === undefined ? undefined : c ? x[i] : y[i]));
      };
    }
    case "cast":
      return dtype === "bool" ? each(of(op.x), (v) => Number(v !== 0)) : of(op.x);
    case "reshape":
      return of(op.x);
    case "broadcast": {
      const small = from.tile(op.x).shape;
      const [strides, own] = [strideOf(shape), strideOf(small)];
      const places = Array.from({ length: n }, (_, i) => positionOf(i, shape, strides).reduce((s, p, d) => s + (small[d] === 1 ? 0 : p * own[d]!), 0)); // prettier-ignore
      const x = of(op.x);
      return (now) => {
        const numbers = x(now);
        return places.map((p) => numbers[p]);
      };
    }
    default:
      return unknown(n);
  }
}

const unknown = (n: number): (() => readonly Known[]) => {
  const none = Array.from({ length: n }, () => undefined);
  return () => none;
};

function loaded<At>(from: Source<At>, { view, at, other }: Extract<TileOp, { kind: "load" }>, shape: readonly number[]): Numbers<At> {
  const list = (exprs: readonly IndexExpr[]): ((now: At) => number)[] => exprs.map((x) => from.index(x));
  const [first, bounds, steps, offset] = [list(at), list(view.shape), list(view.strides), from.index(view.offset)];
  const strides = strideOf(shape);
  const places = Array.from({ length: sizeOf(shape) }, (_, i) => positionOf(i, shape, strides));
  return (now) => {
    const [start, end, step] = [first, bounds, steps].map((fs) => fs.map((f) => f(now))) as [number[], number[], number[]]; // prettier-ignore
    const base = offset(now);
    return places.map((place) => {
      const isIn = place.every((p, d) => start[d]! + p >= 0 && start[d]! + p < end[d]!);
      if (!isIn) return other;
      return from.read?.(view.buffer, place.reduce((s, p, d) => s + (start[d]! + p) * step[d]!, base)); // prettier-ignore
    });
  };
} // prettier-ignore
