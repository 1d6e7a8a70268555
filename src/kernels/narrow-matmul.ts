/**
 * Products of wide rows with weights that stay FP8 or FP4 codes in memory: codes become numbers of the rows' dtype on the
 * way to the matrix unit, which loses nothing, since every code times its scale is a bf16 number.
 *   e4m3  y[r,n] = sum_k x[r,k] (w[n,k] ws[n / 128, k / 128])    codes e4m3 [N,K], scale f32 [N/128, K/128]
 *   e2m1  y[r,n] = sum_k x[r,k] (w[n,k] 2^ws[n, k / 32])         codes and scale as `packE2m1` and `packE8m0` make them
 * Rows may be sorted by expert (work-list.ts): those of e then meet w[e], codes and scales with a leading axis E. Or
 * columns may be in groups, x [R, G K], w [G N, K] -> y [R, G N]; then N divides 128 or 128 divides N.
 * packing  of e2m1, rows filled up to whole groups of 256. Where the chip takes two codes a byte apart, as in released
 *          files; elsewhere steps -7..7 through 0, .5, 1, 1.5, 2, 3, 4, 6, packed as int4 is (int-matmul.ts), so that half a
 *          group is a plain slice. Scales are exponents i8, in the order in which products take them: of all rows for a group
 *          (or for half a one), then for the next.
 * source   DeepSeek-V4 spec sections 2.0 (FP8 and FP4 linear) and 4; twin matmulRef over plain numbers
 */
import { f32ToBf16 } from "../base/bf16.ts";
import { dtypes, type DType, type TypedArray } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import { fromE4m3, fromE8m0 } from "../base/fp8.ts";
import { randomBits } from "../base/prng.ts";
import type { Device } from "../device/device.ts";
import { kernel, type Index, type Tile } from "../tile/builder.ts";
import type { Chip } from "../tile/chips/types.ts";
import type { TileProgram } from "../tile/ir.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { hasFp8Products } from "./fp8-matmul.ts";
import { packedWidth, packInt4 } from "./int-matmul.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { matmulRef, productSizes, tilesFor } from "./matmul.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";
import {
  chosen,
  evenLoads,
  expertLoads,
  MANY_EXPERT_ROWS,
  MANY_ROWS,
  type RowLoads,
  type TileChoice,
} from "./tile-choice.ts";
import { overRows, sortedRows, tileOf, type SortedRows } from "./work-list.ts";

/** A block of e4m3. */
const BLOCK = 128;
const FP4_GROUP = 256;
const FP4_BLOCK = 32;

export interface NarrowWeights {
  readonly format: "e4m3" | "e2m1";
  /** e4m3 [.., N, K], or i8 [.., N, fp4Width(K)]. */
  readonly codes: NdArray;
  /** f32 [.., N/128, K/128], or i8 `fp4Scales`. */
  readonly scale: NdArray;
}

const filled = (depth: number): number => ceilDiv(depth, FP4_GROUP) * FP4_GROUP;
/** Bytes of a row of `depth` e2m1 numbers. */
export const fp4Width = (depth: number): number => packedWidth(depth, FP4_GROUP);
/** Shape of the scales of a matrix [n, depth]. */
export const fp4Scales = (n: number, depth: number): [number, number] => [filled(depth) / FP4_BLOCK, n];

/** Whether two codes a byte come apart in one step, an instruction of 950; hosts are four times faster by arithmetic. */
const unpacksOn = (chip: Chip | undefined): boolean => chip?.arch.vector.other.unpack.native.includes("i8") ?? false;

/** Steps -7..7 [rows, depth] -> bytes [rows, fp4Width] as the device's kernel takes them. */
export function packE2m1({ properties }: Pick<Device, "properties">, steps: ArrayLike<number>, depth: number): Int8Array {
  if (!unpacksOn(properties.chip)) return packInt4(steps, depth, FP4_GROUP);
  const width = fp4Width(depth);
  const out = new Int8Array((steps.length / depth) * width);
  const codeOf = (v: number): number => (v < 0 ? 8 - v : v);
  for (let i = 0; i < steps.length; i++) {
    const [row, col] = [Math.floor(i / depth), i % depth];
    out[row * width + (col >> 1)]! |= codeOf(steps[i]!) << (4 * (col & 1));
  }
  return out;
} // prettier-ignore

/** Numbers of a row that one product takes. */
const fp4Depth = (unpacks: boolean): number => (unpacks ? FP4_GROUP : FP4_GROUP / 2);

/** e8m0 codes [rows, depth / 32] -> exponents in the shape `fp4Scales`; -126 where there are no numbers. */
export function packE8m0({ properties }: Pick<Device, "properties">, scale: ArrayLike<number>, rows: number, depth: number): Int8Array {
  const [across, each] = [ceilDiv(depth, FP4_BLOCK), fp4Depth(unpacksOn(properties.chip)) / FP4_BLOCK];
  return Int8Array.from({ length: (filled(depth) / FP4_BLOCK) * rows }, (_, i) => {
    const [part, row] = [Math.floor(i / (each * rows)), Math.floor(i / each) % rows];
    const block = part * each + (i % each);
    return block < across ? scale[row * across + block]! - 127 : -126;
  });
} // prettier-ignore

/**
 * 2^exponent of -125..127, exactly: an exponential is much nearer to its power of two than the next bf16 number is, so
 * rounding to bf16 takes away what a chip's is off. -126 may become 0.
 */
const powerOfTwo = (exponent: Tile): Tile => exponent.cast("f32").mul(Math.LN2).exp().cast("bf16");

/** 0, .5, 1, 1.5, 2, 3, 4, 6 of steps 0..7, and so below 0: slopes are 1/2 up to 4, 1 up to 6, then 2. */
const fromSteps = (v: Tile): Tile => v.mul(2).sub(v.max(-4).min(4).mul(0.5)).sub(v.max(-6).min(6));

interface NarrowStatic {
  readonly format: NarrowWeights["format"];
  readonly dtype: DType;
  /** What programs of the last axis are: nothing, experts, or groups of columns. */
  readonly by: "all" | "experts" | "groups";
  /** Of e2m1: two codes a byte come apart in one step. */
  readonly unpacks: boolean;
  readonly m: number;
  /** At most 128 for e4m3, so that one scale serves a tile. */
  readonly n: number;
}

const narrowKernel = specialize((p: NarrowStatic) =>
  kernel(p.format === "e4m3" ? "fp8_wide_matmul" : "fp4_matmul", (k) => {
    const isFp8 = p.format === "e4m3";
    const [n, depth] = [k.index("n"), k.index("k")];
    const [x, w] = [k.buffer("x", p.dtype), k.buffer("w", isFp8 ? "e4m3" : "i8")];
    const [scale, y] = [k.buffer("ws", isFp8 ? "f32" : "i8"), k.buffer("y", p.dtype, "out")];
    const j0 = k.programId(0).mul(p.n);
    const tile = p.by === "experts" ? tileOf(k) : undefined;
    const { e, i0, end } = tile ?? { e: k.programId(2), i0: k.programId(1).mul(p.m), end: k.index("rows") };
    const padded = depth
      .add(FP4_GROUP - 1)
      .div(FP4_GROUP)
      .mul(FP4_GROUP);
    const width = isFp8 ? depth : padded.div(2);
    const codes = k.view(w, [n, width], { offset: e.mul(n).mul(width) });

    /** The block of 128 x 128 that this tile lies in; groups of columns share blocks where they are lower. */
    const blocks = depth.add(BLOCK - 1).div(BLOCK);
    const firstBlock = p.by === "groups" ? e.mul(n).add(j0).div(BLOCK) : e.mul(n.add(BLOCK - 1).div(BLOCK)).add(j0.div(BLOCK)); // prettier-ignore
    const fp8 = (c: Index): Tile => {
      const s = k.load(k.view(scale, [firstBlock.add(1), blocks]), [firstBlock, c.div(BLOCK)], [1, 1]);
      return k.load(codes, [j0, c], [p.n, BLOCK]).cast("f32").mul(s).cast(p.dtype);
    };
    /** Numbers of one product, and scales of a row of it. */
    const fp4Step = fp4Depth(p.unpacks);
    const each = fp4Step / FP4_BLOCK;
    const exponents = k.view(scale, [padded.div(fp4Step), n.mul(each)], { offset: e.mul(padded.div(FP4_BLOCK)).mul(n) }); // prettier-ignore
    const fp4 = (values: Tile, part: Index): Tile => {
      const power = powerOfTwo(k.load(exponents, [part, j0.mul(each)], [1, p.n * each])).cast(values.dtype);
      const scaled = values.reshape([p.n * each, FP4_BLOCK]).mul(power.reshape([p.n * each, 1]));
      return scaled.reshape([p.n, fp4Step]).cast(p.dtype);
    };

    const product = (): void => {
      const groups = p.by === "groups" ? k.index("groups") : undefined;
      const sideBySide = (each: Index): { offset: Index; strides: readonly (Index | number)[] } => ({ offset: e.mul(each), strides: [groups!.mul(each), 1] }); // prettier-ignore
      const left = k.view(x, [end, depth], groups ? sideBySide(depth) : {});
      const out = k.view(y, [end, n], groups ? sideBySide(n) : {});
      const step = isFp8 ? BLOCK : fp4Step;
      const at = (c: Index): Tile => k.load(left, [i0, c], [p.m, step]);
      const [sum] = k.loop({ end: isFp8 ? depth : width, step: BLOCK }, [k.full([p.m, p.n], 0)], (c, [acc]) => {
        if (isFp8) return [k.dot(at(c), fp8(c), { acc: acc!, transB: true })];
        // 128 bytes, a group.
        const [from, part] = [c.mul(2), c.mul(2).div(fp4Step)];
        const packed = k.load(codes, [j0, c], [p.n, FP4_GROUP / 2]);
        if (p.unpacks) return [k.dot(at(from), fp4(packed.unpackE2m1(), part), { acc: acc!, transB: true })];
        const both = packed.cast("f32");
        const high = both.mul(1 / 16).floor();
        const low = both.sub(high.mul(16)).sub(8);
        const first = k.dot(at(from), fp4(fromSteps(low), part), { acc: acc!, transB: true });
        return [k.dot(at(from.add(fp4Step)), fp4(fromSteps(high), part.add(1)), { acc: first, transB: true })];
      });
      k.store(out, [i0, j0], sum!.cast(p.dtype));
    };
    if (tile) tile.where(product);
    else product();
  }),
);

interface NarrowProblem {
  /** Of one product, or of all experts together. */
  readonly rows: number;
  readonly n: number;
  readonly depth: number;
  /** Experts or groups. */
  readonly copies: number;
}

/** How a chip chooses. */
function choiceOf({ format, dtype, by }: NarrowStatic, { rows, n, depth, copies }: NarrowProblem): TileChoice<NarrowStatic> {
  const [isFp8, isSorted] = [format === "e4m3", by === "experts"];
  const loadsOf = (total: number): RowLoads => (isSorted ? expertLoads : evenLoads)(total, copies);
  const numScales = isFp8 ? 4 * ceilDiv(n, BLOCK) * ceilDiv(depth, BLOCK) : (n * filled(depth)) / FP4_BLOCK;
  return {
    rows,
    most: isSorted ? MANY_EXPERT_ROWS * copies : MANY_ROWS,
    problem: { n, depth, copies },
    lattice: (total) => ({ m: productSizes(loadsOf(total).each, depth).m!, n: [BLOCK, 64, 32] }),
    launch: (p, total) => {
      const { all, each, over } = loadsOf(total);
      const { grid, numbers, read } = over(p.m);
      const { size } = dtypes[dtype];
      return {
        grid: [ceilDiv(n, p.n), ...grid],
        numbers: { rows: each, n, k: depth, groups: copies, ...numbers },
        bytes: { x: all * depth * size, w: copies * n * (isFp8 ? depth : fp4Width(depth)), ws: copies * numScales, y: all * n * size },
        ...(read && { read }),
      };
    },
  };
} // prettier-ignore

export interface NarrowMatmulOptions {
  readonly sorted?: SortedRows | undefined;
  /** Groups of columns, each with rows of w of its own; 1 unless told. */
  readonly groups?: number;
}

/** x [..,K] -> y [..,N] of the same dtype. */
export function narrowMatmul(device: Device, x: NdArray, { format, codes, scale }: NarrowWeights, { sorted, groups = 1 }: NarrowMatmulOptions = {}): NdArray {
  const across = x.shape[x.shape.length - 1]!;
  const [rows, depth] = [sizeOf(x.shape) / across, across / groups];
  const experts = sorted ? sorted.offsets.shape[0]! - 1 : 1;
  const n = codes.shape[codes.shape.length - 2]! / groups;
  const [isFp8, copies] = [format === "e4m3", experts * groups];
  const width = isFp8 ? depth : fp4Width(depth);
  const numScales = isFp8 ? experts * ceilDiv(groups * n, BLOCK) * ceilDiv(depth, BLOCK) : (experts * n * filled(depth)) / FP4_BLOCK;
  if (codes.shape[codes.shape.length - 1] !== width || sizeOf(codes.shape) !== copies * n * width || codes.dtype !== (isFp8 ? "e4m3" : "i8") || sizeOf(scale.shape) !== numScales)
    throw new ShapeError(`narrowMatmul: expected ${copies} times ${format} codes [N,${width}] and ${numScales} scales for x [${x.shape}], got ${codes.dtype} [${codes.shape}], [${scale.shape}]`);
  if (groups > 1 && (!isFp8 || (BLOCK % n !== 0 && n % BLOCK !== 0)))
    throw new ShapeError(`narrowMatmul: expected groups of e4m3 whose rows divide ${BLOCK} or are a multiple of it, got ${format} with ${n} rows a group`);
  const y = empty(device, [...x.shape.slice(0, -1), groups * n], x.dtype);
  const m = sorted ? Math.max(1, Math.min(rows, ceilDiv(2 * rows, experts))) : rows;
  const tiles = tilesFor(device, x.dtype, { m, n, depth, batch: copies });
  const by = sorted ? "experts" : groups > 1 ? "groups" : "all";
  const unpacks = !isFp8 && unpacksOn(device.properties.chip);
  const start: NarrowStatic = { format, dtype: x.dtype, by, unpacks, m: tiles.m, n: Math.min(BLOCK, tiles.n) };
  const { program, p } = chosen(device.properties.chip, narrowKernel, start, () => choiceOf(start, { rows, n, depth, copies }));
  const { grid, args } = overRows(sorted, p.m, rows, copies);
  run(device, program, [ceilDiv(n, p.n), ...grid], { x, w: codes, ws: scale, y, rows, n, k: depth, groups, ...args });
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

/** Of codes of every kind; also a launch for mutants (chip-turns.ts). */
export function narrowCase(format: NarrowWeights["format"], rows: number, n: number, depth: number, { ends, groups = 1, dtype = "f32" }: CaseOptions = {}): KernelCase {
  const experts = ends?.length ?? 1;
  const count = experts * groups * n;
  const isFp8 = format === "e4m3";
  const x = Float32Array.from({ length: rows * groups * depth }, (_, i) => ((randomBits(32, i) % 255) - 127) / 64);
  const [high, across] = isFp8 ? [ceilDiv(groups * n, BLOCK), ceilDiv(depth, BLOCK)] : [n, ceilDiv(depth, FP4_BLOCK)];
  const exponents = bits(experts * high * across, 33, 9).map((e) => e + 123);
  const codes = isFp8 ? e4m3Codes(count * depth) : Int8Array.from(bits(count * depth, 34, 15), (c) => c - 7);
  /** In plain numbers [experts, groups * n, depth]. */
  const w = Float32Array.from(codes, (c, i) => {
    const [row, col] = [Math.floor(i / depth), i % depth];
    const [e, r] = [Math.floor(row / (groups * n)), row % (groups * n)];
    const block = isFp8 ? Math.floor(r / BLOCK) * across + Math.floor(col / BLOCK) : r * across + Math.floor(col / FP4_BLOCK);
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
  const packed = (device: Device): readonly [NdArrayData, NdArrayData] => {
    if (isFp8) return [{ data: codes, shape: [experts, groups * n, depth], dtype: "e4m3" }, { data: Float32Array.from(exponents, fromE8m0), shape: [experts, high, across], dtype: "f32" }];
    const scales = Array.from({ length: experts }, (_, e) => packE8m0(device, exponents.subarray(e * n * across, (e + 1) * n * across), n, depth));
    return [
      { data: packE2m1(device, codes, depth), shape: [experts, n, fp4Width(depth)], dtype: "i8" },
      { data: Int8Array.from(scales.flatMap((s) => [...s])), shape: [experts, ...fp4Scales(n, depth)], dtype: "i8" },
    ];
  };
  return {
    name: `${format} ${rows}x${n}x${depth}${ends ? ` of ${experts} experts` : ""}${groups > 1 ? ` in ${groups} groups` : ""} ${dtype}`,
    run: (device) => {
      const [c, s] = packed(device).map(({ data, shape, dtype: d }) => fromHost(device, data, shape, d)) as [NdArray, NdArray];
      const rowsOf = fromHost(device, dtype === "bf16" ? f32ToBf16(x) : x, [rows, groups * depth], dtype);
      const sorted = ends && sortedRows(device, fromHost(device, Int32Array.of(0, ...ends), [experts + 1], "i32"), rows);
      return [narrowMatmul(device, rowsOf, { format, codes: c, scale: s }, { sorted, groups })];
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

const example: NarrowStatic = { format: "e2m1", dtype: "bf16", by: "experts", unpacks: true, m: 8, n: 64 };
/** For half a hundred rows. */
function fitting(chip: Chip | undefined, p: NarrowStatic): TileProgram {
  const start = { ...p, unpacks: p.unpacks && unpacksOn(chip) };
  return chosen(chip, narrowKernel, start, () => choiceOf(start, { rows: 48, n: 1024, depth: 4096, copies: p.by === "all" ? 1 : 8 })).program;
} // prettier-ignore

export const cases: OpCases = {
  op: "narrowMatmul of e2m1",
  cases: [
    narrowCase("e2m1", 1, 70, 64),
    narrowCase("e2m1", 19, 40, 320, { dtype: "bf16" }),
    narrowCase("e2m1", 30, 20, 512, { ends: [5, 5, 26, 30] }),
  ],
  programs: (chip) => [example, { ...example, dtype: "f32", by: "all", m: 96, n: 128 } as const].map((p) => fitting(chip, p)), // prettier-ignore
};

export const fp8Cases: OpCases = {
  op: "narrowMatmul of e4m3",
  cases: [
    narrowCase("e4m3", 1, 70, 40),
    narrowCase("e4m3", 19, 150, 300, { dtype: "bf16" }),
    narrowCase("e4m3", 30, 20, 192, { ends: [5, 5, 26, 30] }),
    narrowCase("e4m3", 5, 8, 32, { groups: 2 }),
    narrowCase("e4m3", 3, 128, 160, { groups: 2, dtype: "bf16" }),
  ],
  programs: (chip) => (chip && !hasFp8Products(chip) ? [] : (["groups", "experts"] as const).map((by) => fitting(chip, { ...example, format: "e4m3", unpacks: false, by }))), // prettier-ignore
  onlyWhere: hasFp8Products,
};
