/**
 * Arithmetic of a tile with one row, or with one number a row, that is never written out: the instruction steps over the
 * tile and by 0 over the other operand. A number a row is put into a block each first (Brcb), which is taken again and
 * again along the row. Main function: `emitRepeated`.
 */
import { assumptions } from "../../cost-table.ts";
import { dtypes } from "../../../base/dtype.ts";
import type { Rows } from "../../padding.ts";
import { at, touch, type Buf } from "./buffers.ts";
import type { Steps } from "./steps.ts";

export interface Repeated {
  readonly steps: Steps;
  readonly name: string;
  readonly dst: Buf;
  readonly rows: Rows;
  /** The operand that is a whole tile. */
  readonly full: Buf;
  /** One row, or one number a row; for those `blocks` is their room. */
  readonly source: Buf;
  readonly blocks: Buf | undefined;
  /** The repeated operand is the first. */
  readonly isFirst: boolean;
}

export function emitRepeated({
  steps,
  name,
  dst,
  rows: { rows, pitch },
  full,
  source,
  blocks,
  isFirst,
}: Repeated): void {
  const { size } = dtypes[dst.dtype];
  const [lanes, perBlock] = [256 / size, 32 / size];
  const pitchBlocks = pitch / perBlock;
  if (blocks) steps.op("Brcb", blocks, source, String(Math.ceil(rows / 8)), "BrcbRepeatParams{1, 8}");
  const other = blocks ?? source;
  const add = (line: string): void => steps.lines([line], [touch("V", dst, true), touch("V", full, false), touch("V", other, false)]); // prettier-ignore
  /** Steps of the repeated operand from block to block and from repeat to repeat. */
  const call = (index: string, otherIndex: string, mask: number, repeats: number, step: number, [block, repeat]: readonly [number, number]): string => {
    const operands = [at(full, index).text, at(other, otherIndex).text];
    const strides = [[1, step], [block, repeat]]; // prettier-ignore
    if (isFirst) [operands, strides].forEach((pair) => pair.reverse());
    return `${name}(${at(dst, index).text}, ${operands.join(", ")}, ${mask}, ${repeats}, BinaryRepeatParams{1, ${strides[0]![0]}, ${strides[1]![0]}, ${step}, ${strides[0]![1]}, ${strides[1]![1]}});`;
  }; // prettier-ignore
  // Many rows of fewer than 8 blocks go eight at a time, block by block, where more instructions of fewer turns are less work.
  const issue = assumptions.issueCycles.value;
  const isLess = pitchBlocks * (issue + rows / 8) < Math.ceil(rows / 255) * issue + rows;
  if (blocks && pitchBlocks < 8 && rows % 8 === 0 && isLess) {
    for (let column = 0; column < pitchBlocks; column++)
      for (let r = 0; r < rows; r += 8 * 255) {
        const operands = [at(full, String(r * pitch + column * perBlock)).text, at(blocks, String(r * perBlock)).text];
        const strides = [[pitchBlocks, 8 * pitchBlocks], [1, 8]]; // prettier-ignore
        if (isFirst) [operands, strides].forEach((pair) => pair.reverse());
        const repeats = Math.min(255, (rows - r) / 8);
        add(`${name}(${at(dst, String(r * pitch + column * perBlock)).text}, ${operands.join(", ")}, ${lanes}, ${repeats}, BinaryRepeatParams{${pitchBlocks}, ${strides[0]![0]}, ${strides[1]![0]}, ${8 * pitchBlocks}, ${strides[0]![1]}, ${strides[1]![1]}});`); // prettier-ignore
      }
    return;
  }
  const [whole, rest] = [Math.floor(pitch / lanes), pitch % lanes];
  if (whole <= rows) {
    // 256 bytes of every row in one instruction.
    const steps2 = blocks ? ([0, 1] as const) : ([1, 0] as const);
    // A repeat count is at most 255.
    for (let r = 0; r < rows; r += 255) {
      const here = (column: string): string => (r === 0 ? column : column === "0" ? String(r * pitch) : `${r * pitch} + ${column}`); // prettier-ignore
      const part = (column: string, mask: number): string => call(here(column), blocks ? String(r * perBlock) : column, mask, Math.min(255, rows - r), pitchBlocks, steps2); // prettier-ignore
      if (whole === 1) add(part("0", lanes));
      if (whole > 1) add(`for (int32_t c = 0; c < ${whole}; c++) ${part(`c * ${lanes}`, lanes)}`);
      if (rest) add(part(String(whole * lanes), rest));
    }
    return;
  }
  // Few long rows: one after the other.
  const row = rows === 1 ? "0" : `r * ${pitch}`;
  const head = rows === 1 ? "" : `for (int32_t r = 0; r < ${rows}; r++) `;
  if (!blocks) {
    const operands = [at(full, row).text, other.text];
    if (isFirst) operands.reverse();
    return add(`${head}${name}(${at(dst, row).text}, ${operands.join(", ")}, ${pitch});`);
  }
  const block = rows === 1 ? "0" : `r * ${perBlock}`;
  add(`${head}${call(row, block, lanes, whole, 8, [0, 0])}`);
  if (rest) add(`${head}${call(row === "0" ? String(whole * lanes) : `${row} + ${whole * lanes}`, block, rest, 1, 8, [0, 0])}`); // prettier-ignore
}
