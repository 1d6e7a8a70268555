/**
 * Matrix product: y = op(a) . op(b) [+ acc], f32 accumulate.
 * shapes   a [..,M,K] (or [..,K,M] with transA), b [..,K,N] (or [..,N,K] with transB); one 2-d b may serve all of a;
 *          linear: x [..,K] . w[N,K]^T + bias f32 [N]
 * numeric  a and b share a dtype (f32 or bf16); y in outDtype, by default that of a; acc is f32 and added in place
 * source   tile sizes in `tilesFor`, on chips by cost (tile-choice.ts); twin matmulRef
 */
import { bf16ToF32, f32ToBf16 } from "../base/bf16.ts";
import { dtypes, type DType } from "../base/dtype.ts";
import { DTypeError, ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel } from "../tile/builder.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";
import { chosen, heightOf, type Lattice, type TileChoice } from "./tile-choice.ts";

export interface MatmulOptions {
  readonly transA?: boolean;
  readonly transB?: boolean;
  /** f32 [..,M,N]: the product is added into it and it is returned. */
  readonly acc?: NdArray;
  readonly outDtype?: DType;
}

/** One matrix product in plain loops, f64 accumulate. */
export function matmulRef(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  m: number,
  n: number,
  depth: number,
  o: { transA?: boolean; transB?: boolean } = {},
): Float32Array {
  return Float32Array.from({ length: m * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    let s = 0;
    for (let k = 0; k < depth; k++)
      s += a[o.transA ? k * m + i : i * depth + k]! * b[o.transB ? j * depth + k : k * n + j]!;
    return s;
  });
}

export interface MatmulStatic {
  readonly dtype: DType;
  readonly out: DType;
  readonly transA: boolean;
  readonly transB: boolean;
  readonly into: boolean;
  readonly hasBias: boolean;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

export const matmulKernel = specialize((p: MatmulStatic) =>
  kernel("matmul", (k) => {
    const [m, n, depth, aBatch, bBatch] = [
      k.index("m"),
      k.index("n"),
      k.index("k"),
      k.index("aBatch"),
      k.index("bBatch"),
    ];
    const [z, i0, j0] = [k.programId(2), k.programId(1).mul(p.m), k.programId(0).mul(p.n)];
    const a = k.view(k.buffer("a", p.dtype), p.transA ? [depth, m] : [m, depth], { offset: z.mul(aBatch) });
    const b = k.view(k.buffer("b", p.dtype), p.transB ? [n, depth] : [depth, n], { offset: z.mul(bBatch) });
    const y = k.view(k.buffer("y", p.out, p.into ? "inout" : "out"), [m, n], { offset: z.mul(m).mul(n) });
    const start = p.into ? k.load(y, [i0, j0], [p.m, p.n]) : k.full([p.m, p.n], 0);
    const [sum] = k.loop({ end: depth, step: p.k }, [start], (c, [acc]) => {
      const ta = p.transA ? k.load(a, [c, i0], [p.k, p.m]) : k.load(a, [i0, c], [p.m, p.k]);
      const tb = p.transB ? k.load(b, [j0, c], [p.n, p.k]) : k.load(b, [c, j0], [p.k, p.n]);
      return [k.dot(ta, tb, { acc: acc!, transA: p.transA, transB: p.transB })];
    });
    const biased = p.hasBias ? sum!.add(k.load(k.view(k.buffer("bias", "f32"), [1, n]), [0, j0], [1, p.n])) : sum!;
    k.store(y, [i0, j0], biased.cast(p.out));
  }),
);

/** Sides that a program may have, and what it does beside its multiply-adds, counted in them: packing an element of an
 *  operand (about 0.2 cycles) and filling and storing one of C (about 1 cycle). A core does 16 (f32) or 32 (bf16)
 *  multiply-adds a cycle with vectors, 500 with AMX (measured peaks), so there packing costs more and tiles are larger. */
const tilings = {
  vector: { rows: [24, 48, 96, 192], cols: [64, 128, 256], depth: 256, pack: 6, store: 24 },
  amx: { rows: [32, 64, 128, 256, 384], cols: [64, 128, 256, 512], depth: 512, pack: 100, store: 500 },
};

/**
 * Rows by columns by depth of a program: the pair of sides with which the busiest core is done first. Depths are powers
 * of two, so that layers of unlike width share kernels; what a tile has too many is not multiplied.
 */
export function tilesFor(
  { properties }: Pick<Device, "properties">,
  dtype: DType,
  {
    m,
    n,
    depth,
    batch = 1,
  }: { readonly m: number; readonly n: number; readonly depth: number; readonly batch?: number },
): { m: number; n: number; k: number } {
  const t = tilings[dtype === "bf16" && properties.features.includes("amx-bf16") ? "amx" : "vector"];
  // The depth, which the order of a sum depends on, never follows from the number of rows.
  const k = Math.min(t.depth, powerOfTwo(depth));
  if (m <= 8) return { m: m <= 1 ? 1 : m <= 2 ? 2 : m <= 4 ? 4 : 8, n: 64, k };
  const timeOf = (tm: number, tn: number): number => {
    const [numRows, numCols] = [ceilDiv(m, tm), ceilDiv(n, tn)];
    const tiles = numRows * numCols;
    const work = depth * (m * n + t.pack * (m * numCols + n * numRows)) + t.store * tm * tn * tiles;
    return (work / tiles) * ceilDiv(tiles * batch, properties.numThreads);
  };
  const sides = t.rows.flatMap((tm) => t.cols.map((tn) => ({ m: tm, n: tn, time: timeOf(tm, tn) })));
  const best = sides.reduce((a, b) => (b.time < a.time ? b : a));
  return { m: best.m, n: best.n, k };
}
/** Sides and depth that a product may have on a chip for a height of rows, see `heightOf`. */
export const productSizes = (rows: number, depth: number): Lattice<{ m: number; n: number; k: number }> => ({
  m: rows < 16 ? [rows] : [128, 64, 32, 16, 256].filter((m) => m <= rows),
  n: [128, 64, 256, 32, 512],
  k: [256, 128, 512, 64, 32, 16].filter((k) => k <= powerOfTwo(depth) && (k > 16 || depth <= 16)),
});
/** Depth shrinks first: it costs no reuse of what is loaded. */
export const smallestTiles = { k: 32, n: 32, m: 16 } as const;
/** At least 16. */
const powerOfTwo = (n: number): number => 2 ** Math.max(4, Math.ceil(Math.log2(n)));

export interface Product {
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly depth: number;
  readonly aBatch: number;
  readonly bBatch: number;
}

function plan(a: NdArray, b: NdArray, transA: boolean, transB: boolean): Product {
  const [ra, rb] = [a.shape.length, b.shape.length];
  const [rowsA, colsA] = [a.shape[ra - 2]!, a.shape[ra - 1]!];
  const [rowsB, colsB] = [b.shape[rb - 2]!, b.shape[rb - 1]!];
  const [m, depth] = transA ? [colsA, rowsA] : [rowsA, colsA];
  const [n, depthB] = transB ? [rowsB, colsB] : [colsB, rowsB];
  const batch = sizeOf(a.shape.slice(0, -2));
  const shared = rb === 2;
  if (ra < 2 || rb < 2 || depth !== depthB || (!shared && sizeOf(b.shape.slice(0, -2)) !== batch))
    throw new ShapeError(
      `matmul: expected equal inner dims and batches, got [${a.shape}]${transA ? "^T" : ""} . [${b.shape}]${transB ? "^T" : ""}`,
    );
  if (a.dtype !== b.dtype || (a.dtype !== "f32" && a.dtype !== "bf16"))
    throw new DTypeError(`matmul: expected two f32 or two bf16 arrays, got ${a.dtype} and ${b.dtype}`);
  // A shared b and plain a: the batch is just more rows.
  if (shared && !transA) return { batch: 1, m: batch * m, n, depth, aBatch: 0, bBatch: 0 };
  return { batch, m, n, depth, aBatch: m * depth, bBatch: shared ? 0 : n * depth };
}

/** How a chip chooses; of what is no weight, whose sizes may follow from the length of a sequence, powers of two count. */
export function matmulChoice({ dtype, out, transA, into, hasBias }: MatmulStatic, q: Product): TileChoice<MatmulStatic> {
  const shared = q.bBatch === 0;
  const [n, depth] = shared && !transA ? [q.n, q.depth] : [powerOfTwo(q.n), powerOfTwo(q.depth)];
  const batch = heightOf(q.batch);
  return {
    rows: q.m,
    problem: { n, depth, batch, shared: Number(shared) },
    lattice: (rows) => (transA ? { ...productSizes(rows, depth), m: [128, 64, 32, 16, 256] } : productSizes(rows, depth)),
    order: ["k"],
    launch: (p, m) => ({
      grid: [ceilDiv(n, p.n), ceilDiv(m, p.m), batch],
      numbers: { m, n, k: depth, aBatch: m * depth, bBatch: shared ? 0 : n * depth },
      bytes: {
        a: batch * m * depth * dtypes[dtype].size,
        b: (shared ? 1 : batch) * n * depth * dtypes[dtype].size,
        y: (into ? 2 : 1) * batch * m * n * dtypes[out].size,
        ...(hasBias && { bias: 4 * n }),
      },
    }),
  };
} // prettier-ignore

function launch(
  device: Device,
  a: NdArray,
  b: NdArray,
  y: NdArray,
  q: Product,
  o: { transA: boolean; transB: boolean; into: boolean; bias?: NdArray | undefined },
): void {
  const start: MatmulStatic = {
    dtype: a.dtype,
    out: y.dtype,
    transA: o.transA,
    transB: o.transB,
    into: o.into,
    hasBias: o.bias !== undefined,
    ...tilesFor(device, a.dtype, q),
  };
  const { program, p } = chosen(device.properties.chip, matmulKernel, start, () => matmulChoice(start, q));
  run(device, program, [ceilDiv(q.n, p.n), ceilDiv(q.m, p.m), q.batch], {
    a,
    b,
    y,
    m: q.m,
    n: q.n,
    k: q.depth,
    aBatch: q.aBatch,
    bBatch: q.bBatch,
    ...(o.bias && { bias: o.bias }),
  });
}

export function matmul(
  device: Device,
  a: NdArray,
  b: NdArray,
  { transA = false, transB = false, acc, outDtype }: MatmulOptions = {},
): NdArray {
  const q = plan(a, b, transA, transB);
  const shape = [...a.shape.slice(0, -2), a.shape[a.shape.length - (transA ? 1 : 2)]!, q.n];
  if (acc && (acc.dtype !== "f32" || sizeOf(acc.shape) !== sizeOf(shape)))
    throw new ShapeError(`matmul: expected an f32 accumulator [${shape}], got ${acc.dtype} [${acc.shape}]`);
  const y = acc ?? empty(device, shape, outDtype ?? a.dtype);
  launch(device, a, b, y, q, { transA, transB, into: acc !== undefined });
  return y;
}

/** x [..,K] . w[N,K]^T + bias[N] -> [..,N] in the dtype of x. */
export function linear(device: Device, x: NdArray, w: NdArray, bias?: NdArray): NdArray {
  const depth = x.shape[x.shape.length - 1]!;
  if (
    w.shape.length !== 2 ||
    w.shape[1] !== depth ||
    (bias && (bias.dtype !== "f32" || sizeOf(bias.shape) !== w.shape[0]))
  )
    throw new ShapeError(
      `linear: expected w [N,${depth}] and f32 bias [N], got [${w.shape}] and [${bias?.shape ?? "none"}]`,
    );
  const rows = sizeOf(x.shape) / depth;
  const flat = { ...x, shape: [rows, depth] };
  const y = empty(device, [...x.shape.slice(0, -1), w.shape[0]!], x.dtype);
  launch(device, flat, w, y, plan(flat, w, false, true), { transA: false, transB: true, into: false, bias });
  return y;
}

const wave = (n: number, f: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(i * f + 0.3));

function caseOf(
  m: number,
  n: number,
  depth: number,
  o: { transA?: boolean; transB?: boolean; into?: boolean } = {},
): KernelCase {
  const [a, b, c] = [wave(m * depth, 0.37), wave(n * depth, 0.73), wave(m * n, 1.1)];
  return {
    name: `${m}x${n}x${depth}${o.transA ? " A^T" : ""}${o.transB ? " B^T" : ""}${o.into ? " into" : ""}`,
    run: (device) => {
      const put = (x: Float32Array, shape: readonly number[]): NdArray => fromHost(device, x, shape, "f32");
      const { transA = false, transB = false } = o;
      return [
        matmul(device, put(a, transA ? [depth, m] : [m, depth]), put(b, transB ? [n, depth] : [depth, n]), {
          transA,
          transB,
          ...(o.into && { acc: put(c, [m, n]) }),
        }),
      ];
    },
    expected: () => [matmulRef(a, b, m, n, depth, o).map((v, i) => v + (o.into ? c[i]! : 0))],
    tolerance: {
      rtol: 0,
      atol: depth * 1.2e-7 * 2,
      why: "depth products of values up to 1, one f32 rounding each, partial sums up to depth/2",
    },
  };
}

/** bf16 operands, f32 result. */
function halfCaseOf(m: number, n: number, depth: number, o: { transA?: boolean; transB?: boolean } = {}): KernelCase {
  const [a, b] = [f32ToBf16(wave(m * depth, 0.37)), f32ToBf16(wave(n * depth, 0.73))];
  const [wideA, wideB] = [bf16ToF32(a), bf16ToF32(b)];
  const { transA = false, transB = false } = o;
  const sizes = matmulRef(wideA.map(Math.abs), wideB.map(Math.abs), m, n, depth, o);
  return {
    name: `bf16 ${m}x${n}x${depth}${transA ? " A^T" : ""}${transB ? " B^T" : ""}`,
    run: (device) => [
      matmul(
        device,
        fromHost(device, a, transA ? [depth, m] : [m, depth], "bf16"),
        fromHost(device, b, transB ? [n, depth] : [depth, n], "bf16"),
        { transA, transB, outDtype: "f32" },
      ),
    ],
    expected: () => [matmulRef(wideA, wideB, m, n, depth, o)],
    tolerance: {
      rtol: 0,
      // depth + 2 roundings of at most 2^-24 each: one per product added, one for the reference, one of second order.
      atol: (depth + 2) * 2 ** -24 * sizes.reduce((x, y) => Math.max(x, y), 0),
      why: "products are exact in f32; every sum of them is at most the sum of their sizes and rounds to 2^-24 of itself",
    },
  };
}

const example = {
  m: 1,
  n: 64,
  k: 512,
  dtype: "bf16",
  out: "bf16",
  transA: false,
  transB: true,
  into: false,
  hasBias: false,
} as const;
/** Each with a problem of its own size. */
const examples: readonly { readonly p: MatmulStatic; readonly q: Pick<Product, "m" | "n" | "depth"> }[] = [
  { p: { ...example, m: 96, n: 128, k: 256 }, q: { m: 1024, n: 1024, depth: 4096 } },
  { p: example, q: { m: 1, n: 1024, depth: 4096 } },
  { p: { ...example, m: 96, n: 128, k: 256, dtype: "f32", out: "f32", hasBias: true }, q: { m: 1024, n: 1024, depth: 4096 } },
  { p: { ...example, m: 96, n: 128, k: 256, transA: true, transB: false, into: true, out: "f32" }, q: { m: 1024, n: 1024, depth: 512 } },
]; // prettier-ignore

export const cases: OpCases = {
  op: "matmul",
  cases: [
    caseOf(1, 70, 40),
    caseOf(3, 33, 50, { transB: true }),
    caseOf(30, 20, 17, { transA: true }),
    caseOf(50, 70, 300, { transB: true, into: true }),
    caseOf(100, 130, 40),
    halfCaseOf(3, 33, 50, { transB: true }),
    halfCaseOf(30, 20, 17, { transA: true }),
    halfCaseOf(50, 70, 301, { transB: true }),
    halfCaseOf(29, 45, 39, { transA: true, transB: true }),
    halfCaseOf(100, 130, 40),
    {
      name: "batched and shared, with bias",
      run: (device) => {
        const put = (x: Float32Array, shape: readonly number[]): NdArray => fromHost(device, x, shape, "f32");
        const a = put(wave(2 * 5 * 6, 0.3), [2, 5, 6]);
        return [
          matmul(device, a, put(wave(2 * 6 * 7, 0.9), [2, 6, 7])),
          linear(device, a, put(wave(4 * 6, 0.5), [4, 6]), put(wave(4, 0.2), [4])),
        ];
      },
      expected: () => {
        const [a, b, bias] = [wave(60, 0.3), wave(84, 0.9), wave(4, 0.2)];
        const parts = [0, 1].map((z) =>
          matmulRef(a.subarray(z * 30, z * 30 + 30), b.subarray(z * 42, z * 42 + 42), 5, 7, 6),
        );
        return [
          Float32Array.from(parts.flatMap((p) => [...p])),
          matmulRef(a, wave(24, 0.5), 10, 4, 6, { transB: true }).map((v, i) => v + bias[i % 4]!),
        ];
      },
      tolerance: { rtol: 0, atol: 2e-6, why: "6 products of values up to 1" },
    },
  ],
  programs: (chip) => examples.map(({ p, q }) => chosen(chip, matmulKernel, p, () => matmulChoice(p, { ...q, batch: 1, aBatch: 0, bBatch: 0 })).program),
}; // prettier-ignore
