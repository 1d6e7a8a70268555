/**
 * Ops that move elements: broadcast, reshape with a copy, reduction, prefix sum, positions. Rows of a tile are `pitch`
 * elements apart and begin at 32-byte blocks; a column (last axis 1) is one dense row.
 */
import { dtypes, type DType } from "../../../base/dtype.ts";
import type { ReduceOp } from "../../ir.ts";
import type { Rows } from "../../padding.ts";
import { isColumnBroadcast } from "../../scratch.ts";
import { sizeOf } from "../../walk.ts";
import { as, asIntegers, at, literal, touch, typeNames, type Buf } from "./buffers.ts";
import type { Lanes } from "./elementwise.ts";
import { part, type Steps } from "./steps.ts";

type Refuse = (op: string, dtype: DType, reason: string) => never;
interface Move {
  readonly steps: Steps;
  readonly dst: Buf;
  readonly to: Rows;
  readonly src: Buf;
  readonly from: Rows;
}

/** Where row `r` of a broadcast result comes from among the rows of its source, as text. */
function sourceRow(shape: readonly number[], fromShape: readonly number[]): string {
  const terms: string[] = [];
  let [step, fromStep] = [1, 1];
  for (let d = shape.length - 2; d >= 0; d--) {
    if (fromShape[d] !== 1) {
      const position = step === 1 ? "r" : `r / ${step}`;
      const isOuter = shape.slice(0, d).every((n) => n === 1);
      const wrapped = isOuter ? position : `${step === 1 ? "r" : `(${position})`} % ${shape[d]}`;
      terms.push(fromStep === 1 ? wrapped : `${/^r$/.test(wrapped) ? wrapped : `(${wrapped})`} * ${fromStep}`);
      fromStep *= fromShape[d]!;
    }
    step *= shape[d]!;
  }
  return terms.toReversed().join(" + ") || "0";
}

export function emitBroadcast(m: Move & { readonly shape: readonly number[]; readonly fromShape: readonly number[]; readonly blocks: Buf | undefined }): void {
  const { steps, to, from, shape, fromShape } = m;
  const [last, fromLast] = [shape[shape.length - 1]!, fromShape[fromShape.length - 1]!];
  const [dst, src] = [asIntegers(m.dst), asIntegers(m.src)];
  const numRows = sizeOf(shape) / last;
  if (isColumnBroadcast(fromShape, shape) && m.blocks && numRows > 1) return alongRows(m, m.blocks);
  if (last === 1) {
    // From one short column to a longer one: element by element on the scalar unit.
    steps.clearPadding(m.dst, to);
    const row = sourceRow([...shape, 1], [...fromShape, 1]);
    const value = `${m.src.text}.GetValue(${row})`;
    if (sizeOf(fromShape) === 1) {
      return steps.lines([`Duplicate(${m.dst.text}, ${m.src.text}.GetValue(0), ${to.length});`], [touch("S", m.src, false), touch("V", m.dst, true)]); // prettier-ignore
    }
    return steps.lines([`for (int32_t r = 0; r < ${to.length}; r++) ${m.dst.text}.SetValue(r, ${value});`], [touch("S", m.src, false), touch("S", m.dst, true)]); // prettier-ignore
  }
  const row = sourceRow(shape, fromShape);
  if (fromLast === 1) {
    const value = row === "0" ? "0" : row;
    return steps.lines([`for (int32_t r = 0; r < ${numRows}; r++) Duplicate(${m.dst.text}[r * ${to.pitch}], ${m.src.text}.GetValue(${value}), ${to.pitch});`], [touch("S", m.src, false), touch("V", m.dst, true)]); // prettier-ignore
  }
  const length = to.pitch;
  const position = row === "0" ? src.text : `${src.text}[${/^r$/.test(row) ? row : `(${row})`} * ${from.pitch}]`;
  steps.rows(numRows, `Adds(${dst.text}[r * ${to.pitch}], ${position}, 0, ${length});`, m.dst, m.src);
} // prettier-ignore

/** One number a row: into a block each (Brcb), and the block again and again along the row. */
function alongRows({ steps, dst, to, src }: Move, blocks: Buf): void {
  const perBlock = 32 / dtypes[dst.dtype].size;
  const lanes = 256 / dtypes[dst.dtype].size;
  const repeats = Math.ceil(to.rows / 8);
  const [d, s, b] = [asIntegers(dst), asIntegers(src), asIntegers(blocks)];
  for (let i = 0; i < repeats; i += 255) {
    const count = Math.min(255, repeats - i);
    steps.op("Brcb", part(blocks, dst.dtype, i * 256, count * 256), part(src, src.dtype, i * 8 * dtypes[src.dtype].size, count * 8 * dtypes[src.dtype].size), String(count), "BrcbRepeatParams{1, 8}"); // prettier-ignore
  }
  const pitchBlocks = to.pitch / perBlock;
  const reads = [blocks];
  const chunks = Math.ceil(to.pitch / lanes);
  if (pitchBlocks <= 255 && to.rows <= 255 && chunks <= to.rows) {
    // Chunks of 256 bytes, every row in one instruction.
    for (let c = 0; c < chunks; c++) {
      const mask = Math.min(lanes, to.pitch - c * lanes);
      steps.lines([`Adds(${at(d, String(c * lanes)).text}, ${b.text}, ${s.dtype === "i32" ? "0" : "(int16_t)0"}, ${mask}, ${to.rows}, UnaryRepeatParams{1, 0, ${pitchBlocks}, 1});`], [touch("V", part(dst, dst.dtype, c * 256, dst.to - dst.from - c * 256), true), ...reads.map((x) => touch("V", x, false))]); // prettier-ignore
    }
    return;
  }
  const full = Math.floor(to.pitch / lanes);
  const rest = to.pitch % lanes;
  if (full > 255) throw new Error(`broadcast: expected rows of at most ${255 * lanes} elements, got ${to.length}`);
  const row = `${d.text}[r * ${to.pitch}`;
  const block = `${b.text}[r * ${perBlock}]`;
  if (full)
    steps.rows(to.rows, `Adds(${row}], ${block}, 0, ${lanes}, ${full}, UnaryRepeatParams{1, 0, 8, 0});`, dst, blocks);
  if (rest) steps.rows(to.rows, `Adds(${full ? `${row} + ${full * lanes}]` : `${row}]`}, ${block}, 0, ${rest}, 1, UnaryRepeatParams{1, 0, 8, 0});`, dst, blocks); // prettier-ignore
}

/** The same elements in rows of another length: whole blocks by the vector unit, single elements by the scalar one. */
export function emitRelayout({ steps, dst, to, src, from, refuse }: Move & { readonly refuse: Refuse }): void {
  if (dst.dtype === "bool") refuse("reshape", "bool", "of packed bits to rows of another length");
  const perBlock = 32 / dtypes[dst.dtype].size;
  steps.clearPadding(dst, to);
  const [short, total] = [Math.min(to.length, from.length), to.rows * to.length];
  const isWhole = short % perBlock === 0 && Math.max(to.length, from.length) % short === 0;
  const place = (rows: Rows, index: string): string => {
    if (rows.rows === 1 || rows.length === rows.pitch) return `${index} * ${short}`;
    const each = rows.length / short;
    return each === 1
      ? `${index} * ${rows.pitch}`
      : `${index} / ${each} * ${rows.pitch} + ${index} % ${each} * ${short}`;
  };
  if (isWhole) {
    const [d, s] = [asIntegers(dst), asIntegers(src)];
    const n = dtypes[dst.dtype].size === 1 ? short / 2 : short;
    if (dtypes[dst.dtype].size === 1) return refuse("reshape", dst.dtype, "to rows of another length");
    return steps.lines([`for (int32_t r = 0; r < ${total / short}; r++) Adds(${d.text}[${place(to, "r")}], ${s.text}[${place(from, "r")}], 0, ${n});`], [touch("V", dst, true), touch("V", src, false)]); // prettier-ignore
  }
  const element = (rows: Rows): string => (rows.rows === 1 || rows.length === rows.pitch ? "e" : `e / ${rows.length} * ${rows.pitch} + e % ${rows.length}`); // prettier-ignore
  steps.lines([`for (int32_t e = 0; e < ${total}; e++) ${dst.text}.SetValue(${element(to)}, ${src.text}.GetValue(${element(from)}));`], [touch("S", src, false), touch("S", dst, true)]); // prettier-ignore
}

const reduceNames = { sum: ["Add", "Sum"], max: ["Max", "Max"], min: ["Min", "Min"], argmax: ["Max", "Max"] } as const;

export interface Reduction extends Move {
  readonly op: ReduceOp;
  readonly axis: number;
  /** Of the source. */
  readonly shape: readonly number[];
  readonly partial: Buf | undefined;
  readonly perRow: Buf | undefined;
  readonly refuse: Refuse;
}

export function emitReduce(m: Reduction): void {
  const { steps, shape, axis, dst, src, from, op } = m;
  const [binary, name] = reduceNames[op];
  const last = shape.length - 1;
  if (axis === last && shape[last] === 1 && op !== "argmax") {
    // A column lies densely, and each of its rows is its own sum.
    steps.clearPadding(dst, m.to);
    return steps.copy(dst, src, sizeOf(shape));
  }
  if (axis === last) return alongLast(m, name);
  // Along another axis whole slabs are added up, in order.
  const isColumn = shape[last] === 1;
  const slab = isColumn ? sizeOf(shape.slice(axis + 1)) : sizeOf(shape.slice(axis + 1, last)) * from.pitch;
  const count = shape[axis]!;
  const outer = sizeOf(shape.slice(0, axis));
  const size = dtypes[src.dtype].size;
  if ((slab * size) % 32 !== 0) return m.refuse(`reduce_${op}`, src.dtype, `over an axis of slabs of ${slab} elements, expected whole 32-byte blocks`); // prettier-ignore
  for (let o = 0; o < outer; o++) {
    const to = part(dst, dst.dtype, o * slab * size, slab * size);
    const slabAt = (i: number): Buf => part(src, src.dtype, (o * count + i) * slab * size, slab * size);
    if (count === 1) steps.copy(to, slabAt(0), slab);
    for (let i = 1; i < count; i++) steps.op(binary, to, i === 1 ? slabAt(0) : to, slabAt(i), String(slab));
  }
}

function alongLast({ steps, dst, to, src, from, op, partial, perRow, refuse }: Reduction, name: string): void {
  const { rows, length, pitch } = from;
  const { size } = dtypes[src.dtype];
  const lanes = 256 / size;
  steps.clearPadding(dst, to);
  if (op === "argmax") {
    // Value and position of every row's first maximum, then the positions alone.
    const each = 32 / size;
    const line = [`  Reduce${name}(${perRow!.text}[r * ${each}], ${src.text}[r * ${pitch}], ${partial!.text}, ${length}, true);`, "  PipeBarrier<PIPE_V>();"]; // prettier-ignore
    steps.lines([`for (int32_t r = 0; r < ${rows}; r++) {`, ...line, "}"], [touch("V", perRow!, true), touch("V", partial!, true), touch("V", src, false)], "V"); // prettier-ignore
    if (size !== 4) return refuse("reduce_argmax", src.dtype, "expected f32");
    const positions = as(perRow!, "i32");
    return steps.lines([`for (int32_t r = 0; r < ${rows}; r++) ${dst.text}.SetValue(r, ${positions.text}.GetValue(r * ${each} + 1));`], [touch("S", perRow!, false), touch("S", dst, true)]); // prettier-ignore
  }
  if (length <= lanes) {
    wholeRows(steps, name, dst, src, from);
    return;
  }
  if (rows === 1) return steps.op(`Reduce${name}`, dst, src, partial!, String(length));
  // A result begins a block; the results of rows, one block each, are then closed up.
  const each = 32 / size;
  const line = [`  Reduce${name}(${perRow!.text}[r * ${each}], ${src.text}[r * ${pitch}], ${partial!.text}, ${length});`, "  PipeBarrier<PIPE_V>();"]; // prettier-ignore
  steps.lines([`for (int32_t r = 0; r < ${rows}; r++) {`, ...line, "}"], [touch("V", perRow!, true), touch("V", partial!, true), touch("V", src, false)], "V"); // prettier-ignore
  wholeRows(steps, name, dst, perRow!, { rows, length: 1, pitch: each });
}

/** Rows of at most 256 bytes: each is one repeat of the instruction. */
function wholeRows(steps: Steps, name: string, dst: Buf, src: Buf, { rows, length, pitch }: Rows): void {
  const { size } = dtypes[src.dtype];
  const order = name === "Sum" ? [] : ["ReduceOrder::ORDER_ONLY_VALUE"];
  for (let r = 0; r < rows; r += 248) {
    const count = Math.min(248, rows - r);
    const [to, of] = [
      part(dst, dst.dtype, r * size, count * size),
      part(src, src.dtype, r * pitch * size, count * pitch * size),
    ];
    steps.op(
      `WholeReduce${name}`,
      to,
      of,
      String(length),
      String(count),
      "1",
      "1",
      String((pitch * size) / 32),
      ...order,
    );
  }
}

/** Prefix sums along rows: log2(length) turns, each adds the row shifted by a power of two. */
export function emitCumsum({ lanes, dst, src, rows, isLast, refuse }: { lanes: Lanes; dst: Buf; src: Buf; rows: Rows; isLast: boolean; refuse: Refuse }): void {
  const { steps, n, scratch } = lanes;
  if (!isLast) return refuse("cumsum", dst.dtype, "only the last axis has a lowering");
  const [offsets, shifted] = [scratch(0, "i32"), scratch(1, dst.dtype)];
  const { length, pitch } = rows;
  const { size } = dtypes[dst.dtype];
  steps.copy(dst, src, n);
  for (let by = 1; by < length; by *= 2) {
    // Byte offset of element i - by, or of the first one, whose place then is cleared.
    steps.op("CreateVecIndex", offsets, `(int32_t)${-by}`, String(length));
    steps.op("Maxs", offsets, offsets, "(int32_t)0", String(length));
    steps.op("Muls", offsets, offsets, `(int32_t)${size}`, String(length));
    steps.rows(rows.rows, `Gather(${shifted.text}[r * ${pitch}], ${dst.text}[r * ${pitch}], ${as(offsets, "u32").text}, 0, ${length});`, shifted, dst, offsets); // prettier-ignore
    steps.rows(rows.rows, `Duplicate(${shifted.text}[r * ${pitch}], ${literal(0, dst.dtype)}, ${by});`, shifted);
    steps.rows(rows.rows, `Add(${dst.text}[r * ${pitch}], ${dst.text}[r * ${pitch}], ${shifted.text}[r * ${pitch}], ${length});`, dst, shifted); // prettier-ignore
  }
} // prettier-ignore

/** Positions along an axis. */
export function emitIota({ steps, dst, rows, shape, axis, refuse }: { steps: Steps; dst: Buf; rows: Rows; shape: readonly number[]; axis: number; refuse: Refuse }): void {
  const last = shape.length - 1;
  const others = sizeOf(shape) / shape[axis]!;
  const type = typeNames[dst.dtype];
  if (others === 1 && (axis === last || shape[last] === 1)) return steps.op("CreateVecIndex", dst, `(${type})0`, String(rows.pitch)); // prettier-ignore
  if (shape[last] === 1) return refuse("iota", dst.dtype, "along one of several axes of a column");
  if (axis === last) return steps.rows(rows.rows, `CreateVecIndex(${dst.text}[r * ${rows.pitch}], (${type})0, ${rows.pitch});`, dst); // prettier-ignore
  const step = sizeOf(shape.slice(axis + 1, last));
  const position = `${step === 1 ? "r" : `r / ${step}`}${axis === 0 ? "" : ` % ${shape[axis]}`}`;
  steps.lines([`for (int32_t r = 0; r < ${rows.rows}; r++) Duplicate(${dst.text}[r * ${rows.pitch}], (${type})(${position}), ${rows.pitch});`], [touch("V", dst, true)]); // prettier-ignore
} // prettier-ignore
