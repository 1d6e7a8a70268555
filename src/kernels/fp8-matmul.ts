/**
 * Products of FP8 activations with FP8 weights as codes: y[r,n] = sum over blocks b of 128 along k of
 * (sum_{k in b} q[r,k] w[n,k]) * xs[b,r] * ws[n / 128, b], for chips whose matrix unit takes e4m3 (Ascend 950). The numbers
 * are those of quantize.ts (QDQ) followed by a wide product, but for the order of sums.
 *   quantizeE4m3  x f32|bf16 [R,C] -> codes e4m3 [R,C], scale f32 [C/128, R]; square: [R/128, C/128]
 *   fp8Matmul     q [R,K], w [N,K] -> y [R,N]
 * numeric  scales are powers of two; sums of a block in f32 in the matrix unit, blocks in f32 in the vector unit
 * source   DeepSeek-V4 spec section 2.0 (FP8 linear); twin quantizeRef and matmulRef
 */
import { dtypes, type DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel, type Tile } from "../tile/builder.ts";
import type { Chip } from "../tile/chips/types.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { matmulRef, productSizes, tilesFor } from "./matmul.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";
import { blockScale, quantizeRef } from "./quantize.ts";
import { chosen, type TileChoice } from "./tile-choice.ts";

const BLOCK = 128;

/** Codes and scales of a matrix. */
export interface Fp8Matrix {
  readonly codes: NdArray;
  readonly scale: NdArray;
}

/** Shape of the scales of a matrix [n, k] in squares. */
export const fp8Scales = (n: number, k: number): [number, number] => [ceilDiv(n, BLOCK), ceilDiv(k, BLOCK)];

export const hasFp8Products = (chip: Chip | undefined): boolean => chip?.arch.matrix.dtypes.includes("e4m3") ?? false;

interface CodesStatic {
  readonly dtype: DType;
  readonly square: boolean;
  /** Held at once; a square is taken in slices. */
  readonly rows: number;
}

const codesKernel = specialize((p: CodesStatic) =>
  kernel("quantize_e4m3", (k) => {
    const [rows, cols] = [k.index("rows"), k.index("cols")];
    const x = k.view(k.buffer("x", p.dtype), [rows, cols]);
    const codes = k.view(k.buffer("codes", "e4m3", "out"), [rows, cols]);
    const blocks = cols.add(BLOCK - 1).div(BLOCK);
    const scales = k.view(k.buffer("scale", "f32", "out"), p.square ? [rows.add(BLOCK - 1).div(BLOCK), blocks] : [blocks, rows]); // prettier-ignore
    const height = p.square ? BLOCK : p.rows;
    const [b, r0] = [k.programId(0), k.programId(1).mul(height)];
    const c = b.mul(BLOCK);
    const part = (r: number): Tile => k.load(x, [r0.add(r), c], [p.rows, BLOCK]).cast("f32");
    const starts = Array.from({ length: height / p.rows }, (_, i) => i * p.rows);
    // A square is read twice, so that a chip need not hold all of it.
    const first = part(0);
    const again = (r: number): Tile => (p.square ? part(r) : first);
    const largest = starts.map((r) => (r === 0 ? first : part(r)).abs().maxOver(1)).reduce((x1, x2) => x1.max(x2));
    const [scale, inverse] = blockScale(k, "e4m3", p.square ? largest.reshape([1, p.rows]).maxOver(1) : largest);
    for (const r of starts) k.store(codes, [r0.add(r), c], again(r).mul(inverse).cast("e4m3"));
    if (p.square) k.store(scales, [k.programId(1), b], scale);
    else k.store(scales, [b, r0], scale.reshape([1, p.rows]));
  }),
);

/** `square`: one scale for 128 x 128, as of weights; otherwise one for 128 numbers of a row. */
export function quantizeE4m3(device: Device, x: NdArray, { square = false }: { readonly square?: boolean } = {}): Fp8Matrix {
  const cols = x.shape[x.shape.length - 1]!;
  const rows = sizeOf(x.shape) / Math.max(1, cols);
  const codes = empty(device, x.shape, "e4m3");
  const blocks = ceilDiv(cols, BLOCK);
  const scale = empty(device, square ? [ceilDiv(rows, BLOCK), blocks] : [blocks, rows]);
  const start: CodesStatic = { dtype: x.dtype, square, rows: square ? 32 : rows < 16 ? 1 : 16 };
  const { program, p } = fitted(device.properties.chip, codesKernel, start, { rows: square ? 16 : 1 });
  run(device, program, [blocks, ceilDiv(rows, square ? BLOCK : p.rows), 1], { x, codes, scale, rows, cols });
  return { codes, scale };
} // prettier-ignore

interface Fp8Static {
  readonly out: DType;
  readonly m: number;
  /** Divides 128, so that one weight scale serves a tile. */
  readonly n: number;
}

const fp8Kernel = specialize((p: Fp8Static) =>
  kernel("fp8_matmul", (k) => {
    const [rows, n, depth] = [k.index("rows"), k.index("n"), k.index("k")];
    const [i0, j0] = [k.programId(1).mul(p.m), k.programId(0).mul(p.n)];
    const blocks = depth.add(BLOCK - 1).div(BLOCK);
    const q = k.view(k.buffer("q", "e4m3"), [rows, depth]);
    const w = k.view(k.buffer("w", "e4m3"), [n, depth]);
    const xs = k.view(k.buffer("xs", "f32"), [blocks, rows]);
    const ws = k.view(k.buffer("ws", "f32"), [n.add(BLOCK - 1).div(BLOCK), blocks]);
    const [sum] = k.loop({ end: depth, step: BLOCK }, [k.full([p.m, p.n], 0)], (c, [acc]) => {
      const b = c.div(BLOCK);
      const product = k.dot(k.load(q, [i0, c], [p.m, BLOCK]), k.load(w, [j0, c], [p.n, BLOCK]), { transB: true });
      const scale = k
        .load(xs, [b, i0], [1, p.m])
        .reshape([p.m, 1])
        .mul(k.load(ws, [j0.div(BLOCK), b], [1, 1]));
      return [acc!.add(product.mul(scale))];
    });
    k.store(k.view(k.buffer("y", p.out, "out"), [rows, n]), [i0, j0], sum!.cast(p.out));
  }),
);

/** How a chip chooses. */
const choiceOf = (out: DType, rows: number, n: number, depth: number): TileChoice<Fp8Static> => ({
  rows,
  problem: { n, depth },
  lattice: (height) => ({ m: productSizes(height, depth).m!, n: [BLOCK, 64, 32] }),
  launch: (p, m) => {
    const blocks = ceilDiv(depth, BLOCK);
    return {
      grid: [ceilDiv(n, p.n), ceilDiv(m, p.m), 1],
      numbers: { rows: m, n, k: depth },
      bytes: { q: m * depth, w: n * depth, xs: 4 * blocks * m, ws: 4 * blocks * ceilDiv(n, BLOCK), y: m * n * dtypes[out].size },
    };
  },
}); // prettier-ignore

/** y [..,N] in `out`; x from `quantizeE4m3`, w from it with `square`. */
export function fp8Matmul(device: Device, x: Fp8Matrix, w: Fp8Matrix, out: DType): NdArray {
  const depth = x.codes.shape[x.codes.shape.length - 1]!;
  const [n, depthW] = w.codes.shape as [number, number];
  if (w.codes.shape.length !== 2 || depth !== depthW || x.codes.dtype !== "e4m3" || w.codes.dtype !== "e4m3")
    throw new ShapeError(`fp8Matmul: expected e4m3 [R,K] and [N,K], got ${x.codes.dtype} [${x.codes.shape}] and ${w.codes.dtype} [${w.codes.shape}]`); // prettier-ignore
  const rows = sizeOf(x.codes.shape) / depth;
  const y = empty(device, [...x.codes.shape.slice(0, -1), n], out);
  const { m, n: width } = tilesFor(device, "f32", { m: rows, n, depth });
  const start: Fp8Static = { out, m, n: Math.min(BLOCK, width) };
  const { program, p } = chosen(device.properties.chip, fp8Kernel, start, () => choiceOf(out, rows, n, depth));
  const args = { q: x.codes, xs: x.scale, w: w.codes, ws: w.scale, y, rows, n, k: depth };
  run(device, program, [ceilDiv(n, p.n), ceilDiv(rows, p.m), 1], args);
  return y;
}

const wave = (n: number, f: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(i * f + 0.3) * 2 ** (Math.floor(i / 50) % 5)); // prettier-ignore

function caseOf(rows: number, n: number, depth: number): KernelCase {
  const [x, w] = [wave(rows * depth, 0.37), wave(n * depth, 0.73)];
  const qx = quantizeRef(x, depth, { format: "e4m3", block: BLOCK });
  const qw = quantizeRef(w, depth, { format: "e4m3", block: BLOCK, square: true });
  const sizes = matmulRef(qx.map(Math.abs), qw.map(Math.abs), rows, n, depth, { transB: true });
  return {
    name: `fp8 ${rows}x${n}x${depth}`,
    run: (device) => {
      const put = (a: Float32Array, r: number): NdArray => fromHost(device, a, [r, depth], "f32");
      return [fp8Matmul(device, quantizeE4m3(device, put(x, rows)), quantizeE4m3(device, put(w, n), { square: true }), "f32")]; // prettier-ignore
    },
    expected: () => [matmulRef(qx, qw, rows, n, depth, { transB: true })],
    tolerance: {
      rtol: 0,
      atol: (depth + 2) * 2 ** -24 * sizes.reduce((a, b) => Math.max(a, b), 0),
      why: "products of codes are exact in f32; every sum is at most the sum of their sizes and rounds to 2^-24 of itself",
    },
  };
}

const example: Fp8Static = { out: "bf16", m: 96, n: 128 };

export const cases: OpCases = {
  op: "fp8Matmul",
  cases: [caseOf(1, 70, 40), caseOf(19, 150, 300), caseOf(33, 64, 256)],
  programs: (chip) =>
    chip && !hasFp8Products(chip)
      ? []
      : [
          ...[1024, 1].map((rows) => chosen(chip, fp8Kernel, rows === 1 ? { ...example, m: 1, n: 64 } : example, () => choiceOf("bf16", rows, 1024, 4096)).program), // prettier-ignore
          fitted(chip, codesKernel, { dtype: "bf16", square: false, rows: 16 }, { rows: 1 }).program,
          fitted(chip, codesKernel, { dtype: "f32", square: true, rows: 32 }, { rows: 16 }).program,
        ],
  onlyWhere: hasFp8Products,
};
