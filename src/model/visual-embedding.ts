/**
 * What a visual id adds to its row of the embedding table: one vector per quantiser level (so codes that differ
 * in one level are neighbours from the start) and one each for row, column and frame. Other tokens add nothing.
 * Done as one product of a many-hot matrix with the stacked tables, so its gradient is a plain product too.
 */
import { ShapeError } from "../base/errors.ts";
import { Module } from "../nn/module.ts";
import * as t from "../tensor/ops.ts";
import { Tensor, type Parameter } from "../tensor/tensor.ts";
import type { VisualIds } from "./config.ts";
import type { Init } from "./init.ts";

/** Per token: code (0-based, -1 for other tokens), row, column, frame. */
export const SIDE_WIDTH = 4;

/** Sets ones for a code's levels in a row of stacked levels; returns what is left of the code, 0 if it was in range. */
function markLevels(hot: Float32Array, at: number, code: number, levels: readonly number[]): number {
  let end = levels.reduce((sum, n) => sum + n, 0);
  // Mixed radix, the last level fastest.
  for (let j = levels.length - 1; j >= 0; j--) {
    const n = levels[j]!;
    end -= n;
    hot[at + end + (code % n)] = 1;
    code = Math.floor(code / n);
  }
  return code;
}

/** Codes 0..numCodes-1 as rows of ones where a code has a level, [numCodes, sum of levels]. */
export function levelHot(numCodes: number, levels: readonly number[]): Float32Array {
  const width = levels.reduce((sum, n) => sum + n, 0);
  const hot = new Float32Array(numCodes * width);
  for (let code = 0; code < numCodes; code++) markLevels(hot, code * width, code, levels);
  return hot;
}

export class VisualEmbedding extends Module {
  /** [sum of levels, D] */
  readonly level: Parameter;
  readonly row: Parameter;
  readonly col: Parameter;
  readonly frame: Parameter;
  private readonly visual: VisualIds;

  constructor(init: Init, visual: VisualIds, dim: number) {
    super();
    this.visual = visual;
    this.level = init.matrix([visual.levels.reduce((p, n) => p + n, 0), dim]);
    this.row = init.matrix([visual.max_rows, dim]);
    this.col = init.matrix([visual.max_cols, dim]);
    this.frame = init.matrix([visual.max_frames, dim]);
  }

  /** side i32 [R*4] on the host -> [R,D] f32; undefined when no token is visual. */
  forward(side: Int32Array): Tensor | undefined {
    const hot = this.manyHot(side);
    if (hot === undefined) return undefined;
    return t.matmul(hot, t.concat([this.level, this.row, this.col, this.frame], 0));
  }

  private manyHot(side: Int32Array): Tensor | undefined {
    const { levels, max_rows, max_cols, max_frames } = this.visual;
    const numLevels = levels.reduce((p, n) => p + n, 0);
    const width = numLevels + max_rows + max_cols + max_frames;
    const rows = side.length / SIDE_WIDTH;
    const hot = new Float32Array(rows * width);
    let any = false;
    for (let i = 0; i < rows; i++) {
      if (side[i * SIDE_WIDTH]! < 0) continue;
      any = true;
      const at = i * width;
      const code = markLevels(hot, at, side[i * SIDE_WIDTH]!, levels);
      const [r, c, f] = [side[i * SIDE_WIDTH + 1]!, side[i * SIDE_WIDTH + 2]!, side[i * SIDE_WIDTH + 3]!];
      if (!(code === 0 && r >= 0 && r < max_rows && c >= 0 && c < max_cols && f >= 0 && f < max_frames))
        throw new ShapeError(
          `visual embedding: expected code, row, column, frame within tables of ${max_rows}, ${max_cols}, ${max_frames}, got ${side.subarray(i * SIDE_WIDTH, (i + 1) * SIDE_WIDTH).join(", ")}`,
        );
      hot[at + numLevels + r] = 1;
      hot[at + numLevels + max_rows + c] = 1;
      hot[at + numLevels + max_rows + max_cols + f] = 1;
    }
    return any ? Tensor.from(this.level.device, hot, [rows, width]) : undefined;
  }
}
