/**
 * Manifold-constrained hyper-connections (mHC): n residual streams mixed around each sublayer.
 *   split   pre = sigmoid(mix[0:n] s0 + b) + eps, post = 2 sigmoid(mix[n:2n] s1 + b),
 *           comb = Sinkhorn(softmax_k(mix[2n:] s2 + b) + eps), ending on columns
 *   pre     y = sum_j pre_j x_j                     x [R,n,D], pre [R,n] -> [R,D]
 *   post    y_k = post_k f + sum_j comb_jk x_j      comb is summed over its FIRST index
 * numeric  split in f32 throughout; streams in their dtype, f32 inside
 * source   DeepSeek-V4 spec section 2.2; twins hcSplitRef, hcPreRef, hcPostRef. Backward: hyper-connection-backward.ts
 * `split` takes the projection in parts (hc-project.ts) and adds them up. In the split kernels the row is the LAST axis of every tile, so that all 4x4 arithmetic runs along it.
 */
import { dtypes, type DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel, type IndexLike, type KernelBuilder, type Tile } from "../tile/builder.ts";
import type { Chip } from "../tile/chips/types.ts";
import type { TileProgram, View } from "../tile/ir.ts";
import { fitted, type Fitted } from "./fit.ts";
import { scaleOf, type Projected } from "./hc-project.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, sizeOf, type NdArray } from "./nd-array.ts";
import { chosen, rowsPerProgram } from "./tile-choice.ts";

export interface HcSplitParams {
  /** f32 [(2+n)n] */
  readonly base: NdArray;
  /** f32 [3] */
  readonly scale: NdArray;
  readonly n: number;
  /** Sinkhorn turns, the first of which only normalises columns. */
  readonly iters: number;
  readonly eps: number;
}

export function hcSplitRef(
  mix: ArrayLike<number>,
  rows: number,
  p: { base: ArrayLike<number>; scale: ArrayLike<number>; n: number; iters: number; eps: number },
): { pre: Float32Array; post: Float32Array; comb: Float32Array } {
  const { n, eps } = p;
  const width = (2 + n) * n;
  const [pre, post, comb] = [new Float32Array(rows * n), new Float32Array(rows * n), new Float32Array(rows * n * n)];
  const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
  for (let r = 0; r < rows; r++) {
    const at = (i: number, part: number): number => mix[r * width + i]! * p.scale[part]! + p.base[i]!;
    for (let j = 0; j < n; j++) {
      pre[r * n + j] = sigmoid(at(j, 0)) + eps;
      post[r * n + j] = 2 * sigmoid(at(n + j, 1));
    }
    const c = Array.from({ length: n }, (_, j) => {
      const row = Array.from({ length: n }, (_, k) => at(2 * n + j * n + k, 2));
      const max = Math.max(...row);
      const e = row.map((v) => Math.exp(v - max));
      const total = e.reduce((s, v) => s + v, 0);
      return e.map((v) => v / total + eps);
    });
    const columns = (): void => {
      for (let k = 0; k < n; k++) {
        const total = c.reduce((s, row) => s + row[k]!, eps);
        for (const row of c) row[k]! /= total;
      }
    };
    columns();
    for (let i = 1; i < p.iters; i++) {
      for (const row of c) {
        const total = row.reduce((s, v) => s + v, eps);
        for (let k = 0; k < n; k++) row[k]! /= total;
      }
      columns();
    }
    c.forEach((row, j) => row.forEach((v, k) => (comb[(r * n + j) * n + k] = v)));
  }
  return { pre, post, comb };
}

export function hcPreRef(
  x: ArrayLike<number>,
  pre: ArrayLike<number>,
  rows: number,
  n: number,
  d: number,
): Float32Array {
  return Float32Array.from({ length: rows * d }, (_, i) => {
    const [r, c] = [Math.floor(i / d), i % d];
    let s = 0;
    for (let j = 0; j < n; j++) s += pre[r * n + j]! * x[(r * n + j) * d + c]!;
    return s;
  });
}

export function hcPostRef(
  f: ArrayLike<number>,
  x: ArrayLike<number>,
  post: ArrayLike<number>,
  comb: ArrayLike<number>,
  rows: number,
  n: number,
  d: number,
): Float32Array {
  return Float32Array.from({ length: rows * n * d }, (_, i) => {
    const [r, k, c] = [Math.floor(i / (n * d)), Math.floor(i / d) % n, i % d];
    let s = post[r * n + k]! * f[r * d + c]!;
    for (let j = 0; j < n; j++) s += comb[(r * n + j) * n + k]! * x[(r * n + j) * d + c]!;
    return s;
  });
}

/** Rows per program of the split kernels: rows are the lanes of its loops, so a step of decoding takes few. */
export const SPLIT_ROWS = 64;
const FEW_ROWS = 8;
export const smallestSplit = { rows: FEW_ROWS } as const;

export interface SplitStatic {
  readonly n: number;
  readonly eps: number;
  readonly rows: number;
}
interface ForwardStatic extends SplitStatic {
  /** Of the projection. */
  readonly parts: number;
  /** The finished projection and its scale are stored too, for gradients. */
  readonly keeps: boolean;
}

/** Normalises over `axis` (0: columns, 1: rows of comb [n,n,R]). */
export const normalizeComb = (c: Tile, axis: 0 | 1, eps: number): Tile => c.div(c.sum(axis).add(eps));

/** Columns `offset` to `offset` + `count` of a block's rows of the projection, row last: [count,R]. */
export type MixColumns = (offset: number, count: number) => Tile;

/** Tiles of one block of rows, row last: the affine inputs of the three parts. */
export function loadSplit(
  k: KernelBuilder,
  p: SplitStatic,
  columns: MixColumns,
): {
  readonly mix: { pre: Tile; post: Tile; comb: Tile };
  readonly affine: { pre: Tile; post: Tile; comb: Tile };
  readonly scale: readonly [Tile, Tile, Tile];
} {
  const { n } = p;
  const base = k.buffer("base", "f32");
  const scale = k.view(k.buffer("scale", "f32"), [3]);
  const vector = (offset: number, part: number): [Tile, Tile] => {
    const x = columns(offset, n);
    const b = k.load(k.view(base, [n, 1], { offset }), [0, 0], [n, 1]);
    return [x, x.mul(scales[part]!.reshape([1, 1])).add(b)];
  };
  const scales = [0, 1, 2].map((i) => k.load(scale, [i], [1])) as [Tile, Tile, Tile];
  const [pre, preAffine] = vector(0, 0);
  const [post, postAffine] = vector(n, 1);
  const comb = columns(2 * n, n * n).reshape([n, n, p.rows]);
  const combBase = k.load(k.view(base, [n, n, 1], { offset: 2 * n }), [0, 0, 0], [n, n, 1]);
  const combAffine = comb.mul(scales[2].reshape([1, 1, 1])).add(combBase);
  return { mix: { pre, post, comb }, affine: { pre: preAffine, post: postAffine, comb: combAffine }, scale: scales };
}

/** softmax over k of comb [j,k,R]. */
export function softmaxComb(affine: Tile): Tile {
  const e = affine.sub(affine.maxOver(1)).exp();
  return e.div(e.sum(1));
}

const splitKernel = specialize((p: ForwardStatic) =>
  kernel("hc_split", (k) => {
    const { n, eps, parts } = p;
    const width = (2 + n) * n;
    const [rows, pitch, iters] = [k.index("rows"), k.index("pitch"), k.index("iters")];
    const r0 = k.programId(0).mul(p.rows);
    const dots = k.buffer("dots", "f32");
    const squares = k.load(k.view(k.buffer("squares", "f32"), [parts, rows], { strides: [pitch, 1] }), [0, r0], [parts, p.rows]); // prettier-ignore
    const norm = scaleOf(k, squares.sum(0));
    const keep = p.keeps ? k.buffer("y", "f32", "out") : undefined;
    const columns: MixColumns = (offset, count) => {
      const all = k.view(dots, [parts, count, rows], { strides: [pitch.mul(width), 1, width], offset });
      const sum = k.load(all, [0, 0, r0], [parts, count, p.rows]).sum(0).reshape([count, p.rows]);
      const y = sum.mul(norm);
      if (keep) k.store(k.view(keep, [count, rows], { strides: [1, width], offset }), [0, r0], y);
      return y;
    };
    const { affine } = loadSplit(k, p, columns);
    if (p.keeps) k.store(k.view(k.buffer("s", "f32", "out"), [1, rows]), [0, r0], norm);
    const out = (name: string): View => k.view(k.buffer(name, "f32", "out"), [n, rows], { strides: [1, n] });
    k.store(out("pre"), [0, r0], affine.pre.sigmoid().add(eps));
    k.store(out("post"), [0, r0], affine.post.sigmoid().mul(2));
    const start = normalizeComb(softmaxComb(affine.comb).add(eps), 0, eps);
    const [comb] = k.loop({ start: 1, end: iters }, [start], (_, [c]) => [
      normalizeComb(normalizeComb(c!, 1, eps), 0, eps),
    ]);
    k.store(k.view(k.buffer("comb", "f32", "out"), [n, n, rows], { strides: [n, 1, n * n] }), [0, 0, r0], comb!);
  }),
);

/** Refuses what does not fit a projection of `columns` columns. */
export function checkSplit(op: string, { columns, dtype }: { readonly columns: number; readonly dtype: DType }, p: HcSplitParams): void {
  const width = (2 + p.n) * p.n;
  if (dtype !== "f32" || columns !== width || sizeOf(p.base.shape) !== width || sizeOf(p.scale.shape) !== 3)
    throw new ShapeError(`${op}: expected f32 [R,${width}], base [${width}], scale [3], got ${dtype} [R,${columns}], [${p.base.shape}], [${p.scale.shape}]`); // prettier-ignore
} // prettier-ignore

/** The three mixing weights; `kept` has the finished projection where gradients need it. */
export interface HcSplitOut {
  readonly pre: NdArray;
  readonly post: NdArray;
  readonly comb: NdArray;
  /** y [R,(2+n)n] and s [R] of hc-project.ts. */
  readonly kept: { readonly y: NdArray; readonly s: NdArray } | undefined;
}

/** `normEps`: of the projection's norm. */
export function hcSplit(
  device: Device,
  { dots, squares, rows, pitch, channels }: Projected,
  p: HcSplitParams & { readonly normEps: number; readonly keeps?: boolean },
): HcSplitOut {
  const [parts, , columns] = dots.shape as [number, number, number];
  checkSplit("hcSplit", { columns, dtype: dots.dtype }, p);
  const { n, iters, eps, base, scale, normEps, keeps = false } = p;
  const [pre, post, comb] = [empty(device, [rows, n]), empty(device, [rows, n]), empty(device, [rows, n, n])];
  const kept = keeps ? { y: empty(device, [rows, columns]), s: empty(device, [rows]) } : undefined;
  const perProgram = rows <= FEW_ROWS ? FEW_ROWS : SPLIT_ROWS;
  const start = { n, eps, rows: perProgram, parts, keeps };
  const { program, p: used } = fitted(device.properties.chip, splitKernel, start, smallestSplit);
  run(device, program, [ceilDiv(rows, used.rows), 1, 1], {
    dots,
    squares,
    base,
    scale,
    pre,
    post,
    comb,
    ...kept,
    rows,
    pitch,
    iters,
    perChannel: 1 / channels,
    normEps,
  });
  return { pre, post, comb, kept };
}

export interface StreamStatic {
  readonly n: number;
  readonly d: number;
  readonly dtype: DType;
  readonly rows: number;
}

export const streamStatic = (x: NdArray): StreamStatic => {
  const [, n, d] = x.shape as [number, number, number];
  return { n, d, dtype: x.dtype, rows: Math.max(1, Math.min(16, Math.floor(2048 / d))) };
};

/** Stream j of x [R,n,D] as a [R,D] view, and coefficient column i of an f32 [R,width]. */
export const streamView = (
  k: KernelBuilder,
  buffer: Parameters<KernelBuilder["view"]>[0],
  p: StreamStatic,
  rows: ReturnType<KernelBuilder["index"]>,
  j: number,
): View => k.view(buffer, [rows, p.d], { strides: [p.n * p.d, 1], offset: j * p.d });
export const columnView = (
  k: KernelBuilder,
  buffer: Parameters<KernelBuilder["view"]>[0],
  rows: ReturnType<KernelBuilder["index"]>,
  width: number,
  i: number,
): View => k.view(buffer, [rows, 1], { strides: [width, 1], offset: i });

/** A program has some columns of its rows: one token is too little for all cores of a chip. */
interface MixStatic extends StreamStatic {
  readonly cols: number;
}
const mixStatic = (x: NdArray): MixStatic => {
  const p = streamStatic(x);
  return { ...p, cols: p.d };
};
/** First row and column of a program. */
const startOf = (k: KernelBuilder, p: MixStatic): IndexLike[] => [k.programId(0).mul(p.rows), p.cols === p.d ? 0 : k.programId(1).mul(p.cols)]; // prettier-ignore

const preKernel = specialize((p: MixStatic) =>
  kernel("hc_pre", (k) => {
    const rows = k.index("rows");
    const [x, pre] = [k.buffer("x", p.dtype), k.buffer("pre", "f32")];
    const y = k.view(k.buffer("y", p.dtype, "out"), [rows, p.d]);
    const at = startOf(k, p);
    let total: Tile | undefined;
    for (let j = 0; j < p.n; j++) {
      const term = k
        .load(streamView(k, x, p, rows, j), at, [p.rows, p.cols])
        .cast("f32")
        .mul(k.load(columnView(k, pre, rows, p.n, j), [at[0]!, 0], [p.rows, 1]));
      total = total ? total.add(term) : term;
    }
    k.store(y, at, total!.cast(p.dtype));
  }),
);

const postKernel = specialize((p: MixStatic) =>
  kernel("hc_post", (k) => {
    const rows = k.index("rows");
    const [f, x, post, comb, y] = [
      k.buffer("f", p.dtype),
      k.buffer("x", p.dtype),
      k.buffer("post", "f32"),
      k.buffer("comb", "f32"),
      k.buffer("y", p.dtype, "out"),
    ];
    const at = startOf(k, p);
    const column = (buffer: typeof post, width: number, i: number): Tile =>
      k.load(columnView(k, buffer, rows, width, i), [at[0]!, 0], [p.rows, 1]);
    const fTile = k.load(k.view(f, [rows, p.d]), at, [p.rows, p.cols]).cast("f32");
    const streams = Array.from({ length: p.n }, (_, j) =>
      k.load(streamView(k, x, p, rows, j), at, [p.rows, p.cols]).cast("f32"),
    );
    for (let i = 0; i < p.n; i++) {
      let total = fTile.mul(column(post, p.n, i));
      streams.forEach((s, j) => (total = total.add(s.mul(column(comb, p.n * p.n, j * p.n + i)))));
      k.store(streamView(k, y, p, rows, i), at, total.cast(p.dtype));
    }
  }),
);

/** Sizes of either kernel on a chip; the buffers that one of them lacks cost nothing. */
const mixProgram = (chip: Chip | undefined, factory: (p: MixStatic) => TileProgram, start: MixStatic, rows: number): Fitted<MixStatic> =>
  chosen(chip, factory, start, () => ({
    rows,
    problem: {},
    lattice: (height) => ({ cols: [start.d, ...[2048, 1024, 512, 256, 128].filter((n) => n < start.d)], rows: rowsPerProgram(height) }),
    launch: (p, height) => {
      const [one, all] = [height * p.d * dtypes[p.dtype].size, height * p.n * p.d * dtypes[p.dtype].size];
      return {
        grid: [ceilDiv(height, p.rows), ceilDiv(p.d, p.cols), 1],
        numbers: { rows: height },
        bytes: { f: one, x: all, y: factory === postKernel ? all : one, pre: 4 * height * p.n, post: 4 * height * p.n, comb: 4 * height * p.n * p.n },
      };
    },
  })); // prettier-ignore

export function checkStreams(
  op: string,
  x: NdArray,
  parts: readonly (readonly [NdArray, readonly number[]])[],
): number {
  const rows = x.shape[0]!;
  for (const [a, shape] of parts)
    if (a.shape.length !== shape.length || shape.some((n, i) => n !== a.shape[i]))
      throw new ShapeError(`${op}: expected [${shape}] beside x [${x.shape}], got [${a.shape}]`);
  return rows;
}

export function hcPre(device: Device, x: NdArray, pre: NdArray): NdArray {
  const start = mixStatic(x);
  const rows = checkStreams("hcPre", x, [[pre, [x.shape[0]!, start.n]]]);
  const { program, p } = mixProgram(device.properties.chip, preKernel, start, rows);
  const y = empty(device, [rows, p.d], x.dtype);
  run(device, program, [ceilDiv(rows, p.rows), ceilDiv(p.d, p.cols), 1], { x, pre, y, rows });
  return y;
}

export function hcPost(device: Device, f: NdArray, x: NdArray, post: NdArray, comb: NdArray): NdArray {
  const [start, r] = [mixStatic(x), x.shape[0]!];
  const rows = checkStreams("hcPost", x, [[f, [r, start.d]], [post, [r, start.n]], [comb, [r, start.n, start.n]]]); // prettier-ignore
  const { program, p } = mixProgram(device.properties.chip, postKernel, start, rows);
  const y = empty(device, x.shape, x.dtype);
  run(device, program, [ceilDiv(rows, p.rows), ceilDiv(p.d, p.cols), 1], { f, x, post, comb, y, rows });
  return y;
}

export const hcForwardPrograms = (p: StreamStatic, chip: Chip | undefined): TileProgram[] => [
  ...[true, false].map((keeps) => fitted(chip, splitKernel, { n: p.n, eps: 1e-6, rows: SPLIT_ROWS, parts: 12, keeps }, smallestSplit).program), // prettier-ignore
  ...[preKernel, postKernel].map((f) => mixProgram(chip, f, { ...p, cols: p.d }, 256).program),
];
export { hcPostBackward, hcPreBackward, hcSplitBackward } from "./hyper-connection-backward.ts";
