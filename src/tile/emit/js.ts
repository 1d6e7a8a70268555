/**
 * Tile program -> JavaScript text for the js target: the body of a function of the runtime `ts` that returns
 * `launch(g0, g1, g2, a)`, which runs the whole grid. `a` holds the parameters in order; a buffer takes two places,
 * a typed array and the element where it begins. The text imports nothing, so it runs in Node and in a browser.
 * numeric  Dots and sums accumulate in f64 and are rounded once per tile (they may be reassociated); the sign of a zero
 *          that min, max or round gives is not kept; everything else is rounded as the interpreter rounds it.
 * Main function: `emitJs`. Meaning: interpret.ts.
 */
import type { TileProgram } from "../ir.ts";
import { Emission } from "./c-like/emission.ts";
import { offsetText } from "./c-like/index-text.ts";
import { emitBody } from "./c-like/statements.ts";
import type { CLikeTarget } from "./c-like/target.ts";
import { jsBinary, jsCast, jsCompare, jsIndex, jsLiteral, jsReduce, jsTypes, jsUnary } from "./js-types.ts";

export interface JsKernel {
  /** Function body: `new Function("ts", source)(runtime)` gives `launch`. */
  readonly source: string;
  readonly scratchBytes: number;
}

const jsTarget: CLikeTarget = {
  types: jsTypes,
  unary: jsUnary,
  binary: jsBinary,
  compare: jsCompare,
  cast: jsCast,
  literal: jsLiteral,
  reduce: jsReduce,
  index: jsIndex,
  counter: "let",
  toI32: (x) => `(${x} | 0)`,
  inRange: (x, n) => `(${x} >= 0 && ${x} < ${n})`,
  outOfRange: (x, n) => `!(${x} >= 0 && ${x} < ${n})`,
  constant: (_type, name, value) => `const ${name} = ${value};`,
  variable: (_type, name, value) => `let ${name} = ${value ?? "0"};`,
  indexType: "",
  simd: undefined,
  simdReduce: () => undefined,
  sumLanes: undefined,
  buffer: (name) => ({ ptr: `b_${name}`, start: `o_${name}` }),
  readIndex: (buffer, offset) => `b_${buffer}[${offsetText([`o_${buffer}`, offset], ["1", "1"])}]`,
  readOne: (buffer, offset) => `b_${buffer}[${offsetText([`o_${buffer}`, offset], ["1", "1"])}]`,
  pointer: ({ name, moves, base, offset }) => {
    const start = `${name}At`;
    const value = offsetText([base.start, offset ?? "0"], ["1", "1"]);
    return moves
      ? { line: `let ${name} = ${base.ptr}, ${start} = ${value};`, place: { ptr: name, start } }
      : { line: `const ${start} = ${value};`, place: { ptr: base.ptr, start } };
  },
  move: (pointer, to) => [`${pointer.ptr} = ${to.ptr};`, `${pointer.start} = ${to.start};`],
  localBytes: 0,
  array: () => [],
  pad: ({ box, from, strides, to, lo, hi, other }) => {
    const idx = box.map((_, d) => `i${d}`);
    const steps = box.map((_, d) => String(box.slice(d + 1).reduce((p, n) => p * n, 1)));
    const loops = idx.map((i, d) => `for (let ${i} = ${lo[d]}; ${i} < ${hi[d]}; ${i}++)`).join(" ");
    const source = offsetText([from.start, ...idx], ["1", ...strides]);
    return [`${to.ptr}.fill(${other});`, `${loops} ${to.ptr}[${offsetText(idx, steps)}] = ${from.ptr}[${source}];`];
  },
  topk: (rows, values, indices, numRows, n, k) =>
    `for (let r = 0; r < ${numRows}; r++) ts_topk(${rows.ptr}, ${offsetText([rows.start, "r"], ["1", String(n)])}, ${n}, ${k}, ${values.ptr}, ${indices.ptr}, r * ${k});`,
  dotReads: new Set(["f32"]),
  dotWorkBytes: () => 0,
  dot: ({ dtype, c, ldc, a, b, size }) => {
    const args = [c.ptr, c.start, ldc, a.ptr, a.start, ...a.strides, b.ptr, b.start, ...b.strides, ...size];
    return `${dtype === "f32" ? "ts_dot" : "ts_dot_int"}(${args.join(", ")});`;
  },
};

/** What the runtime must offer; see device/js/runtime.ts. */
export const jsRuntimeNames = [
  "ts_min", "ts_max", "ts_clamp", "ts_round", "ts_random_key", "ts_random", "ts_topk", "ts_dot", "ts_dot_int",
  "ts_from_bf16", "ts_to_bf16", "ts_round_bf16", "ts_from_f16", "ts_to_f16", "ts_round_f16",
  "ts_from_e4m3", "ts_to_e4m3", "ts_round_e4m3", "ts_e2m1",
] as const; // prettier-ignore
export type JsRuntime = Readonly<Record<(typeof jsRuntimeNames)[number], unknown>>;

export function emitJs(program: TileProgram): JsKernel {
  const e = new Emission(program, jsTarget);
  let next = 0;
  for (const p of program.params) {
    if (p.kind === "buffer") e.out.add(`const b_${p.name} = a[${next++}], o_${p.name} = a[${next++}];`);
    else e.out.add(`const ${p.kind === "index" ? "n" : "s"}_${p.name} = a[${next++}];`);
  }
  const axes = [2, 1, 0];
  const grid = (k: number): void => {
    const axis = axes[k];
    if (axis === undefined) emitBody(e, program.body);
    else e.out.block(e.loopHead(`p${axis}`, "0", `g${axis}`), () => grid(k + 1));
  };
  grid(0);
  const arrays = e.arrays.map(({ name, storage, byteOffset, size }) => `const ${name} = new ${storage}(scratch, ${byteOffset}, ${size});`); // prettier-ignore
  const lines = [
    `// ${program.name}`,
    `"use strict";`,
    `const { ${jsRuntimeNames.join(", ")} } = ts;`,
    "const fround = Math.fround;",
    `const scratch = new ArrayBuffer(${e.scratch.size});`,
    ...arrays,
    // Parentheses make V8 compile the function at once instead of scanning it first and compiling it when called.
    `return (function kernel_${program.name.replace(/\W/g, "_")}(g0, g1, g2, a) {`,
    String(e.out),
    "});",
  ];
  return { source: `${lines.join("\n")}\n`, scratchBytes: e.scratch.size };
}
