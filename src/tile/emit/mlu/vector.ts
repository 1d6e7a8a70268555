/**
 * Element-wise ops as calls of vector instructions on whole padded tiles: tables by op, one row each.
 * Main functions: `unary`, `binary`, `compare`, `select`, `cast`. Rows match the chip tables in chips/mlu.ts.
 */
import type { DType } from "../../../base/dtype.ts";
import type { BinaryOp, CompareOp, TileOp, TileValue, UnaryOp } from "../../ir.ts";
import { operand } from "./copy.ts";
import type { Buffer, MluEmission } from "./emission.ts";

/** A call on whole tiles where their rows are equally far apart, else row by row. `n` is the count of elements. */
export function each(e: MluEmission, buffers: readonly Buffer[], call: (names: readonly string[], n: number) => readonly string[]): void {
  const [first] = buffers;
  if (buffers.every((b) => b.pitch === first!.pitch)) return e.out.add(...call(buffers.map((b) => b.name), first!.count)); // prettier-ignore
  const n = Math.min(...buffers.map((b) => b.pitch));
  e.out.block(`for (int r = 0; r < ${first!.rows}; ++r) `, () =>
    e.out.add(...call(buffers.map((b) => `${b.name} + r * ${b.pitch}`), n)), // prettier-ignore
  );
} // prettier-ignore

/** d, x and the count to lines; `t` is scratch of the size of the tile. */
type UnaryCall = (d: string, x: string, n: number, t: () => string) => readonly string[];
const call1 =
  (f: string): UnaryCall =>
  (d, x, n) => [`${f}(${d}, ${x}, ${n});`];

const LOG2_E = "1.44269504f";
const unaryCalls: Readonly<Record<UnaryOp, UnaryCall>> = {
  neg: (d, x, n) => [`__bang_mul_scalar(${d}, ${x}, -1.0f, ${n});`],
  abs: call1("__bang_abs"),
  exp: call1("__bang_active_exphp"),
  log: call1("__bang_log"),
  sqrt: call1("__bang_sqrt"),
  rsqrt: call1("__bang_rsqrt"),
  recip: call1("__bang_recip"),
  sin: call1("__bang_sin"),
  cos: call1("__bang_cos"),
  tanh: call1("__bang_active_tanh"),
  sigmoid: call1("__bang_active_sigmoid"),
  floor: call1("__bang_floor"),
  round: (d, x, n, t) => [`__bang_float2int32_rn((int32_t*)${t()}, ${x}, ${n}, 0);`, `__bang_int322float(${d}, (int32_t*)${t()}, ${n}, 0);`], // prettier-ignore
  // Of a mask; integers go through `bnot`.
  not: (d, x, n) => [`__bang_eq_scalar(${d}, ${x}, 0.0f, ${n});`],
};

export function unary(e: MluEmission, tile: TileValue, op: Extract<TileOp, { kind: "unary" }>): void {
  const [d, x] = [e.buffer(tile.id), operand(e, tile, op.x)];
  const expansion = e.state.expansions.get(tile.id);
  const scratch = (): string => e.scratch(tile.id, "scratch", d.type);
  each(e, [d, x], ([to, from], n) => {
    if (op.op === "not" && tile.dtype !== "bool") return [`__bang_bnot((char*)${to}, (char*)${from}, ${n * d.size});`];
    // The active_exp of compute_30 clips its input, so there 2^(x log2 e) stands for it.
    if (op.op === "exp" && expansion) return [`__bang_mul_scalar(${to}, ${from}, ${LOG2_E}, ${n});`, `__bang_pow2(${to}, ${to}, ${n});`]; // prettier-ignore
    return unaryCalls[op.op](to!, from!, n, scratch);
  });
}

type BinaryCall = (d: string, a: string, b: string, n: number, size: number) => readonly string[];
const call2 =
  (f: string): BinaryCall =>
  (d, a, b, n) => [`${f}(${d}, ${a}, ${b}, ${n});`];
/** Bytes of integers; masks have rows of their own below. */
const bytes2 =
  (f: string): BinaryCall =>
  (d, a, b, n, size) => [`${f}((char*)${d}, (char*)${a}, (char*)${b}, ${n * size});`];

const tileTile: Readonly<Record<BinaryOp, BinaryCall | undefined>> = {
  add: call2("__bang_add"),
  sub: call2("__bang_sub"),
  mul: call2("__bang_mul"),
  div: call2("__bang_div"),
  min: call2("__bang_minimum"),
  max: call2("__bang_maximum"),
  // Needs scratch: see `modulo`.
  mod: undefined,
  and: bytes2("__bang_band"),
  or: bytes2("__bang_bor"),
  xor: bytes2("__bang_bxor"),
  shl: undefined,
  shr: undefined,
};
/** Masks are 0 and 1. */
const maskMask: Readonly<Partial<Record<BinaryOp, BinaryCall>>> = {
  and: call2("__bang_mul"),
  or: call2("__bang_maximum"),
  xor: call2("__bang_ne"),
};
/** Tile and number; undefined where the number has to be a tile. */
const tileScalar: Readonly<Partial<Record<BinaryOp, string>>> = {
  add: "__bang_add_scalar",
  sub: "__bang_sub_scalar",
  mul: "__bang_mul_scalar",
  min: "__bang_min_scalar",
  max: "__bang_max_scalar",
};

/** Tile and a row that repeats, by the name of the instruction behind `__bang_cycle_`. */
const tileRow: Readonly<Partial<Record<BinaryOp, string>>> = {
  add: "__bang_cycle_add",
  sub: "__bang_cycle_sub",
  mul: "__bang_cycle_mul",
  min: "__bang_cycle_minimum",
  max: "__bang_cycle_maximum",
};

/** Whether `next` can read a broadcast as what it repeats: one row, or one number per row. */
export function canDefer(e: MluEmission, tile: TileValue, next: TileValue): boolean {
  const { op } = next;
  if (tile.op.kind !== "broadcast" || op.kind !== "binary" || !tileRow[op.op] || e.live.usesOf(tile.id).length !== 1) return false; // prettier-ignore
  if (e.isUniform(tile.id) || e.isUniform(next.id)) return false;
  const other = op.a === tile.id ? op.b : op.a;
  if (op.b !== tile.id && (op.a !== tile.id || op.op === "sub")) return false;
  if (other === tile.id || e.isUniform(other) || e.deferred.has(other)) return false;
  const [d, x] = [e.buffer(next.id), e.buffer(tile.op.x)];
  // What repeats is read while the result is written, and the plan may have given its memory away.
  const isApart = x.offset + x.count * x.size <= d.offset || d.offset + d.count * d.size <= x.offset;
  const isRow = x.rows === 1 && x.width === d.width;
  const isColumn = x.width === 1 && x.rows === d.rows;
  return isApart && d.rows > 1 && (isRow || isColumn);
}

function withRepeated(e: MluEmission, tile: TileValue, op: Extract<TileOp, { kind: "binary" }>, repeated: number): void {
  const d = e.buffer(tile.id);
  const a = e.buffer(op.a === repeated ? op.b : op.a);
  const x = e.buffer((e.tile(repeated).op as Extract<TileOp, { kind: "broadcast" }>).x);
  if (x.rows === 1) return e.out.add(`${tileRow[op.op]}(${d.name}, ${a.name}, ${x.name}, ${d.count}, ${d.pitch});`);
  e.out.block(`for (int r = 0; r < ${d.rows}; ++r) `, () =>
    e.out.add(`${tileScalar[op.op]}(${d.name} + r * ${d.pitch}, ${a.name} + r * ${d.pitch}, ${x.name}[r * ${x.pitch}], ${d.pitch});`), // prettier-ignore
  );
} // prettier-ignore

export function binary(e: MluEmission, tile: TileValue, op: Extract<TileOp, { kind: "binary" }>): void {
  const repeated = [op.a, op.b].find((x) => e.deferred.has(x));
  if (repeated !== undefined) return withRepeated(e, tile, op, repeated);
  const d = e.buffer(tile.id);
  const scalar = tileScalar[op.op];
  const [ua, ub] = [e.isUniform(op.a), e.isUniform(op.b)];
  if (scalar && (ua || ub)) {
    const x = e.buffer(ua ? op.b : op.a);
    const v = e.number(ua ? op.a : op.b);
    if (op.op === "sub" && ua)
      return e.out.add(`__bang_mul_scalar(${d.name}, ${x.name}, -1, ${d.count});`, `__bang_add_scalar(${d.name}, ${d.name}, ${v}, ${d.count});`); // prettier-ignore
    return e.out.add(`${scalar}(${d.name}, ${x.name}, ${v}, ${d.count});`);
  }
  const [a, b] = [operand(e, tile, op.a), operand(e, tile, op.b)];
  const expansion = e.state.expansions.get(tile.id);
  if (op.op === "mod") return modulo(e, tile, [d, a, b]);
  if (op.op === "div" && expansion) {
    const t = e.scratch(tile.id, "scratch", d.type);
    return e.out.add(`__bang_recip(${t}, ${b.name}, ${d.count});`, `__bang_mul(${d.name}, ${a.name}, ${t}, ${d.count});`); // prettier-ignore
  }
  const call = (tile.dtype === "bool" ? maskMask[op.op] : undefined) ?? tileTile[op.op];
  if (!call) e.fail(op.op, tile.dtype, "no instruction sequence");
  e.out.add(...call(d.name, a.name, b.name, d.count, d.size));
}

/** a - b floor(a / b), then one step of correction on each side, since the quotient may be off by a rounding. */
function modulo(e: MluEmission, tile: TileValue, [d, a, b]: readonly [Buffer, Buffer, Buffer]): void {
  const n = d.count;
  const bytes = n * d.size;
  const [q, t] = [e.scratch(tile.id, "scratch", d.type), e.scratch(tile.id, "scratch", d.type, bytes)];
  const quotient = e.state.chip.arch.vector.binary.div.native.includes("f32")
    ? [`__bang_div(${q}, ${a.name}, ${b.name}, ${n});`]
    : [`__bang_recip(${q}, ${b.name}, ${n});`, `__bang_mul(${q}, ${a.name}, ${q}, ${n});`];
  e.out.add(
    ...quotient,
    `__bang_floor(${q}, ${q}, ${n});`,
    `__bang_mul(${q}, ${q}, ${b.name}, ${n});`,
    `__bang_sub(${d.name}, ${a.name}, ${q}, ${n});`,
    `__bang_lt_scalar(${q}, ${d.name}, 0.0f, ${n});`,
    `__bang_mul(${q}, ${q}, ${b.name}, ${n});`,
    `__bang_ge(${t}, ${d.name}, ${b.name}, ${n});`,
    `__bang_mul(${t}, ${t}, ${b.name}, ${n});`,
    `__bang_add(${d.name}, ${d.name}, ${q}, ${n});`,
    `__bang_sub(${d.name}, ${d.name}, ${t}, ${n});`,
  );
}

const swapped: Readonly<Record<CompareOp, CompareOp>> = { lt: "gt", le: "ge", gt: "lt", ge: "le", eq: "eq", ne: "ne" };

export function compare(e: MluEmission, tile: TileValue, op: Extract<TileOp, { kind: "compare" }>): void {
  const d = e.buffer(tile.id);
  const { dtype } = e.tile(op.a);
  if (dtype !== "f32") e.fail(op.op, dtype, "a mask is 0 and 1 in f32, so only f32 is compared");
  const [ua, ub] = [e.isUniform(op.a), e.isUniform(op.b)];
  if (!ua && !ub) return e.out.add(`__bang_${op.op}(${d.name}, ${e.buffer(op.a).name}, ${e.buffer(op.b).name}, ${d.count});`); // prettier-ignore
  const [x, v] = [e.buffer(ua ? op.b : op.a), e.number(ua ? op.a : op.b)];
  e.out.add(`__bang_${ua ? swapped[op.op] : op.op}_scalar(${d.name}, ${x.name}, ${v}, ${d.count});`);
}

/** Bits of a where the mask is 1, else of b: no arithmetic, so infinities stay apart. */
export function select(e: MluEmission, tile: TileValue, op: Extract<TileOp, { kind: "select" }>): void {
  const d = e.buffer(tile.id);
  const bytes = d.count * d.size;
  const c = operand(e, tile, op.cond);
  const a = operand(e, tile, op.a).name;
  const b = operand(e, tile, op.b, e.isUniform(op.a) ? 1 : 0).name;
  const bits = e.scratch(tile.id, "scratch", "int32_t");
  const part = e.scratch(tile.id, "scratch", "int32_t", bytes);
  e.out.add(
    `__bang_mul_scalar((float*)${bits}, ${c.name}, -1.0f, ${d.count});`,
    `__bang_float2int32_tz(${bits}, (float*)${bits}, ${d.count}, 0);`,
    `__bang_band((char*)${part}, (char*)${a}, (char*)${bits}, ${bytes});`,
    `__bang_bnot((char*)${bits}, (char*)${bits}, ${bytes});`,
    `__bang_band((char*)${bits}, (char*)${b}, (char*)${bits}, ${bytes});`,
    `__bang_bor((char*)${d.name}, (char*)${part}, (char*)${bits}, ${bytes});`,
  );
}

type CastCall = (d: Buffer, x: Buffer) => (d: string, x: string, n: number) => string;
const convert =
  (f: string, position = ""): CastCall =>
  () =>
  (d, x, n) =>
    `${f}(${d}, ${x}, ${n}${position});`;
/** Same bits in another type. */
const sameBits: CastCall =
  ({ size }) =>
  (d, x, n) =>
    `__memcpy(${d}, ${x}, ${n * size}, NRAM2NRAM);`;

/** The last argument of fixed-point conversions is the exponent of two; 0 here. */
const casts: Readonly<Partial<Record<DType, Readonly<Partial<Record<DType, CastCall>>>>>> = {
  f32: {
    f16: convert("__bang_float2half_rn"),
    bf16: convert("__bang_float2bfloat16_rn"),
    i32: convert("__bang_float2int32_tz", ", 0"),
    i8: convert("__bang_float2int8_tz", ", 0"),
    bool: () => (d, x, n) => `__bang_ne_scalar(${d}, ${x}, 0.0f, ${n});`,
  },
  f16: { f32: convert("__bang_half2float") },
  bf16: { f32: convert("__bang_bfloat162float") },
  i32: { f32: convert("__bang_int322float", ", 0"), u32: sameBits },
  u32: { i32: sameBits },
  i8: { f32: convert("__bang_int82float", ", 0"), f16: convert("__bang_int82half", ", 0"), u8: sameBits },
  u8: { i8: sameBits },
  bool: { f32: sameBits, f16: convert("__bang_float2half_rn") },
};

export function cast(e: MluEmission, tile: TileValue, op: Extract<TileOp, { kind: "cast" }>): void {
  const [d, x] = [e.buffer(tile.id), e.buffer(op.x)];
  const row = casts[x.dtype]?.[d.dtype];
  if (!row) e.fail("cast", x.dtype, `no instruction to ${d.dtype}`);
  if (row === sameBits && d.offset === x.offset) return;
  const call = row(d, x);
  each(e, [d, x], ([to, from], n) => [call(to!, from!, n)]);
}
