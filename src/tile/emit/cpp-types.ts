/** The C++ side of dtypes and scalar ops, as tables. Elements of narrow floats are computed as f32 and rounded after each op. */
import type { DType } from "../../base/dtype.ts";
import type { BinaryOp, CompareOp, UnaryOp } from "../ir.ts";
import { paren, type IndexForms } from "./c-like/index-text.ts";
import type { CLikeTarget, ElementType } from "./c-like/target.ts";

const same = (x: string): string => x;
const call =
  (f: string) =>
  (x: string): string =>
    `${f}(${x})`;
const native = (t: string): ElementType => ({ storage: t, compute: t, load: same, store: same, round: same });
const small = (t: string): ElementType => ({ ...native(t), round: call(`(${t})`) });

export const cppTypes: Record<DType, ElementType> = {
  f32: native("float"),
  i32: native("i32"),
  u32: native("u32"),
  i8: small("i8"),
  u8: small("u8"),
  bool: { storage: "u8", compute: "bool", load: (x) => `(${x} != 0)`, store: (x) => `(u8)(${x})`, round: same },
  bf16: narrow("bf16", "u16"),
  f16: narrow("f16", "u16"),
  e4m3: narrow("e4m3", "u8"),
};

function narrow(name: string, storage: string): ElementType {
  return {
    storage,
    compute: "float",
    load: call(`ts_from_${name}`),
    store: call(`ts_to_${name}`),
    round: call(`ts_round_${name}`),
  };
}

const isFloatType = (t: DType): boolean => cppTypes[t].compute === "float";

/** Operand text to result text, before rounding. */
const plainUnary: Record<UnaryOp, (x: string, t: DType) => string> = {
  neg: (x) => `-${x}`,
  abs: (x, t) => (isFloatType(t) ? `ts_abs(${x})` : `(${x} < 0 ? -${x} : ${x})`),
  exp: call("ts_exp"),
  log: call("ts_log"),
  sqrt: call("ts_sqrt"),
  rsqrt: call("ts_rsqrt"),
  recip: call("ts_recip"),
  sin: call("ts_sin"),
  cos: call("ts_cos"),
  tanh: call("ts_tanh"),
  sigmoid: call("ts_sigmoid"),
  floor: (x, t) => (isFloatType(t) ? `ts_floor(${x})` : x),
  round: (x, t) => (isFloatType(t) ? `ts_round(${x})` : x),
  not: (x, t) => (t === "bool" ? `!${x}` : `~${x}`),
};

const infix =
  (op: string) =>
  (a: string, b: string): string =>
    `${a} ${op} ${b}`;

const plainBinary: Record<BinaryOp, (a: string, b: string, t: DType) => string> = {
  add: infix("+"),
  sub: infix("-"),
  mul: infix("*"),
  div: (a, b, t) => (isFloatType(t) ? `${a} / ${b}` : t === "u32" ? `ts_udiv(${a}, ${b})` : `ts_idiv(${a}, ${b})`),
  min: (a, b, t) => (isFloatType(t) ? `ts_fmin(${a}, ${b})` : `(${a} < ${b} ? ${a} : ${b})`),
  max: (a, b, t) => (isFloatType(t) ? `ts_fmax(${a}, ${b})` : `(${a} > ${b} ? ${a} : ${b})`),
  mod: (a, b, t) =>
    isFloatType(t) ? `ts_fmod(${a}, ${b})` : t === "u32" ? `ts_umod(${a}, ${b})` : `ts_imod(${a}, ${b})`,
  and: infix("&"),
  or: infix("|"),
  xor: infix("^"),
  shl: (a, b) => `${a} << (${b} & 31)`,
  shr: (a, b) => `${a} >> (${b} & 31)`,
};

const mapValues = <K extends string, A, B>(table: Readonly<Record<K, A>>, f: (x: A) => B): Record<K, B> =>
  Object.fromEntries(Object.entries(table).map(([k, x]) => [k, f(x as A)])) as Record<K, B>;
export const cppUnary: CLikeTarget["unary"] = mapValues(plainUnary, (f) => (x, t) => cppTypes[t].round(f(x, t)));
export const cppBinary: CLikeTarget["binary"] = mapValues(
  plainBinary,
  (f) => (a, b, t) => cppTypes[t].round(f(a, b, t)),
);

const compareSigns: Record<CompareOp, string> = { lt: "<", le: "<=", gt: ">", ge: ">=", eq: "==", ne: "!=" };
export const cppCompare = (op: CompareOp, a: string, b: string): string => `${a} ${compareSigns[op]} ${b}`;

/** Narrowing, widening and float-int conversions. */
export function cppCast(x: string, from: DType, to: DType): string {
  const { compute, round } = cppTypes[to];
  if (to === "bool") return `(${x} != 0)`;
  // As a choice, because GCC does not vectorise a conversion of a bool that came from comparing floats.
  if (from === "bool" && isFloatType(to)) return `(${x} ? 1.0f : 0.0f)`;
  if (isFloatType(to)) return to === "f32" ? (isFloatType(from) ? x : `(float)${x}`) : round(`(float)${x}`);
  if (isFloatType(from)) return compute === "i32" ? `ts_to_i32(${x})` : `(${compute})(i64)${x}`;
  return `(${compute})${x}`;
}

export const cppReduce: CLikeTarget["reduce"] = {
  sum: { start: () => "0", join: (a, b) => `${a} + ${b}`, clause: "+" },
  max: {
    start: (t) => (isFloatType(t) ? "-TS_INF" : lowest[t]),
    join: (a, b) => `${a} < ${b} ? ${b} : ${a}`,
    clause: "max",
  },
  min: {
    start: (t) => (isFloatType(t) ? "TS_INF" : highest[t]),
    join: (a, b) => `${b} < ${a} ? ${b} : ${a}`,
    clause: "min",
  },
};
const perType = (i32: string, u32: string, i8: string, u8: string): Record<DType, string> => ({
  f32: "0",
  bf16: "0",
  f16: "0",
  e4m3: "0",
  i32,
  u32,
  i8,
  u8,
  bool: u8,
});
const lowest = perType("(-2147483647 - 1)", "0", "-128", "0");
const highest = perType("2147483647", "4294967295u", "127", "255");

/** A number as a C++ literal of the compute type. */
export function cppLiteral(value: number, t: DType): string {
  if (!isFloatType(t)) {
    const v = Math.trunc(value);
    return t === "bool" ? String(v !== 0) : t === "u32" ? `${v >>> 0}u` : v === -2147483648 ? lowest.i32 : String(v);
  }
  if (Number.isNaN(value)) return "ts_f(0x7fc00000u)";
  if (!Number.isFinite(value)) return value > 0 ? "TS_INF" : "-TS_INF";
  const f = Math.fround(value);
  if (!Number.isFinite(f)) return f > 0 ? "TS_INF" : "-TS_INF";
  const text = String(f);
  const literal = `${/[.e]/.test(text) ? text : `${text}.0`}f`;
  return t === "f32" ? literal : cppTypes[t].round(literal);
}

export const cppIndex: IndexForms = {
  literal: (value) => (value < 0 ? `(${value}LL)` : `${value}LL`),
  add: (a, b) => `(${a} + ${b})`,
  sub: (a, b) => `(${a} - ${b})`,
  mul: (a, b) => `${a} * ${b}`,
  div: (a, b) => `(${a} / ${paren(b)})`,
  mod: (a, b) => `(${a} % ${paren(b)})`,
  min: (a, b) => `ts_min(${a}, ${b})`,
  max: (a, b) => `ts_max(${a}, ${b})`,
  lt: (a, b) => `(i64)(${a} < ${b})`,
  le: (a, b) => `(i64)(${a} <= ${b})`,
  eq: (a, b) => `(i64)(${a} == ${b})`,
  and: (a, b) => `(i64)((${a} != 0) & (${b} != 0))`,
};
