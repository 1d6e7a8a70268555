/**
 * What the compiler must know of a chip: memories, which instruction takes which dtype, the matrix unit, rates.
 * Every table is keyed by a typed union, so a new tile op, dtype or chip without a row does not compile.
 * Owns the types only; rows are in ascend.ts and mlu.ts, the five chips in chips.ts.
 */
import type { DType } from "../../base/dtype.ts";
import type { BinaryOp, CompareOp, ReduceOp, TileOp, UnaryOp } from "../ir.ts";

export type ChipName = "ascend-910b" | "ascend-910c" | "ascend-950" | "mlu-370" | "mlu-590";
export type AscendSpace = "UB" | "L1" | "L0A" | "L0B" | "L0C";
export type MluSpace = "NRAM" | "WRAM" | "SRAM";
export type Space = AscendSpace | MluSpace;

/** What a memory is used for; one memory may play several roles. */
export type Role =
  /** Operands and results of vector instructions. */
  | "vector"
  /** Where matrix operands wait. */
  | "stage"
  | "left"
  | "right"
  | "product";

export interface SpaceRow {
  readonly sizeBytes: number;
  /** Taken by the tool chain: stack, API scratch, guard. */
  readonly reservedBytes: number;
  /** Of the first byte of a tile. */
  readonly alignBytes: number;
  /** Every row of a tile (its last axis) starts at a multiple of this. */
  readonly rowBytes: number;
  /** Every row is a multiple of this many elements as well, so that tiles of two dtypes and their masks step alike. */
  readonly rowElements?: number;
  /** A tile whose last axis is 1 is held as one row. */
  readonly packsColumns?: boolean;
}

/** An instruction sequence that stands for an op the chip has no single instruction for. */
export interface Expansion {
  readonly dtypes: readonly DType[];
  readonly into: string;
  /** Extra tiles, as large as the largest operand or result, that live during the sequence. */
  readonly tiles: number;
}
export interface OpRow {
  /** Element types one instruction takes. */
  readonly native: readonly DType[];
  readonly expansions: readonly Expansion[];
}

/** Tile ops that need a vector instruction and have no table of their own. A new kind of op asks for a row. */
export type OtherOp = Exclude<
  TileOp["kind"],
  // Copies between memories take any dtype; casts and dots have their own tables; the rest is not executed.
  "unary" | "binary" | "compare" | "reduce" | "cast" | "dot" | "load" | "gather" | "scalar" | "index" | "reshape" | "carry" | "result"
>; // prettier-ignore

export interface VectorTable {
  readonly unary: Readonly<Record<UnaryOp, OpRow>>;
  readonly binary: Readonly<Record<BinaryOp, OpRow>>;
  readonly compare: Readonly<Record<CompareOp, OpRow>>;
  /** Along the last axis; along another it is the binary op of the same name on rows. */
  readonly reduce: Readonly<Record<ReduceOp, OpRow>>;
  readonly other: Readonly<Record<OtherOp, OpRow>>;
  /** Ops that take a uniform number as an operand; others need it as a tile. */
  readonly scalarOperand: {
    readonly binary: ReadonlySet<BinaryOp>;
    readonly compare: boolean;
    readonly select: boolean;
  };
}

/** How one dtype becomes another in one step. */
export interface CastRow {
  readonly by: string;
  /** What the values must satisfy to come out as the tile language says. */
  readonly assumes?: string;
  /** The same, when the step is only part of a longer way. */
  readonly onTheWay?: string;
}
export type CastTable = Readonly<Record<DType, Readonly<Partial<Record<DType, CastRow>>>>>;

/** Dtypes to compute in when an op has no row for the tile's own, best first. */
export type WidenTable = Readonly<Record<DType, readonly { readonly to: DType; readonly assumes?: string }[]>>;

export interface MatrixTable {
  /** Operand dtypes. */
  readonly dtypes: readonly DType[];
  /** A is padded to multiples of m rows, B to n columns, both to kBytes of depth. */
  readonly m: number;
  readonly n: number;
  readonly kBytes: number;
  /** Loads that transpose work on squares of this many elements, by element size in bytes; undefined: the vector unit transposes first. */
  readonly transposeSquare: Readonly<Record<1 | 2 | 4, number>> | undefined;
  /** What integer products are added up in; f32 holds sums below 2^24 exactly. */
  readonly intSums: "i32" | "f32";
  /** A product can be added to one that is already in the product memory. */
  readonly accumulates: boolean;
  /** Largest m, n and k of one instruction. */
  readonly maxDim: number;
  /** How tiles pass between the vector and the matrix memories. */
  readonly vectorPath: "workspace" | "direct" | "same memory";
}

export interface Arch<S extends Space = Space> {
  readonly name: string;
  readonly source: string;
  readonly spaces: Readonly<Record<S, SpaceRow>>;
  readonly roles: Readonly<Record<Role, S>>;
  /** Bits a comparison result takes per element. */
  readonly maskBits: number;
  readonly vector: VectorTable;
  readonly casts: CastTable;
  readonly widen: WidenTable;
  readonly matrix: MatrixTable;
  /** Bytes that each element of a strided copy occupies on the chip's side. */
  readonly stridedElementBytes: (elementBytes: number) => number;
}

/** A number with how it is known. Rumours have no `value`, so that no formula can take one by mistake. */
export type Figure =
  | { readonly kind: "stated"; readonly value: number; readonly source: string }
  | { readonly kind: "derived"; readonly value: number; readonly from: string }
  | { readonly kind: "rumoured"; readonly low: number; readonly high: number; readonly source: string }
  | { readonly kind: "unknown" };

export interface Rates {
  /** The product these rates are of. */
  readonly product: string;
  readonly matrixCores: Figure;
  readonly vectorCores: Figure;
  readonly clockHz: Figure;
  readonly memoryBytes: Figure;
  readonly memoryBytesPerSecond: Figure;
  readonly cacheBytes: Figure;
  /** Dense operations per second by operand type. */
  readonly opsPerSecond: Readonly<Record<"f16" | "i8" | "e4m3", Figure>>;
  readonly linkBytesPerSecond: Figure;
}

export interface Chip {
  readonly name: ChipName;
  readonly arch: Arch<AscendSpace> | Arch<MluSpace>;
  readonly rates: Rates;
}

export const spaceOf = (chip: Chip, space: Space): SpaceRow =>
  (chip.arch.spaces as Readonly<Partial<Record<Space, SpaceRow>>>)[space]!;
export const capacityOf = (chip: Chip, space: Space): number => {
  const { sizeBytes, reservedBytes } = spaceOf(chip, space);
  return sizeBytes - reservedBytes;
};

/** Row builders for the tables. */
export const native = (...dtypes: DType[]): OpRow => ({ native: dtypes, expansions: [] });
export const expand = (into: string, dtypes: readonly DType[], tiles = 0): OpRow => ({
  native: [],
  expansions: [{ dtypes, into, tiles }],
});
export const either = (row: OpRow, ...more: OpRow[]): OpRow => ({
  native: row.native,
  expansions: [...row.expansions, ...more.flatMap((r) => r.expansions)],
});
