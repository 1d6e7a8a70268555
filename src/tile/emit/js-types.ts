/**
 * The JavaScript side of dtypes and scalar ops, as tables. A number holds a value already rounded to its dtype, as in
 * the interpreter; comparisons give booleans, which select and arithmetic take as they are.
 */
import { isFloat, type DType } from "../../base/dtype.ts";
import type { BinaryOp, CompareOp, UnaryOp } from "../ir.ts";
import { paren, type IndexForms } from "./c-like/index-text.ts";
import type { CLikeTarget, ElementType } from "./c-like/target.ts";

const same = (x: string): string => x;
const call =
  (f: string) =>
  (x: string): string =>
    `${f}(${x})`;

/** A typed array converts what is stored by itself, so only codecs need `store`. */
const plain = (array: string, round: (x: string) => string): ElementType => ({ storage: array, compute: array, load: same, store: same, round }); // prettier-ignore
const narrow = (name: string, array: string): ElementType => ({
  storage: array,
  compute: "Float32Array",
  load: call(`ts_from_${name}`),
  store: call(`ts_to_${name}`),
  round: call(`ts_round_${name}`),
});

export const jsTypes: Record<DType, ElementType> = {
  f32: plain("Float32Array", call("fround")),
  i32: plain("Int32Array", (x) => `(${x} | 0)`),
  u32: plain("Uint32Array", (x) => `(${x} >>> 0)`),
  i8: plain("Int8Array", (x) => `((${x}) << 24 >> 24)`),
  u8: plain("Uint8Array", (x) => `((${x}) & 255)`),
  bool: { ...plain("Uint8Array", (x) => `(${x} ? 1 : 0)`), store: (x) => `(${x} ? 1 : 0)` },
  bf16: narrow("bf16", "Uint16Array"),
  f16: narrow("f16", "Uint16Array"),
  e4m3: narrow("e4m3", "Uint8Array"),
};

/** Exact on floats: there is nothing to round. */
const exact: ReadonlySet<string> = new Set(["neg", "abs", "floor", "round", "min", "max"]);
const rounded = (op: string, text: string, t: DType): string =>
  isFloat(t) && exact.has(op) ? text : jsTypes[t].round(text);

const unaryForms: Record<UnaryOp, (x: string) => string> = {
  neg: (x) => `-${x}`,
  abs: call("Math.abs"),
  exp: call("Math.exp"),
  log: call("Math.log"),
  sqrt: call("Math.sqrt"),
  rsqrt: (x) => `1 / Math.sqrt(${x})`,
  recip: (x) => `1 / ${x}`,
  sin: call("Math.sin"),
  cos: call("Math.cos"),
  tanh: call("Math.tanh"),
  sigmoid: (x) => `1 / (1 + Math.exp(-${x}))`,
  floor: call("Math.floor"),
  round: call("ts_round"),
  not: (x) => `(${x} == 0 ? 1 : 0)`,
};
const infix =
  (op: string) =>
  (a: string, b: string): string =>
    `${a} ${op} ${b}`;
const binaryForms: Record<BinaryOp, (a: string, b: string, t: DType) => string> = {
  add: infix("+"),
  sub: infix("-"),
  mul: (a, b, t) => (isFloat(t) ? `${a} * ${b}` : `Math.imul(${a}, ${b})`),
  div: (a, b, t) => (isFloat(t) ? `${a} / ${b}` : `Math.floor(${a} / ${b})`),
  min: (a, b) => `Math.min(${a}, ${b})`,
  max: (a, b) => `Math.max(${a}, ${b})`,
  mod: (a, b) => `(${a} - ${b} * Math.floor(${a} / ${b}))`,
  and: (a, b) => `(${a} & ${b})`,
  or: (a, b) => `(${a} | ${b})`,
  xor: (a, b) => `(${a} ^ ${b})`,
  shl: infix("<<"),
  shr: (a, b, t) => (t === "u32" ? `${a} >>> ${b}` : `${a} >> ${b}`),
};
const forms = <K extends string, F>(table: Readonly<Record<K, F>>, f: (op: K) => F): Record<K, F> =>
  Object.fromEntries((Object.keys(table) as K[]).map((op) => [op, f(op)])) as Record<K, F>;

export const jsUnary: CLikeTarget["unary"] = forms<UnaryOp, (x: string, t: DType) => string>(
  unaryForms,
  (op) => (x, t) => rounded(op, unaryForms[op](x), t),
);
export const jsBinary: CLikeTarget["binary"] = forms<BinaryOp, (a: string, b: string, t: DType) => string>(
  binaryForms,
  (op) => (a, b, t) => rounded(op, binaryForms[op](a, b, t), t),
);

const compareSigns: Record<CompareOp, string> = { lt: "<", le: "<=", gt: ">", ge: ">=", eq: "==", ne: "!=" };
export const jsCompare = (op: CompareOp, a: string, b: string): string => `${a} ${compareSigns[op]} ${b}`;

export function jsCast(x: string, from: DType, to: DType): string {
  if (to === "bool") return `(${x} != 0)`;
  if (from === "bool") return `(${x} ? 1 : 0)`;
  return to === "f32" && isFloat(from) ? x : jsTypes[to].round(x);
}

/** -Infinity and Infinity become the ends of the integers' range where they are stored or carried. */
const ends: Partial<Record<DType, readonly [string, string]>> = {
  i32: ["-2147483648", "2147483647"],
  u32: ["0", "4294967295"],
  i8: ["-128", "127"],
  u8: ["0", "255"],
  bool: ["0", "1"],
};
export const jsReduce: CLikeTarget["reduce"] = {
  // Sums run in f64 and are rounded once; integers wrap at every step.
  sum: {
    start: () => "0",
    join: (a, b, t) => (isFloat(t) ? `${a} + ${b}` : jsTypes[t].round(`${a} + ${b}`)),
    clause: "+",
  },
  max: { start: (t) => ends[t]?.[0] ?? "-Infinity", join: (a, b) => `${a} < ${b} ? ${b} : ${a}`, clause: "max" },
  min: { start: (t) => ends[t]?.[1] ?? "Infinity", join: (a, b) => `${b} < ${a} ? ${b} : ${a}`, clause: "min" },
};

const number = (value: number): string => (value < 0 || Object.is(value, -0) ? `(-${-value})` : String(value));
export function jsLiteral(value: number, t: DType): string {
  if (t === "bool") return value !== 0 ? "1" : "0";
  if (!isFloat(t)) return number(t === "u32" ? value >>> 0 : Math.trunc(value));
  const f = number(Math.fround(value));
  return t === "f32" ? f : jsTypes[t].round(f);
}

export const jsIndex: IndexForms = {
  literal: number,
  add: (a, b) => `(${a} + ${b})`,
  sub: (a, b) => `(${a} - ${b})`,
  mul: (a, b) => `${a} * ${b}`,
  div: (a, b) => `Math.floor(${a} / ${paren(b)})`,
  mod: (a, b) => `(${a} % ${paren(b)})`,
  min: (a, b) => `Math.min(${a}, ${b})`,
  max: (a, b) => `Math.max(${a}, ${b})`,
  lt: (a, b) => `(${a} < ${b} ? 1 : 0)`,
  le: (a, b) => `(${a} <= ${b} ? 1 : 0)`,
  eq: (a, b) => `(${a} == ${b} ? 1 : 0)`,
  and: (a, b) => `(${a} != 0 && ${b} != 0 ? 1 : 0)`,
};
