/** The BANG C side of dtypes and of numbers that are the same for a whole tile, as tables. */
import { isFloat, type DType } from "../../../base/dtype.ts";
import type { BinaryOp, CompareOp } from "../../ir.ts";
import { paren, type IndexForms } from "../c-like/index-text.ts";

/** A comparison gives 0 or 1 as a float, so that is what a mask is. e4m3 has no type on these chips. */
export const elementType: Readonly<Record<DType, string | undefined>> = {
  f32: "float",
  f16: "half",
  bf16: "bfloat16_t",
  i32: "int32_t",
  u32: "uint32_t",
  i8: "int8_t",
  u8: "uint8_t",
  bool: "float",
  e4m3: undefined,
};

/** A number as text of a scalar: floats of any width are float, the rest is an integer. */
export function scalarText(value: number, dtype: DType): string {
  if (!isFloat(dtype)) return dtype === "bool" ? (value !== 0 ? "1.0f" : "0.0f") : String(Math.trunc(value));
  if (Number.isNaN(value)) return "NAN";
  if (!Number.isFinite(value)) return value > 0 ? "INFINITY" : "-INFINITY";
  const text = String(Math.fround(value));
  return `${/[.e]/.test(text) ? text : `${text}.0`}f`;
}

export const indexForms: IndexForms = {
  literal: String,
  add: (a, b) => `(${a} + ${b})`,
  sub: (a, b) => `(${a} - ${b})`,
  mul: (a, b) => (a === "1" ? b : b === "1" ? a : `${a} * ${b}`),
  div: (a, b) => `(${a} / ${paren(b)})`,
  mod: (a, b) => `(${a} % ${paren(b)})`,
  min: (a, b) => `std::min<int64_t>(${a}, ${b})`,
  max: (a, b) => `std::max<int64_t>(${a}, ${b})`,
  lt: (a, b) => `(${a} < ${b})`,
  le: (a, b) => `(${a} <= ${b})`,
  eq: (a, b) => `(${a} == ${b})`,
  and: (a, b) => `(${a} && ${b})`,
};

type Infix = (a: string, b: string) => string;
const infix =
  (sign: string): Infix =>
  (a, b) =>
    `(${a} ${sign} ${b})`;
const choose =
  (sign: string): Infix =>
  (a, b) =>
    `(${a} ${sign} ${b} ? ${a} : ${b})`;

/** Undefined: no uniform number needs it so far, and the emitter says so. */
export const scalarBinary: Readonly<Record<BinaryOp, Infix | undefined>> = {
  add: infix("+"),
  sub: infix("-"),
  mul: infix("*"),
  div: infix("/"),
  min: choose("<"),
  max: choose(">"),
  mod: infix("%"),
  and: infix("&"),
  or: infix("|"),
  xor: infix("^"),
  shl: undefined,
  shr: undefined,
};

const signs: Readonly<Record<CompareOp, string>> = { lt: "<", le: "<=", gt: ">", ge: ">=", eq: "==", ne: "!=" };
export const scalarCompare = (op: CompareOp, a: string, b: string): string => `(${a} ${signs[op]} ${b} ? 1.0f : 0.0f)`;
