/**
 * Loads, stores, row gathers and scatters between device memory and the unified buffer: DataCopyPad on boxes, the part
 * outside of the view filled first, elements that lie apart one 32-byte block each.
 * Main functions: `emitLoad`, `emitStore`, `emitGather`, `emitScatter`.
 */
import { dtypes, type DType } from "../../../base/dtype.ts";
import { isSpread, type Box, type BoxAxis } from "../../boxes.ts";
import type { IndexExpr, View } from "../../ir.ts";
import { roundUp, type Rows } from "../../padding.ts";
import { as, asLanes16, at, literal, touch, typeNames, type Buf } from "./buffers.ts";
import { DEVICE, type Access } from "./code.ts";
import { bin, offsetOf, type Scalars } from "./scalars.ts";
import type { Steps } from "./steps.ts";

/** A box whose sizes are to be named. */
export interface Sized {
  readonly scalars: Scalars;
  readonly steps: Steps;
  /** Prefix of the names of sizes. */
  readonly name: string;
  readonly view: View;
  readonly at: readonly IndexExpr[];
  readonly box: Box;
}
export interface Transfer extends Sized {
  readonly tile: Buf;
  /** Room for elements one block each, and for their offsets; absent where the box is not spread. */
  readonly blocks: Buf | undefined;
  readonly offsets: Buf | undefined;
  readonly refuse: (op: string, dtype: DType, reason: string) => never;
}

/** A run of an axis inside of the view: where it begins in the box and how many elements it has, as text. */
export interface Run {
  readonly axis: BoxAxis;
  readonly low: string;
  readonly count: string;
}

const gm = (view: View, isWrite: boolean): Access => ({ pipe: isWrite ? "MTE3" : "MTE2", isWrite, memory: DEVICE + view.buffer, from: 0, to: 1 }); // prettier-ignore
export const num = (text: string): number | undefined => (/^\d+$/.test(text) ? Number(text) : undefined);
export const paren = (text: string): string => (/^[\w.]+$/.test(text) ? text : `(${text})`);
export const times = (a: string, b: string | number): string => {
  const [x, y] = [num(a), num(String(b))];
  if (x !== undefined && y !== undefined) return String(x * y);
  return y === 1 ? a : x === 1 ? String(b) : x === 0 || y === 0 ? "0" : `${paren(a)} * ${paren(String(b))}`;
};
export const plus = (...terms: readonly string[]): string => terms.filter((t) => t !== "0").join(" + ") || "0";
export const cast16 = (text: string): string => (num(text) !== undefined ? text : `(uint16_t)${paren(text)}`);
export const cast32 = (text: string): string => (num(text) !== undefined ? text : `(uint32_t)${paren(text)}`);

/** Copies move bits, so bf16 travels as 16-bit words. */
const moved = (b: Buf): Buf => (b.dtype === "bf16" ? asLanes16(b) : b.dtype === "bool" || b.dtype === "e4m3" ? as(b, "u8") : b); // prettier-ignore
export const wordOf = (dtype: DType): string => (dtype === "bf16" ? "uint16_t" : dtype === "bool" || dtype === "e4m3" ? "uint8_t" : typeNames[dtype]); // prettier-ignore

/** The runs of a box's axes, with named sizes where they depend on the program; and what must hold for any element. */
export function runsOf(t: Sized): { runs: Run[]; guards: string[]; partial: string[] } {
  const { scalars, box, name } = t;
  const [guards, partial]: [string[], string[]] = [[], []];
  const labels = ["cols", "rows", "planes", "boxes", "groups"];
  const runs = box.axes.map((axis, i): Run => {
    if (axis.isFull) return { axis, low: "0", count: String(axis.extent) };
    const label = `${name}_${labels[box.axes.length - 1 - i]!}`;
    const extent = axis.extent / axis.unit;
    const isLow = scalars.isNotNegative(axis.at);
    const [low, count] = [isLow ? "0" : `${label}_from`, label];
    const here = scalars.index(axis.at, 1);
    const rest = scalars.index(bin("sub", axis.bound, axis.at), 1);
    const end = `(${rest} < ${extent} ? ${rest} : ${extent})`;
    const units = isLow ? end : `${end} - ${axis.unit === 1 ? low : `${low} / ${axis.unit}`}`;
    const lines = [
      ...(isLow ? [] : [`const int64_t ${low} = ${times(`(${here} < 0 ? -(${here}) : 0)`, axis.unit)};`]),
      `const int64_t ${count} = ${times(units, axis.unit)};`,
    ];
    t.steps.lines(lines, []);
    guards.push(`${count} > 0`);
    partial.push(`${count} < ${axis.extent}`);
    return { axis, low, count };
  });
  for (const { at: x, bound } of box.single) {
    const inside = [
      ...(scalars.isNotNegative(x) ? [] : [bin("le", { kind: "const", value: 0 }, x)]),
      bin("lt", x, bound),
    ];
    const text = inside.map((c) => scalars.index(c)).join(" && ");
    guards.push(text);
    partial.push(`!(${text})`);
  }
  return { runs, guards, partial };
}

/** `body` lines inside loops over `runs` and under `guards`. */
export function nest(runs: readonly Run[], guards: readonly string[], body: readonly string[]): string[] {
  let lines = [...body];
  const inside = (head: string): string[] => [`${head} {`, ...lines.map((l) => `  ${l}`), "}"];
  for (const [i, r] of [...runs.entries()].toReversed()) lines = inside(`for (int64_t j${i} = ${r.low}; j${i} < ${plus(r.low, r.count)}; j${i}++)`); // prettier-ignore
  return guards.length ? inside(`if (${guards.join(" && ")})`) : lines;
}

interface Copy {
  readonly loops: readonly Run[];
  /** Blocks of one instruction. */
  readonly block: Run | undefined;
  /** Elements of a block; undefined: one element a block, `block` runs over them. */
  readonly row: Run | undefined;
  /** Offsets of the first element, in the tile and in device memory. */
  readonly local: string;
  readonly device: string;
}
/** How the loops and blocks of a box fall; `step` is the distance of neighbours on the chip's side. */
function planCopy(t: Transfer, runs: readonly Run[], isBlocks: boolean, step: (axis: BoxAxis) => number): Copy {
  const rest = isBlocks ? runs : runs.slice(0, -1);
  const block = rest[rest.length - 1];
  const row = isBlocks ? undefined : runs[runs.length - 1];
  const loops = rest.slice(0, -1);
  const stride = (r: Run): string => t.scalars.index(r.axis.stride, 2);
  const first = (r: Run | undefined, f: (r: Run) => string | number): string => (r ? times(r.low, f(r)) : "0");
  const local = plus(...loops.map((r, i) => times(`j${i}`, step(r.axis))), first(block, (r) => step(r.axis)), first(row, () => 1)); // prettier-ignore
  const device = plus(t.scalars.index(offsetOf(t.view, t.at)), ...loops.map((r, i) => times(`j${i}`, stride(r))), first(block, stride), first(row, stride)); // prettier-ignore
  if (block && block.axis.extent > 4095) t.refuse("copy", t.view.dtype, `of ${block.axis.extent} blocks, expected at most 4095`); // prettier-ignore
  return { loops, block, row, local, device };
}
/** Bytes between the end of a block and the start of the next one. */
const gap = (pitch: string, length: string, size: number): string => {
  const [p, l] = [num(pitch), num(length)];
  if (p !== undefined && l !== undefined) return String((p - l) * size);
  return pitch === length ? "0" : times(`${paren(pitch)} - ${paren(length)}`, size);
};
const blocksOf = (bytes: string): string => (num(bytes) !== undefined ? String(Math.ceil(Number(bytes) / 32)) : `(${bytes} + 31) / 32`); // prettier-ignore

/** The tile (or the blocks) where the view does not reach, before the copy. */
function fillOutside(t: Transfer, partial: readonly string[], dst: Buf, other: number, count: number): void {
  if (partial.length === 0) return;
  const body = t.scalars.scoped(() => {
    t.steps.fill(dst, other, count);
    // The copy comes next; it must not wait for anything where nothing was filled.
    t.steps.lines([], [touch("MTE2", dst, true)]);
  });
  t.steps.nodes.push({ kind: "block", head: `if (${partial.join(" || ")}) `, body, repeats: false });
}

const elementsPerBlock = (dtype: DType): number => 32 / dtypes[dtype].size;
/** Blocks of a row: a store makes eight at a time. */
export const rowBlocks = ({ length }: Rows, isStore: boolean): number => (isStore ? roundUp(length, 8) : length);
/** Elements between blocks of an axis's neighbours when every element has a block. */
const blockStep = (rows: Rows, dtype: DType, isStore: boolean) => (axis: BoxAxis): number => elementsPerBlock(dtype) * (rows.rows === 1 || axis.inner === 1 ? axis.inner : (axis.inner / rows.pitch) * rowBlocks(rows, isStore)); // prettier-ignore

export function emitLoad(t: Transfer, other: number): void {
  const { box, view, tile, steps } = t;
  const { dtype } = view;
  const { size } = dtypes[dtype];
  const { rows } = box;
  const { runs, guards, partial } = runsOf(t);
  const source = `${view.buffer}Gm`;
  const type = wordOf(dtype);
  if (isSpread(box, size)) {
    const blocks = moved(t.blocks!);
    fillOutside(t, partial, t.blocks!, other, rows.rows * rowBlocks(rows, false) * elementsPerBlock(dtype));
    const c = planCopy(t, runs, true, blockStep(rows, dtype, false));
    const stride = t.scalars.index(c.block!.axis.stride, 2);
    const params = `DataCopyExtParams{${cast16(c.block!.count)}, ${size}, ${cast32(gap(stride, "1", size))}, 0, 0}`;
    const line = `DataCopyPad(${at(blocks, c.local).text}, ${source}[${c.device}], ${params}, DataCopyPadExtParams<${type}>{false, 0, 0, 0});`; // prettier-ignore
    steps.lines(nest(c.loops, guards, [line]), [touch("MTE2", blocks, true), gm(view, false)]);
    return gatherBlocks(t, blocks);
  }
  const written = roundUp(rows.length, elementsPerBlock(dtype));
  if (written < rows.pitch) steps.fill(tile, other, rows.rows * rows.pitch);
  else fillOutside(t, partial, tile, other, rows.rows * rows.pitch);
  const body = splitRow(t, runs).flatMap(({ row: part, lead }) => {
    const { block, row, local, device, loops } = planCopy(t, part ? [...runs.slice(0, -1), part] : runs, false, (a) => a.inner); // prettier-ignore
    const cols = row?.count ?? "1";
    const landed = plus(lead, cols);
    const tail = upTo(landed, elementsPerBlock(dtype));
    const pad = tail === "0" ? `{false, 0, 0, 0}` : `{true, ${cast8(lead)}, ${cast8(tail)}, ${literal(other, dtype)}}`;
    const stride = block ? t.scalars.index(block.axis.stride, 1) : "0";
    const pitchBlocks = block ? String((block.axis.inner * size) / 32) : "0";
    const dstGap = block ? minus(pitchBlocks, blocksOf(times(landed, size))) : "0";
    const srcGap = block ? gap(stride, cols, size) : "0";
    const params = `DataCopyExtParams{${cast16(block?.count ?? "1")}, ${cast32(times(cols, size))}, ${cast32(srcGap)}, ${cast32(dstGap)}, 0}`; // prettier-ignore
    const line = `DataCopyPad(${at(moved(tile), lead === "0" ? local : `${local} - ${lead}`).text}, ${source}[${device}], ${params}, DataCopyPadExtParams<${type}>${pad});`; // prettier-ignore
    return nest(loops, part ? [`${part.count} > 0`] : [], [line]);
  });
  steps.lines(nest([], guards, body), [touch("MTE2", tile, true), gm(view, false)]);
}
const cast8 = (text: string): string => (num(text) !== undefined ? text : `(uint8_t)(${text})`);
/** From a count of elements to the end of a block. */
const upTo = (count: string, perBlock: number): string => (num(count) === undefined ? `(${perBlock} - ${paren(count)} % ${perBlock}) % ${perBlock}` : String((perBlock - (Number(count) % perBlock)) % perBlock)); // prettier-ignore

/** What one copy brings of every row: all that exists (`row` undefined), or a part; `lead`: padding before it in its block. */
interface RowPart {
  readonly row: Run | undefined;
  readonly lead: string;
}
/** Copies land on whole blocks, so a row that may begin before its view comes in two: to the end of a block, and the rest. */
function splitRow(t: Transfer, runs: readonly Run[]): RowPart[] {
  const row = runs[runs.length - 1];
  if (!row || row.low === "0") return [{ row: undefined, lead: "0" }];
  const { low, count, axis } = row;
  const perBlock = elementsPerBlock(t.view.dtype);
  const [head, rest] = [`${t.name}_head_cols`, `${t.name}_rest_cols`];
  const toBlock = upTo(low, perBlock);
  t.steps.lines(
    [`const int64_t ${head} = ${toBlock} < ${count} ? ${toBlock} : ${count};`, `const int64_t ${rest} = ${count} - ${head};`],
    [],
  );
  return [
    { row: { axis, low, count: head }, lead: `${low} % ${perBlock}` },
    { row: { axis, low: plus(low, head), count: rest }, lead: "0" },
  ];
} // prettier-ignore
const minus = (a: string, b: string): string => (num(a) !== undefined && num(b) !== undefined ? String(Number(a) - Number(b)) : `${a} - ${paren(b)}`); // prettier-ignore

/** The first element of every block into the rows of the tile. */
function gatherBlocks(t: Transfer, blocks: Buf): void {
  const { steps, tile, box } = t;
  const { rows } = box;
  const { dtype } = t.view;
  if (dtypes[dtype].size === 1) t.refuse("load", dtype, "of bytes that lie apart");
  const offsets = t.offsets!;
  // Padding takes the last element again.
  const count = String(rows.pitch);
  steps.op("CreateVecIndex", offsets, "(int32_t)0", count);
  if (rows.length < rows.pitch) steps.op("Mins", offsets, offsets, `(int32_t)${rows.length - 1}`, count);
  steps.op("Muls", offsets, offsets, "(int32_t)32", count);
  const from = rowBlocks(rows, false) * elementsPerBlock(dtype);
  const dst = moved(tile);
  const line = `Gather(${dst.text}[r * ${rows.pitch}], ${blocks.text}[r * ${from}], ${as(offsets, "u32").text}, 0, ${rows.pitch});`; // prettier-ignore
  steps.rows(rows.rows, line, tile, blocks, offsets);
}

export function emitStore(t: Transfer): void {
  const { box, view, tile, steps } = t;
  const { dtype } = view;
  const { size } = dtypes[dtype];
  const { rows } = box;
  const target = `${view.buffer}Gm`;
  const isBlocks = isSpread(box, size);
  let source = moved(tile);
  if (isBlocks) {
    if (size === 1) t.refuse("store", dtype, "of bytes that lie apart");
    if (rows.length > 2040) t.refuse("store", dtype, `of rows of ${rows.length} elements that lie apart, expected at most 2040`); // prettier-ignore
    source = moved(t.blocks!);
    const each = rowBlocks(rows, true) * elementsPerBlock(dtype);
    const line = `Brcb(${source.text}[r * ${each}], ${moved(tile).text}[r * ${rows.pitch}], ${rowBlocks(rows, true) / 8}, BrcbRepeatParams{1, 8});`; // prettier-ignore
    steps.rows(rows.rows, line, source, tile);
  }
  const { runs, guards } = runsOf(t);
  if (isBlocks) {
    const c = planCopy(t, runs, true, blockStep(rows, dtype, true));
    const stride = t.scalars.index(c.block!.axis.stride, 2);
    const params = `DataCopyExtParams{${cast16(c.block!.count)}, ${size}, 0, ${cast32(gap(stride, "1", size))}, 0}`;
    const line = `DataCopyPad(${target}[${c.device}], ${at(source, c.local).text}, ${params});`;
    return steps.lines(nest(c.loops, guards, [line]), [touch("MTE3", source, false), gm(view, true)]);
  }
  const { block, row, local, device, loops } = planCopy(t, runs, false, (a) => a.inner);
  if (row && !t.scalars.isNotNegative(row.axis.at)) t.refuse("store", dtype, "a row that begins before its view");
  const cols = row?.count ?? "1";
  const bytes = times(cols, size);
  const srcGap = block ? minus(String((block.axis.inner * size) / 32), blocksOf(bytes)) : "0";
  const dstGap = block ? gap(t.scalars.index(block.axis.stride, 1), cols, size) : "0";
  const params = `DataCopyExtParams{${cast16(block?.count ?? "1")}, ${cast32(bytes)}, ${cast32(srcGap)}, ${cast32(dstGap)}, 0}`; // prettier-ignore
  const line = `DataCopyPad(${target}[${device}], ${at(source, local).text}, ${params});`;
  steps.lines(nest(loops, guards, [line]), [touch("MTE3", source, false), gm(view, true)]);
}

/** Columns of a row gather inside of the view, as text. */
function columns(t: Transfer, col: IndexExpr, cols: number): string {
  const bound = t.view.shape[1]!;
  if (col.kind === "const" && bound.kind === "const" && col.value >= 0 && col.value + cols <= bound.value) return String(cols); // prettier-ignore
  if (!t.scalars.isNotNegative(col)) t.refuse("gather", t.view.dtype, "a row that begins before its view");
  const rest = t.scalars.index(bin("sub", bound, col), 1);
  t.steps.lines([`const int64_t ${t.name}_cols = ${rest} < ${cols} ? ${rest} : ${cols};`], []);
  return `${t.name}_cols`;
}
/** `isColumn`: a tile of one column lies as one dense row, an element for each index. */
function rowCopies(t: Transfer, index: Buf, col: IndexExpr, isColumn: boolean, copy: (row: string, device: string, cols: string) => string): string[] {
  const { rows } = t.box;
  const [bound, stride, step] = [t.view.shape[0]!, t.view.strides[0]!, t.view.strides[1]!];
  if (!(step.kind === "const" && step.value === 1)) t.refuse("gather", t.view.dtype, "of columns that lie apart");
  const cols = columns(t, col, isColumn ? 1 : rows.length);
  const start = t.scalars.index(bin("add", t.view.offset, col));
  const device = plus(start, times("row", t.scalars.index(stride, 2)));
  const inside = [`row >= 0`, `row < ${t.scalars.index(bound, 1)}`, ...(num(cols) === undefined ? [`${cols} > 0`] : [])];
  return [
    `for (int32_t r = 0; r < ${isColumn ? rows.length : rows.rows}; r++) {`,
    `  const int64_t row = ${index.text}.GetValue(r);`,
    `  if (${inside.join(" && ")}) ${copy(times("r", isColumn ? 1 : rows.pitch), device, cols)}`,
    "}",
  ];
} // prettier-ignore

/** `other` undefined: rows outside of the view stay as they are in the tile. */
export function emitGather(
  t: Transfer,
  index: Buf,
  col: IndexExpr,
  isColumn: boolean,
  other: number | undefined,
): void {
  const { dtype } = t.view;
  const { rows } = t.box;
  const { size } = dtypes[dtype];
  if (other !== undefined) t.steps.fill(t.tile, other, rows.rows * rows.pitch);
  if (isColumn) {
    // A copy ends on whole blocks, so single elements go through the scalar pipe.
    const lines = rowCopies(t, index, col, true, (local, device) => `${moved(t.tile).text}.SetValue(${local}, ${t.view.buffer}Gm.GetValue(${device}));`); // prettier-ignore
    const source: Access = { pipe: "S", isWrite: false, memory: DEVICE + t.view.buffer, from: 0, to: 1 };
    return t.steps.lines(lines, [touch("S", index, false), touch("S", t.tile, true), source]);
  }
  const perBlock = elementsPerBlock(dtype);
  const lines = rowCopies(t, index, col, false, (local, device, cols) => {
    // Copies land on whole blocks, so the end of a row would not stay.
    if (other === undefined && num(cols) === undefined) t.refuse("gather", dtype, "onto a tile, of rows that may end before it"); // prettier-ignore
    const tail = num(cols) === undefined ? `(uint8_t)((${perBlock} - ${cols} % ${perBlock}) % ${perBlock})` : String((perBlock - (Number(cols) % perBlock)) % perBlock); // prettier-ignore
    const pad = tail === "0" ? "{false, 0, 0, 0}" : `{true, 0, ${tail}, ${literal(other ?? 0, dtype)}}`;
    return `DataCopyPad(${moved(t.tile).text}[${local}], ${t.view.buffer}Gm[${device}], DataCopyExtParams{1, ${cast32(times(cols, size))}, 0, 0, 0}, DataCopyPadExtParams<${wordOf(dtype)}>${pad});`;
  });
  t.steps.lines(lines, [touch("S", index, false), touch("MTE2", t.tile, true), gm(t.view, false)]);
}

export function emitScatter(t: Transfer, index: Buf, col: IndexExpr, isColumn: boolean): void {
  if (isColumn) t.refuse("scatter", t.view.dtype, "of single elements");
  const { size } = dtypes[t.view.dtype];
  const lines = rowCopies(t, index, col, false, (local, device, cols) => `DataCopyPad(${t.view.buffer}Gm[${device}], ${moved(t.tile).text}[${local}], DataCopyExtParams{1, ${cast32(times(cols, size))}, 0, 0, 0});`); // prettier-ignore
  t.steps.lines(lines, [touch("S", index, false), touch("MTE3", t.tile, false), gm(t.view, true)]);
}
