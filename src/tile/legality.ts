/**
 * Which ops of a program a chip can execute, and the casts it needs for the rest: the pass `legaliseDTypes` rewrites
 * a program so that every vector op, cast and dot has a row in the chip's tables, or refuses it with kernel, op,
 * dtype and reason. An op on a narrow dtype is computed in a wider one and rounded back, which is what the
 * interpreter means by it. Numbers that are the same for a whole tile stay on the scalar unit and need no row.
 * Main function: `legaliseDTypes`. Tables: chips/. Structure: verify.ts.
 */
import type { DType } from "../base/dtype.ts";
import { CompileError } from "../base/errors.ts";
import type { Chip, OpRow } from "./chips/types.ts";
import type { Stmt, TileOp, TileProgram, TileValue } from "./ir.ts";
import { opName } from "./print.ts";

/** One cast step that was put in for the sake of an op. */
export interface InsertedCast {
  readonly tile: number;
  readonly op: string;
  readonly from: DType;
  readonly to: DType;
  readonly by: string;
}

export interface LegalProgram {
  readonly program: TileProgram;
  readonly casts: readonly InsertedCast[];
  /** Tile id -> the sequence that stands for its op, and its extra tiles. */
  readonly expansions: ReadonlyMap<number, { readonly into: string; readonly tiles: number }>;
  /** What values must satisfy, e.g. "lt of i32 through f32: integers below 2^24". */
  readonly assumptions: readonly string[];
}

interface Step {
  readonly from: DType;
  readonly to: DType;
  readonly by: string;
  readonly assumes: string | undefined;
}

/** Shortest way from one dtype to another by the chip's casts; undefined if there is none. */
export function castPath(chip: Chip, from: DType, to: DType): readonly Step[] | undefined {
  const seen = new Map<DType, readonly Step[]>([[from, []]]);
  for (const [at, steps] of seen) {
    if (at === to) return steps.map((s, _, all) => (all.length > 1 ? s : { ...s, assumes: chip.arch.casts[from][to]?.assumes })); // prettier-ignore
    for (const [next, row] of Object.entries(chip.arch.casts[at]) as [DType, NonNullable<Chip["arch"]["casts"][DType][DType]>][]) // prettier-ignore
      if (!seen.has(next)) seen.set(next, [...steps, { from: at, to: next, by: row.by, assumes: row.assumes ?? row.onTheWay }]); // prettier-ignore
  }
  return undefined;
}

/** Tiles whose elements are all one number: they stay on the scalar unit. Reused by spaces.ts. */
export function isUniform(tile: TileValue, of: (id: number) => boolean): boolean {
  const op = tile.op;
  switch (op.kind) {
    case "full":
    case "scalar":
    case "index":
      return true;
    case "broadcast":
    case "reshape":
    case "cast":
      return of(op.x);
    case "binary":
    case "compare":
      return of(op.a) && of(op.b);
    case "select":
      return of(op.cond) && of(op.a) && of(op.b);
    case "unary":
      return op.op === "neg" && of(op.x);
    default:
      return false;
  }
}

type Row = { readonly kind: "native" } | { readonly kind: "expand"; readonly into: string; readonly tiles: number };

function find(row: OpRow, dtype: DType): Row | undefined {
  if (row.native.includes(dtype)) return { kind: "native" };
  const e = row.expansions.find((x) => x.dtypes.includes(dtype));
  return e && { kind: "expand", into: e.into, tiles: e.tiles };
}

class Legaliser {
  private readonly chip: Chip;
  private readonly program: TileProgram;
  private readonly tiles = new Map<number, TileValue>();
  private readonly uniform = new Set<number>();
  private readonly casts: InsertedCast[] = [];
  private readonly expansions = new Map<number, Row & { kind: "expand" }>();
  private readonly assumptions = new Set<string>();
  private numTiles: number;
  /** Casts made so far in the open scopes, innermost last: "id:dtype" -> tile. */
  private readonly made: Map<string, number>[] = [];

  constructor(program: TileProgram, chip: Chip) {
    this.program = program;
    this.chip = chip;
    this.numTiles = program.numTiles;
  }

  run(): LegalProgram {
    const body = this.list(this.program.body);
    return {
      program: { ...this.program, body, numTiles: this.numTiles },
      casts: this.casts,
      expansions: this.expansions,
      assumptions: [...this.assumptions],
    };
  }

  private list(stmts: readonly Stmt[]): Stmt[] {
    this.made.push(new Map());
    const out: Stmt[] = [];
    for (const s of stmts) {
      if (s.kind === "let") this.let(s.tile, out);
      else out.push(s.kind === "loop" || s.kind === "if" ? { ...s, body: this.list(s.body) } : s);
    }
    this.made.pop();
    return out;
  }

  private refuse(op: string, dtype: DType, reason: string): never {
    const { chip, program } = this;
    throw new CompileError(`legality: kernel ${program.name} on ${chip.name}: ${op} of ${dtype}: ${reason}`, { pass: "legaliseDTypes", target: chip.name }); // prettier-ignore
  }

  private define(tile: TileValue, out: Stmt[]): number {
    this.tiles.set(tile.id, tile);
    if (isUniform(tile, (id) => this.uniform.has(id))) this.uniform.add(tile.id);
    out.push({ kind: "let", tile });
    return tile.id;
  }

  /** Tile `id` in another dtype, by as many casts as it takes. */
  private casted(id: number, to: DType, op: string, out: Stmt[]): number {
    const tile = this.tiles.get(id)!;
    if (tile.dtype === to) return id;
    const steps = castPath(this.chip, tile.dtype, to);
    if (!steps) this.refuse(op, tile.dtype, `no cast from ${tile.dtype} to ${to}`);
    let at = id;
    for (const step of steps) {
      const key = `${at}:${step.to}`;
      const known = this.made.findLast((m) => m.has(key))?.get(key);
      if (known !== undefined) at = known;
      else {
        at = this.define({ ...tile, id: this.numTiles++, dtype: step.to, op: { kind: "cast", x: at } }, out);
        this.made[this.made.length - 1]!.set(key, at);
        this.note(at, op, step);
      }
    }
    return at;
  }
  private note(tile: number, op: string, step: Step): void {
    if (this.uniform.has(tile)) return;
    this.casts.push({ tile, op, from: step.from, to: step.to, by: step.by });
    if (step.assumes) this.assumptions.add(`${op} casts ${step.from} to ${step.to}: ${step.assumes}`);
  }

  private let(tile: TileValue, out: Stmt[]): void {
    const { op } = tile;
    this.tiles.set(tile.id, tile);
    if (isUniform(tile, (id) => this.uniform.has(id))) return void this.define(tile, out);
    switch (op.kind) {
      case "unary":
        return this.vector(tile, this.chip.arch.vector.unary[op.op], { x: op.x }, out);
      case "binary":
        return this.vector(tile, this.chip.arch.vector.binary[op.op], { a: op.a, b: op.b }, out);
      case "compare":
        return this.vector(tile, this.chip.arch.vector.compare[op.op], { a: op.a, b: op.b }, out);
      case "select":
        return this.vector(tile, this.chip.arch.vector.other.select, { a: op.a, b: op.b }, out);
      case "reduce": {
        const isLast = this.tiles.get(op.x)!.shape.length - 1 === op.axis;
        const { reduce, binary } = this.chip.arch.vector;
        if (!isLast && op.op === "argmax") this.refuse(opName(op), tile.dtype, "only the last axis has a lowering");
        const row = isLast ? reduce[op.op] : binary[op.op === "sum" ? "add" : (op.op as "max" | "min")];
        return this.vector(tile, row, { x: op.x }, out);
      }
      case "broadcast":
      case "transpose":
      case "cumsum":
      case "topk":
      case "unpack":
        return this.vector(tile, this.chip.arch.vector.other[op.kind], { x: op.x }, out);
      case "full":
      case "iota":
      case "random":
        return this.generate(tile, this.chip.arch.vector.other[op.kind], out);
      case "cast":
        return this.cast(tile, op.x, out);
      case "dot":
        return this.dot(tile, op, out);
      case "load":
      case "gather":
      case "scalar":
      case "index":
      case "reshape":
      case "carry":
      case "result":
        this.define(tile, out);
    }
  }

  private accept(tile: TileValue, row: Row, out: Stmt[]): void {
    if (row.kind === "expand") this.expansions.set(tile.id, row);
    this.define(tile, out);
  }

  /** An op whose dtype is that of the operands in `reads`; computed in a wider one where the row lacks it. */
  private vector(tile: TileValue, row: OpRow, reads: Readonly<Record<string, number>>, out: Stmt[]): void {
    const own = this.tiles.get(Object.values(reads)[0]!)!.dtype;
    const found = find(row, own);
    if (found) return this.accept(tile, found, out);
    const name = opName(tile.op);
    const { kind } = tile.op;
    const follows = !(kind === "compare" || kind === "topk" || (kind === "reduce" && tile.op.op === "argmax"));
    for (const { to, assumes } of this.chip.arch.widen[own]) {
      const wider = find(row, to);
      const there = castPath(this.chip, own, to);
      const back = follows ? castPath(this.chip, to, own) : [];
      if (!wider || !there || !back) continue;
      if (assumes) this.assumptions.add(`${name} of ${own} in ${to}: ${assumes}`);
      const operands = Object.fromEntries(Object.entries(reads).map(([k, id]) => [k, this.casted(id, to, name, out)]));
      const op = { ...tile.op, ...operands } as TileOp;
      if (!follows) return this.accept({ ...tile, op }, wider, out);
      const wide = this.numTiles++;
      this.accept({ ...tile, id: wide, dtype: to, op }, wider, out);
      return this.finish(tile, wide, back, name, out);
    }
    const takes = [...row.native, ...row.expansions.flatMap((e) => e.dtypes)];
    this.refuse(name, own, takes.length === 0 ? "no lowering on this chip" : `no lowering: expected ${takes.join(", ")}, or a dtype that casts to one`); // prettier-ignore
  }

  private generate(tile: TileValue, row: OpRow, out: Stmt[]): void {
    const found = find(row, tile.dtype);
    if (!found) this.refuse(opName(tile.op), tile.dtype, "no lowering on this chip");
    this.accept(tile, found, out);
  }

  /** The tile `to` from `x` by `steps`; the last one keeps the tile's own id. */
  private finish(tile: TileValue, x: number, steps: readonly Step[], op: string, out: Stmt[]): void {
    let at = x;
    steps.forEach((step, i) => {
      const id = i === steps.length - 1 ? tile.id : this.numTiles++;
      at = this.define({ ...tile, id, dtype: step.to, op: { kind: "cast", x: at } }, out);
      this.note(at, op, step);
    });
  }

  private cast(tile: TileValue, x: number, out: Stmt[]): void {
    const from = this.tiles.get(x)!.dtype;
    const steps = castPath(this.chip, from, tile.dtype);
    if (!steps) this.refuse("cast", from, `no cast from ${from} to ${tile.dtype}`);
    // A direct cast is the program's own; only the extra steps count as inserted.
    if (steps.length > 1) return this.finish(tile, x, steps, "cast", out);
    if (steps[0]?.assumes) this.assumptions.add(`cast ${from} to ${tile.dtype}: ${steps[0].assumes}`);
    this.define(tile, out);
  }

  private dot(tile: TileValue, op: Extract<TileOp, { kind: "dot" }>, out: Stmt[]): void {
    const { dtypes, intSums } = this.chip.arch.matrix;
    const own = this.tiles.get(op.a)!.dtype;
    if (tile.dtype === "i32" && intSums === "f32") this.assumptions.add(`dot of ${own} in f32: sums below 2^24`);
    if (dtypes.includes(own)) return void this.define(tile, out);
    const to = this.chip.arch.widen[own]
      .map((w) => w.to)
      .find((t) => dtypes.includes(t) && castPath(this.chip, own, t));
    if (!to || tile.dtype !== "f32") this.refuse("dot", own, `no lowering: expected ${dtypes.join(", ")}, or a dtype that casts to one`); // prettier-ignore
    const [a, b] = [this.casted(op.a, to, "dot", out), this.casted(op.b, to, "dot", out)];
    this.define({ ...tile, op: { ...op, a, b } }, out);
  }
}

export const legaliseDTypes = (program: TileProgram, chip: Chip): LegalProgram => new Legaliser(program, chip).run();
