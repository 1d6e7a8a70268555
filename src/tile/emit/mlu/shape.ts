/**
 * Ops that move or join elements of a tile: broadcast, reshape, transpose, iota, reductions, prefix sums, the k largest.
 * Rows of a tile are padded, so most are one call per row; what lies in the padding never matters.
 */
import type { TileOp, TileValue } from "../../ir.ts";
import { operand } from "./copy.ts";
import type { Buffer, MluEmission } from "./emission.ts";

/** Elements of NRAM per step of each axis of a padded tile. */
export function stridesOf(b: Buffer): number[] {
  return b.shape.map((_, d) => (d === b.shape.length - 1 ? 1 : b.shape.slice(d + 1, -1).reduce((p, n) => p * n, b.pitch)));
} // prettier-ignore

interface Loop {
  readonly n: number;
  readonly steps: readonly number[];
}
const address = (name: string, loops: readonly Loop[], which: number): string =>
  [name, ...loops.flatMap(({ n, steps }, i) => (n > 1 && steps[which] !== 0 ? [steps[which] === 1 ? `i${i}` : `i${i} * ${steps[which]}`] : []))].join(" + "); // prettier-ignore
/** Loops over the axes longer than 1; `body` gets the address of each named buffer. */
function nest(e: MluEmission, loops: readonly Loop[], names: readonly string[], body: (at: readonly string[]) => void): void {
  const open = (i: number): void => {
    if (i === loops.length) return body(names.map((name, which) => address(name, loops, which)));
    if (loops[i]!.n === 1) return open(i + 1);
    e.out.block(`for (int i${i} = 0; i${i} < ${loops[i]!.n}; ++i${i}) `, () => open(i + 1));
  };
  open(0);
} // prettier-ignore

export function broadcast(e: MluEmission, tile: TileValue, op: Extract<TileOp, { kind: "broadcast" }>): void {
  const [d, x] = [e.buffer(tile.id), e.buffer(op.x)];
  const [ds, xs] = [stridesOf(d), stridesOf(x)];
  const rank = d.shape.length;
  const isColumn = x.width === 1 && d.width > 1;
  const loops = d.shape.map((n, i) => ({ n, steps: [ds[i]!, x.shape[i] === 1 ? 0 : xs[i]!] }));
  if (isColumn)
    return nest(e, loops.slice(0, -1), [d.name, x.name], ([to, from]) =>
      e.out.add(`__bang_write_value(${to}, ${d.pitch}, ${from === x.name ? `${from}[0]` : `*(${from})`});`),
    );
  // Whole blocks of rows that are repeated: one 2-d copy that reads the same block again and again.
  const axis = d.shape.findLastIndex((n, i) => x.shape[i] !== n);
  if (axis < 0) return e.out.add(`__memcpy(${d.name}, ${x.name}, ${d.count * d.size}, NRAM2NRAM);`);
  const bytes = (axis === rank - 1 ? d.pitch : ds[axis]!) * d.size;
  nest(e, loops.slice(0, axis), [d.name, x.name], ([to, from]) =>
    e.out.add(`__memcpy(${to}, ${from}, ${bytes}, NRAM2NRAM, ${bytes}, 0, ${d.shape[axis]! - 1});`),
  );
}

/** The same elements with rows of another width. Copies the longest runs that are whole in both. */
export function reshape(e: MluEmission, tile: TileValue, op: Extract<TileOp, { kind: "reshape" }>): void {
  if (e.home(tile.id) === e.home(op.x)) return;
  const [d, x] = [e.buffer(tile.id), e.buffer(op.x)];
  const [long, short] = d.width > x.width ? [d, x] : [x, d];
  const { size } = d;
  const run = short.width * size;
  if (long.width % short.width === 0) {
    const per = long.width / short.width;
    // Segments inside a long row follow each other; short rows are a pitch apart.
    const [inLong, inShort] = [run, short.pitch * size];
    const [dStep, xStep] = d === long ? [inLong, inShort] : [inShort, inLong];
    const steps = d === long ? [d.pitch, per * x.pitch] : [per * d.pitch, x.pitch];
    return nest(e, [{ n: long.rows, steps }], [d.name, x.name], ([to, from]) =>
      e.out.add(`__memcpy(${to}, ${from}, ${run}, NRAM2NRAM, ${dStep}, ${xStep}, ${per - 1});`),
    );
  }
  const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));
  const g = gcd(d.width, x.width);
  e.out.block(
    `for (int i = 0; i < ${d.rows * d.width}; i += ${g}) `,
    () =>
    e.out.add(`__memcpy(${d.name} + i / ${d.width} * ${d.pitch} + i % ${d.width}, ${x.name} + i / ${x.width} * ${x.pitch} + i % ${x.width}, ${g * size}, NRAM2NRAM);`), // prettier-ignore
  );
}

/** A row of the result is a strided walk through the operand: a 2-d copy of single elements. */
export function transpose(e: MluEmission, tile: TileValue, op: Extract<TileOp, { kind: "transpose" }>): void {
  const [d, x] = [e.buffer(tile.id), operand(e, tile, op.x)];
  const [ds, xs] = [stridesOf(d), stridesOf(x)];
  const loops = d.shape.map((n, i) => ({ n, steps: [ds[i]!, xs[op.perm[i]!]!] }));
  const last = loops[loops.length - 1]!;
  nest(e, loops.slice(0, -1), [d.name, x.name], ([to, from]) =>
    e.out.add(`__memcpy(${to}, ${from}, ${d.size}, NRAM2NRAM, ${d.size}, ${last.steps[1]! * d.size}, ${last.n - 1});`),
  );
}

export function iota(e: MluEmission, tile: TileValue, op: Extract<TileOp, { kind: "iota" }>): void {
  const d = e.buffer(tile.id);
  const last = d.shape.length - 1;
  const ds = stridesOf(d);
  if (op.axis === last) {
    e.out.add(`for (int i = 0; i < ${d.pitch}; ++i) ${d.name}[i] = i;`);
    if (d.rows > 1) e.out.add(`__memcpy(${d.name} + ${d.pitch}, ${d.name}, ${d.pitch * d.size}, NRAM2NRAM, ${d.pitch * d.size}, 0, ${d.rows - 2});`); // prettier-ignore
    return;
  }
  const loops = d.shape.slice(0, -1).map((n, i) => ({ n, steps: [ds[i]!] }));
  nest(e, loops, [d.name], ([to]) =>
    e.out.add(`__bang_write_value(${to}, ${d.pitch}, (${d.type})${d.shape[op.axis] === 1 ? "0" : `i${op.axis}`});`),
  );
}

/** Writes a neutral value behind every row, so that a reduction may take whole rows. */
export function fillTails(e: MluEmission, b: Buffer, value: string): void {
  if (b.width === b.pitch) return;
  const rest = b.pitch - b.width;
  const row = (at: string): string[] =>
    (b.width * b.size) % 64 === 0
      ? [`__bang_write_value(${b.name} + ${at}${b.width}, ${rest}, (${b.type})${value});`]
      : [`for (int c = ${b.width}; c < ${b.pitch}; ++c) ${b.name}[${at}c] = (${b.type})${value};`];
  if (b.rows === 1) e.out.add(...row(""));
  else e.out.block(`for (int r = 0; r < ${b.rows}; ++r) `, () => e.out.add(...row(`r * ${b.pitch} + `)));
}

const neutral = { sum: "0.0f", max: "-INFINITY", min: "INFINITY", argmax: "-INFINITY" } as const;
const joined = { sum: "__bang_add", max: "__bang_maximum", min: "__bang_minimum" } as const;

export function reduce(e: MluEmission, tile: TileValue, op: Extract<TileOp, { kind: "reduce" }>): void {
  const [d, x] = [e.buffer(tile.id), operand(e, tile, op.x)];
  if (op.axis === x.shape.length - 1) return reduceRows(e, op.op, d, x);
  if (op.op === "argmax") e.fail("argmax", x.dtype, "only the last axis has a lowering");
  // Blocks of rows are joined one after another.
  const [ds, xs] = [stridesOf(d), stridesOf(x)];
  const n = x.shape[op.axis]!;
  const block = xs[op.axis]!;
  const loops = x.shape.slice(0, op.axis).map((size, i) => ({ n: size, steps: [ds[i]!, xs[i]!] }));
  nest(e, loops, [d.name, x.name], ([to, from]) => {
    if (n === 1) return e.out.add(`__memcpy(${to}, ${from}, ${block * d.size}, NRAM2NRAM);`);
    const call = joined[op.op as "sum" | "max" | "min"];
    e.out.add(`${call}(${to}, ${from}, ${from} + ${block}, ${block});`);
    if (n > 2) e.out.add(`for (int j = 2; j < ${n}; ++j) ${call}(${to}, ${to}, ${from} + j * ${block}, ${block});`);
  });
}

function reduceRows(e: MluEmission, op: keyof typeof neutral, d: Buffer, x: Buffer): void {
  if (x.dtype !== "f32") e.fail(`reduce_${op}`, x.dtype, "rows are joined in f32");
  if (x.width === 1 && op !== "argmax") return e.out.add(`__memcpy(${d.name}, ${x.name}, ${d.count * d.size}, NRAM2NRAM);`); // prettier-ignore
  fillTails(e, x, neutral[op]);
  const at = (b: Buffer): string => (b.rows === 1 ? b.name : `${b.name} + r * ${b.pitch}`);
  const element = (name: string, i: number): string => (d.rows === 1 ? `${name}[${i}]` : `${name}[r * ${d.pitch}${i === 0 ? "" : ` + ${i}`}]`); // prettier-ignore
  const body: Record<keyof typeof neutral, () => string[]> = {
    sum: () => [`${element(d.name, 0)} = __bang_sum(${at(x)}, ${x.pitch});`],
    // Value and, behind it in the padding, its position.
    max: () => [`__bang_argmax(${at(d)}, ${at(x)}, ${x.pitch});`],
    min: () => [`__bang_argmin(${at(d)}, ${at(x)}, ${x.pitch});`],
    argmax: () => [
      `__bang_argmax((float*)${d.rows === 1 ? d.name : `(${at(d)})`}, ${at(x)}, ${x.pitch});`,
      `${element(d.name, 0)} = ${element(d.name, 1)};`,
    ],
  };
  if (d.rows === 1) e.out.add(...body[op]());
  else e.out.block(`for (int r = 0; r < ${d.rows}; ++r) `, () => e.out.add(...body[op]()));
}

export function cumsum(e: MluEmission, tile: TileValue, op: Extract<TileOp, { kind: "cumsum" }>): void {
  const [d, x] = [e.buffer(tile.id), operand(e, tile, op.x)];
  if (op.axis !== d.shape.length - 1) e.fail("cumsum", tile.dtype, "only the last axis has a lowering");
  e.out.block(`for (int r = 0; r < ${d.rows}; ++r) `, () => {
    e.out.add(`${d.type} total = 0;`);
    e.out.block(`for (int c = 0; c < ${d.width}; ++c) `, () =>
      e.out.add(`total += ${x.name}[r * ${x.pitch} + c];`, `${d.name}[r * ${d.pitch} + c] = total;`),
    );
  });
}

/** k times the largest of what is left of a row. */
export function topk(e: MluEmission, tile: TileValue, op: Extract<TileOp, { kind: "topk" }>): void {
  const [d, x] = [e.buffer(tile.id), operand(e, tile, op.x)];
  const left = e.scratch(tile.id, "scratch", "float");
  // The largest value, and its position as bits, in the second piece.
  const best = e.scratch(tile.id, "scratch", "float", x.count * 4);
  fillTails(e, x, "-INFINITY");
  e.out.block(`for (int r = 0; r < ${x.rows}; ++r) `, () => {
    e.out.add(`__memcpy(${left}, ${x.name} + r * ${x.pitch}, ${x.pitch * 4}, NRAM2NRAM);`);
    e.out.block(`for (int j = 0; j < ${op.k}; ++j) `, () =>
      e.out.add(
        `__bang_argmax(${best}, ${left}, ${x.pitch});`,
        `${d.name}[r * ${d.pitch} + j] = ${op.part === "values" ? `${best}[0]` : `((uint32_t*)${best})[1]`};`,
        `${left}[((uint32_t*)${best})[1]] = -INFINITY;`,
      ),
    );
  });
}
