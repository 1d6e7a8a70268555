/** Uniform integers as C++ text. Reads of memory become named constants once per block. */
import type { IndexExpr, IndexOp, View } from "../ir.ts";

const forms: Record<IndexOp, (a: string, b: string) => string> = {
  add: (a, b) => `(${a} + ${b})`,
  sub: (a, b) => `(${a} - ${b})`,
  mul: (a, b) => `${a} * ${b}`,
  div: (a, b) => `(${a} / ${b})`,
  mod: (a, b) => `(${a} % ${b})`,
  min: (a, b) => `ts_min(${a}, ${b})`,
  max: (a, b) => `ts_max(${a}, ${b})`,
  lt: (a, b) => `(i64)(${a} < ${b})`,
  le: (a, b) => `(i64)(${a} <= ${b})`,
  eq: (a, b) => `(i64)(${a} == ${b})`,
  and: (a, b) => `(i64)((${a} != 0) & (${b} != 0))`,
};

export const isConst = (e: IndexExpr, value?: number): boolean =>
  e.kind === "const" && (value === undefined || e.value === value);

/** `read` gives the text for a memory read, given the view and index texts. */
export function indexText(e: IndexExpr, read: (view: View, at: readonly IndexExpr[]) => string): string {
  switch (e.kind) {
    case "const":
      return e.value < 0 ? `(${e.value}LL)` : `${e.value}LL`;
    case "param":
      return `n_${e.name}`;
    case "program":
      return `p${e.axis}`;
    case "loop":
      return `l${e.id}`;
    case "bin":
      return forms[e.op](indexText(e.a, read), indexText(e.b, read));
    case "read":
      return read(e.view, e.at);
  }
}

/** Sum of products with the zeros left out: the offset of element `at` with `strides`. */
export function offsetText(at: readonly string[], strides: readonly string[]): string {
  const isZero = (s: string): boolean => s === "0" || s === "0LL";
  const terms = at.flatMap((a, d) => {
    const s = strides[d]!;
    return isZero(a) || isZero(s) ? [] : [s === "1" || s === "1LL" ? a : `${a} * ${s}`];
  });
  return terms.length ? terms.join(" + ") : "0";
}
