/**
 * Element-wise ops, comparisons and selections as vector instructions: one table a family, a row for every op. Where an
 * op is several instructions the row is the sequence that the chip table names, and `scratch` the tiles it counts.
 * Main tables: `unaryRows`, `binaryRows`; functions `emitCompare`, `emitSelect`, `emitCast`.
 */
import type { DType } from "../../../base/dtype.ts";
import type { BinaryOp, CompareOp, UnaryOp } from "../../ir.ts";
import { as, asLanes16, literal, type Buf } from "./buffers.ts";
import type { Steps } from "./steps.ts";

/** What a row works with: `n` lanes, and scratch tiles of the given type. */
export interface Lanes {
  readonly steps: Steps;
  readonly n: number;
  readonly scratch: (index: number, dtype: DType) => Buf;
}

const one = (dtype: DType): string => literal(1, dtype);
const plain = (name: string) => ({ steps, n }: Lanes, dst: Buf, x: Buf): void => steps.op(name, dst, x, String(n)); // prettier-ignore
/** dst = 1 / x, x may be dst. */
function reciprocal({ steps, n, scratch }: Lanes, dst: Buf, x: Buf): void {
  const ones = scratch(0, dst.dtype);
  steps.op("Duplicate", ones, one(dst.dtype), String(n));
  steps.op("Div", dst, ones, x, String(n));
}
const throughI32 = (mode: string) => ({ steps, n }: Lanes, dst: Buf, x: Buf): void => {
  steps.cast(as(dst, "i32"), x, mode, n);
  steps.cast(dst, as(dst, "i32"), "RINT", n);
}; // prettier-ignore

/** pi in parts of 8, 11, 11 and 24 bits: k times one of the first three is exact for k below 2^13. */
const PI_PARTS = (() => {
  const cut = (x: number, bits: number): number => {
    const scale = 2 ** (bits - 1 - Math.floor(Math.log2(x)));
    return Math.floor(x * scale) / scale;
  };
  // pi - Math.PI, which f64 cannot hold together with pi.
  const rest = 1.2246467991473532e-16;
  const parts = [cut(Math.PI, 8)];
  parts.push(cut(Math.PI - parts[0]!, 11));
  parts.push(cut(Math.PI - parts[0]! - parts[1]!, 11));
  parts.push(Math.PI - parts[0]! - parts[1]! - parts[2]! + rest);
  return parts;
})();
/** Taylor coefficients of sin(r)/r in r^2: 6e-8 at r = pi/2. */
const SIN = [-1 / 39916800, 1 / 362880, -1 / 5040, 1 / 120, -1 / 6];

/** sin(x + shift * pi / 2): with k = round(x / pi + shift / 2), r = x - (k - shift / 2) pi, it is (-1)^k sin r. */
const sine = (shift: 0 | 1) => ({ steps, n, scratch }: Lanes, dst: Buf, x: Buf): void => {
  const [k, r, t] = [scratch(0, "f32"), scratch(1, "f32"), scratch(2, "f32")];
  const [count, half] = [String(n), literal(shift / 2, "f32")];
  const f = (value: number): string => literal(value, "f32");
  steps.op("Muls", k, x, f(1 / Math.PI), count);
  if (shift) steps.op("Adds", k, k, half, count);
  steps.cast(as(k, "i32"), k, "RINT", n);
  steps.cast(k, as(k, "i32"), "RINT", n);
  // The sign: 1 - 2 (k - 2 floor(k / 2)), kept in dst.
  steps.op("Muls", dst, k, f(0.5), count);
  steps.cast(as(dst, "i32"), dst, "FLOOR", n);
  steps.cast(dst, as(dst, "i32"), "RINT", n);
  steps.op("Muls", dst, dst, f(-2), count);
  steps.op("Add", dst, dst, k, count);
  steps.op("Muls", dst, dst, f(-2), count);
  steps.op("Adds", dst, dst, f(1), count);
  if (shift) steps.op("Adds", k, k, f(-0.5), count);
  for (const [i, part] of PI_PARTS.entries()) {
    steps.op("Muls", t, k, f(-part), count);
    steps.op("Add", r, i === 0 ? x : r, t, count);
  }
  steps.op("Mul", dst, dst, r, count);
  steps.op("Mul", r, r, r, count);
  steps.op("Muls", t, r, f(SIN[0]!), count);
  for (const c of SIN.slice(1)) {
    steps.op("Adds", t, t, f(c), count);
    steps.op("Mul", t, t, r, count);
  }
  steps.op("Adds", t, t, f(1), count);
  steps.op("Mul", dst, dst, t, count);
}; // prettier-ignore

export const unaryRows: Readonly<Record<UnaryOp, (lanes: Lanes, dst: Buf, x: Buf) => void>> = {
  neg: ({ steps, n }, dst, x) => steps.op("Muls", dst, x, literal(-1, dst.dtype), String(n)),
  abs: (lanes, dst, x) => {
    if (dst.dtype !== "i32") return plain("Abs")(lanes, dst, x);
    const { steps, n, scratch } = lanes;
    steps.op("Muls", scratch(0, "i32"), x, "(int32_t)-1", String(n));
    steps.op("Max", dst, x, scratch(0, "i32"), String(n));
  },
  exp: plain("Exp"),
  log: plain("Ln"),
  sqrt: plain("Sqrt"),
  rsqrt: (lanes, dst, x) => {
    plain("Sqrt")(lanes, dst, x);
    reciprocal(lanes, dst, dst);
  },
  recip: reciprocal,
  sin: sine(0),
  cos: sine(1),
  // 2 / (1 + e^-2x) - 1
  tanh: (lanes, dst, x) => {
    const { steps, n } = lanes;
    steps.op("Muls", dst, x, literal(-2, "f32"), String(n));
    plain("Exp")(lanes, dst, dst);
    steps.op("Adds", dst, dst, one("f32"), String(n));
    reciprocal(lanes, dst, dst);
    steps.op("Muls", dst, dst, literal(2, "f32"), String(n));
    steps.op("Adds", dst, dst, literal(-1, "f32"), String(n));
  },
  sigmoid: (lanes, dst, x) => {
    const { steps, n } = lanes;
    steps.op("Muls", dst, x, literal(-1, "f32"), String(n));
    plain("Exp")(lanes, dst, dst);
    steps.op("Adds", dst, dst, one("f32"), String(n));
    reciprocal(lanes, dst, dst);
  },
  floor: throughI32("FLOOR"),
  round: throughI32("RINT"),
  not: ({ steps, n }, dst, x) => steps.not(dst, x, n),
};

/** `a` or `b` may be a number, in text, where the chip table's scalarOperand says so. */
type Operand = Buf | string;
type BinaryRow = (lanes: Lanes, dst: Buf, a: Operand, b: Operand) => void;
const isText = (x: Operand): x is string => typeof x === "string";
const commutes = (name: string): BinaryRow => ({ steps, n }, dst, a, b) => {
  const like = dst.dtype === "u32" ? (x: Operand): Operand => (isText(x) ? `(int32_t)(${x})` : as(x, "i32")) : (x: Operand): Operand => x; // prettier-ignore
  const to = dst.dtype === "u32" ? as(dst, "i32") : dst;
  if (isText(a)) steps.op(`${name}s`, to, like(b), like(a), String(n));
  else steps.op(isText(b) ? `${name}s` : name, to, like(a), like(b), String(n));
}; // prettier-ignore
/** On bits: masks, and integers as they lie in memory. */
const onBits = (name: "and" | "or"): BinaryRow => ({ steps, n }, dst, a, b) => {
  if (dst.dtype === "bool") return steps[name](dst, a as Buf, b as Buf, n);
  const lanes = dst.dtype === "i32" || dst.dtype === "u32" ? n * 2 : n / 2;
  steps.op(name === "and" ? "And" : "Or", asLanes16(dst), asLanes16(a as Buf), asLanes16(b as Buf), String(lanes));
}; // prettier-ignore
const shift = (name: string): BinaryRow => ({ steps, n }, dst, a, b) => {
  if (!isText(b) || isText(a)) throw new Error(`${name}: expected a tile and a number`);
  steps.op(name, dst, a, `(${dst.dtype === "u32" ? "uint32_t" : "int32_t"})(${b})`, String(n));
}; // prettier-ignore

export const binaryRows: Readonly<Record<BinaryOp, BinaryRow>> = {
  add: commutes("Add"),
  mul: commutes("Mul"),
  min: commutes("Min"),
  max: commutes("Max"),
  sub: (lanes, dst, a, b) => {
    const { steps, n } = lanes;
    const [to, x, y] = dst.dtype === "u32" ? [as(dst, "i32"), isText(a) ? a : as(a, "i32"), isText(b) ? b : as(b, "i32")] : [dst, a, b]; // prettier-ignore
    if (isText(x)) {
      steps.op("Muls", to, y, literal(-1, to.dtype), String(n));
      steps.op("Adds", to, to, x, String(n));
    } else if (isText(y)) steps.op("Adds", to, x, `-(${y})`, String(n));
    else steps.op("Sub", to, x, y, String(n));
  },
  div: ({ steps, n }, dst, a, b) => steps.op("Div", dst, a, b, String(n)),
  // a - b floor(a / b); the quotient may have been rounded up to an integer, which makes the rest negative.
  mod: ({ steps, n, scratch }, dst, a, b) => {
    const [t, mask] = [scratch(0, "f32"), scratch(1, "bool")];
    steps.op("Div", t, a, b, String(n));
    steps.cast(as(t, "i32"), t, "FLOOR", n);
    steps.cast(t, as(t, "i32"), "RINT", n);
    steps.op("Mul", t, t, b, String(n));
    steps.op("Sub", dst, a, t, String(n));
    steps.op("Add", t, dst, b, String(n));
    steps.compare("LT", mask, dst, literal(0, "f32"), n);
    steps.select(dst, mask, t, dst, n);
  },
  and: onBits("and"),
  or: onBits("or"),
  xor: ({ steps, n, scratch }, dst, a, b) => {
    if (dst.dtype !== "bool") throw new Error("xor: expected masks");
    const both = scratch(0, "bool");
    steps.and(both, a as Buf, b as Buf, n);
    steps.or(dst, a as Buf, b as Buf, n);
    steps.not(both, both, n);
    steps.and(dst, dst, both, n);
  },
  shl: shift("ShiftLeft"),
  shr: shift("ShiftRight"),
};

/** The instruction of an op that is one: add is Add. */
export const instructionOf = (op: BinaryOp): string => op[0]!.toUpperCase() + op.slice(1);

const modes: Readonly<Record<CompareOp, string>> = { lt: "LT", le: "LE", gt: "GT", ge: "GE", eq: "EQ", ne: "NE" };
const mirrored: Readonly<Record<CompareOp, CompareOp>> = { lt: "gt", le: "ge", gt: "lt", ge: "le", eq: "eq", ne: "ne" };
/** Of integers only equality is an instruction: a <= b is max(a, b) = b. */
const byExtreme: Readonly<Record<CompareOp, readonly [string | undefined, isNot: boolean]>> = {
  eq: [undefined, false],
  ne: [undefined, true],
  le: ["Max", false],
  ge: ["Min", false],
  lt: ["Min", true],
  gt: ["Max", true],
};

export function emitCompare(op: CompareOp, lanes: Lanes, dst: Buf, a: Operand, b: Operand): void {
  if (isText(a)) return emitCompare(mirrored[op], lanes, dst, b, a);
  const { steps, n, scratch } = lanes;
  if (a.dtype !== "i32") return steps.compare(modes[op], dst, a, b, n);
  const [extreme, isNot] = byExtreme[op];
  let x = a;
  if (extreme) {
    x = scratch(0, "i32");
    steps.op(isText(b) ? `${extreme}s` : extreme, x, a, b, String(n));
  }
  steps.compare("EQ", dst, x, b, n);
  if (isNot) steps.not(dst, dst, n);
}

/** Every dtype but masks is selected as floats of its width, bit by bit. */
export function emitSelect({ steps, n, scratch }: Lanes, dst: Buf, mask: Buf, a: Operand, b: Operand): void {
  if (dst.dtype === "bool") {
    const rest = scratch(0, "bool");
    steps.not(rest, mask, n);
    steps.and(rest, rest, b as Buf, n);
    steps.and(dst, mask, a as Buf, n);
    return steps.or(dst, dst, rest, n);
  }
  const width: DType = dst.dtype === "bf16" || dst.dtype === "f16" ? "f16" : "f32";
  const to = as(dst, width);
  if (isText(a)) steps.op("Duplicate", dst, a, String(n));
  const isFilled = isText(b) && dst.dtype !== width;
  if (isFilled && isText(a)) throw new Error("select: expected a tile");
  if (isFilled) steps.op("Duplicate", dst, b, String(n));
  const other = isFilled ? to : isText(b) ? b : as(b, width);
  steps.select(to, mask, isText(a) ? to : as(a, width), other, n);
}

/** RoundMode of a cast that one instruction does. */
const castModes: Partial<Record<`${DType} ${DType}`, string>> = {
  "f32 bf16": "RINT",
  "f32 f16": "RINT",
  "f32 i32": "TRUNC",
  "bf16 f32": "NONE",
  "bf16 i32": "TRUNC",
  "f16 f32": "NONE",
  "f16 i32": "TRUNC",
  "f16 i8": "TRUNC",
  "f16 u8": "TRUNC",
  "i32 f32": "RINT",
  "i8 f16": "NONE",
  "u8 f16": "NONE",
  "f32 e4m3": "RINT",
  "e4m3 f32": "NONE",
};

/** Undefined: no instruction, the elements keep their bits. */
export const castMode = (from: DType, to: DType): string | undefined => castModes[`${from} ${to}`];

export function emitMaskCast({ steps, n }: Lanes, dst: Buf, x: Buf): void {
  if (dst.dtype === "bool") {
    steps.compare(x.dtype === "i32" ? "EQ" : "NE", dst, x, literal(0, x.dtype), n);
    if (x.dtype === "i32") steps.not(dst, dst, n);
    return;
  }
  steps.op("Duplicate", dst, one(dst.dtype), String(n));
  steps.select(dst, x, dst, literal(0, dst.dtype), n);
}
