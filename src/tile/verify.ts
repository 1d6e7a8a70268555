/**
 * Structural checks of a tile program, before any target sees it: values are defined before use and in scope, shapes
 * and dtypes follow from operands, views match boxes, only writable buffers are stored to, loops keep their types.
 * Main function: `verify`. Each failure names kernel, tile and rule.
 */
import { isFloat, type DType } from "../base/dtype.ts";
import { CompileError } from "../base/errors.ts";
import type { IndexExpr, Stmt, TileProgram, TileValue, View } from "./ir.ts";

const sizeOf = (shape: readonly number[]): number => shape.reduce((p, n) => p * n, 1);
const isSame = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((n, i) => n === b[i]);

class Verifier {
  private readonly program: TileProgram;
  /** Every tile met so far, and those visible now. */
  private readonly met = new Set<number>();
  private visible = new Map<number, TileValue>();
  private readonly loops: { readonly id: number; readonly init: readonly TileValue[] }[] = [];
  private readonly closed = new Map<number, readonly TileValue[]>();
  constructor(program: TileProgram) {
    this.program = program;
  }

  run(): void {
    const names = this.program.params.map((p) => p.name);
    if (new Set(names).size !== names.length) this.fail("params", `expected distinct names, got ${names.join(", ")}`);
    this.list(this.program.body);
  }

  private fail(where: string, message: string): never {
    throw new CompileError(`verify: kernel ${this.program.name}, ${where}: ${message}`, { pass: "verify", target: "any" }); // prettier-ignore
  }

  private list(stmts: readonly Stmt[]): void {
    for (const stmt of stmts) this.stmt(stmt);
  }

  private scoped(stmts: readonly Stmt[], after: () => void = () => {}): void {
    const outer = this.visible;
    this.visible = new Map(outer);
    this.list(stmts);
    after();
    this.visible = outer;
  }

  private stmt(stmt: Stmt): void {
    switch (stmt.kind) {
      case "let": {
        const { tile } = stmt;
        if (this.met.has(tile.id)) this.fail(`tile ${tile.id}`, "expected one definition, got two");
        if (tile.id < 0 || tile.id >= this.program.numTiles) this.fail(`tile ${tile.id}`, `expected an id below ${this.program.numTiles}`); // prettier-ignore
        if (tile.shape.some((n) => !Number.isInteger(n) || n < 1)) this.fail(`tile ${tile.id}`, `expected a static positive shape, got [${tile.shape}]`); // prettier-ignore
        this.tile(tile);
        this.met.add(tile.id);
        this.visible.set(tile.id, tile);
        return;
      }
      case "store": {
        const value = this.use("store", stmt.value);
        this.view("store", stmt.view, stmt.at, value.shape.length);
        this.writable(stmt.view, value.dtype);
        return;
      }
      case "scatter": {
        const [rows, value] = [this.use("scatter", stmt.rows), this.use("scatter", stmt.value)];
        this.view("scatter", stmt.view, [], 2);
        if (rows.dtype !== "i32" || value.shape.length !== 2 || rows.shape[0] !== value.shape[0])
          this.fail("scatter", `expected i32 rows [${value.shape[0]}], got ${rows.dtype} [${rows.shape}]`);
        this.writable(stmt.view, value.dtype);
        return;
      }
      case "if":
        this.index(stmt.cond);
        this.scoped(stmt.body);
        return;
      case "loop": {
        this.index(stmt.start);
        this.index(stmt.end);
        if (!(stmt.step > 0)) this.fail(`loop ${stmt.id}`, `expected a positive step, got ${stmt.step}`);
        const init = stmt.init.map((id) => this.use(`loop ${stmt.id}`, id));
        if (stmt.next.length !== init.length) this.fail(`loop ${stmt.id}`, `expected ${init.length} carried values, got ${stmt.next.length}`); // prettier-ignore
        this.loops.push({ id: stmt.id, init });
        this.scoped(stmt.body, () =>
          stmt.next.forEach((id, slot) => {
            const next = this.use(`loop ${stmt.id}`, id);
            if (next.dtype !== init[slot]!.dtype || !isSame(next.shape, init[slot]!.shape))
              this.fail(`loop ${stmt.id}`, `slot ${slot}: expected ${init[slot]!.dtype} [${init[slot]!.shape}], got ${next.dtype} [${next.shape}]`); // prettier-ignore
          }),
        );
        this.loops.pop();
        this.closed.set(stmt.id, init);
      }
    }
  }

  private use(where: string, id: number): TileValue {
    const tile = this.visible.get(id);
    if (!tile) this.fail(where, `tile ${id} is ${this.met.has(id) ? "out of scope" : "not defined"} here`);
    return tile;
  }

  private writable(view: View, dtype: DType): void {
    const param = this.program.params.find((p) => p.name === view.buffer);
    if (param?.kind !== "buffer" || param.mode === "in")
      this.fail("store", `expected "${view.buffer}" to be an out or inout buffer`);
    if (dtype !== view.dtype) this.fail("store", `expected ${view.dtype} for "${view.buffer}", got ${dtype}`);
  }

  private view(where: string, view: View, at: readonly IndexExpr[], rank: number): void {
    const param = this.program.params.find((p) => p.name === view.buffer);
    if (param?.kind !== "buffer" || param.dtype !== view.dtype)
      this.fail(where, `expected a ${view.dtype} buffer "${view.buffer}" among the parameters`);
    if (view.shape.length !== rank || view.strides.length !== rank || (at.length > 0 && at.length !== rank))
      this.fail(where, `expected a view of rank ${rank} on "${view.buffer}", got ${view.shape.length}`);
    for (const e of [...view.shape, ...view.strides, view.offset, ...at]) this.index(e);
  }

  private index(e: IndexExpr): void {
    if (e.kind === "param" && !this.program.params.some((p) => p.kind === "index" && p.name === e.name))
      this.fail("index", `expected an index parameter "${e.name}"`);
    if (e.kind === "loop" && !this.loops.some((l) => l.id === e.id)) this.fail("index", `loop ${e.id} is not open here`); // prettier-ignore
    if (e.kind === "bin") {
      this.index(e.a);
      this.index(e.b);
    }
    if (e.kind === "read") {
      if (isFloat(e.view.dtype)) this.fail("index", `expected integers in "${e.view.buffer}", got ${e.view.dtype}`);
      this.view("index", e.view, e.at, e.at.length);
    }
  }

  /** Shape and dtype of a tile follow from its op. */
  private tile(tile: TileValue): void {
    const { op, shape, dtype } = tile;
    const where = `tile ${tile.id} (${op.kind})`;
    const expectShape = (want: readonly number[]): void => {
      if (!isSame(shape, want)) this.fail(where, `expected shape [${want}], got [${shape}]`);
    };
    const expectDType = (want: DType): void => {
      if (dtype !== want) this.fail(where, `expected ${want}, got ${dtype}`);
    };
    const operand = (id: number): TileValue => this.use(where, id);
    switch (op.kind) {
      case "load":
        this.view(where, op.view, op.at, shape.length);
        return expectDType(op.view.dtype);
      case "gather": {
        const rows = operand(op.rows);
        this.view(where, op.view, [], 2);
        if (rows.dtype !== "i32" || shape.length !== 2 || rows.shape[0] !== shape[0]) this.fail(where, `expected i32 rows [${shape[0]}], got ${rows.dtype} [${rows.shape}]`); // prettier-ignore
        if (op.onto !== undefined) {
          expectDType(operand(op.onto).dtype);
          expectShape(operand(op.onto).shape);
        }
        return expectDType(op.view.dtype);
      }
      case "scalar":
        expectDType("f32");
        return expectShape([]);
      case "index":
        this.index(op.value);
        expectDType("i32");
        return expectShape([]);
      case "iota":
        if (op.axis >= shape.length) this.fail(where, `expected an axis below ${shape.length}, got ${op.axis}`);
        return expectDType("i32");
      case "unary":
        expectDType(operand(op.x).dtype);
        return expectShape(operand(op.x).shape);
      case "binary":
      case "compare": {
        const [a, b] = [operand(op.a), operand(op.b)];
        if (a.dtype !== b.dtype) this.fail(where, `expected one dtype, got ${a.dtype} and ${b.dtype}`);
        expectDType(op.kind === "compare" ? "bool" : a.dtype);
        expectShape(a.shape);
        return expectShape(b.shape);
      }
      case "select": {
        const [c, a, b] = [operand(op.cond), operand(op.a), operand(op.b)];
        if (c.dtype !== "bool" || a.dtype !== b.dtype) this.fail(where, `expected bool and one dtype, got ${c.dtype}, ${a.dtype}, ${b.dtype}`); // prettier-ignore
        expectDType(a.dtype);
        for (const x of [c, a, b]) expectShape(x.shape);
        return;
      }
      case "cast":
        return expectShape(operand(op.x).shape);
      case "unpack": {
        const x = operand(op.x);
        if (x.dtype !== "i8") this.fail(where, `expected bytes (i8), got ${x.dtype}`);
        expectDType("bf16");
        return expectShape([...x.shape.slice(0, -1), 2 * x.shape[x.shape.length - 1]!]);
      }
      case "broadcast": {
        const x = operand(op.x);
        if (x.shape.length !== shape.length || x.shape.some((n, d) => n !== 1 && n !== shape[d])) this.fail(where, `expected sizes of 1 or [${shape}], got [${x.shape}]`); // prettier-ignore
        return expectDType(x.dtype);
      }
      case "reshape":
        if (sizeOf(operand(op.x).shape) !== sizeOf(shape)) this.fail(where, `expected ${sizeOf(operand(op.x).shape)} elements, got [${shape}]`); // prettier-ignore
        return expectDType(operand(op.x).dtype);
      case "transpose":
        if (op.perm.toSorted((a, b) => a - b).some((p, i) => p !== i)) this.fail(where, `expected a permutation, got [${op.perm}]`); // prettier-ignore
        return expectShape(op.perm.map((p) => operand(op.x).shape[p]!));
      case "reduce":
        if (op.op === "argmax") expectDType("i32");
        return expectShape(operand(op.x).shape.map((n, d) => (d === op.axis ? 1 : n)));
      case "cumsum":
        return expectShape(operand(op.x).shape);
      case "dot": {
        const [a, b] = [operand(op.a), operand(op.b)];
        const [m, ka] = op.transA ? [a.shape[1], a.shape[0]] : [a.shape[0], a.shape[1]];
        const [kb, n] = op.transB ? [b.shape[1], b.shape[0]] : [b.shape[0], b.shape[1]];
        if (a.shape.length !== 2 || b.shape.length !== 2 || ka !== kb || a.dtype !== b.dtype) this.fail(where, `expected matrices of one dtype and depth, got ${a.dtype} [${a.shape}] and ${b.dtype} [${b.shape}]`); // prettier-ignore
        if (op.acc !== undefined && operand(op.acc).dtype !== dtype) this.fail(where, `expected a ${dtype} accumulator, got ${operand(op.acc).dtype}`); // prettier-ignore
        return expectShape([m!, n!]);
      }
      case "topk":
        return expectShape([...operand(op.x).shape.slice(0, -1), op.k]);
      case "random":
        this.index(op.seed);
        return expectShape(operand(op.counter).shape);
      case "carry":
      case "result": {
        const open = op.kind === "carry" ? this.loops.find((l) => l.id === op.loop)?.init : this.closed.get(op.loop);
        const init = open?.[op.slot];
        if (!init) this.fail(where, `expected slot ${op.slot} of ${op.kind === "carry" ? "an open" : "a finished"} loop ${op.loop}`); // prettier-ignore
        expectDType(init.dtype);
        return expectShape(init.shape);
      }
      case "full":
        return;
    }
  }
}

/** Throws CompileError on the first broken rule. */
export function verify(program: TileProgram): void {
  new Verifier(program).run();
}
