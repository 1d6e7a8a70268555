/**
 * Tile sizes by the cost model: a kernel hands over the values that its sizes may have and the launch that they would
 * make, and on a chip gets the program that is done first, by the high end where a rate is a rumour (tile/cost.ts). What
 * the chip refuses is no candidate. On a host it gets the sizes that it asked for.
 * Rows come in few heights, so that problems share programs; a size that the order of a sum depends on never follows
 * from the number of rows. Main function: `chosen`.
 */
import { CompileError } from "../base/errors.ts";
import type { Chip } from "../tile/chips/types.ts";
import { costOf, type Bytes } from "../tile/cost.ts";
import type { TileProgram } from "../tile/ir.ts";
import type { Launch } from "../tile/traffic.ts";
import { refusalOf, type Fitted, type SizeOf } from "./fit.ts";
import { ceilDiv, keyOf } from "./launch.ts";
import { mostTiles, tilesRef } from "./work-list.ts";

/** Best first, for those that cost the same. */
export type Lattice<P> = Readonly<Partial<Record<SizeOf<P>, readonly number[]>>>;

/** The launch with some sizes, and the bytes of its buffers: what fits a cache is read from memory once. */
export interface Planned extends Launch {
  readonly bytes: Bytes;
}

/** Beside the kernel and its static parameters. */
export interface TileChoice<P> {
  /** Rows of this call. */
  readonly rows: number;
  /** From so many rows on choices are the same; a power of two, by default `MANY_ROWS`. */
  readonly most?: number;
  /** What else the launch depends on. */
  readonly problem: Readonly<Record<string, number>>;
  /** Bytes for a height of rows. */
  readonly lattice: (rows: number) => Lattice<P>;
  /** Bytes that the order of a sum depends on, the same for any number of rows. */
  readonly order?: readonly SizeOf<P>[];
  readonly launch: (p: P, rows: number) => Planned;
}

export const MANY_ROWS = 1024;
/** The same for the rows of one expert. */
export const MANY_EXPERT_ROWS = 128;
/** 1, 4, 8, 16 and so on: the least that is not below `n`, or `most`. */
export const heightOf = (n: number, most = MANY_ROWS): number => (n <= 1 ? 1 : Math.min(most, Math.max(4, 2 ** Math.ceil(Math.log2(n))))); // prettier-ignore
/** What a product's rows are, of one copy of its weights each. */
export interface RowLoads {
  /** Most rows of a copy, and of all of them together. */
  readonly each: number;
  readonly all: number;
  /** For tiles of `m` rows: the grid along y and z, and what its programs know. */
  readonly over: (m: number) => { readonly grid: readonly [number, number] } & Pick<Launch, "numbers" | "read">;
}
/** The same rows for each copy. */
export const evenLoads = (rows: number, copies: number): RowLoads => ({
  each: rows,
  all: copies * rows,
  over: (m) => ({ grid: [ceilDiv(rows, m), copies], numbers: {} }),
});
/**
 * What stands for rows that a router spreads over experts: so many experts have rows at all, and those have between half of
 * `each` and all of it; 15 tell as much as more would, and an odd number, since loads do not come out even over cores.
 * Their tiles are a work list with the empty end that a device makes.
 */
export function expertLoads(rows: number, experts: number): RowLoads {
  const most = Math.min(rows, experts, 15);
  const active = most > 2 && most % 2 === 0 ? most - 1 : most;
  const each = heightOf(Math.ceil(rows / experts));
  const least = Math.ceil((each + 1) / 2);
  const ends = [0];
  for (let e = 0; e < active; e++) ends.push(ends[e]! + least + Math.round(((each - least) * (e + 1)) / active));
  const all = ends[active]!;
  const over: RowLoads["over"] = (m) => {
    const list = tilesRef(ends, m);
    const numTiles = mostTiles(all, active, m);
    const read = (buffer: string, element: number): number | undefined => (buffer === "tiles" ? (list[element] ?? active) : undefined); // prettier-ignore
    return { grid: [numTiles, 1], numbers: { numTiles, experts: active }, read };
  };
  return { each, all, over };
}
/** Candidates this near to the cheapest count as equal, so that like problems share programs. */
const NEAR = 1.02;

export interface Candidate<P> extends Fitted<P> {
  /** The high end. */
  readonly seconds: number;
}

/** A kernel, and all its static parameters but the sizes. */
export interface Tiled<P> {
  readonly factory: (p: P) => TileProgram;
  readonly start: P;
}

/** All sizes that the chip takes, in the lattice's order; throws the chip's refusal if there are none. */
export function candidatesOf<P extends object>(chip: Chip, { factory, start }: Tiled<P>, c: TileChoice<P>, rows: number, fixed: Partial<P> = {}): Candidate<P>[] {
  const lattice = { ...c.lattice(rows), ...Object.fromEntries(Object.entries(fixed).map(([key, value]) => [key, [value]])) };
  const keys = Object.keys(lattice) as (SizeOf<P> & string)[];
  let tuples: number[][] = [[]];
  for (const key of keys) tuples = tuples.flatMap((t) => (lattice[key] as readonly number[]).map((v) => [...t, v]));
  const refused: number[][] = [];
  let refusal: CompileError | undefined;
  const out: Candidate<P>[] = [];
  for (const tuple of tuples) {
    // What is larger in every way has no room either.
    if (refused.some((r) => r.every((v, i) => v <= tuple[i]!))) continue;
    const p: P = { ...start, ...Object.fromEntries(keys.map((key, i) => [key, tuple[i]!])) };
    const program = factory(p);
    const error = refusalOf(program, chip);
    if (error) {
      if (error.pass !== "checkCapacity") throw error;
      refused.push(tuple);
      refusal = error;
      continue;
    }
    const { bytes, ...launch } = c.launch(p, rows);
    out.push({ program, p, seconds: costOf(program, chip, launch, { sizes: bytes }).seconds.high });
  }
  if (out.length === 0) throw refusal!;
  return out;
} // prettier-ignore

/** The first of those that cost next to nothing more than the cheapest. */
function best<C extends { readonly seconds: number }>(candidates: readonly C[]): C {
  const least = Math.min(...candidates.map((c) => c.seconds));
  return candidates.find((c) => c.seconds <= NEAR * least)!;
}

/** The values of `order` with which one row and many rows together lose least against the best of each. */
function orderOf<P extends object>(
  chip: Chip,
  kernel: Tiled<P>,
  c: TileChoice<P>,
  order: readonly SizeOf<P>[],
): Partial<P> {
  const losses = new Map<string, { readonly value: Partial<P>; readonly each: number[] }>();
  const heights = [1, c.most ?? MANY_ROWS];
  for (const rows of heights) {
    const all = candidatesOf(chip, kernel, c, rows);
    const least = Math.min(...all.map((x) => x.seconds));
    const own = new Map<string, number>();
    for (const { p, seconds } of all) {
      const value = Object.fromEntries(order.map((key) => [key, p[key]])) as unknown as Partial<P>;
      const key = keyOf(value);
      own.set(key, Math.min(own.get(key) ?? Number.POSITIVE_INFINITY, seconds / least));
      if (!losses.has(key)) losses.set(key, { value, each: [] });
    }
    for (const [key, loss] of own) losses.get(key)!.each.push(loss);
  }
  // With one height refused there is no such program for it.
  const sums = [...losses.values()].flatMap(({ value, each }) => (each.length === heights.length ? [{ value, seconds: each.reduce((a, b) => a + b, 0) }] : [])); // prettier-ignore
  return best(sums).value;
}

/** What was chosen for a kernel on a chip, by static parameters, problem and height. */
interface Known {
  readonly answers: Map<string, Fitted<object>>;
  readonly orders: Map<string, object>;
}
const known = new WeakMap<object, Map<Chip, Known>>();
function knownOf(factory: object, chip: Chip): Known {
  let table = known.get(factory);
  if (!table) known.set(factory, (table = new Map()));
  let found = table.get(chip);
  if (!found) table.set(chip, (found = { answers: new Map(), orders: new Map() }));
  return found;
}

/** What a host has is `factory(start)`; what a chip chooses from is asked for there only. */
export function chosen<P extends object>(
  chip: Chip | undefined,
  factory: (p: P) => TileProgram,
  start: P,
  choice: () => TileChoice<P>,
): Fitted<P> {
  if (!chip) return { program: factory(start), p: start };
  const c = choice();
  const { answers, orders } = knownOf(factory, chip);
  const rows = heightOf(c.rows, c.most);
  const shape = `${keyOf(start, c.lattice(rows))}|${keyOf(c.problem)}`;
  const key = `${rows}|${shape}`;
  let answer = answers.get(key) as Fitted<P> | undefined;
  if (answer) return answer;
  let fixed = (c.order === undefined ? {} : orders.get(shape)) as Partial<P> | undefined;
  if (!fixed) orders.set(shape, (fixed = orderOf(chip, { factory, start }, c, c.order!)));
  const { program, p } = best(candidatesOf(chip, { factory, start }, c, rows, fixed));
  answers.set(key, (answer = { program, p }));
  return answer;
}

const perProgram = [8, 4, 16, 2, 1, 32, 64];
/** Rows that a program may take, of a height. */
export const rowsPerProgram = (height: number): number[] => perProgram.filter((n) => n <= height);

/** Of a kernel whose only size is rows, along the first axis of its grid. */
export const chosenRows = <P extends { readonly rows: number }>(
  chip: Chip | undefined,
  factory: (p: P) => TileProgram,
  start: P,
  rows: number,
  launch: (rows: number) => Omit<Planned, "grid">,
): Fitted<P> =>
  chosen(chip, factory, start, () => ({
    rows,
    problem: {},
    lattice: (height) => ({ rows: rowsPerProgram(height) }) as unknown as Lattice<P>,
    launch: (p, height) => ({ grid: [ceilDiv(height, p.rows), 1, 1], ...launch(height) }),
  }));
