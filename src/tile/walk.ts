/** Small questions every pass asks of tile IR: how many elements, which tiles an op reads. */
import type { IndexExpr, Stmt, TileProgram, TileValue } from "./ir.ts";

export const sizeOf = (shape: readonly number[]): number => shape.reduce((p, n) => p * n, 1);

/** Tiles read by a tile's op. */
export function operandsOf(tile: TileValue): number[] {
  const op = tile.op;
  switch (op.kind) {
    case "unary":
    case "cast":
    case "unpack":
    case "broadcast":
    case "reshape":
    case "transpose":
    case "reduce":
    case "cumsum":
    case "topk":
      return [op.x];
    case "binary":
    case "compare":
      return [op.a, op.b];
    case "select":
      return [op.cond, op.a, op.b];
    case "gather":
      return op.onto === undefined ? [op.rows] : [op.rows, op.onto];
    case "dot":
      return op.acc === undefined ? [op.a, op.b] : [op.a, op.b, op.acc];
    case "random":
      return [op.counter];
    case "load":
    case "full":
    case "scalar":
    case "index":
    case "iota":
    case "carry":
    case "result":
      return [];
  }
}

/** Where the variable of each loop begins, by the loop's id; it only grows. */
export type LoopStarts = ReadonlyMap<number, IndexExpr>;
export function loopStartsOf(program: TileProgram): LoopStarts {
  const out = new Map<number, IndexExpr>();
  const visit = (stmts: readonly Stmt[]): void => {
    for (const s of stmts) {
      if (s.kind === "loop") out.set(s.id, s.start);
      if (s.kind === "loop" || s.kind === "if") visit(s.body);
    }
  };
  visit(program.body);
  return out;
}

/** Every tile of a program in text order. */
export function tilesOf(program: TileProgram): TileValue[] {
  const out: TileValue[] = [];
  const visit = (stmts: readonly Stmt[]): void => {
    for (const s of stmts) {
      if (s.kind === "let") out.push(s.tile);
      else if (s.kind === "loop" || s.kind === "if") visit(s.body);
    }
  };
  visit(program.body);
  return out;
}
