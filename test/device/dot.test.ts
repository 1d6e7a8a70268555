/**
 * The matrix library, built for several instruction sets, against a plain loop: odd shapes, transposes, strides.
 * Operands lie inside buffers of NaN and results inside guards, so that a read or write outside is seen.
 * What this machine or its compiler cannot run is skipped by name; AMX also runs as a model in plain C++.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import koffi from "koffi";
import { fromBf16Bits, toBf16Bits } from "../../src/base/bf16.ts";
import { dotLibrary, openRuntime } from "../../src/device/cpu/runtime.ts";

const avx2 = ["sse4.1", "avx", "fma", "f16c", "avx2", "bmi2"];
const avx512 = [...avx2, "avx512f", "avx512dq", "avx512bw", "avx512vl"];
const variants: readonly { readonly name: string; readonly needs: readonly string[]; readonly defines?: string[] }[] = [
  { name: "portable", needs: [] },
  { name: "avx2", needs: avx2 },
  { name: "avx512", needs: avx512 },
  { name: "avx512bf16", needs: [...avx512, "avx512bf16"] },
  { name: "amx model", needs: [], defines: ["-DTS_AMX_MODEL"] },
  { name: "amx model, packed with avx512", needs: avx512, defines: ["-DTS_AMX_MODEL"] },
  { name: "amx", needs: [...avx512, "avx512bf16", "amx-tile", "amx-bf16"] },
];

type Dot = (
  c: Float32Array,
  ldc: number,
  a: Float32Array | Uint16Array,
  am: number,
  ak: number,
  b: Float32Array | Uint16Array,
  bk: number,
  bn: number,
  m: number,
  n: number,
  k: number,
  work: Uint8Array,
) => void;

const GUARD = 40;
const layouts = ["rows", "columns", "spread"] as const;
type Layout = (typeof layouts)[number];
const stridesOf: Readonly<Record<Layout, (rows: number, cols: number) => readonly [number, number]>> = {
  rows: (_, cols) => [cols, 1],
  columns: (rows) => [1, rows],
  spread: (_, cols) => [3 * cols + 1, 3],
};

/** A matrix at element GUARD of a buffer that is NaN elsewhere, and its elements as numbers, row-major. */
interface Operand {
  readonly strides: readonly [number, number];
  readonly bits: Float32Array | Uint16Array;
  readonly values: Float64Array;
}
function operand(rows: number, cols: number, layout: Layout, isHalf: boolean, seed: number): Operand {
  const strides = stridesOf[layout](rows, cols);
  const size = (rows - 1) * strides[0] + (cols - 1) * strides[1] + 1 + 2 * GUARD;
  const bits = isHalf ? new Uint16Array(size).fill(0x7fc0) : new Float32Array(size).fill(NaN);
  const values = new Float64Array(rows * cols);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < cols; j++) {
      const x = Math.fround(Math.sin((i * cols + j) * 0.731 + seed));
      bits[GUARD + i * strides[0] + j * strides[1]] = isHalf ? toBf16Bits(x) : x;
      values[i * cols + j] = isHalf ? fromBf16Bits(toBf16Bits(x)) : x;
    }
  return { strides, bits, values };
}

/** One product added to a C of small integers, with guards around and between its rows. */
interface Case {
  readonly name: string;
  readonly dtype: "f32" | "bf16";
  readonly shape: readonly [number, number, number];
  readonly a: Operand;
  readonly b: Operand;
  readonly want: Float64Array;
  readonly bound: Float64Array;
}
const PAD = 5;
const before = (at: number): number => (at % 5) - 2;

function caseOf(dtype: "f32" | "bf16", shape: readonly [number, number, number], la: Layout, lb: Layout): Case {
  const [m, n, k] = shape;
  const a = operand(m, k, la, dtype === "bf16", 0.3);
  const b = operand(k, n, lb, dtype === "bf16", 1.7);
  const want = Float64Array.from({ length: m * (n + PAD) + 2 * GUARD }, (_, at) => before(at));
  const bound = new Float64Array(want.length);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      const at = GUARD + i * (n + PAD) + j;
      let [sum, size] = [before(at), Math.abs(before(at))];
      for (let p = 0; p < k; p++) {
        const x = a.values[i * k + p]! * b.values[p * n + j]!;
        sum += x;
        size += Math.abs(x);
      }
      want[at] = sum;
      // However the k products are grouped, none passes more than k sums and its own rounding; 2^-24 each.
      bound[at] = (k + 2) * 2 ** -24 * size;
    }
  return { name: `${dtype} ${shape.join("x")} ${la} . ${lb}`, dtype, shape, a, b, want, bound };
}

/** The sizes leave every kind of rest of 12, 16 and 32. */
const shapes = [1, 3, 8, 9, 16, 25, 33, 70].flatMap((m) =>
  [1, 7, 16, 33, 50].flatMap((n) => [1, 2, 31, 64].map((k) => [m, n, k] as const)),
);
const deep = [
  [33, 35, 257],
  [20, 40, 600],
  [5, 20, 1100],
  [49, 33, 1025],
] as const;
/** All nine pairs of layouts where it is deep, three in turn elsewhere. */
const cases = ["f32", "bf16"].flatMap((dtype) =>
  [...shapes, ...deep].flatMap((shape, at) =>
    layouts.flatMap((la, i) =>
      layouts
        .filter((_, j) => at >= shapes.length || (i + j) % 3 === at % 3)
        .map((lb) => caseOf(dtype as Case["dtype"], shape, la, lb)),
    ),
  ),
);

/** What tile/emit/cpp.ts allots for the largest case. */
const work = new Uint8Array((70 + 64) * 512 * 4 + 160 * 1024);

function check(dot: Dot, { name, shape, a, b, want, bound }: Case): void {
  const [m, n, k] = shape;
  const c = Float32Array.from(want, (_, at) => before(at));
  const [at, bt] = [a.bits.subarray(GUARD), b.bits.subarray(GUARD)];
  dot(c.subarray(GUARD), n + PAD, at, ...a.strides, bt, ...b.strides, m, n, k, work);
  const wrong = c.findIndex((x, i) => !(Math.abs(x - want[i]!) <= bound[i]!));
  assert.equal(wrong, -1, `${name}, element ${wrong}: expected ${want[wrong]} within ${bound[wrong]}, got ${c[wrong]}`);
  checkAlone(dot, { name, shape, a, b }, c);
}

/** The last row alone, and the last column, have the bits that they have among others. */
function checkAlone(dot: Dot, { name, shape, a, b }: Pick<Case, "name" | "shape" | "a" | "b">, c: Float32Array): void {
  const [m, n, k] = shape;
  const [row, column] = [
    a.bits.subarray(GUARD + (m - 1) * a.strides[0]),
    b.bits.subarray(GUARD + (n - 1) * b.strides[1]),
  ];
  const [at, bt] = [a.bits.subarray(GUARD), b.bits.subarray(GUARD)];
  const first = GUARD + (m - 1) * (n + PAD);
  const alone = Float32Array.from({ length: n }, (_, j) => before(first + j));
  dot(alone, n, row, ...a.strides, bt, ...b.strides, 1, n, k, work);
  assert.deepEqual(alone, c.slice(first, first + n), `${name}: the last row alone`);
  const cells = Array.from({ length: m }, (_, i) => GUARD + i * (n + PAD) + n - 1);
  const narrow = Float32Array.from(cells, before);
  dot(narrow, 1, at, ...a.strides, column, ...b.strides, m, 1, k, work);
  assert.deepEqual(
    narrow,
    Float32Array.from(cells, (cell) => c[cell]!),
    `${name}: the last column alone`,
  );
}

const runtime = openRuntime();
for (const { name, needs, defines = [] } of variants) {
  const lacking = needs.filter((feature) => !runtime?.features.includes(feature));
  const skip = !runtime ? "no C++ compiler" : lacking.length > 0 ? `this machine has no ${lacking.join(", ")}` : false;
  test(`dot: ${name}`, { skip }, () => {
    const path = runtime!.toolchain.library(dotLibrary(needs, defines));
    const library = koffi.load(path!);
    const isAmx = name.startsWith("amx");
    assert.equal((library.func("int ts_enable_amx()") as () => number)(), isAmx ? 1 : 0, "self-test");
    for (const dtype of ["f32", "bf16"] as const) {
      const pointer = dtype === "f32" ? "const float*" : "const uint16_t*";
      const dot = library.func(
        `void ts_dot_${dtype}(float*, int64_t, ${pointer}, int64_t, int64_t, ${pointer}, int64_t, int64_t, int64_t, int64_t, int64_t, void*)`,
      ) as Dot;
      for (const c of cases) if (c.dtype === dtype) check(dot, c);
    }
  });
}
