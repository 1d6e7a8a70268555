/**
 * One product per expert over rows sorted by expert: rows offsets[e]..offsets[e+1] meet w[e].
 *   groupedMatmul       y[r] = x[r] . w[e(r)]^T      x [R,K], w [E,N,K]; with transW w is [E,K,N]
 *   groupedMatmulGradW  dw[e] = sum_r dy[r]^T x[r]   dy [R,N], x [R,K] -> f32 [E,N,K]
 * A program of the first belongs to one entry of the rows' work list (work-list.ts), of the second to one expert.
 */
import { dtypes, type DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel } from "../tile/builder.ts";
import type { OpCases } from "./case.ts";
import { fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { matmulRef, productSizes, smallestTiles, tilesFor } from "./matmul.ts";
import { empty, fromHost, type NdArray } from "./nd-array.ts";
import { chosen, expertLoads, MANY_EXPERT_ROWS, type TileChoice } from "./tile-choice.ts";
import { overRows, sortedRows, tileOf, type SortedRows } from "./work-list.ts";

interface GroupedStatic {
  readonly dtype: DType;
  readonly transW: boolean;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

const groupedKernel = specialize((p: GroupedStatic) =>
  kernel("grouped_matmul", (k) => {
    const [n, depth] = [k.index("n"), k.index("k")];
    const { i0, end, e, where } = tileOf(k);
    const [x, w, y] = [k.buffer("x", p.dtype), k.buffer("w", p.dtype), k.buffer("y", p.dtype, "out")];
    const j0 = k.programId(0).mul(p.n);
    where(() => {
      const xs = k.view(x, [end, depth]);
      const ws = k.view(w, p.transW ? [depth, n] : [n, depth], { offset: e.mul(n).mul(depth) });
      const ys = k.view(y, [end, n]);
      const [sum] = k.loop({ end: depth, step: p.k }, [k.full([p.m, p.n], 0)], (c, [acc]) => {
        const tw = p.transW ? k.load(ws, [c, j0], [p.k, p.n]) : k.load(ws, [j0, c], [p.n, p.k]);
        return [k.dot(k.load(xs, [i0, c], [p.m, p.k]), tw, { acc: acc!, transB: !p.transW })];
      });
      k.store(ys, [i0, j0], sum!.cast(p.dtype));
    });
  }),
);

const gradKernel = specialize(
  (p: { readonly dtype: DType; readonly m: number; readonly n: number; readonly k: number }) =>
    kernel("grouped_matmul_grad_w", (k) => {
      const [experts, n, depth] = [k.index("experts"), k.index("n"), k.index("k")];
      const offsets = k.view(k.buffer("offsets", "i32"), [experts.add(1)]);
      const e = k.programId(2);
      const [first, end] = [k.read(offsets, [e]), k.read(offsets, [e.add(1)])];
      const rows = end.sub(first);
      const dy = k.view(k.buffer("dy", p.dtype), [rows, n], { offset: first.mul(n) });
      const x = k.view(k.buffer("x", p.dtype), [rows, depth], { offset: first.mul(depth) });
      const dw = k.view(k.buffer("dw", "f32", "out"), [n, depth], { offset: e.mul(n).mul(depth) });
      const [i0, j0] = [k.programId(1).mul(p.m), k.programId(0).mul(p.n)];
      const [sum] = k.loop({ end: rows, step: p.k }, [k.full([p.m, p.n], 0)], (r, [acc]) => [
        k.dot(k.load(dy, [r, i0], [p.k, p.m]), k.load(x, [r, j0], [p.k, p.n]), { acc: acc!, transA: true }),
      ]);
      k.store(dw, [i0, j0], sum!);
    }),
);

interface GroupedProblem {
  readonly rows: number;
  readonly n: number;
  readonly depth: number;
  readonly experts: number;
}
/** How a chip chooses. */
function choiceOf({ dtype }: GroupedStatic, { rows, n, depth, experts }: GroupedProblem): TileChoice<GroupedStatic> {
  const { size } = dtypes[dtype];
  return {
    rows,
    most: MANY_EXPERT_ROWS * experts,
    problem: { n, depth, experts },
    lattice: (total) => productSizes(expertLoads(total, experts).each, depth),
    order: ["k"],
    launch: (p, total) => {
      const { all, over } = expertLoads(total, experts);
      const { grid, numbers, read } = over(p.m);
      return {
        grid: [ceilDiv(n, p.n), ...grid],
        numbers: { n, k: depth, ...numbers },
        bytes: { x: all * depth * size, w: experts * n * depth * size, y: all * n * size },
        ...(read && { read }),
      };
    },
  };
} // prettier-ignore

export function groupedMatmul(
  device: Device,
  x: NdArray,
  w: NdArray,
  sorted: SortedRows,
  { transW = false }: { readonly transW?: boolean } = {},
): NdArray {
  const [rows, depth] = x.shape as [number, number];
  const [experts, a, b] = w.shape as [number, number, number];
  const [n, depthW] = transW ? [b, a] : [a, b];
  if (
    x.shape.length !== 2 ||
    w.shape.length !== 3 ||
    depthW !== depth ||
    sorted.offsets.shape[0] !== experts + 1 ||
    x.dtype !== w.dtype
  )
    throw new ShapeError(
      `groupedMatmul: expected x [R,K], ${x.dtype} w [E,N,K] and offsets [E+1], got [${x.shape}], ${w.dtype} [${w.shape}], [${sorted.offsets.shape}]`,
    );
  const y = empty(device, [rows, n], x.dtype);
  // Tiles for the mean load; a busier expert takes more of them.
  const m = Math.max(1, Math.min(rows, ceilDiv(2 * rows, experts)));
  const start = { dtype: x.dtype, transW, ...tilesFor(device, x.dtype, { m, n, depth, batch: experts }) };
  const { program, p } = chosen(device.properties.chip, groupedKernel, start, () =>
    choiceOf(start, { rows, n, depth, experts }),
  );
  const { grid, args } = overRows(sorted, p.m, rows, experts);
  run(device, program, [ceilDiv(n, p.n), ...grid], { x, w, y, n, k: depth, ...args });
  return y;
}

export function groupedMatmulGradW(device: Device, dy: NdArray, x: NdArray, offsets: NdArray): NdArray {
  const [n, depth, experts] = [dy.shape[1]!, x.shape[1]!, offsets.shape[0]! - 1];
  if (dy.shape[0] !== x.shape[0] || dy.dtype !== x.dtype)
    throw new ShapeError(
      `groupedMatmulGradW: expected dy [R,N] and x [R,K] of one dtype, got ${dy.dtype} [${dy.shape}] and ${x.dtype} [${x.shape}]`,
    );
  const dw = empty(device, [experts, n, depth]);
  const meanRows = Math.max(1, ceilDiv(x.shape[0]!, experts));
  const tile = tilesFor(device, x.dtype, { m: Math.max(16, n), n: depth, depth: meanRows, batch: experts });
  const { program, p } = fitted(device.properties.chip, gradKernel, { dtype: x.dtype, ...tile }, smallestTiles);
  run(device, program, [ceilDiv(depth, p.n), ceilDiv(n, p.m), experts], {
    dy,
    x,
    dw,
    offsets,
    experts,
    n,
    k: depth,
  });
  return dw;
}

const wave = (n: number, f: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(i * f + 0.3));

const examples: readonly GroupedStatic[] = [
  { dtype: "bf16", transW: false, m: 48, n: 128, k: 256 },
  { dtype: "f32", transW: true, m: 96, n: 128, k: 256 },
];

export const cases: OpCases = {
  op: "groupedMatmul",
  cases: [
    {
      name: "uneven experts, one empty: product, transposed product, weight gradient",
      run: (device) => {
        const put = (x: Float32Array, shape: readonly number[]): NdArray => fromHost(device, x, shape, "f32");
        const known = Int32Array.from([0, 5, 5, 26, 30]);
        const offsets = fromHost(device, known, [5], "i32");
        const [x, w, dy] = [
          put(wave(30 * 12, 0.3), [30, 12]),
          put(wave(4 * 20 * 12, 0.7), [4, 20, 12]),
          put(wave(30 * 20, 0.9), [30, 20]),
        ];
        return [
          groupedMatmul(device, x, w, sortedRows(device, offsets, 30)),
          groupedMatmul(device, dy, w, sortedRows(device, offsets, 30, { known }), { transW: true }),
          groupedMatmulGradW(device, dy, x, offsets),
        ];
      },
      expected: () => {
        const [x, w, dy] = [wave(360, 0.3), wave(960, 0.7), wave(600, 0.9)];
        const ends = [0, 5, 5, 26, 30];
        const out: [number[], number[], number[]] = [[], [], []];
        for (let e = 0; e < 4; e++) {
          const [r0, r1] = [ends[e]!, ends[e + 1]!];
          const [xe, we, ge] = [
            x.subarray(r0 * 12, r1 * 12),
            w.subarray(e * 240, e * 240 + 240),
            dy.subarray(r0 * 20, r1 * 20),
          ];
          out[0].push(...matmulRef(xe, we, r1 - r0, 20, 12, { transB: true }));
          out[1].push(...matmulRef(ge, we, r1 - r0, 12, 20));
          out[2].push(...matmulRef(ge, xe, 20, 12, r1 - r0, { transA: true }));
        }
        return out.map((a) => Float32Array.from(a));
      },
      tolerance: { rtol: 0, atol: 6e-6, why: "at most 21 products of values up to 1 in f32" },
    },
  ],
  programs: (chip) => [
    ...examples.map(
      (p) => chosen(chip, groupedKernel, p, () => choiceOf(p, { rows: 512, n: 1024, depth: 512, experts: 32 })).program,
    ),
    fitted(chip, gradKernel, { dtype: "bf16", m: 96, n: 128, k: 256 }, smallestTiles).program,
  ],
  training: ["grouped_matmul_grad_w"],
};
