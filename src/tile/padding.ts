/** Bytes of tiles as a chip's memories hold them: rows aligned, masks packed, matrix operands padded to fractals. */
import { dtypes, type DType } from "../base/dtype.ts";
import { spaceOf, type Chip, type Space } from "./chips/types.ts";
import type { TileValue } from "./ir.ts";
import { sizeOf } from "./walk.ts";

export const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;

/** How a memory holds a tile: rows of `length` elements, `pitch` elements apart. */
export interface Rows {
  readonly rows: number;
  readonly length: number;
  readonly pitch: number;
}

export const bitsOf = (chip: Chip, dtype: DType): number =>
  dtype === "bool" ? chip.arch.maskBits : dtypes[dtype].size * 8;

export function rowsOf(chip: Chip, space: Space, { dtype, shape }: Pick<TileValue, "dtype" | "shape">): Rows {
  const { rowBytes, rowElements = 1, packsColumns } = spaceOf(chip, space);
  const last = shape[shape.length - 1] ?? 1;
  const length = packsColumns && last === 1 ? sizeOf(shape) : last;
  const bits = bitsOf(chip, dtype);
  // Packed bits step with the elements they are about.
  const step = bits < 8 && packsColumns ? rowElements : Math.max(rowElements, (rowBytes * 8) / bits);
  return { rows: sizeOf(shape) / length, length, pitch: roundUp(length, step) };
}

/** Bytes of a tile whose rows are aligned; masks may be packed bits. */
export function tileBytes(chip: Chip, space: Space, tile: Pick<TileValue, "dtype" | "shape">): number {
  const { rows, pitch } = rowsOf(chip, space, tile);
  return roundUp(Math.ceil((rows * pitch * bitsOf(chip, tile.dtype)) / 8), spaceOf(chip, space).rowBytes);
}

/** Same bytes in the same places: a reshape needs no copy. */
export function keepsLayout(chip: Chip, space: Space, from: TileValue, to: TileValue): boolean {
  const [a, b] = [rowsOf(chip, space, from), rowsOf(chip, space, to)];
  const isDense = (r: Rows): boolean => r.rows === 1 || r.length === r.pitch;
  return a.length === b.length || (isDense(a) && isDense(b));
}

/** Padded bytes of a dot's operands and product. */
export function dotBytes(chip: Chip, a: TileValue, tile: TileValue): { left: number; right: number; product: number } {
  const op = tile.op as Extract<TileValue["op"], { kind: "dot" }>;
  const { m: padM, n: padN, kBytes, transposeSquare } = chip.arch.matrix;
  const size = dtypes[a.dtype].size as 1 | 2 | 4;
  const [m, n] = tile.shape as [number, number];
  const k = a.shape[op.transA ? 0 : 1]!;
  const square = transposeSquare?.[size] ?? 1;
  const operand = (rows: number, pad: number, transposed: boolean): number => {
    const s = transposed ? square : 1;
    return roundUp(roundUp(rows, pad), s) * roundUp(roundUp(k, kBytes / size), s) * size;
  };
  return {
    left: operand(m, padM, op.transA),
    right: operand(n, padN, !op.transB),
    product: roundUp(m, padM) * roundUp(n, padN) * 4,
  };
}
