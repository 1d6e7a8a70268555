/**
 * Copies between device memory and tiles in NRAM: boxes of a view clipped to its bounds as 2-d copies, rows picked by
 * an index tile. Main functions: `load`, `store`, `gather`, `scatter`.
 */
import type { IndexExpr, Stmt, TileOp, TileValue, View } from "../../ir.ts";
import { fillWith, type Buffer, type MluEmission } from "./emission.ts";

/** One axis of a clipped box: elements `lo` to `hi` of the tile exist in the view. */
interface Axis {
  readonly box: number;
  readonly at: string;
  readonly lo: string;
  readonly hi: string;
  /** Conditions under which the box is whole on this axis; none where that is certain. */
  readonly whole: readonly string[];
}

function clip(e: MluEmission, view: View, at: readonly IndexExpr[], box: readonly number[]): Axis[] {
  return box.map((n, d) => {
    const [first, size] = [at[d]!, view.shape[d]!];
    const [start, end] = [e.index(first), e.index(size)];
    const natural = e.isNatural(first);
    if (first.kind === "const" && first.value >= 0 && size.kind === "const" && first.value + n <= size.value)
      return { box: n, at: start, lo: "0", hi: String(n), whole: [] };
    if (n === 1) return { box: n, at: start, lo: "0", hi: "1", whole: [...(natural ? [] : [`${start} >= 0`]), `${start} < ${end}`] }; // prettier-ignore
    const [lo, hi] = [natural ? "0" : `lo${d}`, `hi${d}`];
    e.out.add(`const int64_t ${hi} = std::min<int64_t>(${n}, ${end} - (${start}));`);
    if (!natural) e.out.add(`const int64_t ${lo} = std::max<int64_t>(0, -(${start}));`);
    return { box: n, at: start, lo, hi, whole: [...(natural ? [] : [`${lo} == 0`]), `${hi} == ${n}`] };
  });
}

const plus = (a: string, b: string): string => (a === "0" ? b : b === "0" ? a : `${a} + ${b}`);
const times = (a: string, n: number): string => (a === "0" ? "0" : n === 1 ? a : `${a} * ${n}`);
const minus = (a: string, b: string): string => (b === "0" ? a : `(${a} - ${b})`);
const shifted = (at: string, i: string): string => (i === "0" || at === "0" ? plus(at, i) : `(${at} + ${i})`);

type Direction = "GDRAM2NRAM" | "NRAM2GDRAM" | "GDRAM2SRAM" | "SRAM2NRAM";
/** The second returns at once; its pipe is waited for later. */
type Copy = "__memcpy" | "__memcpy_async";

/**
 * The part of a box that exists, by 2-d copies of its rows, or of single elements where they are apart in memory.
 * `shared`: the tile in SRAM, where it is as it is in NRAM, instead of the view.
 */
function copyBox(
  e: MluEmission,
  copy: Copy,
  dir: Direction,
  b: Buffer,
  view: View,
  axes: readonly Axis[],
  shared?: string,
): void {
  const rank = axes.length;
  const last = axes[rank - 1]!;
  const stride = view.strides[rank - 1]!;
  const isRun = shared !== undefined || last.box === 1 || (stride.kind === "const" && stride.value === 1);
  const steps = shared ? [] : view.strides.map((s) => e.index(s));
  /** Elements of NRAM per step of an axis. */
  const tileStep = (d: number): number =>
    d === rank - 1 ? 1 : axes.slice(d + 1, -1).reduce((p, a) => p * a.box, b.pitch);
  // What one copy repeats: rows, or the elements of one row.
  const repeat = isRun ? rank - 2 : rank - 1;
  const isRepeated = repeat >= 0 && axes[repeat]!.box > 1;
  const idx = axes.map((a, d) => (d < rank - 1 && d !== repeat && a.box > 1 ? `i${d}` : a.lo));
  const guard = axes.flatMap((a) => (a.box === 1 ? a.whole : a.whole.length > 0 ? [`${a.hi} > ${a.lo}`] : []));
  const body = (): void => {
    const tileAt = idx.reduce((s, i, d) => plus(s, times(i, tileStep(d))), "0");
    const within = (name: string): string => (tileAt === "0" ? name : `${name} + ${tileAt}`);
    const far = shared ? within(shared) : `${view.buffer} + ${e.offset(view, idx.map((i, d) => shifted(axes[d]!.at, i)))}`; // prettier-ignore
    const isStore = dir === "NRAM2GDRAM";
    const [dst, src] = isStore ? [far, within(b.name)] : [within(b.name), far];
    const bytes = isRun ? times(minus(last.hi, last.lo), b.size) : String(b.size);
    const size = /^\d+ \* \d+$/.test(bytes) ? String(Number(bytes.split(" * ")[0]) * b.size) : bytes;
    if (!isRepeated) return e.out.add(`${copy}(${dst}, ${src}, ${size}, ${dir});`);
    const r = axes[repeat]!;
    const tileStride = String(tileStep(repeat) * b.size);
    const farStride = shared ? tileStride : times(steps[repeat]!, b.size);
    const strides = isStore ? [farStride, tileStride] : [tileStride, farStride];
    const segments = minus(r.hi, r.lo);
    const count = /^\d+$/.test(segments) ? String(Number(segments) - 1) : `${segments} - 1`;
    e.out.add(`${copy}(${dst}, ${src}, ${size}, ${dir}, ${strides.join(", ")}, ${count});`);
  };
  const nest = (d: number): void => {
    if (d === rank) return body();
    if (!/^i\d/.test(idx[d]!)) return nest(d + 1);
    e.out.block(`for (int64_t i${d} = ${axes[d]!.lo}; i${d} < ${axes[d]!.hi}; ++i${d}) `, () => nest(d + 1));
  };
  if (guard.length > 0) e.out.block(`if (${guard.join(" && ")}) `, () => nest(0));
  else nest(0);
}

/** Now, or ahead of its turn, perhaps into a buffer that a store may still read. */
type When = "now" | "ahead" | "ahead, stored from";

type LoadOp = Extract<TileOp, { kind: "load" }>;

/** `shared`: where the memory core has brought the tile. */
export function load(e: MluEmission, tile: TileValue, op: LoadOp, when: When = "now", shared?: string): void {
  const b = e.buffer(tile.id);
  e.scope("", () => {
    const axes = clip(e, op.view, op.at, b.shape);
    const whole = axes.flatMap((a) => a.whole);
    if (whole.length > 0)
      e.out.block(`if (!(${whole.join(" && ")})) `, () => {
        if (when === "ahead, stored from") e.out.add("__sync_io();");
        fillWith(e, b, op.other);
        if (when !== "now") e.out.add("__sync_compute();");
      });
    const copy = when === "now" ? "__memcpy" : "__memcpy_async";
    copyBox(e, copy, shared ? "SRAM2NRAM" : "GDRAM2NRAM", b, op.view, axes, shared);
  });
}

/** What exists of a tile, to `name` in SRAM, by the memory core: it has nothing to do while it waits, and fills nothing. */
export function loadShared(e: MluEmission, tile: TileValue, op: LoadOp, name: string): void {
  const b = { ...e.shaped("", tile.dtype, tile.shape), name };
  e.scope("", () => copyBox(e, "__memcpy", "GDRAM2SRAM", b, op.view, clip(e, op.view, op.at, b.shape)));
}

export function store(e: MluEmission, s: Extract<Stmt, { kind: "store" }>, copy: Copy = "__memcpy"): void {
  const b = filledBuffer(e, s.value);
  e.scope("", () => copyBox(e, copy, "NRAM2GDRAM", b, s.view, clip(e, s.view, s.at, b.shape)));
}

/** The tile in NRAM; one whose elements are all one number is written there first. */
export function filledBuffer(e: MluEmission, id: number): Buffer {
  if (!e.isUniform(id)) return e.buffer(id);
  const { dtype, shape } = e.tile(id);
  const b = e.shaped(e.scratch(id, "filled", e.typeOf(dtype, "fill")), dtype, shape);
  e.out.add(`__bang_write_value(${b.name}, ${b.count}, (${b.type})${e.number(id)});`);
  return b;
}

/** Operand `x` of a tile's op in NRAM; a number gets the `index`-th piece of the op's extra memory. */
export function operand(e: MluEmission, tile: TileValue, x: number, index = 0): Buffer {
  if (!e.isUniform(x)) return e.buffer(x);
  const { dtype, shape } = e.tile(x);
  const like = e.shaped("", dtype, shape);
  const b = { ...like, name: e.scratch(tile.id, "filled", like.type, index * like.count * like.size) };
  e.out.add(`__bang_write_value(${b.name}, ${b.count}, (${b.type})${e.number(x)});`);
  return b;
}

/** One row at a time, as the rows say; `outside` writes what a row that does not exist reads. */
function rowByRow(e: MluEmission, dir: Direction, b: Buffer, view: View, rows: string, col: IndexExpr, outside: string | undefined): void {
  e.scope("", () => {
    const [height, width] = [e.index(view.shape[0]!), e.index(view.shape[1]!)];
    const from = e.index(col);
    e.out.add(`const int64_t width = std::min<int64_t>(${b.width}, ${width} - ${from});`);
    e.out.block(`for (int r = 0; r < ${b.rows}; ++r) `, () => {
      e.out.add(`const int64_t row = ${rows}[r];`);
      const tile = `${b.name} + r * ${b.pitch}`;
      const global = `${view.buffer} + ${e.offset(view, ["row", from])}`;
      const [dst, src] = dir === "GDRAM2NRAM" ? [tile, global] : [global, tile];
      const isInside = "row >= 0 && row < " + height;
      if (outside) e.out.add(`if (!(${isInside}) || width < ${b.width}) __bang_write_value(${tile}, ${b.pitch}, (${b.type})${outside});`); // prettier-ignore
      e.out.add(`if (${isInside} && width > 0) __memcpy(${dst}, ${src}, width * ${b.size}, ${dir});`);
    });
  });
} // prettier-ignore

export function gather(e: MluEmission, tile: TileValue, op: Extract<TileOp, { kind: "gather" }>, other: string): void {
  const rows = operand(e, tile, op.rows);
  requireRun(e, op.view, "gather");
  const b = e.buffer(tile.id);
  if (op.onto !== undefined && e.home(op.onto) !== e.home(tile.id))
    e.out.add(`__memcpy(${b.name}, ${operand(e, tile, op.onto).name}, ${b.count * b.size}, NRAM2NRAM);`);
  rowByRow(e, "GDRAM2NRAM", b, op.view, rows.name, op.col, op.onto === undefined ? other : undefined);
}
export function scatter(e: MluEmission, s: Extract<Stmt, { kind: "scatter" }>): void {
  const [rows, value] = [filledBuffer(e, s.rows), filledBuffer(e, s.value)];
  requireRun(e, s.view, "scatter");
  rowByRow(e, "NRAM2GDRAM", value, s.view, rows.name, s.col, undefined);
}
function requireRun(e: MluEmission, view: View, op: string): void {
  const stride = view.strides[1]!;
  if (!(stride.kind === "const" && stride.value === 1)) e.fail(op, view.dtype, "expected rows whose elements are neighbours in memory"); // prettier-ignore
}
