/**
 * The tiles of rows that grouped products work on: rows are sorted by expert, and an expert's are taken `m` at a time.
 * Tile t of the list is rows [first, first + m) of expert e, as far as they lie before `end`, the end of that expert's rows:
 *   before[e] = sum over e' < e of ceil(count[e'] / m);  e is the expert with before[e] <= t < before[e + 1]
 *   first = offsets[e] + (t - before[e]) m,  end = offsets[e + 1]
 * method   A grid of experts by tiles of all rows would be nearly all programs that find nothing to do. The device makes a
 *          list as long as it can get, with expert E after the last tile; a host that knows the rows makes the same one as
 *          long as it is.
 * shapes   offsets i32 [E+1] -> i32 [T,3], a row of which is first, end, e
 * numeric  whole f32 numbers below 2^24
 */
import type { Device, LaunchArg } from "../device/device.ts";
import { kernel, type Index, type KernelBuilder } from "../tile/builder.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, type NdArray } from "./nd-array.ts";

/** Rows sorted by expert, and their tiles. */
export interface SortedRows {
  /** First row of each expert, and the end: i32 [E+1]. */
  readonly offsets: NdArray;
  /** The work list for tiles of `m` rows, i32 [T,3]; made once. */
  readonly tilesOf: (m: number) => NdArray;
}

export interface SortedRowsOptions {
  /** The offsets, where the host knows them. */
  readonly known?: Int32Array;
  /** Told of every list that is made; without it, lists live as long as the device. */
  readonly own?: ((list: NdArray) => void) | undefined;
}

/** The most tiles of `m` that so many rows of experts make: each expert in use has one that is not full. */
export const mostTiles = (rows: number, experts: number, m: number): number => Math.min(rows, Math.floor((rows + Math.min(experts, rows) * (m - 1)) / m)); // prettier-ignore

/** The list in plain numbers, without an end that is empty. */
export function tilesRef(offsets: ArrayLike<number>, m: number): Int32Array {
  let numTiles = 0;
  for (let e = 0; e + 1 < offsets.length; e++) numTiles += ceilDiv(offsets[e + 1]! - offsets[e]!, m);
  const list = new Int32Array(3 * numTiles);
  let at = 0;
  for (let e = 0; e + 1 < offsets.length; e++)
    for (let first = offsets[e]!; first < offsets[e + 1]!; first += m) {
      list[at++] = first;
      list[at++] = offsets[e + 1]!;
      list[at++] = e;
    }
  return list;
}

interface TilesStatic {
  readonly experts: number;
  readonly m: number;
  /** Tiles of a program. */
  readonly rows: number;
}

const tilesKernel = specialize((p: TilesStatic) =>
  kernel("moe_tiles", (k) => {
    const t0 = k.programId(0).mul(p.rows);
    const offsets = k.buffer("offsets", "i32");
    const at = (from: number) => k.load(k.view(offsets, [1, p.experts], { offset: from }), [0, 0], [1, p.experts]).cast("f32"); // prettier-ignore
    const [begin, end] = [at(0), at(1)];
    // Half a row keeps the quotient away from whole numbers, whatever its last digit is.
    const count = end.sub(begin).add(p.m - 0.5).mul(1 / p.m).floor(); // prettier-ignore
    const after = count.cumsum(1);
    const before = after.sub(count);
    const t = k.iota([p.rows, 1], 0).cast("f32").add(k.fromIndex(t0).cast("f32"));
    const expert = after.le(t).cast("f32").sum(1);
    const isIn = before.le(t).and(t.lt(after));
    const of = (x: typeof t) => k.select(isIn, x, 0).sum(1);
    const column = k.iota([1, 3], 1).cast("f32");
    const first = of(begin.add(t.sub(before).mul(p.m)));
    const entry = k.select(column.lt(1), first, k.select(column.lt(2), of(end), expert));
    k.store(k.view(k.buffer("tiles", "i32", "out"), [k.index("numTiles"), 3]), [t0, 0], entry.cast("i32"));
  }),
);
/** As it starts; a chip may take fewer tiles at once. */
const startOf = (experts: number, m: number, numTiles: number): TilesStatic => ({ experts, m, rows: numTiles <= 8 ? 8 : 16 }); // prettier-ignore

function deviceTiles(device: Device, offsets: NdArray, rows: number, m: number): NdArray {
  const experts = offsets.shape[0]! - 1;
  const numTiles = mostTiles(rows, experts, m);
  const tiles = empty(device, [numTiles, 3], "i32");
  const { program, p } = fitted(device.properties.chip, tilesKernel, startOf(experts, m, numTiles), { rows: 1 });
  run(device, program, [ceilDiv(numTiles, p.rows), 1, 1], { offsets, tiles, numTiles });
  return tiles;
}

/** `rows` sorted by expert, with the offsets of `moePlan`. */
export function sortedRows(device: Device, offsets: NdArray, rows: number, { known, own }: SortedRowsOptions = {}): SortedRows {
  const made = new Map<number, NdArray>();
  const make = (m: number): NdArray => {
    if (!known) return deviceTiles(device, offsets, rows, m);
    const list = tilesRef(known, m);
    return fromHost(device, list, [list.length / 3, 3], "i32");
  };
  const tilesOf = (m: number): NdArray => {
    let list = made.get(m);
    if (!list) {
      made.set(m, (list = make(m)));
      own?.(list);
    }
    return list;
  };
  return { offsets, tilesOf };
} // prettier-ignore

export interface RowTile {
  /** The first row, and the end of the expert's rows. */
  readonly i0: Index;
  readonly end: Index;
  readonly e: Index;
}
/** Of a program along y the entry of the list, and `where`, what to do if it is a tile. */
export function tileOf(k: KernelBuilder): RowTile & { readonly where: (body: () => void) => void } {
  const list = k.view(k.buffer("tiles", "i32"), [k.index("numTiles"), 3]);
  const t = k.programId(1);
  const [i0, end, e] = [0, 1, 2].map((column) => k.read(list, [t, column])) as [Index, Index, Index];
  const isTile = e.lt(k.index("experts"));
  // An expert is all that a program without a tile reads. The second condition is true of every tile; with it the whole entry is read before the loops.
  return { i0, end, e, where: (body) => k.when(isTile, () => k.when(i0.lt(end), body)) };
}

interface OverRows {
  /** Along y and z. */
  readonly grid: readonly [number, number];
  /** Of `tileOf`. */
  readonly args: Readonly<Record<string, LaunchArg>>;
}
/** A product's programs for tiles of `m` rows: by the list, or `rows` of each of its copies. */
export function overRows(sorted: SortedRows | undefined, m: number, rows: number, copies: number): OverRows {
  if (!sorted) return { grid: [ceilDiv(rows, m), copies], args: {} };
  const tiles = sorted.tilesOf(m);
  const numTiles = tiles.shape[0]!;
  return { grid: [numTiles, 1], args: { tiles, numTiles, experts: copies } };
}

function tilesCase(m: number, ends: readonly number[]): KernelCase {
  const offsets = Int32Array.of(0, ...ends);
  const rows = ends.at(-1)!;
  return {
    name: `tiles of ${m} of ${rows} rows among ${ends.length}`,
    run: (device) => {
      const own = fromHost(device, offsets, [offsets.length], "i32");
      return [sortedRows(device, own, rows).tilesOf(m), sortedRows(device, own, rows, { known: offsets }).tilesOf(m)];
    },
    expected: () => {
      const list = tilesRef(offsets, m);
      const whole = new Int32Array(3 * mostTiles(rows, ends.length, m)).map((_, i) => (i % 3 === 2 ? ends.length : 0));
      whole.set(list);
      return [whole, list];
    },
    tolerance: { rtol: 0, atol: 0, why: "whole numbers" },
  };
}
/** Uneven, and some empty. */
const endsOf = (experts: number, most: number): number[] => {
  let end = 0;
  return Array.from({ length: experts }, (_, e) => (end += (7 * e * e + e) % (most + 1)));
};

export const cases: OpCases = {
  op: "work lists",
  cases: [
    tilesCase(1, [0, 2, 2, 5, 6]),
    tilesCase(4, [0, 5, 5, 26, 30, 30]),
    tilesCase(3, [9]),
    tilesCase(8, endsOf(40, 30)),
    tilesCase(4, endsOf(256, 3)),
  ],
  programs: (chip) =>
    [6, 300].map((numTiles) => fitted(chip, tilesKernel, startOf(256, 4, numTiles), { rows: 1 }).program),
};
