/**
 * Quantise and come back (QDQ): each block of a row takes the power-of-two scale at which its largest element fits the
 * narrow format, is rounded there, and returns. What FP8 and FP4 storage or products do to numbers, without them.
 *   scale = 2^ceil(log2(f32(max(largest |x|, least) * f32(1 / max))));  y = round(x / scale) * scale
 * shapes   x [.., C] f32|bf16 -> same; columns from `width` on are copied; the last block of a row may be short.
 *          `square`: one scale for `block` rows x `block` columns of a matrix.
 * numeric  bit-exact on every target: powers of two come from comparisons and exact products, so no bit casts, logarithms
 *          or divisions; results are exact in bf16. Ties to even; a zero may lose its sign.
 * source   DeepSeek-V4 spec section 2.0 (QDQ8, QDQ4); twin quantizeRef
 */
import type { DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import { E2M1_MAX, roundToE2m1 } from "../base/fp4.ts";
import { E4M3_MAX, fromE4m3, pow2Ceil, toE4m3 } from "../base/fp8.ts";
import { randomBits, uniform } from "../base/prng.ts";
import type { Device } from "../device/device.ts";
import { kernel, type KernelBuilder, type Tile } from "../tile/builder.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";

export type NarrowFormat = "e4m3" | "e2m1";

interface Format {
  readonly max: number;
  /** Blocks smaller than this are scaled as if they had it. */
  readonly least: number;
  /** Smallest normal number, and the doublings from it to the binade of `max` as summands. */
  readonly lowest: number;
  readonly doublings: readonly number[];
  readonly mantissaBits: number;
  readonly round: (x: number) => number;
}

const formats: Record<NarrowFormat, Format> = {
  e4m3: {
    max: E4M3_MAX,
    least: Math.fround(1e-4),
    lowest: 2 ** -6,
    doublings: [8, 4, 2, 1],
    mantissaBits: 3,
    round: (x) => fromE4m3(toE4m3(x)),
  },
  e2m1: { max: E2M1_MAX, least: 6 * 2 ** -126, lowest: 1, doublings: [2, 1], mantissaBits: 1, round: roundToE2m1 },
};

export interface QuantizeParams {
  readonly format: NarrowFormat;
  readonly block: number;
  /** Columns quantised; all unless told. */
  readonly width?: number;
  readonly square?: boolean;
}

export function quantizeRef(x: ArrayLike<number>, cols: number, p: QuantizeParams): Float32Array {
  const { max, least, round } = formats[p.format];
  const { block, width = cols, square = false } = p;
  const y = Float32Array.from(x);
  const rows = x.length / cols;
  const height = square ? block : 1;
  for (let r0 = 0; r0 < rows; r0 += height)
    for (let c0 = 0; c0 < width; c0 += block) {
      const at: number[] = [];
      for (let r = r0; r < Math.min(r0 + height, rows); r++)
        for (let c = c0; c < Math.min(c0 + block, width); c++) at.push(r * cols + c);
      const largest = at.reduce((m, i) => Math.max(m, Math.abs(x[i]!)), least);
      const scale = pow2Ceil(Math.fround(largest * Math.fround(1 / max)));
      for (const i of at) y[i] = round(x[i]! / scale) * scale;
    }
  return y;
}

/** Summands of every exponent distance from the smallest to the largest normal f32. */
const ALL_DOUBLINGS = [64, 64, 64, 32, 16, 8, 4, 2, 1];

/** The largest power of two at or below y, no smaller than `lowest`, and its inverse. */
function floorPow2(k: KernelBuilder, y: Tile, lowest: number, doublings: readonly number[]): [Tile, Tile] {
  let [power, inverse] = [k.full(y.shape, lowest), k.full(y.shape, 1 / lowest)];
  for (const n of doublings) {
    const more = power.mul(2 ** n);
    const fits = more.le(y);
    power = k.select(fits, more, power);
    inverse = k.select(fits, inverse.mul(2 ** -n), inverse);
  }
  return [power, inverse];
}

/** The power of two at which a block whose largest element is `largest` fits `format`, and its inverse. */
export function blockScale(k: KernelBuilder, format: NarrowFormat, largest: Tile): [scale: Tile, inverse: Tile] {
  const { max, least } = formats[format];
  const wanted = largest.max(least).mul(Math.fround(1 / max));
  const [below, inverseBelow] = floorPow2(k, wanted, 2 ** -126, ALL_DOUBLINGS);
  const isBelow = below.lt(wanted);
  return [k.select(isBelow, below.mul(2), below), k.select(isBelow, inverseBelow.mul(0.5), inverseBelow)];
}

interface QuantizeStatic {
  readonly format: NarrowFormat;
  readonly dtype: DType;
  readonly block: number;
  readonly square: boolean;
  /** Held at once; divides a square's block. */
  readonly rows: number;
}

const quantizeKernel = specialize((p: QuantizeStatic) =>
  kernel("quantize", (k) => {
    const { max, lowest, doublings, mantissaBits } = formats[p.format];
    const [rows, cols, width] = [k.index("rows"), k.index("cols"), k.index("width")];
    const [x, y] = [k.buffer("x", p.dtype), k.buffer("y", p.dtype, "out")];
    const strides = { strides: [cols, 1] };
    const height = p.square ? p.block : p.rows;
    const slices = Array.from({ length: height / p.rows }, (_, i) => i * p.rows);
    const r0 = k.programId(0).mul(height);
    const box = [p.rows, p.block];
    // Past the end reads 0, which changes no largest element.
    const [from, to] = [x, y].map((buffer) => k.view(buffer, [rows, width], strides));
    k.loop({ end: width, step: p.block }, [], (c) => {
      const read = (r: number): Tile => k.load(from!, [r0.add(r), c], box).cast("f32");
      const parts = slices.map(read);
      let largest = parts.map((v) => v.abs().maxOver(1)).reduce((a, b) => a.max(b));
      if (p.square) largest = largest.reshape([1, p.rows]).maxOver(1);
      const [scale, inverse] = blockScale(k, p.format, largest);
      for (const [i, r] of slices.entries()) {
        // Slices are read twice, so that a chip need not hold all of a square.
        const v = slices.length === 1 ? parts[i]! : read(r);
        const small = v.mul(inverse).min(max).max(-max);
        const [binade, inverseBinade] = floorPow2(k, small.abs(), lowest, doublings);
        const steps = small.mul(inverseBinade.mul(2 ** mantissaBits)).round();
        const rounded = steps.mul(binade.mul(2 ** -mantissaBits));
        k.store(to!, [r0.add(r), c], rounded.mul(scale).cast(p.dtype));
      }
      return [];
    });
    const [plain, copy] = [x, y].map((buffer) => k.view(buffer, [rows, cols], strides));
    k.loop({ start: width, end: cols, step: p.block }, [], (c) => {
      for (const r of slices) k.store(copy!, [r0.add(r), c], k.load(plain!, [r0.add(r), c], box));
      return [];
    });
  }),
);

export function quantize(device: Device, x: NdArray, params: QuantizeParams): NdArray {
  const cols = x.shape[x.shape.length - 1]!;
  const { format, block, width = cols, square = false } = params;
  if (width > cols) throw new ShapeError(`quantize: expected at least ${width} columns, got [${x.shape}]`);
  const rows = sizeOf(x.shape) / Math.max(1, cols);
  const y = empty(device, x.shape, x.dtype);
  const start: QuantizeStatic = { format, dtype: x.dtype, block, square, rows: square ? block : 16 };
  const { program, p } = fitted(device.properties.chip, quantizeKernel, start, {
    rows: square ? Math.min(block, 16) : 1,
  });
  run(device, program, [ceilDiv(rows, square ? block : p.rows), 1, 1], { x, y, rows, cols, width });
  return y;
}

/** Magnitudes over 16 binades, ties and zeros among them. */
const spread = (n: number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => {
    const bits = randomBits(7, i);
    const coarse = (bits % 32) - 16;
    return (bits & 64 ? coarse / 4 : coarse * uniform(8, i)) * 2 ** (((bits >>> 10) % 16) - 8);
  });

function caseOf(shape: readonly number[], p: QuantizeParams): KernelCase {
  const data = spread(sizeOf(shape));
  return {
    name: `${p.format} [${shape}] block ${p.block}${p.width === undefined ? "" : ` of ${p.width}`}${p.square ? " square" : ""}`,
    run: (device) => [quantize(device, fromHost(device, data, shape, "f32"), p)],
    expected: () => [quantizeRef(data, shape[shape.length - 1]!, p)],
    tolerance: { rtol: 0, atol: 0, why: "powers of two and whole steps" },
  };
}

export const cases: OpCases = {
  op: "quantize",
  cases: [
    caseOf([37, 192], { format: "e4m3", block: 128 }),
    caseOf([2, 9, 80], { format: "e4m3", block: 64, width: 72 }),
    caseOf([130, 140], { format: "e4m3", block: 128, square: true }),
    caseOf([23, 64], { format: "e2m1", block: 32 }),
  ],
  programs: (chip) => [
    fitted(chip, quantizeKernel, { format: "e4m3", dtype: "bf16", block: 64, square: false, rows: 16 }, { rows: 1 }).program, // prettier-ignore
    fitted(chip, quantizeKernel, { format: "e2m1", dtype: "bf16", block: 32, square: false, rows: 16 }, { rows: 1 }).program, // prettier-ignore
  ],
};
