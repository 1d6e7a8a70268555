/** Uniform integers and uniform tiles as C++ expressions of the scalar unit. Main functions: `Scalars.index`, `Scalars.number`. */
import { isFloat, type DType } from "../../../base/dtype.ts";
import { isNotNegative } from "../../boxes.ts";
import { foldIndex } from "../../builder.ts";
import type { LoopStarts } from "../../walk.ts";
import type { IndexExpr, IndexOp, TileValue, View } from "../../ir.ts";
import { quantizer } from "../../memory.ts";
import { literal, typeNames } from "./buffers.ts";
import { DEVICE, type Node } from "./code.ts";

/** How tightly an expression binds: 3 names and calls, 2 products, 1 sums, 0 the rest. */
interface Text {
  readonly text: string;
  readonly binds: number;
}
const wrap = ({ text, binds }: Text, least: number): string => (binds >= least ? text : `(${text})`);
const forms: Readonly<Record<IndexOp, (a: Text, b: Text) => Text>> = {
  add: (a, b) => ({ text: `${wrap(a, 1)} + ${wrap(b, 1)}`, binds: 1 }),
  sub: (a, b) => ({ text: `${wrap(a, 1)} - ${wrap(b, 2)}`, binds: 1 }),
  mul: (a, b) => ({ text: `${wrap(a, 2)} * ${wrap(b, 3)}`, binds: 2 }),
  div: (a, b) => ({ text: `${wrap(a, 2)} / ${wrap(b, 3)}`, binds: 2 }),
  mod: (a, b) => ({ text: `${wrap(a, 2)} % ${wrap(b, 3)}`, binds: 2 }),
  min: (a, b) => ({ text: `${wrap(a, 1)} < ${wrap(b, 1)} ? ${wrap(a, 1)} : ${wrap(b, 1)}`, binds: 0 }),
  max: (a, b) => ({ text: `${wrap(a, 1)} > ${wrap(b, 1)} ? ${wrap(a, 1)} : ${wrap(b, 1)}`, binds: 0 }),
  lt: (a, b) => ({ text: `${wrap(a, 1)} < ${wrap(b, 1)}`, binds: 0 }),
  le: (a, b) => ({ text: `${wrap(a, 1)} <= ${wrap(b, 1)}`, binds: 0 }),
  eq: (a, b) => ({ text: `${wrap(a, 1)} == ${wrap(b, 1)}`, binds: 0 }),
  and: (a, b) => ({ text: `${wrap(a, 1)} && ${wrap(b, 1)}`, binds: 0 }),
};
/** The same with the simplest cases folded: sums with 0, products with 1. */
export function simplify(e: IndexExpr): IndexExpr {
  if (e.kind !== "bin") return e;
  const [a, b] = [simplify(e.a), simplify(e.b)];
  const [x, y] = [a.kind === "const" ? a.value : undefined, b.kind === "const" ? b.value : undefined];
  if (x !== undefined && y !== undefined) return { kind: "const", value: foldIndex[e.op](x, y) };
  if (e.op === "mul" && (x === 0 || y === 0)) return { kind: "const", value: 0 };
  if ((e.op === "mul" && x === 1) || (e.op === "add" && x === 0)) return b;
  if (((e.op === "mul" || e.op === "div") && y === 1) || ((e.op === "add" || e.op === "sub") && y === 0)) return a;
  return { ...e, a, b };
}
export const bin = (op: IndexOp, a: IndexExpr, b: IndexExpr | number): IndexExpr => simplify({ kind: "bin", op, a, b: typeof b === "number" ? { kind: "const", value: b } : b }); // prettier-ignore
/** Offset of position `at` of a view. */
export const offsetOf = (view: View, at: readonly IndexExpr[]): IndexExpr => at.reduce((sum, x, d) => bin("add", sum, bin("mul", x, view.strides[d]!)), simplify(view.offset)); // prettier-ignore

export class Scalars {
  private readonly tiles: ReadonlyMap<number, TileValue>;
  private readonly loops: LoopStarts;
  private readonly refuse: (op: string, dtype: DType, reason: string) => never;
  /** Reads of device memory, innermost block last: text -> name. */
  private readonly scopes: Map<string, string>[] = [new Map()];
  private numReads = 0;
  /** Where statements are being added. */
  nodes: Node[] = [];

  constructor(
    tiles: ReadonlyMap<number, TileValue>,
    loops: LoopStarts,
    refuse: (op: string, dtype: DType, reason: string) => never,
  ) {
    this.tiles = tiles;
    this.loops = loops;
    this.refuse = refuse;
  }

  isNotNegative(e: IndexExpr): boolean {
    return isNotNegative(e, this.loops);
  }

  /** Statements of a block; reads made inside are not known outside. */
  scoped(body: () => void): Node[] {
    const outer = this.nodes;
    const inner: Node[] = [];
    this.nodes = inner;
    this.scopes.push(new Map());
    body();
    this.scopes.pop();
    this.nodes = outer;
    return inner;
  }

  /** `least`: how tightly the result must bind where it will stand. */
  index(e: IndexExpr, least = 0): string {
    return wrap(this.text(simplify(e)), least);
  }
  private text(e: IndexExpr): Text {
    switch (e.kind) {
      case "const":
        return { text: String(e.value), binds: e.value < 0 ? 0 : 3 };
      case "param":
        return { text: e.name, binds: 3 };
      case "program":
        return { text: `p${e.axis}`, binds: 3 };
      case "loop":
        return { text: `i${e.id}`, binds: 3 };
      case "bin":
        return forms[e.op](this.text(e.a), this.text(e.b));
      case "read":
        return { text: this.read(e.view, e.at), binds: 3 };
    }
  }
  /** A named constant; outside of the view it is 0. */
  private read(view: View, at: readonly IndexExpr[]): string {
    const bounds = at.flatMap((x, d) => {
      const low = this.isNotNegative(x) ? [] : [bin("le", { kind: "const", value: 0 }, x)];
      return [...low, bin("lt", x, view.shape[d]!)].map((c) => this.index(c));
    });
    const value = `${view.buffer}Gm.GetValue(${this.index(offsetOf(view, at))})`;
    const text = bounds.length ? `${bounds.join(" && ")} ? ${value} : 0` : value;
    const known = this.scopes.findLast((s) => s.has(text))?.get(text);
    if (known) return known;
    const name = `${view.buffer}At${this.numReads++}`;
    this.nodes.push({ kind: "instr", lines: [`const int64_t ${name} = ${text};`], accesses: [{ pipe: "S", isWrite: false, memory: DEVICE + view.buffer, from: 0, to: 1 }] }); // prettier-ignore
    this.scopes[this.scopes.length - 1]!.set(text, name);
    return name;
  }

  /** The one value of a uniform tile, if it does not depend on arguments. */
  constant(id: number): number | undefined {
    const { op, dtype } = this.tiles.get(id)!;
    const round = quantizer(dtype);
    switch (op.kind) {
      case "full":
        return round(op.value);
      case "broadcast":
      case "reshape":
        return this.constant(op.x);
      case "cast": {
        const x = this.constant(op.x);
        if (x === undefined) return undefined;
        const isCut = isFloat(this.tiles.get(op.x)!.dtype) && !isFloat(dtype);
        return dtype === "bool" ? Number(x !== 0) : round(isCut ? Math.trunc(x) : x);
      }
      case "unary": {
        const x = this.constant(op.x);
        return x === undefined ? undefined : round(-x);
      }
      default:
        return undefined;
    }
  }

  /** The value of a uniform tile as an expression of its dtype. */
  number(id: number): string {
    const { op, dtype } = this.tiles.get(id)!;
    const value = this.constant(id);
    if (value !== undefined) return literal(value, dtype);
    switch (op.kind) {
      case "scalar":
        return op.name;
      case "index":
        return `(int32_t)(${this.index(op.value)})`;
      case "broadcast":
      case "reshape":
        return this.number(op.x);
      case "cast":
        if (dtype === "bf16" || dtype === "bool" || dtype === "e4m3") return this.refuse("cast", dtype, "of a number that is not constant"); // prettier-ignore
        return `(${typeNames[dtype]})(${this.number(op.x)})`;
      case "unary":
        return `(-(${this.number(op.x)}))`;
      case "binary": {
        const sign = ({ add: "+", sub: "-", mul: "*", div: isFloat(dtype) ? "/" : undefined, min: "<", max: ">" } as Readonly<Record<string, string | undefined>>)[op.op]; // prettier-ignore
        if (!sign || (dtype !== "f32" && dtype !== "i32"))
          return this.refuse(op.op, dtype, "no form on the scalar unit");
        const [a, b] = [this.number(op.a), this.number(op.b)];
        return op.op === "min" || op.op === "max" ? `(${a} ${sign} ${b} ? ${a} : ${b})` : `(${a} ${sign} ${b})`;
      }
      default:
        return this.refuse(op.kind, dtype, "no form on the scalar unit");
    }
  }
}
