/**
 * Tile program -> C++ text for the cpu target: one `extern "C"` function that runs one program of the grid.
 * Owns what C++ says differently from the shared base in c-like/: pointers, pragmas that make g++ vectorise, local
 * arrays, the caller's scratch, calls of tessera.h and of the product library dot.cpp.
 * Main function: `emitCpp`. Meaning: interpret.ts.
 */
import type { TileProgram } from "../ir.ts";
import { Emission } from "./c-like/emission.ts";
import { emitBody } from "./c-like/statements.ts";
import type { CLikeTarget, Place } from "./c-like/target.ts";
import { cppBinary, cppCast, cppCompare, cppIndex, cppLiteral, cppReduce, cppTypes, cppUnary } from "./cpp-types.ts";

export interface CppKernel {
  readonly source: string;
  readonly scratchBytes: number;
  /** Rough time of one program, for deciding whether waking threads pays. */
  readonly costNs: number;
}

const at = ({ ptr, start }: Place): string => (start === "0" ? ptr : `${ptr} + ${start}`);

const cppTarget: CLikeTarget = {
  types: cppTypes,
  unary: cppUnary,
  binary: cppBinary,
  compare: cppCompare,
  cast: cppCast,
  literal: cppLiteral,
  reduce: cppReduce,
  index: cppIndex,
  counter: "i64",
  toI32: (x) => `(i32)${x}`,
  inRange: (x, n) => `(u64)${x} < (u64)(${n})`,
  outOfRange: (x, n) => `(u64)${x} >= (u64)(${n})`,
  constant: (type, name, value) => `const ${type} ${name} = ${value};`,
  variable: (type, name, value) => (value === undefined ? `${type} ${name};` : `${type} ${name} = ${value};`),
  indexType: "i64",
  simd: "TS_SIMD",
  sumLanes: {
    count: 16,
    declare: (name) => `alignas(64) float ${name}[16] = {};`,
    total: (name) => `ts_sum16(${name})`,
  },
  simdReduce: (clause) => `_Pragma("omp simd reduction(${clause}:r)")`,
  buffer: (name) => ({ ptr: `b_${name}`, start: "0" }),
  readIndex: (buffer, offset) => `(i64)b_${buffer}[${offset}]`,
  readOne: (buffer, offset) => `(${at({ ptr: `b_${buffer}`, start: offset })})[0]`,
  pointer: ({ name, storage, isConst, base, offset }) => ({
    line: `${isConst ? "const " : ""}${storage}* ${name} = ${base.ptr}${offset === undefined ? "" : ` + ${offset}`};`,
    place: { ptr: name, start: "0" },
  }),
  move: ({ ptr }, to) => [`${ptr} = ${to.ptr};`],
  localBytes: 512,
  array: (storage, name, size, byteOffset) =>
    byteOffset === undefined
      ? [`alignas(64) ${storage} ${name}[${size}];`]
      : [`${storage}* ${name} = (${storage}*)(scratch + ${byteOffset});`],
  pad: ({ name, storage, box, from, strides, to, lo, hi, other }) => {
    const list = (x: readonly string[]): string => `{${x.join(", ")}}`;
    return [
      `static const i64 ${name}b[] = ${list(box.map(String))};`,
      `const i64 ${name}t[] = ${list(strides)}, ${name}l[] = ${list(lo)}, ${name}h[] = ${list(hi)};`,
      `ts_pad<${storage}>(${to.ptr}, ${from.ptr}, ${name}b, ${name}t, ${name}l, ${name}h, ${box.length}, ${other});`,
    ];
  },
  topk: (rows, values, indices, numRows, n, k) =>
    `for (i64 r = 0; r < ${numRows}; r++) ts_topk(${rows.ptr} + r * ${n}, ${n}, ${k}, ${values.ptr} + r * ${k}, ${indices.ptr} + r * ${k});`,
  dotReads: new Set(["f32", "bf16"]),
  /** See dot.cpp: packed panels of both operands. */
  dotWorkBytes: (m, k) => (m + 64) * Math.min(k, 512) * 4 + 160 * 1024,
  dot: ({ dtype, c, ldc, a, b, size }, work) => {
    const args = [at(c), ldc, at(a), ...a.strides, at(b), ...b.strides, ...size];
    return dtype === "f32" || dtype === "bf16"
      ? `ts_dot_${dtype}(${[...args, `scratch + ${work}`].join(", ")});`
      : `ts_dot_${dtype === "i8" ? "i8" : "plain"}(${args.join(", ")});`;
  },
};

/** The C++ function of one program. `symbol` names it; everything it needs beyond is declared in tessera.h. */
export function emitCpp(program: TileProgram, symbol: string): CppKernel {
  const e = new Emission(program, cppTarget);
  program.params.forEach((p, i) => {
    if (p.kind === "buffer") {
      const type = `${p.mode === "in" ? "const " : ""}${cppTypes[p.dtype].storage}`;
      e.out.add(`${type}* b_${p.name} = (${type}*)(u64)a[${i}];`);
    } else if (p.kind === "index") e.out.add(`const i64 n_${p.name} = (i64)a[${i}];`);
    else e.out.add(`const float s_${p.name} = (float)a[${i}];`);
  });
  emitBody(e, program.body);
  const head = `extern "C" void ${symbol}(const double* a, i64 p0, i64 p1, i64 p2, char* scratch) {\n  (void)p0, (void)p1, (void)p2, (void)scratch;`;
  return {
    source: `// ${program.name}\n${head}\n${e.out}\n}\n`,
    scratchBytes: e.scratch.size,
    costNs: Math.ceil(e.cost) + 20,
  };
}
