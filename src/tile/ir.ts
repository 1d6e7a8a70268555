/**
 * The tile IR: what a kernel is, as plain data.
 *
 * A kernel is a grid of programs. Inside a program, values are tiles: immutable, with a static
 * shape and a dtype. Addresses are uniform integers (`IndexExpr`), so a program never branches
 * per element. Memory is reached only through bounded views: a load outside the view reads
 * `other`, a store outside is dropped. Nothing here assumes a CPU; memory spaces are assigned
 * by passes per target. The meaning of every op is what interpret.ts does with it.
 */
import type { DType } from "../base/dtype.ts";

/** A uniform integer: the same for all elements of a program. Division and mod floor; operands are expected >= 0. */
export type IndexExpr =
  | { readonly kind: "const"; readonly value: number }
  | { readonly kind: "param"; readonly name: string }
  | { readonly kind: "program"; readonly axis: number }
  | { readonly kind: "loop"; readonly id: number }
  | { readonly kind: "bin"; readonly op: IndexOp; readonly a: IndexExpr; readonly b: IndexExpr }
  /** One i32 element of a view, read as an integer; out of bounds reads 0. */
  | { readonly kind: "read"; readonly view: View; readonly at: readonly IndexExpr[] };

/** Comparisons give 0 or 1. */
export type IndexOp = "add" | "sub" | "mul" | "div" | "mod" | "min" | "max" | "lt" | "le" | "eq" | "and";

export type Param =
  | { readonly kind: "buffer"; readonly name: string; readonly dtype: DType; readonly mode: "in" | "out" | "inout" }
  | { readonly kind: "index"; readonly name: string }
  | { readonly kind: "scalar"; readonly name: string; readonly dtype: "f32" };

/** A bounded n-d window on a buffer. Strides and offset are in elements. */
export interface View {
  readonly buffer: string;
  readonly dtype: DType;
  readonly shape: readonly IndexExpr[];
  readonly strides: readonly IndexExpr[];
  readonly offset: IndexExpr;
}

export type UnaryOp =
  | "neg"
  | "abs"
  | "exp"
  | "log"
  | "sqrt"
  | "rsqrt"
  | "recip"
  | "sin"
  | "cos"
  | "tanh"
  | "sigmoid"
  | "floor"
  | "round"
  | "not";
export type BinaryOp = "add" | "sub" | "mul" | "div" | "min" | "max" | "mod" | "and" | "or" | "xor" | "shl" | "shr";
export type CompareOp = "lt" | "le" | "gt" | "ge" | "eq" | "ne";
export type ReduceOp = "sum" | "max" | "min" | "argmax";

/** What computes a tile. `id`s refer to earlier tiles of the same program. */
export type TileOp =
  /** Strided box of a view; `at` may be negative or past the end, there `other` is read. Box rank = view rank. */
  | { readonly kind: "load"; readonly view: View; readonly at: readonly IndexExpr[]; readonly other: number }
  /**
   * Rows of a 2-d view picked by an i32 tile [R]; what is outside the view reads `other`, or there is `onto`, a tile
   * like the result, and is read there. Result [R, cols].
   */
  | {
      readonly kind: "gather";
      readonly view: View;
      readonly rows: number;
      readonly col: IndexExpr;
      readonly other: number;
      readonly onto?: number;
    }
  | { readonly kind: "full"; readonly value: number }
  /** A kernel scalar (f32) or a uniform integer (i32) as a tile of shape []. */
  | { readonly kind: "scalar"; readonly name: string }
  | { readonly kind: "index"; readonly value: IndexExpr }
  /** i32 position along `axis`. */
  | { readonly kind: "iota"; readonly axis: number }
  | { readonly kind: "unary"; readonly op: UnaryOp; readonly x: number }
  | { readonly kind: "binary"; readonly op: BinaryOp; readonly a: number; readonly b: number }
  | { readonly kind: "compare"; readonly op: CompareOp; readonly a: number; readonly b: number }
  | { readonly kind: "select"; readonly cond: number; readonly a: number; readonly b: number }
  /** Float narrowing rounds to nearest even; float to int truncates. */
  | { readonly kind: "cast"; readonly x: number }
  /** Bytes [.., C] (i8) as two e2m1 codes each, the low half first: their numbers, bf16 [.., 2 C]. */
  | { readonly kind: "unpack"; readonly x: number }
  /** Numpy broadcasting of equal rank: size-1 axes repeat. */
  | { readonly kind: "broadcast"; readonly x: number }
  | { readonly kind: "reshape"; readonly x: number }
  | { readonly kind: "transpose"; readonly x: number; readonly perm: readonly number[] }
  /** Along `axis`, which stays with size 1. Float sums accumulate in f32. argmax gives i32, lowest index on ties. */
  | { readonly kind: "reduce"; readonly op: ReduceOp; readonly x: number; readonly axis: number }
  /** Inclusive prefix sum along `axis`. */
  | { readonly kind: "cumsum"; readonly x: number; readonly axis: number }
  /** acc + A.B with A [M,K] (or [K,M] if transA), B [K,N] (or [N,K] if transB); f32 (or i32) accumulate; acc may be absent. */
  | {
      readonly kind: "dot";
      readonly a: number;
      readonly b: number;
      readonly acc: number | undefined;
      readonly transA: boolean;
      readonly transB: boolean;
    }
  /** The k largest along the last axis, in descending order, lowest index on ties; `part` picks values (f32) or positions (i32). */
  | { readonly kind: "topk"; readonly x: number; readonly k: number; readonly part: "values" | "indices" }
  /** Counter-based random u32 bits: hash(seed scalar index, counter tile i32). Same everywhere. */
  | { readonly kind: "random"; readonly seed: IndexExpr; readonly counter: number }
  /** The value a loop carries (inside the body) or leaves (after it). */
  | { readonly kind: "carry"; readonly loop: number; readonly slot: number }
  | { readonly kind: "result"; readonly loop: number; readonly slot: number };

/** A tile as an SSA value. */
export interface TileValue {
  readonly id: number;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly op: TileOp;
}

export type Stmt =
  | { readonly kind: "let"; readonly tile: TileValue }
  | { readonly kind: "store"; readonly view: View; readonly at: readonly IndexExpr[]; readonly value: number }
  /** Row r of `value` [R, cols] goes to row rows[r]; a row outside the view is dropped. Rows must be distinct. */
  | {
      readonly kind: "scatter";
      readonly view: View;
      readonly rows: number;
      readonly col: IndexExpr;
      readonly value: number;
    }
  /** for (i = start; i < end; i += step): carried tiles start as `init` and become `next` after each turn. */
  | {
      readonly kind: "loop";
      readonly id: number;
      readonly start: IndexExpr;
      readonly end: IndexExpr;
      readonly step: number;
      readonly init: readonly number[];
      readonly body: readonly Stmt[];
      readonly next: readonly number[];
    }
  | { readonly kind: "if"; readonly cond: IndexExpr; readonly body: readonly Stmt[] };

/** A kernel: deterministic plain data, so its printed text identifies it. */
export interface TileProgram {
  readonly name: string;
  readonly params: readonly Param[];
  readonly body: readonly Stmt[];
  /** Number of tile ids used. */
  readonly numTiles: number;
}
