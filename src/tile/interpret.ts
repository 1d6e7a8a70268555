/**
 * The interpreter: what every tile op means, one program at a time, in plain loops.
 * A tile holds values, not bits: floats are numbers already rounded to the tile's dtype, integers are
 * 32-bit. Every float op rounds to f32 (Math.fround) and then to the tile's dtype; sums and dots
 * accumulate in f32 in index order. Other targets may reassociate sums and dots, and may differ by
 * a few ulp in transcendental functions; in everything else they must agree with this file.
 * Main function: `interpret`.
 */
import { isFloat, type DType } from "../base/dtype.ts";
import { assert, TesseraError } from "../base/errors.ts";
import { decodeE2m1 } from "../base/fp4.ts";
import { randomBits } from "../base/prng.ts";
import { foldIndex } from "./builder.ts";
import type { BinaryOp, CompareOp, IndexExpr, Stmt, TileProgram, TileValue, UnaryOp, View } from "./ir.ts";
import { quantizer, type Memory } from "./memory.ts";

type Data = Float32Array | Int32Array | Uint32Array;
interface TileData {
  readonly shape: readonly number[];
  readonly dtype: DType;
  readonly data: Data;
}

export interface InterpretArgs {
  readonly memory: Readonly<Record<string, Memory>>;
  /** Index and scalar parameters. */
  readonly numbers: Readonly<Record<string, number>>;
}

const sizeOf = (shape: readonly number[]): number => shape.reduce((p, n) => p * n, 1);

function newData(dtype: DType, n: number): Data {
  return isFloat(dtype) ? new Float32Array(n) : dtype === "u32" ? new Uint32Array(n) : new Int32Array(n);
}

const unaryOps: Record<UnaryOp, (x: number) => number> = {
  neg: (x) => -x,
  abs: Math.abs,
  exp: Math.exp,
  log: Math.log,
  sqrt: Math.sqrt,
  rsqrt: (x) => 1 / Math.sqrt(x),
  recip: (x) => 1 / x,
  sin: Math.sin,
  cos: Math.cos,
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  floor: Math.floor,
  round: (x) => {
    const low = Math.floor(x);
    const rest = x - low;
    return rest > 0.5 || (rest === 0.5 && Math.abs(low % 2) === 1) ? low + 1 : low;
  },
  not: (x) => (x === 0 ? 1 : 0),
};

/** Integer division and mod floor, as for index expressions. */
export const binaryOps: Record<BinaryOp, (a: number, b: number, isInt: boolean) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b, isInt) => (isInt ? Math.imul(a, b) : a * b),
  div: (a, b, isInt) => (isInt ? Math.floor(a / b) : a / b),
  min: (a, b) => (a < b || a !== a ? a : b),
  max: (a, b) => (a > b || a !== a ? a : b),
  mod: (a, b) => a - b * Math.floor(a / b),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b) => a << b,
  // A u32 above 2^31 is a positive number here and takes zeros from the left; a negative i32 takes its sign.
  shr: (a, b) => (a < 0 ? a >> b : a >>> b),
};

export const compareOps: Record<CompareOp, (a: number, b: number) => boolean> = {
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
  gt: (a, b) => a > b,
  ge: (a, b) => a >= b,
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
};

/** Visits the positions of a box in row-major order. */
function* positions(shape: readonly number[]): Generator<readonly number[]> {
  const at = shape.map(() => 0);
  for (let n = sizeOf(shape); n > 0; n--) {
    yield at;
    for (let d = shape.length - 1; d >= 0; d--) {
      if (++at[d]! < shape[d]!) break;
      at[d] = 0;
    }
  }
}

const strideOf = (shape: readonly number[]): number[] => shape.map((_, i) => sizeOf(shape.slice(i + 1)));

class ProgramRun {
  private readonly tiles: TileData[] = [];
  private readonly loops: number[] = [];
  /** Current carried values by loop id. */
  private readonly carried: TileData[][] = [];
  private readonly program: TileProgram;
  private readonly ids: readonly number[];
  private readonly args: InterpretArgs;

  constructor(program: TileProgram, ids: readonly number[], args: InterpretArgs) {
    this.program = program;
    this.ids = ids;
    this.args = args;
  }

  run(stmts: readonly Stmt[] = this.program.body): void {
    for (const s of stmts) this.step(s);
  }

  private step(s: Stmt): void {
    switch (s.kind) {
      case "let":
        this.tiles[s.tile.id] = this.evaluate(s.tile);
        return;
      case "store": {
        const value = this.tiles[s.value]!;
        const at = s.at.map((e) => this.index(e));
        let i = 0;
        for (const p of positions(value.shape)) this.write(s.view, p.map((x, d) => x + at[d]!), value.data[i++]!); // prettier-ignore
        return;
      }
      case "scatter": {
        const value = this.tiles[s.value]!;
        const rows = this.tiles[s.rows]!.data;
        const col = this.index(s.col);
        const cols = value.shape[1]!;
        for (let i = 0; i < value.data.length; i++)
          this.write(s.view, [rows[Math.floor(i / cols)]!, col + (i % cols)], value.data[i]!);
        return;
      }
      case "if":
        if (this.index(s.cond) !== 0) this.run(s.body);
        return;
      case "loop": {
        const [start, end] = [this.index(s.start), this.index(s.end)];
        this.carried[s.id] = s.init.map((id) => this.tiles[id]!);
        for (let i = start; i < end; i += s.step) {
          this.loops[s.id] = i;
          this.run(s.body);
          this.carried[s.id] = s.next.map((id) => this.tiles[id]!);
        }
        return;
      }
    }
  }

  private index(e: IndexExpr): number {
    switch (e.kind) {
      case "const":
        return e.value;
      case "param":
        return this.args.numbers[e.name]!;
      case "program":
        return this.ids[e.axis] ?? 0;
      case "loop":
        return this.loops[e.id]!;
      case "bin":
        return foldIndex[e.op](this.index(e.a), this.index(e.b));
      case "read":
        return this.read(e.view, e.at.map((x) => this.index(x)), 0); // prettier-ignore
    }
  }

  /** Element address in the buffer, or -1 outside of the view. */
  private address(view: View, at: readonly number[]): number {
    let address = this.index(view.offset);
    for (let d = 0; d < at.length; d++) {
      if (at[d]! < 0 || at[d]! >= this.index(view.shape[d]!)) return -1;
      address += at[d]! * this.index(view.strides[d]!);
    }
    return address;
  }

  private memory(view: View): Memory {
    const memory = this.args.memory[view.buffer];
    assert(memory, `${this.program.name}: no buffer "${view.buffer}"`);
    return memory;
  }

  private read(view: View, at: readonly number[], other: number): number {
    const address = this.address(view, at);
    if (address < 0) return other;
    const memory = this.memory(view);
    if (address >= memory.length)
      throw new TesseraError(
        "bounds",
        `${this.program.name}: read of "${view.buffer}" at element ${address}, expected below ${memory.length}`,
      );
    return memory.get(address);
  }

  private write(view: View, at: readonly number[], value: number): void {
    const address = this.address(view, at);
    if (address < 0) return;
    const memory = this.memory(view);
    if (address >= memory.length)
      throw new TesseraError(
        "bounds",
        `${this.program.name}: write of "${view.buffer}" at element ${address}, expected below ${memory.length}`,
      );
    memory.set(address, value);
  }

  private evaluate(tile: TileValue): TileData {
    const { op, shape, dtype } = tile;
    const n = sizeOf(shape);
    const out = newData(dtype, n);
    const round = quantizer(dtype);
    const result: TileData = { shape, dtype, data: out };
    const input = (id: number): TileData => this.tiles[id]!;
    switch (op.kind) {
      case "load": {
        const at = op.at.map((e) => this.index(e));
        let i = 0;
        for (const p of positions(shape)) out[i++] = this.read(op.view, p.map((x, d) => x + at[d]!), op.other); // prettier-ignore
        return result;
      }
      case "gather": {
        const rows = input(op.rows).data;
        const [col, cols] = [this.index(op.col), shape[1]!];
        const onto = op.onto === undefined ? undefined : input(op.onto).data;
        for (let i = 0; i < n; i++)
          out[i] = this.read(op.view, [rows[Math.floor(i / cols)]!, col + (i % cols)], onto ? onto[i]! : op.other);
        return result;
      }
      case "full":
        out.fill(round(op.value));
        return result;
      case "scalar":
        out[0] = this.args.numbers[op.name]!;
        return result;
      case "index":
        out[0] = this.index(op.value);
        return result;
      case "iota": {
        const step = strideOf(shape)[op.axis]!;
        for (let i = 0; i < n; i++) out[i] = Math.floor(i / step) % shape[op.axis]!;
        return result;
      }
      case "unary": {
        const f = unaryOps[op.op];
        const x = input(op.x).data;
        for (let i = 0; i < n; i++) out[i] = round(f(x[i]!));
        return result;
      }
      case "binary": {
        const f = binaryOps[op.op];
        const [a, b] = [input(op.a).data, input(op.b).data];
        const isInt = !isFloat(dtype);
        for (let i = 0; i < n; i++) out[i] = round(f(a[i]!, b[i]!, isInt));
        return result;
      }
      case "compare": {
        const f = compareOps[op.op];
        const [a, b] = [input(op.a).data, input(op.b).data];
        for (let i = 0; i < n; i++) out[i] = f(a[i]!, b[i]!) ? 1 : 0;
        return result;
      }
      case "select": {
        const [c, a, b] = [input(op.cond).data, input(op.a).data, input(op.b).data];
        for (let i = 0; i < n; i++) out[i] = c[i] ? a[i]! : b[i]!;
        return result;
      }
      case "cast": {
        const { data: x, dtype: from } = input(op.x);
        const truncates = isFloat(from) && !isFloat(dtype);
        for (let i = 0; i < n; i++)
          out[i] = dtype === "bool" ? Number(x[i] !== 0) : round(truncates ? Math.trunc(x[i]!) : x[i]!);
        return result;
      }
      case "unpack": {
        const { data: x } = input(op.x);
        for (let i = 0; i < n; i++) out[i] = decodeE2m1((x[i >> 1]! >> (4 * (i & 1))) & 15);
        return result;
      }
      case "broadcast": {
        const x = input(op.x);
        const strides = strideOf(x.shape).map((s, d) => (x.shape[d] === 1 ? 0 : s));
        let i = 0;
        for (const p of positions(shape)) out[i++] = x.data[p.reduce((a, v, d) => a + v * strides[d]!, 0)]!;
        return result;
      }
      case "reshape":
        return { shape, dtype, data: input(op.x).data };
      case "transpose": {
        const x = input(op.x);
        const strides = strideOf(x.shape);
        let i = 0;
        for (const p of positions(shape)) out[i++] = x.data[p.reduce((a, v, d) => a + v * strides[op.perm[d]!]!, 0)]!;
        return result;
      }
      case "reduce":
      case "cumsum":
        return this.alongAxis(tile, input(op.x));
      case "dot":
        return this.dot(tile);
      case "topk": {
        const x = input(op.x);
        const width = x.shape[x.shape.length - 1]!;
        for (let r = 0; r < x.data.length / width; r++) {
          const order = Array.from({ length: width }, (_, i) => i).sort(
            (a, b) => x.data[r * width + b]! - x.data[r * width + a]! || a - b,
          );
          for (let j = 0; j < op.k; j++)
            out[r * op.k + j] = op.part === "indices" ? order[j]! : x.data[r * width + order[j]!]!;
        }
        return result;
      }
      case "random": {
        const seed = this.index(op.seed);
        const counter = input(op.counter).data;
        for (let i = 0; i < n; i++) out[i] = randomBits(seed, counter[i]! >>> 0);
        return result;
      }
      case "carry":
      case "result":
        return this.carried[op.loop]![op.slot]!;
    }
  }

  private alongAxis(tile: TileValue, x: TileData): TileData {
    const op = tile.op as Extract<TileValue["op"], { kind: "reduce" | "cumsum" }>;
    const out = newData(tile.dtype, sizeOf(tile.shape));
    const round = quantizer(tile.dtype);
    const count = x.shape[op.axis]!;
    const inner = sizeOf(x.shape.slice(op.axis + 1));
    const isInt = !isFloat(x.dtype);
    const add = (a: number, b: number): number => (isInt ? (a + b) | 0 : Math.fround(a + b));
    for (let o = 0; o < x.data.length / (count * inner); o++)
      for (let c = 0; c < inner; c++) {
        const at = (i: number): number => (o * count + i) * inner + c;
        let acc = op.kind === "reduce" && op.op !== "sum" ? x.data[at(0)]! : 0;
        let best = 0;
        for (let i = 0; i < count; i++) {
          const v = x.data[at(i)]!;
          if (op.kind === "cumsum" || op.op === "sum") acc = add(acc, v);
          else if (op.op === "min" ? v < acc : v > acc) [acc, best] = [v, i];
          if (op.kind === "cumsum") out[at(i)] = round(acc);
        }
        if (op.kind === "reduce") out[o * inner + c] = op.op === "argmax" ? best : round(acc);
      }
    return { shape: tile.shape, dtype: tile.dtype, data: out };
  }

  private dot(tile: TileValue): TileData {
    const op = tile.op as Extract<TileValue["op"], { kind: "dot" }>;
    const [a, b] = [this.tiles[op.a]!, this.tiles[op.b]!];
    const [m, n] = tile.shape as [number, number];
    const depth = a.shape[op.transA ? 0 : 1]!;
    const out = newData(tile.dtype, m * n);
    if (op.acc !== undefined) out.set(this.tiles[op.acc]!.data);
    const isInt = tile.dtype === "i32";
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        let acc = out[i * n + j]!;
        for (let k = 0; k < depth; k++) {
          const x = a.data[op.transA ? k * m + i : i * depth + k]!;
          const y = b.data[op.transB ? j * depth + k : k * n + j]!;
          acc = isInt ? (acc + Math.imul(x, y)) | 0 : Math.fround(acc + x * y);
        }
        out[i * n + j] = acc;
      }
    return { shape: tile.shape, dtype: tile.dtype, data: out };
  }
}

/** Runs every program of the grid, x fastest. */
export function interpret(program: TileProgram, grid: readonly number[], args: InterpretArgs): void {
  const [gx = 1, gy = 1, gz = 1] = grid;
  for (let z = 0; z < gz; z++)
    for (let y = 0; y < gy; y++) for (let x = 0; x < gx; x++) new ProgramRun(program, [x, y, z], args).run();
}
