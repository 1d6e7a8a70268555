/** Bytes of tiles as a chip's memories hold them: rows aligned, masks packed, matrix operands padded to fractals. */
import { dtypes } from "../base/dtype.ts";
import { spaceOf, type Chip, type Space } from "./chips/types.ts";
import type { TileValue } from "./ir.ts";
import { sizeOf } from "./walk.ts";

export const roundUp = (n: number, to: number): number => Math.ceil(n / to) * to;

/** Bytes of a tile whose rows (last axis) are aligned; masks may be packed bits. */
export function tileBytes(chip: Chip, space: Space, { dtype, shape }: Pick<TileValue, "dtype" | "shape">): number {
  const last = shape[shape.length - 1] ?? 1;
  const bits = dtype === "bool" ? chip.arch.maskBits : dtypes[dtype].size * 8;
  return (sizeOf(shape) / last) * roundUp(Math.ceil((last * bits) / 8), spaceOf(chip, space).rowBytes);
}

/** Same bytes in the same places: a reshape needs no copy. */
export function keepsLayout(chip: Chip, space: Space, from: TileValue, to: TileValue): boolean {
  const row = (t: TileValue): number => t.shape[t.shape.length - 1] ?? 1;
  const dense = (t: TileValue): boolean => tileBytes(chip, space, t) === tileBytes(chip, space, { ...t, shape: [sizeOf(t.shape)] }); // prettier-ignore
  return row(from) === row(to) || (dense(from) && dense(to));
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
