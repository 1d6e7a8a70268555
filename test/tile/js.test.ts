/**
 * The js target against the interpreter, op by op: same bits for everything but sums and products, which may be
 * reassociated, and on inputs that are exact in f32 even those.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { dtypes, isFloat, type DType } from "../../src/base/dtype.ts";
import type { HostDevice } from "../../src/device/host-device.ts";
import { openInterpreter } from "../../src/device/interpreter.ts";
import { openJs } from "../../src/device/js/js-device.ts";
import { jsRuntime } from "../../src/device/js/runtime.ts";
import { kernel, type KernelBuilder, type Tile } from "../../src/tile/builder.ts";
import { emitJs } from "../../src/tile/emit/js.ts";
import type { BinaryOp, CompareOp, TileProgram, UnaryOp } from "../../src/tile/ir.ts";
import { memoryOf } from "../../src/tile/memory.ts";

const [js, interpreter] = [openJs(), openInterpreter()];

/** Runs a program whose buffers hold `values`, and returns buffer "y" as numbers. */
function runOn(
  device: HostDevice,
  program: TileProgram,
  values: Readonly<Record<string, readonly number[]>>,
  numbers: Readonly<Record<string, number>> = {},
): number[] {
  // prettier-ignore
  const args: Record<string, { buffer: ReturnType<HostDevice["alloc"]>; byteOffset: number } | number> = { ...numbers };
  let y: (() => number[]) | undefined;
  for (const p of program.params) {
    if (p.kind !== "buffer") continue;
    const list = values[p.name]!;
    // One element of room before the data, so that offsets count.
    const { size } = dtypes[p.dtype];
    const buffer = device.alloc((list.length + 1) * size);
    buffer.bytes!.fill(0);
    const memory = memoryOf(buffer.bytes!, size, p.dtype);
    list.forEach((v, i) => memory.set(i, v));
    args[p.name] = { buffer, byteOffset: size };
    if (p.name === "y") y = () => Array.from(list, (_, i) => memory.get(i));
  }
  device.launch(device.build([program])[0]!, [1, 1, 1], args);
  return y!();
}
function agree(
  program: TileProgram,
  values: Readonly<Record<string, readonly number[]>>,
  numbers: Readonly<Record<string, number>> = {},
): number[] {
  // prettier-ignore
  const want = runOn(interpreter, program, values, numbers);
  const got = runOn(js, program, values, numbers);
  // -0 and 0 are one number here: the sign of a zero is not part of the contract.
  assert.deepEqual(got.map((x) => x + 0), want.map((x) => x + 0)); // prettier-ignore
  return got;
}

const N = 16;
const floats = [0, -0, 0.5, 1.5, 2.5, -0.5, -2.5, 3.25, -7.125, 1e-9, 300.7, -1234.5, 1e30, Infinity, -Infinity, NaN];
const others = [1, 2, 0.5, -1.5, 2.5, 3, -2, 0.125, 7, 1e-9, -3, 12, 1e30, 1, Infinity, 2];
const ints = [0, 1, -1, 7, -7, 100, 127, -128, 2147483647, -2147483648, 255, 65536, -65537, 3, 31, 12345];
const intOthers = [1, 0, 3, -2, 2, 7, 1, 5, 2, -1, 3, 16, 9, 2, 30, 4];
const valuesOf = (t: DType): [readonly number[], readonly number[]] =>
  isFloat(t) ? [floats, others] : t === "bool" ? [ints.map((x) => x & 1), intOthers.map((x) => x & 1)] : [ints, intOthers]; // prettier-ignore

/** y = f(a, b) over vectors of one dtype. */
const pointwise = (name: string, t: DType, out: DType, f: (a: Tile, b: Tile, k: KernelBuilder) => Tile): TileProgram =>
  kernel(name, (k) => {
    const at = (buffer: string, dtype: DType, mode: "in" | "out" = "in") => k.view(k.buffer(buffer, dtype, mode), [N]);
    const [a, b] = [k.load(at("a", t), [0], [N]), k.load(at("b", t), [0], [N])];
    k.store(at("y", out, "out"), [0], f(a, b, k));
  });
const check = (name: string, t: DType, out: DType, f: (a: Tile, b: Tile, k: KernelBuilder) => Tile): void => {
  const [a, b] = valuesOf(t);
  agree(pointwise(name, t, out, f), { a, b, y: Array<number>(N).fill(0) });
};

const floatTypes = ["f32", "bf16", "f16", "e4m3"] as const;
const intTypes = ["i32", "u32", "i8", "u8"] as const;
const floatUnary: readonly UnaryOp[] = ["neg", "abs", "exp", "log", "sqrt", "rsqrt", "recip", "sin", "cos", "tanh", "sigmoid", "floor", "round", "not"]; // prettier-ignore
const floatBinary: readonly BinaryOp[] = ["add", "sub", "mul", "div", "min", "max", "mod"];
const intBinary: readonly BinaryOp[] = [...floatBinary, "and", "or", "xor", "shl", "shr"];
const compares: readonly CompareOp[] = ["lt", "le", "gt", "ge", "eq", "ne"];

for (const t of floatTypes)
  test(`${t}: every op has the interpreter's bits`, () => {
    for (const op of floatUnary) check(op, t, t, (a, _, k) => k.unary(op, a));
    for (const op of floatBinary) check(op, t, t, (a, b, k) => k.binary(op, a, b));
    for (const op of compares) check(op, t, "bool", (a, b, k) => k.compare(op, a, b));
    for (const to of [...floatTypes, ...intTypes, "bool"] as const) check(`cast to ${to}`, t, to, (a) => a.cast(to));
    check("select", t, t, (a, b, k) => k.select(a.lt(b), a, b.mul(-2)));
  });

for (const t of intTypes)
  test(`${t}: every op has the interpreter's bits`, () => {
    for (const op of ["neg", "abs", "floor", "round", "not"] as const) check(op, t, t, (a, _, k) => k.unary(op, a));
    for (const op of intBinary) check(op, t, t, (a, b, k) => k.binary(op, a, b));
    for (const op of compares) check(op, t, "bool", (a, b, k) => k.compare(op, a, b));
    for (const to of [...floatTypes, ...intTypes, "bool"] as const) check(`cast to ${to}`, t, to, (a) => a.cast(to));
    for (const op of ["sum", "max", "min"] as const) check(op, t, t, (a, _, k) => k.reduce(op, a, 0).broadcast([N]));
    check("cumsum", t, t, (a) => a.cumsum(0));
  });

test("bool: logic, casts, counting", () => {
  for (const op of ["and", "or", "xor", "min", "max"] as const) check(op, "bool", "bool", (a, b, k) => k.binary(op, a, b));
  check("not", "bool", "bool", (a) => a.not());
  for (const to of ["f32", "i32", "bf16", "u8"] as const) check(`cast to ${to}`, "bool", to, (a) => a.cast(to));
  check("count", "bool", "i32", (a) => a.cast("i32").sum(0).broadcast([N]));
}); // prettier-ignore

test("random bits, and u32 shifts that fill with zeros", () => {
  const program = kernel("uniform", (k) => {
    const bits = k.random(k.index("seed"), k.iota([N], 0));
    k.store(
      k.view(k.buffer("y", "f32", "out"), [N]),
      [0],
      bits
        .shr(8)
        .cast("f32")
        .mul(2 ** -24),
    );
  });
  for (const seed of [0, 7, 2 ** 40 + 3]) {
    const got = agree(program, { y: Array<number>(N).fill(0) }, { seed });
    assert.ok(got.every((x) => x >= 0 && x < 1), `expected [0, 1), got ${got}`); // prettier-ignore
  }
});

/** Small integers: every sum of products is exact in f32, so the order of addition cannot show. */
const small = (n: number, salt: number): number[] => Array.from({ length: n }, (_, i) => ((i * 7 + salt * 5) % 11) - 5);

for (const t of ["f32", "bf16", "f16", "e4m3", "i8"] as const)
  test(`${t}: products of clipped, transposed and computed operands`, () => {
    const out = t === "i8" ? "i32" : "f32";
    for (const [transA, transB] of [
      [false, false],
      [true, false],
      [false, true],
      [true, true],
    ] as const)
      // prettier-ignore
      for (const [m, n, depth] of [[1, 9, 5], [5, 1, 7], [7, 6, 1], [6, 11, 13]] as const) {
        const program = kernel("product", (k) => {
          const [rows, cols] = [k.index("m"), k.index("n")];
          const a = k.load(k.view(k.buffer("a", t), transA ? [depth, rows] : [rows, depth]), [0, 0], transA ? [16, 8] : [8, 16]); // prettier-ignore
          const b = k.load(k.view(k.buffer("b", t), transB ? [cols, depth] : [depth, cols]), [0, 0], transB ? [12, 16] : [16, 12]); // prettier-ignore
          const y = k.view(k.buffer("y", out, "inout"), [rows, cols]);
          const acc = k.load(y, [0, 0], [8, 12]);
          const first = k.dot(a, b, { acc, transA, transB });
          k.store(y, [0, 0], k.dot(a.add(a), b, { acc: first, transA, transB }));
        });
        agree(program, { a: small(m * depth, 1), b: small(depth * n, 2), y: small(m * n, 3) }, { m, n });
      }
  });

test("gather, scatter, topk, argmax, loops that swap what they carry", () => {
  const program = kernel("mixed", (k) => {
    const n = k.index("n");
    const table = k.view(k.buffer("a", "f32"), [n, 6]);
    const rows = k.load(k.view(k.buffer("rows", "i32"), [5]), [0], [5]);
    const picked = k.gather(table, rows, 4, { col: 3, other: 9 });
    const { values, indices } = k.topk(picked, 2);
    const y = k.view(k.buffer("y", "f32", "out"), [n, 8]);
    const [p, q] = k.loop({ end: k.index("turns") }, [values, values.mul(0.5)], (i, [a, b]) => [
      b!,
      a!.add(k.fromIndex(i).cast("f32")),
    ]);
    k.scatter(y, rows, p!.add(q!.transpose().transpose()).cast("f32"));
    k.scatter(y, rows, indices.cast("f32"), { col: 2 });
    k.scatter(y, rows, picked.argmax(1).cast("f32").broadcast([5, 2]), { col: 4 });
    k.scatter(y, rows, picked.cumsum(1).reshape([5, 2, 2]).maxOver(1).reshape([5, 2]), { col: 7 });
  });
  for (const turns of [0, 1, 4])
    agree(program, { a: small(42, 4), rows: [6, 2, -1, 9, 0], y: Array<number>(56).fill(-1) }, { n: 7, turns });
});

test("the emitted text needs nothing but the language", () => {
  const program = pointwise("plain", "f32", "f32", (a, b) => a.mul(b).add(1));
  const launch = runInNewContext(`(function (ts) {${emitJs(program).source}})`)(jsRuntime) as (...args: unknown[]) => void; // prettier-ignore
  const [a, b, y] = [Float32Array.from(small(N, 1)), Float32Array.from(small(N, 2)), new Float32Array(N)];
  launch(1, 1, 1, [a, 0, b, 0, y, 0]);
  assert.deepEqual([...y], [...a].map((x, i) => x * b[i]! + 1)); // prettier-ignore
});
