/** Uniform integers as text of a C-like language. Reads of memory become named constants once per block. */
import type { IndexExpr, IndexOp, View } from "../../ir.ts";

/** How a target writes integers: literals, and one form per operation. Operands of div and mod are not negative. */
export interface IndexForms extends Record<IndexOp, (a: string, b: string) => string> {
  readonly literal: (value: number) => string;
}

/** Text that may stand as an operand of any operator. */
export const paren = (text: string): string => (/^\w+$/.test(text) || /^\([^()]*\)$/.test(text) ? text : `(${text})`);

/** `read` gives the text for a memory read, given the view and index texts. */
export function indexText(
  e: IndexExpr,
  forms: IndexForms,
  read: (view: View, at: readonly IndexExpr[]) => string,
): string {
  switch (e.kind) {
    case "const":
      return forms.literal(e.value);
    case "param":
      return `n_${e.name}`;
    case "program":
      return `p${e.axis}`;
    case "loop":
      return `l${e.id}`;
    case "bin":
      return forms[e.op](indexText(e.a, forms, read), indexText(e.b, forms, read));
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
