/**
 * What a C-like target fills in: tables of types and scalar ops, and the few phrases in which the languages differ
 * (declarations, pointers, padding, the matrix product). Everything else of the emitter is shared.
 * C++ has pointers; a language without them names an array and a start offset, so a `Place` is both.
 */
import type { DType } from "../../../base/dtype.ts";
import type { BinaryOp, CompareOp, ReduceOp, UnaryOp } from "../../ir.ts";
import type { IndexForms } from "./index-text.ts";

export interface ElementType {
  /** What memory holds. */
  readonly storage: string;
  /** What expressions compute with. */
  readonly compute: string;
  readonly load: (x: string) => string;
  readonly store: (x: string) => string;
  /** After arithmetic; identity where nothing can be lost. */
  readonly round: (x: string) => string;
}

export interface Reduction {
  readonly start: (t: DType) => string;
  readonly join: (a: string, b: string, t: DType) => string;
  /** OpenMP's name, so that partial results may stay in vector lanes. */
  readonly clause: string;
}

/** Where an array of elements begins: `ptr[start + i]`; `start` is "0" where pointers can point. */
export interface Place {
  readonly ptr: string;
  readonly start: string;
}

export interface PointerSpec {
  readonly name: string;
  readonly storage: string;
  /** Nothing is written through it. */
  readonly isConst: boolean;
  /** It will be moved to other memory later. */
  readonly moves: boolean;
  readonly base: Place;
  /** In elements; absent when the base itself is meant. */
  readonly offset: string | undefined;
}

/** Copy of a strided box into contiguous memory, `other` where the box leaves [lo, hi). */
export interface PadSpec {
  readonly name: string;
  readonly storage: string;
  readonly box: readonly number[];
  readonly from: Place;
  readonly strides: readonly string[];
  readonly to: Place;
  readonly lo: readonly string[];
  readonly hi: readonly string[];
  readonly other: string;
}

/** C[m,n] (row stride ldc) += A.B on the valid part. */
export interface DotSpec {
  readonly dtype: DType;
  readonly c: Place;
  readonly ldc: string;
  readonly a: Place & { readonly strides: readonly [string, string] };
  readonly b: Place & { readonly strides: readonly [string, string] };
  readonly size: readonly [m: string, n: string, k: string];
}

export interface CLikeTarget {
  readonly types: Readonly<Record<DType, ElementType>>;
  /** Operand text to result text, rounded to the dtype. */
  readonly unary: Readonly<Record<UnaryOp, (x: string, t: DType) => string>>;
  readonly binary: Readonly<Record<BinaryOp, (a: string, b: string, t: DType) => string>>;
  readonly compare: (op: CompareOp, a: string, b: string) => string;
  /** Narrowing, widening and float-int conversions. */
  readonly cast: (x: string, from: DType, to: DType) => string;
  readonly literal: (value: number, t: DType) => string;
  readonly reduce: Readonly<Record<Exclude<ReduceOp, "argmax">, Reduction>>;

  readonly index: IndexForms;
  /** Keyword of a loop counter. */
  readonly counter: string;
  /** A uniform integer, or an index, as an i32 element. */
  readonly toI32: (x: string) => string;
  /** Whether 0 <= x < n, for an atom x. */
  readonly inRange: (x: string, n: string) => string;
  readonly outOfRange: (x: string, n: string) => string;
  readonly constant: (type: string, name: string, value: string) => string;
  readonly variable: (type: string, name: string, value?: string) => string;
  /** Type name of uniform integers, for the two above. */
  readonly indexType: string;
  /** Before a loop whose turns are independent; absent where the compiler takes no such hint. */
  readonly simd: string | undefined;
  readonly simdReduce: (clause: string) => string | undefined;
  /** Partial sums side by side, of a sum along a row; absent where a loop adds up in order anyway. */
  readonly sumLanes:
    | { readonly count: number; readonly declare: (name: string) => string; readonly total: (name: string) => string }
    | undefined;

  readonly buffer: (name: string) => Place;
  /** One integer of a buffer, as a uniform integer. */
  readonly readIndex: (buffer: string, offset: string) => string;
  /** One element of a buffer, for code that reads no other. */
  readonly readOne: (buffer: string, offset: string) => string;
  readonly pointer: (spec: PointerSpec) => { readonly line: string; readonly place: Place };
  /** Lines that make a moving pointer point to other memory. */
  readonly move: (pointer: Place, to: Place) => readonly string[];
  /** Arrays up to this size are declared where they are needed; larger ones are a byte range of scratch. */
  readonly localBytes: number;
  /** Lines that declare an array; none where the target declares all of `Emission.arrays` in its prologue. */
  readonly array: (storage: string, name: string, size: number, byteOffset: number | undefined) => readonly string[];
  readonly pad: (spec: PadSpec) => readonly string[];
  readonly topk: (rows: Place, values: Place, indices: Place, numRows: number, n: number, k: number) => string;
  /** Operand dtypes that its products read; other floats are widened to f32 first. */
  readonly dotReads: ReadonlySet<DType>;
  /** Bytes of scratch that one product needs. */
  readonly dotWorkBytes: (m: number, k: number) => number;
  /** `work` is the byte offset of that scratch. */
  readonly dot: (spec: DotSpec, work: number) => string;
}
