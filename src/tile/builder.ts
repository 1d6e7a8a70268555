/**
 * The kernel language: TypeScript that builds tile IR.
 *
 *   const program = kernel("scale", (k) => {
 *     const n = k.index("n");
 *     const x = k.view(k.buffer("x", "f32"), [n]);
 *     const y = k.view(k.buffer("y", "f32", "out"), [n]);
 *     const at = [k.programId(0).mul(256)];
 *     k.store(y, at, k.load(x, at, [256]).mul(k.scalar("s")));
 *   });
 *
 * Numbers and tiles of lower rank broadcast as in numpy. Reductions keep the axis with size 1.
 * Main function: `kernel`. Meaning: interpret.ts. Legality: verify.ts.
 */
import { isFloat, type DType } from "../base/dtype.ts";
import { ShapeError, DTypeError } from "../base/errors.ts";
import type {
  BinaryOp,
  CompareOp,
  IndexExpr,
  IndexOp,
  Param,
  ReduceOp,
  Stmt,
  TileOp,
  TileProgram,
  TileValue,
  UnaryOp,
  View,
} from "./ir.ts";

export type IndexLike = number | Index;
export type TileLike = number | Tile;

const toExpr = (x: IndexLike): IndexExpr => (typeof x === "number" ? { kind: "const", value: x } : x.expr);

/** A uniform integer expression; constants fold. */
export class Index {
  readonly expr: IndexExpr;
  constructor(expr: IndexExpr) {
    this.expr = expr;
  }
  add = (b: IndexLike): Index => indexBin("add", this, b);
  sub = (b: IndexLike): Index => indexBin("sub", this, b);
  mul = (b: IndexLike): Index => indexBin("mul", this, b);
  div = (b: IndexLike): Index => indexBin("div", this, b);
  mod = (b: IndexLike): Index => indexBin("mod", this, b);
  min = (b: IndexLike): Index => indexBin("min", this, b);
  max = (b: IndexLike): Index => indexBin("max", this, b);
  lt = (b: IndexLike): Index => indexBin("lt", this, b);
  le = (b: IndexLike): Index => indexBin("le", this, b);
  eq = (b: IndexLike): Index => indexBin("eq", this, b);
  and = (b: IndexLike): Index => indexBin("and", this, b);
}

const foldIndex: Record<IndexOp, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => Math.floor(a / b),
  mod: (a, b) => a - b * Math.floor(a / b),
  min: Math.min,
  max: Math.max,
  lt: (a, b) => (a < b ? 1 : 0),
  le: (a, b) => (a <= b ? 1 : 0),
  eq: (a, b) => (a === b ? 1 : 0),
  and: (a, b) => (a !== 0 && b !== 0 ? 1 : 0),
};
export { foldIndex };

function indexBin(op: IndexOp, a: IndexLike, b: IndexLike): Index {
  const x = toExpr(a);
  const y = toExpr(b);
  if (x.kind === "const" && y.kind === "const")
    return new Index({ kind: "const", value: foldIndex[op](x.value, y.value) });
  if (
    y.kind === "const" &&
    ((op === "mul" && y.value === 1) ||
      (op === "div" && y.value === 1) ||
      ((op === "add" || op === "sub") && y.value === 0))
  )
    return new Index(x);
  if (x.kind === "const" && x.value === 0 && op === "add") return new Index(y);
  if (op === "mul" && ((x.kind === "const" && x.value === 0) || (y.kind === "const" && y.value === 0)))
    return new Index({ kind: "const", value: 0 });
  return new Index({ kind: "bin", op, a: x, b: y });
}

/** Numpy broadcast of two shapes. */
export function broadcastShapes(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  const out: number[] = [];
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) throw new ShapeError(`broadcast: expected equal or 1, got [${a}] and [${b}]`);
    out.push(Math.max(x, y));
  }
  return out;
}

/** An immutable tile; methods append to the kernel under construction. */
export class Tile {
  readonly value: TileValue;
  private readonly k: KernelBuilder;
  constructor(k: KernelBuilder, value: TileValue) {
    this.k = k;
    this.value = value;
  }
  get shape(): readonly number[] {
    return this.value.shape;
  }
  get dtype(): DType {
    return this.value.dtype;
  }
  add = (b: TileLike): Tile => this.k.binary("add", this, b);
  sub = (b: TileLike): Tile => this.k.binary("sub", this, b);
  mul = (b: TileLike): Tile => this.k.binary("mul", this, b);
  div = (b: TileLike): Tile => this.k.binary("div", this, b);
  min = (b: TileLike): Tile => this.k.binary("min", this, b);
  max = (b: TileLike): Tile => this.k.binary("max", this, b);
  mod = (b: TileLike): Tile => this.k.binary("mod", this, b);
  and = (b: TileLike): Tile => this.k.binary("and", this, b);
  or = (b: TileLike): Tile => this.k.binary("or", this, b);
  xor = (b: TileLike): Tile => this.k.binary("xor", this, b);
  shl = (b: TileLike): Tile => this.k.binary("shl", this, b);
  shr = (b: TileLike): Tile => this.k.binary("shr", this, b);
  lt = (b: TileLike): Tile => this.k.compare("lt", this, b);
  le = (b: TileLike): Tile => this.k.compare("le", this, b);
  gt = (b: TileLike): Tile => this.k.compare("gt", this, b);
  ge = (b: TileLike): Tile => this.k.compare("ge", this, b);
  eq = (b: TileLike): Tile => this.k.compare("eq", this, b);
  ne = (b: TileLike): Tile => this.k.compare("ne", this, b);
  neg = (): Tile => this.k.unary("neg", this);
  abs = (): Tile => this.k.unary("abs", this);
  exp = (): Tile => this.k.unary("exp", this);
  log = (): Tile => this.k.unary("log", this);
  sqrt = (): Tile => this.k.unary("sqrt", this);
  rsqrt = (): Tile => this.k.unary("rsqrt", this);
  recip = (): Tile => this.k.unary("recip", this);
  sin = (): Tile => this.k.unary("sin", this);
  cos = (): Tile => this.k.unary("cos", this);
  tanh = (): Tile => this.k.unary("tanh", this);
  sigmoid = (): Tile => this.k.unary("sigmoid", this);
  floor = (): Tile => this.k.unary("floor", this);
  /** To nearest, ties to even. */
  round = (): Tile => this.k.unary("round", this);
  not = (): Tile => this.k.unary("not", this);
  sum = (axis: number): Tile => this.k.reduce("sum", this, axis);
  maxOver = (axis: number): Tile => this.k.reduce("max", this, axis);
  minOver = (axis: number): Tile => this.k.reduce("min", this, axis);
  argmax = (axis: number): Tile => this.k.reduce("argmax", this, axis);
  cumsum = (axis: number): Tile => this.k.emit(this.dtype, this.shape, { kind: "cumsum", x: this.value.id, axis });
  cast(dtype: DType): Tile {
    return dtype === this.dtype ? this : this.k.emit(dtype, this.shape, { kind: "cast", x: this.value.id });
  }
  /** Two e2m1 codes a byte, the low half first: i8 [.., C] -> bf16 [.., 2 C]. */
  unpackE2m1(): Tile {
    return this.k.emit("bf16", [...this.shape.slice(0, -1), 2 * this.shape[this.shape.length - 1]!], { kind: "unpack", x: this.value.id }); // prettier-ignore
  }
  reshape(shape: readonly number[]): Tile {
    const size = (s: readonly number[]): number => s.reduce((p, n) => p * n, 1);
    if (size(shape) !== size(this.shape))
      throw new ShapeError(`reshape: expected ${size(this.shape)} elements, got [${shape}]`);
    return this.k.emit(this.dtype, shape, { kind: "reshape", x: this.value.id });
  }
  transpose(perm: readonly number[] = [1, 0]): Tile {
    return this.k.emit(
      this.dtype,
      perm.map((p) => this.shape[p]!),
      { kind: "transpose", x: this.value.id, perm },
    );
  }
  broadcast(shape: readonly number[]): Tile {
    if (shape.length === this.shape.length && shape.every((n, i) => n === this.shape[i])) return this;
    const out = broadcastShapes(this.shape, shape);
    if (out.length !== shape.length || out.some((n, i) => n !== shape[i]))
      throw new ShapeError(`broadcast: expected [${shape}], got [${this.shape}]`);
    const padded =
      this.shape.length === shape.length
        ? this
        : this.reshape([...Array<number>(shape.length - this.shape.length).fill(1), ...this.shape]);
    return this.k.emit(this.dtype, shape, { kind: "broadcast", x: padded.value.id });
  }
}

export interface BufferParam {
  readonly name: string;
  readonly dtype: DType;
}

/** Collects one program; `kernel` is the way in. */
export class KernelBuilder {
  private readonly params: Param[] = [];
  private numTiles = 0;
  private numLoops = 0;
  /** Innermost open statement list last. */
  private readonly scopes: Stmt[][] = [[]];

  programId(axis: 0 | 1 | 2): Index {
    return new Index({ kind: "program", axis });
  }
  buffer(name: string, dtype: DType, mode: "in" | "out" | "inout" = "in"): BufferParam {
    this.addParam({ kind: "buffer", name, dtype, mode });
    return { name, dtype };
  }
  index(name: string): Index {
    this.addParam({ kind: "index", name });
    return new Index({ kind: "param", name });
  }
  /** An f32 kernel argument as a tile of shape []. */
  scalar(name: string): Tile {
    this.addParam({ kind: "scalar", name, dtype: "f32" });
    return this.emit("f32", [], { kind: "scalar", name });
  }
  /** Row-major strides unless given. */
  view(
    buffer: BufferParam,
    shape: readonly IndexLike[],
    options: { strides?: readonly IndexLike[]; offset?: IndexLike } = {},
  ): View {
    let strides = options.strides?.map(toExpr);
    if (!strides) {
      let step: IndexLike = 1;
      strides = [];
      for (let i = shape.length - 1; i >= 0; i--) {
        strides.unshift(toExpr(step));
        step = indexBin("mul", step, shape[i]!);
      }
    }
    return {
      buffer: buffer.name,
      dtype: buffer.dtype,
      shape: shape.map(toExpr),
      strides,
      offset: toExpr(options.offset ?? 0),
    };
  }
  /** One i32 element as a uniform integer; out of bounds reads 0. */
  read(view: View, at: readonly IndexLike[]): Index {
    if (view.dtype !== "i32") throw new DTypeError(`read: expected i32, got ${view.dtype}`);
    return new Index({ kind: "read", view, at: at.map(toExpr) });
  }

  load(view: View, at: readonly IndexLike[], shape: readonly number[], options: { other?: number } = {}): Tile {
    if (at.length !== view.shape.length || shape.length !== view.shape.length)
      throw new ShapeError(`load: expected rank ${view.shape.length}, got at rank ${at.length}, box [${shape}]`);
    return this.emit(view.dtype, shape, { kind: "load", view, at: at.map(toExpr), other: options.other ?? 0 });
  }
  /** -> [R, cols]. What is outside the view reads `other`: a number, or the element there of a tile like the result. */
  gather(view: View, rows: Tile, cols: number, options: { col?: IndexLike; other?: number | Tile } = {}): Tile {
    if (view.shape.length !== 2 || rows.shape.length !== 1 || rows.dtype !== "i32")
      throw new ShapeError(
        `gather: expected a 2-d view and i32 rows [R], got rank ${view.shape.length}, ${rows.dtype} [${rows.shape}]`,
      );
    const { other = 0 } = options;
    const shape = [rows.shape[0]!, cols];
    const isOnto = typeof other !== "number";
    if (isOnto && (other.dtype !== view.dtype || String(other.shape) !== String(shape)))
      throw new ShapeError(`gather: expected other ${view.dtype} [${shape}], got ${other.dtype} [${other.shape}]`);
    return this.emit(view.dtype, shape, {
      kind: "gather",
      view,
      rows: rows.value.id,
      col: toExpr(options.col ?? 0),
      ...(isOnto ? { other: 0, onto: other.value.id } : { other }),
    });
  }
  store(view: View, at: readonly IndexLike[], value: Tile): void {
    if (value.shape.length !== view.shape.length || at.length !== view.shape.length)
      throw new ShapeError(`store: expected rank ${view.shape.length}, got [${value.shape}]`);
    if (value.dtype !== view.dtype)
      throw new DTypeError(`store: expected ${view.dtype}, got ${value.dtype} (cast first)`);
    this.push({ kind: "store", view, at: at.map(toExpr), value: value.value.id });
  }
  scatter(view: View, rows: Tile, value: Tile, options: { col?: IndexLike } = {}): void {
    if (view.shape.length !== 2 || value.shape.length !== 2 || rows.shape[0] !== value.shape[0] || rows.dtype !== "i32")
      throw new ShapeError(
        `scatter: expected [R,C] and i32 rows [R], got [${value.shape}], ${rows.dtype} [${rows.shape}]`,
      );
    if (value.dtype !== view.dtype)
      throw new DTypeError(`scatter: expected ${view.dtype}, got ${value.dtype} (cast first)`);
    this.push({ kind: "scatter", view, rows: rows.value.id, col: toExpr(options.col ?? 0), value: value.value.id });
  }

  full(shape: readonly number[], value: number, dtype: DType = "f32"): Tile {
    return this.emit(dtype, shape, { kind: "full", value });
  }
  iota(shape: readonly number[], axis: number): Tile {
    return this.emit("i32", shape, { kind: "iota", axis });
  }
  /** A uniform integer as an i32 tile of shape []. */
  fromIndex(value: IndexLike): Tile {
    return this.emit("i32", [], { kind: "index", value: toExpr(value) });
  }
  select(cond: Tile, a: TileLike, b: TileLike): Tile {
    const like = typeof a !== "number" ? a : typeof b !== "number" ? b : undefined;
    const dtype = like?.dtype ?? "f32";
    const x = this.toTile(a, dtype);
    const y = this.toTile(b, dtype);
    if (cond.dtype !== "bool" || x.dtype !== y.dtype)
      throw new DTypeError(`select: expected bool and equal dtypes, got ${cond.dtype}, ${x.dtype}, ${y.dtype}`);
    const shape = broadcastShapes(cond.shape, broadcastShapes(x.shape, y.shape));
    return this.emit(dtype, shape, {
      kind: "select",
      cond: cond.broadcast(shape).value.id,
      a: x.broadcast(shape).value.id,
      b: y.broadcast(shape).value.id,
    });
  }
  dot(a: Tile, b: Tile, options: { acc?: Tile; transA?: boolean; transB?: boolean } = {}): Tile {
    const { acc, transA = false, transB = false } = options;
    const [m, ka] = transA ? [a.shape[1]!, a.shape[0]!] : [a.shape[0]!, a.shape[1]!];
    const [kb, n] = transB ? [b.shape[1]!, b.shape[0]!] : [b.shape[0]!, b.shape[1]!];
    if (a.shape.length !== 2 || b.shape.length !== 2 || ka !== kb)
      throw new ShapeError(
        `dot: expected equal inner dims, got [${a.shape}]${transA ? "^T" : ""} . [${b.shape}]${transB ? "^T" : ""}`,
      );
    if (a.dtype !== b.dtype) throw new DTypeError(`dot: expected equal dtypes, got ${a.dtype} and ${b.dtype}`);
    const dtype: DType = isFloat(a.dtype) ? "f32" : "i32";
    if (acc && (acc.dtype !== dtype || acc.shape[0] !== m || acc.shape[1] !== n))
      throw new ShapeError(`dot: expected accumulator ${dtype} [${m},${n}], got ${acc.dtype} [${acc.shape}]`);
    return this.emit(dtype, [m, n], { kind: "dot", a: a.value.id, b: b.value.id, acc: acc?.value.id, transA, transB });
  }
  topk(x: Tile, k: number): { values: Tile; indices: Tile } {
    const shape = [...x.shape.slice(0, -1), k];
    return {
      values: this.emit("f32", shape, { kind: "topk", x: x.value.id, k, part: "values" }),
      indices: this.emit("i32", shape, { kind: "topk", x: x.value.id, k, part: "indices" }),
    };
  }
  random(seed: IndexLike, counter: Tile): Tile {
    return this.emit("u32", counter.shape, { kind: "random", seed: toExpr(seed), counter: counter.value.id });
  }

  /** for (i = start; i < end; i += step) with carried tiles; returns their final values. */
  loop(
    range: { start?: IndexLike; end: IndexLike; step?: number },
    init: readonly Tile[],
    body: (i: Index, carried: Tile[]) => readonly Tile[],
  ): Tile[] {
    const id = this.numLoops++;
    this.scopes.push([]);
    const carried = init.map((t, slot) => this.emit(t.dtype, t.shape, { kind: "carry", loop: id, slot }));
    const next = body(new Index({ kind: "loop", id }), carried);
    if (
      next.length !== init.length ||
      next.some(
        (t, i) =>
          t.dtype !== init[i]!.dtype ||
          t.shape.length !== init[i]!.shape.length ||
          t.shape.some((n, d) => n !== init[i]!.shape[d]),
      )
    )
      throw new ShapeError(
        `loop: carried tiles must keep dtype and shape, got [${next.map((t) => `${t.dtype}[${t.shape}]`)}] for [${init.map((t) => `${t.dtype}[${t.shape}]`)}]`,
      );
    const stmts = this.scopes.pop()!;
    this.push({
      kind: "loop",
      id,
      start: toExpr(range.start ?? 0),
      end: toExpr(range.end),
      step: range.step ?? 1,
      init: init.map((t) => t.value.id),
      body: stmts,
      next: next.map((t) => t.value.id),
    });
    return init.map((t, slot) => this.emit(t.dtype, t.shape, { kind: "result", loop: id, slot }));
  }
  /** Statements that run only where the uniform condition is not 0; tiles made inside stay inside. */
  when(cond: IndexLike, body: () => void): void {
    this.scopes.push([]);
    body();
    const stmts = this.scopes.pop()!;
    this.push({ kind: "if", cond: toExpr(cond), body: stmts });
  }

  unary(op: UnaryOp, x: Tile): Tile {
    return this.emit(x.dtype, x.shape, { kind: "unary", op, x: x.value.id });
  }
  binary(op: BinaryOp, a: TileLike, b: TileLike): Tile {
    const [x, y, shape] = this.unify(a, b, op);
    return this.emit(x.dtype, shape, { kind: "binary", op, a: x.value.id, b: y.value.id });
  }
  compare(op: CompareOp, a: TileLike, b: TileLike): Tile {
    const [x, y, shape] = this.unify(a, b, op);
    return this.emit("bool", shape, { kind: "compare", op, a: x.value.id, b: y.value.id });
  }
  reduce(op: ReduceOp, x: Tile, axis: number): Tile {
    const at = axis < 0 ? x.shape.length + axis : axis;
    if (at < 0 || at >= x.shape.length) throw new ShapeError(`reduce: expected axis of [${x.shape}], got ${axis}`);
    return this.emit(
      op === "argmax" ? "i32" : x.dtype,
      x.shape.map((n, i) => (i === at ? 1 : n)),
      { kind: "reduce", op, x: x.value.id, axis: at },
    );
  }

  /** Appends one SSA value; for the op methods above. */
  emit(dtype: DType, shape: readonly number[], op: TileOp): Tile {
    const tile: TileValue = { id: this.numTiles++, dtype, shape: [...shape], op };
    this.push({ kind: "let", tile });
    return new Tile(this, tile);
  }
  finish(name: string): TileProgram {
    return { name, params: this.params, body: this.scopes[0]!, numTiles: this.numTiles };
  }

  private unify(a: TileLike, b: TileLike, op: string): [Tile, Tile, number[]] {
    const dtype = typeof a !== "number" ? a.dtype : typeof b !== "number" ? b.dtype : "f32";
    const x = this.toTile(a, dtype);
    const y = this.toTile(b, dtype);
    if (x.dtype !== y.dtype)
      throw new DTypeError(`${op}: expected equal dtypes, got ${x.dtype} and ${y.dtype} (cast first)`);
    const shape = broadcastShapes(x.shape, y.shape);
    return [x.broadcast(shape), y.broadcast(shape), shape];
  }
  private toTile(x: TileLike, dtype: DType): Tile {
    return typeof x === "number" ? this.full([], x, dtype) : x;
  }
  private addParam(param: Param): void {
    if (this.params.some((p) => p.name === param.name))
      throw new ShapeError(`kernel: parameter "${param.name}" declared twice`);
    this.params.push(param);
  }
  private push(stmt: Stmt): void {
    this.scopes[this.scopes.length - 1]!.push(stmt);
  }
}

/** Builds a tile program. The name plus the static values it was built for should identify it to a reader. */
export function kernel(name: string, build: (k: KernelBuilder) => void): TileProgram {
  const k = new KernelBuilder();
  build(k);
  return k.finish(name);
}
