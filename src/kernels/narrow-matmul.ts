/**
 * Products of wide rows with weights that stay FP8 or FP4 codes in memory: codes become numbers of the rows' dtype on the
 * way to the matrix unit, which loses nothing, since every code times its scale is a bf16 number.
 *   e4m3  y[r,n] = sum_k x[r,k] (w[n,k] ws[n / 128, k / 128])    codes e4m3 [N,K], scale f32 [N/128, K/128]
 *   e2m1  y[r,n] = sum_k x[r,k] (w[n,k] 2^ws[n, k / 32])         codes and scale as `packE2m1` and `packE8m0` make them
 * Rows may be sorted by expert: rows offsets[e]..offsets[e+1] then meet w[e], codes and scales with a leading axis E. Or
 * columns may be in groups, x [R, G K], w [G N, K] -> y [R, G N]; then N divides 128 or 128 divides N.
 * packing  e2m1 numbers are steps -7..7 through 0, .5, 1, 1.5, 2, 3, 4, 6, packed as int4 is (int-matmul.ts) in groups of
 *          256, so that half a group is 128 numbers with four scales a row; scales are exponents by halves, i8 [2 Kp/256, 4 N].
 * source   DeepSeek-V4 spec sections 2.0 (FP8 and FP4 linear) and 4; twin matmulRef over plain numbers
 */
import { f32ToBf16 } from "../base/bf16.ts";
import type { DType, TypedArray } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import { fromE4m3, fromE8m0 } from "../base/fp8.ts";
import { randomBits } from "../base/prng.ts";
import type { Device } from "../device/device.ts";
import { kernel, type Index, type Tile } from "../tile/builder.ts";
import type { Chip } from "../tile/chips/types.ts";
import type { TileProgram } from "../tile/ir.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { fitted } from "./fit.ts";
import { hasFp8Products } from "./fp8-matmul.ts";
import { packedWidth, packInt4 } from "./int-matmul.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { matmulRef, smallestTiles, tilesFor } from "./matmul.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";

/** Depth of one product: a block of e4m3, half a group of e2m1. */
const DEPTH = 128;
const FP4_GROUP = 2 * DEPTH;
const FP4_BLOCK = 32;
/** Of a row and half a group. */
const SCALES = DEPTH / FP4_BLOCK;

export interface NarrowWeights {
  readonly format: "e4m3" | "e2m1";
  /** e4m3 [.., N, K], or i8 [.., N, fp4Width(K)]. */
  readonly codes: NdArray;
  /** f32 [.., N/128, K/128], or i8 `fp4Scales`. */
  readonly scale: NdArray;
}

/** Bytes of a row of `depth` e2m1 numbers. */
export const fp4Width = (depth: number): number => packedWidth(depth, FP4_GROUP);
/** Halves of groups in it. */
const fp4Halves = (depth: number): number => 2 * ceilDiv(depth, FP4_GROUP);
/** Shape of the scales of a matrix [n, depth]. */
export const fp4Scales = (n: number, depth: number): [number, number] => [fp4Halves(depth), SCALES * n];

/** Steps -7..7 [rows, depth] -> bytes [rows, fp4Width]. */
export const packE2m1 = (steps: ArrayLike<number>, depth: number): Int8Array => packInt4(steps, depth, FP4_GROUP);

/** e8m0 codes [rows, depth / 32] -> exponents in the shape `fp4Scales`; -126 where there are no numbers. */
export function packE8m0(scale: ArrayLike<number>, rows: number, depth: number): Int8Array {
  const across = ceilDiv(depth, FP4_BLOCK);
  return Int8Array.from({ length: fp4Halves(depth) * SCALES * rows }, (_, i) => {
    const [half, row, part] = [Math.floor(i / (SCALES * rows)), Math.floor(i / SCALES) % rows, i % SCALES];
    const block = half * SCALES + part;
    return block < across ? scale[row * across + block]! - 127 : -126;
  });
}

/**
 * 2^exponent of -125..127, exactly: an exponential is much nearer to its power of two than the next bf16 number is, so
 * rounding to bf16 takes away what a chip's is off. -126 may become 0.
 */
const powerOfTwo = (exponent: Tile): Tile => exponent.cast("f32").mul(Math.LN2).exp().cast("bf16").cast("f32");

/** 0, .5, 1, 1.5, 2, 3, 4, 6 of steps 0..7, and so below 0: slopes are 1/2 up to 4, 1 up to 6, then 2. */
const fromSteps = (v: Tile): Tile => v.mul(2).sub(v.max(-4).min(4).mul(0.5)).sub(v.max(-6).min(6));

interface NarrowStatic {
  readonly format: NarrowWeights["format"];
  readonly dtype: DType;
  /** What programs of the last axis are: nothing, experts, or groups of columns. */
  readonly by: "all" | "experts" | "groups";
  readonly m: number;
  /** At most 128 for e4m3, so that one scale serves a tile. */
  readonly n: number;
}

const narrowKernel = specialize((p: NarrowStatic) =>
  kernel(p.format === "e4m3" ? "fp8_wide_matmul" : "fp4_matmul", (k) => {
    const isFp8 = p.format === "e4m3";
    const [total, n, depth] = [k.index("rows"), k.index("n"), k.index("k")];
    const [x, w] = [k.buffer("x", p.dtype), k.buffer("w", isFp8 ? "e4m3" : "i8")];
    const [scale, y] = [k.buffer("ws", isFp8 ? "f32" : "i8"), k.buffer("y", p.dtype, "out")];
    const [e, i0, j0] = [k.programId(2), k.programId(1).mul(p.m), k.programId(0).mul(p.n)];
    const halves = depth
      .add(FP4_GROUP - 1)
      .div(FP4_GROUP)
      .mul(2);
    const width = isFp8 ? depth : halves.mul(DEPTH / 2);
    const codes = k.view(w, [n, width], { offset: e.mul(n).mul(width) });

    const wide = (tile: Tile): Tile => tile.cast(p.dtype);
    /** The block of 128 x 128 that this tile lies in; groups of columns share blocks where they are lower. */
    const blocks = depth.add(DEPTH - 1).div(DEPTH);
    const firstBlock = p.by === "groups" ? e.mul(n).add(j0).div(DEPTH) : e.mul(n.add(DEPTH - 1).div(DEPTH)).add(j0.div(DEPTH)); // prettier-ignore
    const fp8 = (c: Index): Tile => {
      const s = k.load(k.view(scale, [firstBlock.add(1), blocks]), [firstBlock, c.div(DEPTH)], [1, 1]);
      return wide(k.load(codes, [j0, c], [p.n, DEPTH]).cast("f32").mul(s));
    };
    const exponents = k.view(scale, [halves, n.mul(SCALES)], { offset: e.mul(halves).mul(n).mul(SCALES) });
    const fp4 = (steps: Tile, half: Index): Tile => {
      const power = powerOfTwo(k.load(exponents, [half, j0.mul(SCALES)], [1, p.n * SCALES]));
      const values = fromSteps(steps)
        .reshape([p.n * SCALES, FP4_BLOCK])
        .mul(power.reshape([p.n * SCALES, 1]));
      return wide(values.reshape([p.n, DEPTH]));
    };

    const product = (first: Index | undefined, rows: Index): void => {
      const groups = p.by === "groups" ? k.index("groups") : undefined;
      const sideBySide = (each: Index): { offset: Index; strides: readonly (Index | number)[] } => ({ offset: e.mul(each), strides: [groups!.mul(each), 1] }); // prettier-ignore
      const below = (each: Index): { offset: Index | number } => ({ offset: first ? first.mul(each) : 0 });
      const left = k.view(x, [rows, depth], groups ? sideBySide(depth) : below(depth));
      const out = k.view(y, [rows, n], groups ? sideBySide(n) : below(n));
      const at = (c: Index): Tile => k.load(left, [i0, c], [p.m, DEPTH]);
      const [sum] = k.loop({ end: isFp8 ? depth : width, step: DEPTH }, [k.full([p.m, p.n], 0)], (c, [acc]) => {
        if (isFp8) return [k.dot(at(c), fp8(c), { acc: acc!, transB: true })];
        const packed = k.load(codes, [j0, c], [p.n, DEPTH]).cast("f32");
        const high = packed.mul(1 / 16).floor();
        const low = packed.sub(high.mul(16)).sub(8);
        const [from, half] = [c.mul(2), c.div(DEPTH / 2)];
        const both = k.dot(at(from), fp4(low, half), { acc: acc!, transB: true });
        return [k.dot(at(from.add(DEPTH)), fp4(high, half.add(1)), { acc: both, transB: true })];
      });
      k.store(out, [i0, j0], sum!.cast(p.dtype));
    };
    if (p.by !== "experts") return product(undefined, total);
    const offsets = k.view(k.buffer("offsets", "i32"), [k.index("experts").add(1)]);
    const [first, end] = [k.read(offsets, [e]), k.read(offsets, [e.add(1)])];
    k.when(i0.lt(end.sub(first)), () => product(first, end.sub(first)));
  }),
);

const smallest = { n: smallestTiles.n, m: smallestTiles.m };

export interface NarrowMatmulOptions {
  /** i32 [E+1]: rows are sorted by expert. */
  readonly offsets?: NdArray | undefined;
  /** Groups of columns, each with rows of w of its own; 1 unless told. */
  readonly groups?: number;
}

/** x [..,K] -> y [..,N] of the same dtype. */
export function narrowMatmul(device: Device, x: NdArray, { format, codes, scale }: NarrowWeights, { offsets, groups = 1 }: NarrowMatmulOptions = {}): NdArray {
  const across = x.shape[x.shape.length - 1]!;
  const [rows, depth] = [sizeOf(x.shape) / across, across / groups];
  const experts = offsets ? offsets.shape[0]! - 1 : 1;
  const n = codes.shape[codes.shape.length - 2]! / groups;
  const [isFp8, copies] = [format === "e4m3", experts * groups];
  const width = isFp8 ? depth : fp4Width(depth);
  const numScales = isFp8 ? experts * ceilDiv(groups * n, DEPTH) * ceilDiv(depth, DEPTH) : experts * fp4Halves(depth) * SCALES * n;
  if (codes.shape[codes.shape.length - 1] !== width || sizeOf(codes.shape) !== copies * n * width || codes.dtype !== (isFp8 ? "e4m3" : "i8") || sizeOf(scale.shape) !== numScales)
    throw new ShapeError(`narrowMatmul: expected ${copies} times ${format} codes [N,${width}] and ${numScales} scales for x [${x.shape}], got ${codes.dtype} [${codes.shape}], [${scale.shape}]`);
  if (groups > 1 && (!isFp8 || (DEPTH % n !== 0 && n % DEPTH !== 0)))
    throw new ShapeError(`narrowMatmul: expected groups of e4m3 whose rows divide ${DEPTH} or are a multiple of it, got ${format} with ${n} rows a group`);
  const y = empty(device, [...x.shape.slice(0, -1), groups * n], x.dtype);
  const m = offsets ? Math.max(1, Math.min(rows, ceilDiv(2 * rows, experts))) : rows;
  const tiles = tilesFor(device, x.dtype, { m, n, depth, batch: copies });
  const by = offsets ? "experts" : groups > 1 ? "groups" : "all";
  const start: NarrowStatic = { format, dtype: x.dtype, by, m: tiles.m, n: Math.min(DEPTH, tiles.n) };
  const { program, p } = fitted(device.properties.chip, narrowKernel, start, smallest);
  const args = { x, w: codes, ws: scale, y, rows, n, k: depth, ...(offsets && { offsets, experts }), ...(by === "groups" && { groups }) };
  run(device, program, [ceilDiv(n, p.n), ceilDiv(rows, p.m), copies], args);
  return y;
} // prettier-ignore

const bits = (n: number, stream: number, below: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => randomBits(stream, i) % below); // prettier-ignore
/** Every finite e4m3 code. */
const e4m3Codes = (n: number): Uint8Array => bits(n, 31, 254).map((c) => (c % 127) | (c > 126 ? 128 : 0));
const stepSizes = [0, 0.5, 1, 1.5, 2, 3, 4, 6];

interface CaseOptions {
  /** Ends of experts among the rows. */
  readonly ends?: readonly number[];
  readonly groups?: number;
  readonly dtype?: "f32" | "bf16";
}

function caseOf(format: NarrowWeights["format"], rows: number, n: number, depth: number, { ends, groups = 1, dtype = "f32" }: CaseOptions = {}): KernelCase {
  const experts = ends?.length ?? 1;
  const count = experts * groups * n;
  const isFp8 = format === "e4m3";
  const x = Float32Array.from({ length: rows * groups * depth }, (_, i) => ((randomBits(32, i) % 255) - 127) / 64);
  const [high, across] = isFp8 ? [ceilDiv(groups * n, DEPTH), ceilDiv(depth, DEPTH)] : [n, ceilDiv(depth, FP4_BLOCK)];
  const exponents = bits(experts * high * across, 33, 9).map((e) => e + 123);
  const codes = isFp8 ? e4m3Codes(count * depth) : Int8Array.from(bits(count * depth, 34, 15), (c) => c - 7);
  /** In plain numbers [experts, groups * n, depth]. */
  const w = Float32Array.from(codes, (c, i) => {
    const [row, col] = [Math.floor(i / depth), i % depth];
    const [e, r] = [Math.floor(row / (groups * n)), row % (groups * n)];
    const block = isFp8 ? Math.floor(r / DEPTH) * across + Math.floor(col / DEPTH) : r * across + Math.floor(col / FP4_BLOCK);
    return (isFp8 ? fromE4m3(c) : Math.sign(c) * stepSizes[Math.abs(c)]!) * fromE8m0(exponents[e * high * across + block]!);
  });
  const product = (a: Float32Array, b: Float32Array): Float32Array => {
    const out = new Float32Array(rows * groups * n);
    for (let e = 0; e < experts; e++)
      for (let g = 0; g < groups; g++) {
        const [first, end] = ends ? [e === 0 ? 0 : ends[e - 1]!, ends[e]!] : [0, rows];
        const wide = groups * depth;
        const part = Float32Array.from({ length: (end - first) * depth }, (_, i) => a[(first + Math.floor(i / depth)) * wide + g * depth + (i % depth)]!);
        const y = matmulRef(part, b.subarray((e * groups + g) * n * depth, (e * groups + g + 1) * n * depth), end - first, n, depth, { transB: true });
        y.forEach((v, i) => (out[(first + Math.floor(i / n)) * groups * n + g * n + (i % n)] = v));
      }
    return out;
  };
  const packed = (): readonly [NdArrayData, NdArrayData] => {
    if (isFp8) return [{ data: codes, shape: [experts, groups * n, depth], dtype: "e4m3" }, { data: Float32Array.from(exponents, fromE8m0), shape: [experts, high, across], dtype: "f32" }];
    const scales = Array.from({ length: experts }, (_, e) => packE8m0(exponents.subarray(e * n * across, (e + 1) * n * across), n, depth));
    return [
      { data: packE2m1(codes, depth), shape: [experts, n, fp4Width(depth)], dtype: "i8" },
      { data: Int8Array.from(scales.flatMap((s) => [...s])), shape: [experts, fp4Halves(depth), SCALES * n], dtype: "i8" },
    ];
  };
  return {
    name: `${format} ${rows}x${n}x${depth}${ends ? ` of ${experts} experts` : ""}${groups > 1 ? ` in ${groups} groups` : ""} ${dtype}`,
    run: (device) => {
      const [c, s] = packed().map(({ data, shape, dtype: d }) => fromHost(device, data, shape, d)) as [NdArray, NdArray];
      const rowsOf = fromHost(device, dtype === "bf16" ? f32ToBf16(x) : x, [rows, groups * depth], dtype);
      const offsets = ends && fromHost(device, Int32Array.of(0, ...ends), [experts + 1], "i32");
      return [narrowMatmul(device, rowsOf, { format, codes: c, scale: s }, { offsets, groups })];
    },
    expected: () => [product(x, w)],
    tolerance: {
      rtol: dtype === "bf16" ? 2 ** -8 : 0,
      atol: (depth + 2) * 2 ** -24 * product(x.map(Math.abs), w.map(Math.abs)).reduce((a, b) => Math.max(a, b), 0),
      why: "products of codes with eight bits are exact in f32; every sum rounds to 2^-24 of at most the sum of their sizes, bf16 once to 2^-9",
    },
  };
} // prettier-ignore

interface NdArrayData {
  readonly data: TypedArray;
  readonly shape: readonly number[];
  readonly dtype: DType;
}

const example: NarrowStatic = { format: "e2m1", dtype: "bf16", by: "experts", m: 8, n: 64 };
const fitting = (chip: Chip | undefined, p: NarrowStatic): TileProgram => fitted(chip, narrowKernel, p, smallest).program; // prettier-ignore

export const cases: OpCases = {
  op: "narrowMatmul of e2m1",
  cases: [
    caseOf("e2m1", 1, 70, 64),
    caseOf("e2m1", 19, 40, 320, { dtype: "bf16" }),
    caseOf("e2m1", 30, 20, 512, { ends: [5, 5, 26, 30] }),
  ],
  programs: (chip) => [example, { ...example, dtype: "f32", by: "all", m: 96, n: 128 } as const].map((p) => fitting(chip, p)), // prettier-ignore
};

export const fp8Cases: OpCases = {
  op: "narrowMatmul of e4m3",
  cases: [
    caseOf("e4m3", 1, 70, 40),
    caseOf("e4m3", 19, 150, 300, { dtype: "bf16" }),
    caseOf("e4m3", 30, 20, 192, { ends: [5, 5, 26, 30] }),
    caseOf("e4m3", 5, 8, 32, { groups: 2 }),
    caseOf("e4m3", 3, 128, 160, { groups: 2, dtype: "bf16" }),
  ],
  programs: (chip) => (chip && !hasFp8Products(chip) ? [] : (["groups", "experts"] as const).map((by) => fitting(chip, { ...example, format: "e4m3", by }))), // prettier-ignore
  onlyWhere: hasFp8Products,
};
