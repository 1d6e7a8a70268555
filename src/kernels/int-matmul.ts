/**
 * Products of int8 activations with integer weights that stay integers in memory, the scales in the epilogue:
 *   int8  y[r,n] = (sum_k q[r,k] w[n,k]) * ws[n] * xs[r]                 sums in i32, one scale per output channel
 *   int4  y[r,n] = sum_g (sum_{k in g} q[r,k] w[n,k]) * ws[g,n] * xs[r]  sums of a group in i32, groups in f32
 * Rows may be sorted by expert (work-list.ts): those of e then meet w[e]; otherwise each w[e] meets as many.
 * shapes   q i8 [R,K], xs f32 [R], w i8 [E,N,K] or packed [E,N,Kp/2], ws f32 [E,G,N] (G = 1 for int8) -> y [R,N]
 * packing  of a group's numbers, byte j holds number j in its low and number j + group/2 in its high half: 16 high + low + 8.
 *          So both halves are products of plain slices, and floor(byte / 16) takes them apart on units without shifts.
 *          K is filled up to whole groups with zeros.
 * source   chips spec A.1 and B.5 (s8.s8 -> s32, exact), E.2; twin intMatmulRef
 */
import { dtypes, type DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import { randomBits } from "../base/prng.ts";
import type { Device } from "../device/device.ts";
import { kernel, type Index, type KernelBuilder, type Tile } from "../tile/builder.ts";
import type { View } from "../tile/ir.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { productSizes, tilesFor } from "./matmul.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";
import type { QuantizedRows } from "./quantize-rows.ts";
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

/** Integer weights on a device. */
export interface IntWeights {
  /** i8 [N,K] or [E,N,K]; packed [.., Kp/2] if `group` is given. */
  readonly codes: NdArray;
  /** f32 [N], [E,N] or, in groups, [G,N], [E,G,N]. */
  readonly scale: NdArray;
  /** Numbers along K that share a scale; absent: int8, one per output channel. */
  readonly group?: number | undefined;
}

/** w in plain numbers [N,K], scale [G,N]; exact sums. */
export function intMatmulRef(
  q: ArrayLike<number>,
  xs: ArrayLike<number>,
  w: ArrayLike<number>,
  scale: ArrayLike<number>,
  { rows, n, depth, group = depth }: { rows: number; n: number; depth: number; group?: number },
): Float32Array {
  return Float32Array.from({ length: rows * n }, (_, at) => {
    const [r, j] = [Math.floor(at / n), at % n];
    let total = 0;
    for (let g = 0; g * group < depth; g++) {
      let sum = 0;
      for (let k = g * group; k < Math.min(depth, (g + 1) * group); k++) sum += q[r * depth + k]! * w[j * depth + k]!;
      total += sum * scale[g * n + j]!;
    }
    return total * xs[r]!;
  });
}

/** Bytes of a row of `depth` numbers in groups. */
export const packedWidth = (depth: number, group: number): number => (ceilDiv(depth, group) * group) / 2;

/** Numbers -8..7 [rows, depth] -> bytes [rows, packedWidth]. */
export function packInt4(values: ArrayLike<number>, depth: number, group: number): Int8Array {
  const [rows, half, width] = [values.length / depth, group / 2, packedWidth(depth, group)];
  const out = new Int8Array(rows * width);
  for (let r = 0; r < rows; r++)
    for (let i = 0; i < width; i++) {
      const k = Math.floor(i / half) * group + (i % half);
      const at = (c: number): number => (c < depth ? values[r * depth + c]! : 0);
      out[r * width + i] = 16 * at(k + half) + at(k) + 8;
    }
  return out;
}

export interface IntStatic {
  readonly out: DType;
  /** 0: int8. */
  readonly group: number;
  readonly isGrouped: boolean;
  readonly m: number;
  readonly n: number;
  /** Depth of one product; half a group of int4. */
  readonly k: number;
}

export const intKernel = specialize((p: IntStatic) =>
  kernel(p.group > 0 ? "int4_matmul" : "int8_matmul", (k) => {
    const [total, n, depth] = [k.index("rows"), k.index("n"), k.index("k")];
    const [x, xs, w, ws] = [k.buffer("q", "i8"), k.buffer("xs", "f32"), k.buffer("w", "i8"), k.buffer("ws", "f32")];
    const y = k.buffer("y", p.out, "out");
    const j0 = k.programId(0).mul(p.n);
    const groups = p.group > 0 ? depth.add(p.group - 1).div(p.group) : undefined;
    const width = groups ? groups.mul(p.group / 2) : depth;
    /** Of the rows from i0 to `end` at most, `first` rows further on. */
    const product = (e: Index, first: Index | undefined, i0: Index, end: Index): void => {
      const at = (each: Index | number): Index | number => first?.mul(each) ?? 0;
      const left = k.view(x, [end, depth], { offset: at(depth) });
      const right = k.view(w, [n, width], { offset: e.mul(n).mul(width) });
      const scales = k.view(ws, [groups ?? 1, n], { offset: e.mul(groups ?? 1).mul(n) });
      const rowScale = k.load(k.view(xs, [end, 1], { offset: at(1) }), [i0, 0], [p.m, 1]);
      const sum = p.group > 0 ? int4Sum(k, p, { left, right, scales, i0, j0, width }) : int8Sum(k, p, { left, right, scales, i0, j0, width }); // prettier-ignore
      k.store(k.view(y, [end, n], { offset: at(n) }), [i0, j0], sum.mul(rowScale).cast(p.out));
    };
    if (!p.isGrouped) return product(k.programId(2), k.programId(2).mul(total), k.programId(1).mul(p.m), total);
    const { i0, end, e, where } = tileOf(k);
    where(() => product(e, undefined, i0, end));
  }),
);

interface Operands {
  readonly left: View;
  readonly right: View;
  readonly scales: View;
  readonly i0: Index;
  readonly j0: Index;
  readonly width: Index;
}

function int8Sum(k: KernelBuilder, p: IntStatic, { left, right, scales, i0, j0, width }: Operands): Tile {
  const [sum] = k.loop({ end: width, step: p.k }, [k.full([p.m, p.n], 0, "i32")], (c, [acc]) => [
    k.dot(k.load(left, [i0, c], [p.m, p.k]), k.load(right, [j0, c], [p.n, p.k]), { acc: acc!, transB: true }),
  ]);
  return sum!.cast("f32").mul(k.load(scales, [0, j0], [1, p.n]));
}

/** One group a turn; numbers past the depth are zeros on both sides. */
function int4Sum(k: KernelBuilder, p: IntStatic, { left, right, scales, i0, j0, width }: Operands): Tile {
  const half = p.k;
  const [sum] = k.loop({ end: width, step: half }, [k.full([p.m, p.n], 0)], (c, [acc]) => {
    const packed = k.load(right, [j0, c], [p.n, half]).cast("f32");
    const high = packed.mul(1 / 16).floor();
    const low = packed.sub(high.mul(16)).sub(8);
    const from = c.mul(2);
    const first = k.dot(k.load(left, [i0, from], [p.m, half]), low.cast("i8"), { transB: true });
    const both = k.dot(k.load(left, [i0, from.add(half)], [p.m, half]), high.cast("i8"), { transB: true, acc: first });
    return [acc!.add(both.cast("f32").mul(k.load(scales, [c.div(half), j0], [1, p.n])))];
  });
  return sum!;
}

export interface IntProblem {
  /** Of one product, or of all experts together. */
  readonly rows: number;
  readonly n: number;
  readonly depth: number;
  readonly experts: number;
}
/** How a chip chooses; the depth of int4 is that of its groups. */
export function intChoice({ out, group, isGrouped }: IntStatic, { rows, n, depth, experts }: IntProblem): TileChoice<IntStatic> {
  const width = group > 0 ? packedWidth(depth, group) : depth;
  const numGroups = group > 0 ? ceilDiv(depth, group) : 1;
  const loadsOf = (total: number): RowLoads => (isGrouped ? expertLoads : evenLoads)(total, experts);
  return {
    rows,
    most: isGrouped ? MANY_EXPERT_ROWS * experts : MANY_ROWS,
    problem: { n, depth, experts },
    lattice: (total) => {
      const { m, n: cols, k } = productSizes(loadsOf(total).each, depth);
      return { m, n: cols, ...(group === 0 && { k }) };
    },
    ...(group === 0 && { order: ["k"] }),
    launch: (p, total) => {
      const { all, each, over } = loadsOf(total);
      const { grid, numbers, read } = over(p.m);
      return {
        grid: [ceilDiv(n, p.n), ...grid],
        numbers: { rows: each, n, k: depth, ...numbers },
        bytes: { q: all * depth, xs: 4 * all, w: experts * n * width, ws: 4 * experts * numGroups * n, y: all * n * dtypes[out].size },
        ...(read && { read }),
      };
    },
  };
} // prettier-ignore

/** q, xs of `quantizeRows`; y [..,N] in `out`. */
export function intMatmul(
  device: Device,
  { q, scale: xs }: QuantizedRows,
  { codes, scale, group = 0 }: IntWeights,
  { out, sorted }: { readonly out: DType; readonly sorted?: SortedRows | undefined },
): NdArray {
  const depth = q.shape[q.shape.length - 1]!;
  const experts = sorted ? sorted.offsets.shape[0]! - 1 : codes.shape.length === 3 ? codes.shape[0]! : 1;
  // Of one product, or of all experts together.
  const rows = sizeOf(q.shape) / depth / (sorted ? 1 : experts);
  const n = codes.shape[codes.shape.length - 2]!;
  const width = group > 0 ? packedWidth(depth, group) : depth;
  const numScales = experts * n * (group > 0 ? ceilDiv(depth, group) : 1);
  const fits = codes.shape[codes.shape.length - 1] === width && sizeOf(codes.shape) === experts * n * width;
  if (!fits || q.dtype !== "i8" || codes.dtype !== "i8" || sizeOf(scale.shape) !== numScales)
    throw new ShapeError(
      `intMatmul: expected i8 rows [R,K], ${experts} times i8 weights [N,${width}] and ${numScales} scales, got ${q.dtype} [${q.shape}], ${codes.dtype} [${codes.shape}], [${scale.shape}]`,
    );
  const y = empty(device, [...q.shape.slice(0, -1), n], out);
  const m = sorted ? Math.max(1, Math.min(rows, ceilDiv(2 * rows, experts))) : rows;
  const tiles = tilesFor(device, "f32", { m, n, depth, batch: experts });
  const start: IntStatic = { out, group, isGrouped: sorted !== undefined, ...tiles, ...(group > 0 && { k: group / 2 }) }; // prettier-ignore
  const { program, p } = chosen(device.properties.chip, intKernel, start, () =>
    intChoice(start, { rows, n, depth, experts }),
  );
  const { grid, args } = overRows(sorted, p.m, rows, experts);
  run(device, program, [ceilDiv(n, p.n), ...grid], { q, xs, w: codes, ws: scale, y, rows, n, k: depth, ...args });
  return y;
}

const ints = (n: number, most: number, stream: number): Int8Array =>
  Int8Array.from({ length: n }, (_, i) => (randomBits(stream, i) % (2 * most + 1)) - most);
const scalesOf = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => 0.01 + (i % 7) * 0.003);

function caseOf(rows: number, n: number, depth: number, { group, ends, even = false, out = "f32" }: { group?: number; ends?: readonly number[]; even?: boolean; out?: "f32" | "bf16" } = {}): KernelCase {
  const experts = ends ? ends.length : 1;
  const groups = group ? ceilDiv(depth, group) : 1;
  const [q, w] = [ints(rows * depth, 127, 21), ints(experts * n * depth, group ? 7 : 127, 22)];
  const [xs, ws] = [scalesOf(rows), scalesOf(experts * groups * n)];
  return {
    name: `${group ? `int4 in groups of ${group}` : "int8"} ${rows}x${n}x${depth}${ends ? ` of ${experts} ${even ? "groups" : "experts"}` : ""}${out === "bf16" ? " to bf16" : ""}`,
    run: (device) => [
      intMatmul(
        device,
        { q: fromHost(device, q, [rows, depth], "i8"), scale: fromHost(device, xs, [rows], "f32") },
        {
          codes: group
            ? fromHost(device, packInt4(w, depth, group), [experts, n, packedWidth(depth, group)], "i8")
            : fromHost(device, w, [experts, n, depth], "i8"),
          scale: fromHost(device, ws, [experts, groups, n], "f32"),
          group,
        },
        { out, sorted: ends && !even ? sortedRows(device, fromHost(device, Int32Array.of(0, ...ends), [experts + 1], "i32"), rows) : undefined },
      ),
    ],
    expected: () => {
      const parts = (ends ?? [rows]).map((end, e) => {
        const begin = e === 0 ? 0 : ends![e - 1]!;
        return intMatmulRef(
          q.subarray(begin * depth, end * depth),
          xs.subarray(begin, end),
          w.subarray(e * n * depth, (e + 1) * n * depth),
          ws.subarray(e * groups * n, (e + 1) * groups * n),
          { rows: end - begin, n, depth, ...(group && { group }) },
        );
      });
      return [Float32Array.from(parts.flatMap((part) => [...part]))];
    },
    tolerance: {
      rtol: out === "bf16" ? 2 ** -8 : 2 ** -22,
      atol: group ? groups * 7 * 127 * group * 0.03 * 0.03 * 2 ** -23 : 0,
      why: "sums of int8 are exact; the scales round twice in f32, sums over groups once each, bf16 once to 2^-9",
    },
  };
} // prettier-ignore

const example: IntStatic = { out: "bf16", group: 0, isGrouped: false, m: 96, n: 128, k: 256 };
const groupedExample = { ...example, isGrouped: true, m: 24, n: 64 };
const examples: readonly { readonly p: IntStatic; readonly rows: number; readonly experts?: number }[] = [
  { p: example, rows: 1024 },
  { p: { ...example, m: 1, n: 64 }, rows: 1 },
  { p: groupedExample, rows: 512, experts: 32 },
  { p: { ...example, group: 128, k: 64 }, rows: 1024 },
  { p: { ...groupedExample, group: 128, k: 64 }, rows: 512, experts: 32 },
];

export const cases: OpCases = {
  op: "intMatmul",
  cases: [
    caseOf(1, 70, 40),
    caseOf(3, 33, 300, { out: "bf16" }),
    caseOf(37, 100, 192),
    caseOf(30, 20, 45, { ends: [5, 5, 26, 30] }),
    caseOf(24, 36, 96, { ends: [8, 16, 24], even: true }),
    caseOf(1, 70, 128, { group: 128 }),
    caseOf(19, 40, 300, { group: 64, out: "bf16" }),
    caseOf(30, 20, 192, { group: 128, ends: [5, 5, 26, 30] }),
  ],
  programs: (chip) =>
    examples.map(({ p, rows, experts = 1 }) => chosen(chip, intKernel, p, () => intChoice(p, { rows, n: 1024, depth: 4096, experts })).program), // prettier-ignore
};
