/** What the dots of a program ask of a matrix in L1. Main function: `operandOf`. */
import { dtypes, type DType } from "../../../base/dtype.ts";
import type { Plan } from "./plan.ts";

/** A matrix in L1 and how dots read it. */
export interface Operand {
  readonly rows: number;
  readonly cols: number;
  readonly dtype: DType;
  /** Depth runs along rows (columns): what lies behind them must be 0. */
  readonly rowsAreDepth: boolean;
  readonly colsAreDepth: boolean;
  /** 32-bit elements that are transposed on the way to L0 lie in blocks of 16 rows. */
  readonly isBlocked: boolean;
}

/** How the dots that read `root` take it; undefined where none does. */
export function operandOf(plan: Plan, root: number): Operand | undefined {
  const { homes } = plan;
  let found: Operand | undefined;
  for (const dot of homes.live.tiles.values()) {
    if (dot.op.kind !== "dot") continue;
    for (const side of ["a", "b"] as const) {
      const id = dot.op[side];
      if (homes.root(id) !== root) continue;
      const { shape, dtype } = homes.tile(id);
      const isTransposed = side === "a" ? dot.op.transA : !dot.op.transB;
      const [rows, cols] = shape as [number, number];
      const is4 = dtypes[dtype].size === 4;
      if (dtypes[dtype].size === 1 && isTransposed) plan.refuse("dot", dtype, "of 8-bit elements whose depth runs along rows"); // prettier-ignore
      if (found && (found.rows !== rows || found.cols !== cols))
        plan.refuse("dot", dtype, "of one tile read in two shapes");
      found = { rows, cols, dtype, isBlocked: (is4 && isTransposed) || !!found?.isBlocked, rowsAreDepth: isTransposed || !!found?.rowsAreDepth, colsAreDepth: !isTransposed || !!found?.colsAreDepth }; // prettier-ignore
    }
  }
  return found;
}
