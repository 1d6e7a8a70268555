/**
 * Vector memory that an op needs beside its tiles and that does not grow with them: blocks of single numbers, room for
 * partial results. Only of chips whose vector unit works on 32-byte blocks (Ascend). Main function: `scratchOf`.
 */
import { dtypes } from "../base/dtype.ts";
import type { Chip } from "./chips/types.ts";
import type { TileValue } from "./ir.ts";
import { roundUp, rowsOf } from "./padding.ts";

export interface Scratch {
  readonly part: "blocks" | "partial" | "perRow" | "scratch";
  readonly bytes: number;
}

/** A broadcast of one number per row along the rows, and nothing else. */
export function isColumnBroadcast(from: readonly number[], to: readonly number[]): boolean {
  const last = to.length - 1;
  return from[last] === 1 && to[last] !== 1 && to.every((n, d) => d === last || n === from[d]);
}
/** Rows longer than one instruction's 256 bytes are reduced one by one. */
export const LANES = 64;

export function scratchOf(chip: Chip, tile: TileValue, operands: readonly TileValue[]): readonly Scratch[] {
  const { op } = tile;
  if (chip.arch.stridedElementBytes(4) === 4) return [];
  const x = operands[0];
  if (op.kind === "broadcast" && isColumnBroadcast(x!.shape, tile.shape))
    return [{ part: "blocks", bytes: roundUp(rowsOf(chip, chip.arch.roles.vector, tile).rows, 8) * 32 }];
  if (op.kind === "reduce" && op.axis === x!.shape.length - 1) {
    const { rows, length } = rowsOf(chip, chip.arch.roles.vector, x!);
    const partial = { part: "partial", bytes: roundUp(Math.ceil((length * dtypes[x!.dtype].size) / 256) * 16, 256) } as const; // prettier-ignore
    if (op.op !== "argmax" && length <= LANES) return [];
    return op.op === "argmax" || rows > 1 ? [partial, { part: "perRow", bytes: rows * 32 }] : [partial];
  }
  // A row at a time: two lists of (score, position) pairs of 8 bytes, in runs of 32, sorted back and forth.
  if (op.kind === "topk")
    return [{ part: "scratch", bytes: roundUp(rowsOf(chip, chip.arch.roles.vector, x!).length, 32) * 16 }];
  return [];
}
