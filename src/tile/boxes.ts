/**
 * The box of a load or store as a copy engine sees it: axes of more than one element, neighbours joined where both sides
 * step evenly, each with its stride in device memory and in the chip's memory. Main function: `boxOf`.
 */
import type { Chip, Space } from "./chips/types.ts";
import type { IndexExpr, TileValue, View } from "./ir.ts";
import { rowsOf, type Rows } from "./padding.ts";
import type { LoopStarts } from "./walk.ts";

export interface BoxAxis {
  readonly extent: number;
  /** Elements between neighbours in device memory and in the tile. */
  readonly stride: IndexExpr;
  readonly inner: number;
  /** First position, and the view's bound, in units of `unit` positions of this axis. */
  readonly at: IndexExpr;
  readonly bound: IndexExpr;
  readonly unit: number;
  /** The whole extent is known to lie in the view. */
  readonly isFull: boolean;
}
export interface Box {
  readonly rows: Rows;
  /** Outermost first; the last one is the row, unless the tile is one element. */
  readonly axes: readonly BoxAxis[];
  /** Axes of one element that may lie outside of the view. */
  readonly single: readonly { readonly at: IndexExpr; readonly bound: IndexExpr }[];
}

const constant = (e: IndexExpr): number | undefined => (e.kind === "const" ? e.value : undefined);

/** At least this much, whatever the parameters; sizes, positions and strides are not negative, nor are offsets that are read. */
function atLeast(e: IndexExpr, loops: LoopStarts): number {
  if (e.kind === "const") return e.value;
  if (e.kind === "loop") return atLeast(loops.get(e.id)!, loops);
  if (e.kind !== "bin") return 0;
  const [a, b] = [atLeast(e.a, loops), atLeast(e.b, loops)];
  switch (e.op) {
    case "add":
      return a + b;
    case "mul":
      return a >= 0 && b >= 0 ? a * b : Number.NEGATIVE_INFINITY;
    case "max":
      return Math.max(a, b);
    case "min":
      return Math.min(a, b);
    case "sub":
      return Number.NEGATIVE_INFINITY;
    default:
      return a >= 0 && b >= 0 ? 0 : Number.NEGATIVE_INFINITY;
  }
}
export const isNotNegative = (e: IndexExpr, loops: LoopStarts): boolean => atLeast(e, loops) >= 0;

const isInside = (at: IndexExpr, extent: number, bound: IndexExpr): boolean => {
  const [a, b] = [constant(at), constant(bound)];
  return a !== undefined && b !== undefined && a >= 0 && a + extent <= b;
};

/** `keepsRows`: the row stays an axis of its own even where the next axis continues it. */
export function boxOf(chip: Chip, space: Space, view: View, at: readonly IndexExpr[], tile: Pick<TileValue, "dtype" | "shape">, keepsRows = false): Box {
  const rows = rowsOf(chip, space, tile);
  const { shape } = tile;
  const isDense = rows.rows === 1 || rows.length === rows.pitch;
  const axes: BoxAxis[] = [];
  const single: { at: IndexExpr; bound: IndexExpr }[] = [];
  let inner = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    const [extent, bound, stride] = [shape[d]!, view.shape[d]!, view.strides[d]!];
    const isFull = isInside(at[d]!, extent, bound);
    if (extent === 1) {
      if (!isFull) single.push({ at: at[d]!, bound });
      continue;
    }
    const axis: BoxAxis = { extent, stride, inner, at: at[d]!, bound, unit: 1, isFull };
    inner *= d === shape.length - 1 && !isDense ? rows.pitch : extent;
    const next = axes[0];
    const [outerStride, innerStride] = [constant(stride), next && constant(next.stride)];
    const isRow = keepsRows && axes.length === 1;
    const joins = !isRow && next?.isFull && innerStride !== undefined && outerStride === next.extent * innerStride && axis.inner === next.extent * next.inner; // prettier-ignore
    if (joins) axes[0] = { extent: extent * next.extent, stride: next.stride, inner: next.inner, at: axis.at, bound, unit: next.extent, isFull }; // prettier-ignore
    else axes.unshift(axis);
  }
  return { rows, axes, single };
} // prettier-ignore

/** Whether elements must be copied one by one, each to a block of its own: they are apart, or rows start inside blocks. */
export function isSpread({ axes }: Box, elementBytes: number): boolean {
  const row = axes[axes.length - 1];
  if (!row) return false;
  const isMisaligned = axes.slice(0, -1).some((a) => (a.inner * elementBytes) % 32 !== 0);
  return constant(row.stride) !== 1 || row.inner !== 1 || isMisaligned;
}
