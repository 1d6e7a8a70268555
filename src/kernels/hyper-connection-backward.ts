/**
 * Gradients of hyper-connections. The Sinkhorn turns are run again with every state kept in a scratch
 * array [turns,n,n,R], then undone last to first:
 *   C' = C / (s + eps), s = sum C   =>   dC = (dC' - sum(dC' C')) / (s + eps)
 */
import type { Device } from "../device/device.ts";
import { kernel, type Tile } from "../tile/builder.ts";
import type { View } from "../tile/ir.ts";
import type { KernelCase, OpCases } from "./case.ts";
import {
  checkSplit,
  checkStreams,
  columnView,
  hcForwardPrograms,
  hcPost,
  hcPostRef,
  hcPre,
  hcPreRef,
  hcSplit,
  hcSplitRef,
  loadSplit,
  normalizeComb,
  softmaxComb,
  smallestSplit,
  SPLIT_ROWS,
  streamStatic,
  streamView,
  type HcSplitParams,
  type MixColumns,
  type SplitStatic,
  type StreamStatic,
} from "./hyper-connection.ts";
import { fitted } from "./fit.ts";
import type { Projected } from "./hc-project.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, type NdArray } from "./nd-array.ts";
import { sum } from "./reduce.ts";

/** Undoes one normalisation of comb, given the state before it. */
function undoNormalize(before: Tile, grad: Tile, axis: 0 | 1, eps: number): Tile {
  const total = before.sum(axis).add(eps);
  const after = before.div(total);
  return grad.sub(grad.mul(after).sum(axis)).div(total);
}

const splitBackwardKernel = specialize((p: SplitStatic) =>
  kernel("hc_split_backward", (k) => {
    const { n, eps } = p;
    const width = (2 + n) * n;
    const [rows, iters, parts] = [k.index("rows"), k.index("iters"), k.index("parts")];
    const r0 = k.programId(0).mul(p.rows);
    const y = k.buffer("mix", "f32");
    const columns: MixColumns = (offset, count) => k.load(k.view(y, [count, rows], { strides: [1, width], offset }), [0, r0], [count, p.rows]); // prettier-ignore
    const { mix, affine, scale } = loadSplit(k, p, columns);
    // States before each normalisation: 0 the first columns, then rows 2i-1 and columns 2i.
    const states = k.view(k.buffer("states", "f32", "inout"), [iters.mul(2), n, n, rows]);
    const box = [1, n, n, p.rows];
    const keep = (i: Parameters<typeof k.store>[1][number], c: Tile): void =>
      k.store(states, [i, 0, 0, r0], c.reshape(box));
    const kept = (i: Parameters<typeof k.store>[1][number]): Tile =>
      k.load(states, [i, 0, 0, r0], box).reshape([n, n, p.rows]);
    const soft = softmaxComb(affine.comb);
    const first = soft.add(eps);
    k.loop({ start: 1, end: iters }, [normalizeComb(first, 0, eps)], (i, [c]) => {
      keep(i.mul(2).sub(1), c!);
      const byRows = normalizeComb(c!, 1, eps);
      keep(i.mul(2), byRows);
      return [normalizeComb(byRows, 0, eps)];
    });
    const gradIn = (name: string): Tile =>
      k.load(k.view(k.buffer(name, "f32"), [n, rows], { strides: [1, n] }), [0, r0], [n, p.rows]);
    const dcomb = k.load(
      k.view(k.buffer("dcomb", "f32"), [n, n, rows], { strides: [n, 1, n * n] }),
      [0, 0, r0],
      [n, n, p.rows],
    );
    const [undone] = k.loop({ start: 1, end: iters }, [dcomb], (turn, [g]) => {
      const i = iters.sub(turn);
      const afterRows = undoNormalize(kept(i.mul(2)), g!, 0, eps);
      return [undoNormalize(kept(i.mul(2).sub(1)), afterRows, 1, eps)];
    });
    const dsoft = undoNormalize(first, undone!, 0, eps);
    const daffine = soft.mul(dsoft.sub(dsoft.mul(soft).sum(1)));
    const sigmoidGrad = (x: Tile, g: Tile, factor: number): Tile => {
      const s = x.sigmoid();
      return g.mul(s.mul(s.neg().add(1))).mul(factor);
    };
    const dpre = sigmoidGrad(affine.pre, gradIn("dpre"), 1);
    const dpost = sigmoidGrad(affine.post, gradIn("dpost"), 2);
    const dmix = k.buffer("dmix", "f32", "out");
    const one = (t: Tile, rank: number): Tile => t.reshape(Array<number>(rank).fill(1));
    k.store(k.view(dmix, [n, rows], { strides: [1, width] }), [0, r0], dpre.mul(one(scale[0], 2)));
    k.store(k.view(dmix, [n, rows], { strides: [1, width], offset: n }), [0, r0], dpost.mul(one(scale[1], 2)));
    k.store(
      k.view(dmix, [n, n, rows], { strides: [n, 1, width], offset: 2 * n }),
      [0, 0, r0],
      daffine.mul(one(scale[2], 3)),
    );
    // Sums over this program's rows; rows past the end have zero gradients but a finite state, so they add nothing.
    const dbase = k.buffer("dbase", "f32", "out");
    const part = k.programId(0);
    const sums = (offset: number, g: Tile): void =>
      k.store(
        k.view(dbase, [parts, n, 1], { strides: [width, 1, 1], offset }),
        [part, 0, 0],
        g.sum(1).reshape([1, n, 1]),
      );
    sums(0, dpre);
    sums(n, dpost);
    k.store(
      k.view(dbase, [parts, n, n, 1], { strides: [width, n, 1, 1], offset: 2 * n }),
      [part, 0, 0, 0],
      daffine.sum(2).reshape([1, n, n, 1]),
    );
    const dscale = k.view(k.buffer("dscale", "f32", "out"), [parts, 3]);
    k.store(dscale, [part, 0], dpre.mul(mix.pre).sum(1).sum(0));
    k.store(dscale, [part, 1], dpost.mul(mix.post).sum(1).sum(0));
    k.store(dscale, [part, 2], daffine.mul(mix.comb).sum(2).sum(1).reshape([n, 1]).sum(0));
  }),
);

export function hcSplitBackward(
  device: Device,
  { dpre, dpost, dcomb }: { readonly dpre: NdArray; readonly dpost: NdArray; readonly dcomb: NdArray },
  mix: NdArray,
  p: HcSplitParams,
): { dmix: NdArray; dbase: NdArray; dscale: NdArray } {
  const [rows, columns] = mix.shape as [number, number];
  checkSplit("hcSplitBackward", { columns, dtype: mix.dtype }, p);
  const { n, iters, eps, base, scale } = p;
  const start = { n, eps, rows: SPLIT_ROWS };
  const { program, p: used } = fitted(device.properties.chip, splitBackwardKernel, start, smallestSplit);
  const parts = Math.max(1, ceilDiv(rows, used.rows));
  const dmix = empty(device, mix.shape);
  const [pbase, pscale] = [empty(device, [parts, (2 + n) * n]), empty(device, [parts, 3])];
  const states = empty(device, [iters * 2, n, n, rows]);
  run(device, program, [parts, 1, 1], {
    mix,
    base,
    scale,
    dpre,
    dpost,
    dcomb,
    states,
    dmix,
    dbase: pbase,
    dscale: pscale,
    rows,
    iters,
    parts,
  });
  const [dbase, dscale] = [sum(device, pbase, 0), sum(device, pscale, 0)];
  for (const a of [states, pbase, pscale]) device.free(a.buffer);
  return { dmix, dbase: { ...dbase, shape: base.shape }, dscale: { ...dscale, shape: scale.shape } };
}

const preBackwardKernel = specialize((p: StreamStatic) =>
  kernel("hc_pre_backward", (k) => {
    const rows = k.index("rows");
    const [dy, x, pre, dx, dpre] = [
      k.buffer("dy", p.dtype),
      k.buffer("x", p.dtype),
      k.buffer("pre", "f32"),
      k.buffer("dx", p.dtype, "out"),
      k.buffer("dpre", "f32", "out"),
    ];
    const at = [k.programId(0).mul(p.rows), 0];
    const g = k.load(k.view(dy, [rows, p.d]), at, [p.rows, p.d]).cast("f32");
    for (let j = 0; j < p.n; j++) {
      const stream = k.load(streamView(k, x, p, rows, j), at, [p.rows, p.d]).cast("f32");
      k.store(
        streamView(k, dx, p, rows, j),
        at,
        g.mul(k.load(columnView(k, pre, rows, p.n, j), at, [p.rows, 1])).cast(p.dtype),
      );
      k.store(columnView(k, dpre, rows, p.n, j), at, g.mul(stream).sum(1));
    }
  }),
);

const postBackwardKernel = specialize((p: StreamStatic) =>
  kernel("hc_post_backward", (k) => {
    const { n, d } = p;
    const rows = k.index("rows");
    const input = (name: string, dtype = p.dtype): ReturnType<typeof k.buffer> => k.buffer(name, dtype);
    const [dy, f, x, post, comb] = [input("dy"), input("f"), input("x"), input("post", "f32"), input("comb", "f32")];
    const [df, dx, dpost, dcomb] = [
      k.buffer("df", p.dtype, "out"),
      k.buffer("dx", p.dtype, "out"),
      k.buffer("dpost", "f32", "out"),
      k.buffer("dcomb", "f32", "out"),
    ];
    const at = [k.programId(0).mul(p.rows), 0];
    const tile = (view: View): Tile => k.load(view, at, [p.rows, d]).cast("f32");
    const column = (buffer: typeof post, width: number, i: number): View => columnView(k, buffer, rows, width, i);
    const coefficient = (buffer: typeof post, width: number, i: number): Tile =>
      k.load(column(buffer, width, i), at, [p.rows, 1]);
    const grads = Array.from({ length: n }, (_, i) => tile(streamView(k, dy, p, rows, i)));
    const total = (terms: Tile[]): Tile => terms.reduce((a, b) => a.add(b));
    k.store(k.view(df, [rows, d]), at, total(grads.map((g, i) => g.mul(coefficient(post, n, i)))).cast(p.dtype));
    const fTile = tile(k.view(f, [rows, d]));
    grads.forEach((g, i) => k.store(column(dpost, n, i), at, g.mul(fTile).sum(1)));
    for (let j = 0; j < n; j++) {
      const stream = tile(streamView(k, x, p, rows, j));
      k.store(
        streamView(k, dx, p, rows, j),
        at,
        total(grads.map((g, i) => g.mul(coefficient(comb, n * n, j * n + i)))).cast(p.dtype),
      );
      grads.forEach((g, i) => k.store(column(dcomb, n * n, j * n + i), at, g.mul(stream).sum(1)));
    }
  }),
);

export function hcPreBackward(device: Device, dy: NdArray, x: NdArray, pre: NdArray): { dx: NdArray; dpre: NdArray } {
  const { program, p } = fitted(device.properties.chip, preBackwardKernel, streamStatic(x), { rows: 1 });
  const rows = checkStreams("hcPreBackward", x, [[dy, [x.shape[0]!, p.d]]]);
  const [dx, dpre] = [empty(device, x.shape, x.dtype), empty(device, pre.shape)];
  run(device, program, [ceilDiv(rows, p.rows), 1, 1], { dy, x, pre, dx, dpre, rows });
  return { dx, dpre };
}

export function hcPostBackward(
  device: Device,
  dy: NdArray,
  f: NdArray,
  x: NdArray,
  post: NdArray,
  comb: NdArray,
): { df: NdArray; dx: NdArray; dpost: NdArray; dcomb: NdArray } {
  const { program, p } = fitted(device.properties.chip, postBackwardKernel, streamStatic(x), { rows: 1 });
  const rows = checkStreams("hcPostBackward", x, [[dy, x.shape]]);
  const [df, dx, dpost, dcomb] = [
    empty(device, f.shape, f.dtype),
    empty(device, x.shape, x.dtype),
    empty(device, post.shape),
    empty(device, comb.shape),
  ];
  run(device, program, [ceilDiv(rows, p.rows), 1, 1], {
    dy,
    f,
    x,
    post,
    comb,
    df,
    dx,
    dpost,
    dcomb,
    rows,
  });
  return { df, dx, dpost, dcomb };
}

const wave = (n: number, f: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(i * f + 0.4));

/** Gradient of sum(f(x) * weights) at x by central differences in f64 over the f32 twin's inputs. */
function numericGrad(
  x: Float32Array,
  f: (x: Float64Array) => readonly ArrayLike<number>[],
  weights: readonly Float32Array[],
): Float32Array {
  const point = Float64Array.from(x);
  const value = (): number =>
    f(point).reduce((s, y, i) => s + Array.from(y).reduce((t, v, j) => t + v * weights[i]![j]!, 0), 0);
  return Float32Array.from(x, (v, i) => {
    const h = 1e-2;
    point[i] = v + h;
    const up = value();
    point[i] = v - h;
    const down = value();
    point[i] = v;
    return (up - down) / (2 * h);
  });
}

/** A projection in three parts, with squares that add up to 1. */
function inParts(device: Device, mix: Float32Array, rows: number): Projected {
  const shares = [0.5, 0.25, 0.25];
  const dots = Float32Array.from(shares.flatMap((share) => Array.from(mix, (v) => v * share)));
  const squares = Float32Array.from(shares.flatMap((share) => Array<number>(rows).fill(share)));
  return {
    dots: fromHost(device, dots, [3, rows, mix.length / rows], "f32"),
    squares: fromHost(device, squares, [3, rows], "f32"),
    rows,
    pitch: rows,
    channels: 1,
  };
}

function splitCase(rows: number, n: number, iters: number, isForward = false): KernelCase {
  const width = (2 + n) * n;
  const [mix, base, scale] = [wave(rows * width, 0.7), wave(width, 1.3), Float32Array.of(0.5, 0.7, 0.9)];
  const [dpre, dpost, dcomb] = [wave(rows * n, 0.3), wave(rows * n, 0.6), wave(rows * n * n, 0.9)];
  const eps = 1e-6;
  const split = (m: ArrayLike<number>, b: ArrayLike<number>, s: ArrayLike<number>): ArrayLike<number>[] => {
    const out = hcSplitRef(m, rows, { base: b, scale: s, n, iters, eps });
    return [out.pre, out.post, out.comb];
  };
  return {
    name: `split ${rows} rows, n=${n}, ${iters} turns${isForward ? ", forward" : ""}`,
    run: (device) => {
      const put = (a: Float32Array, shape: readonly number[]): NdArray => fromHost(device, a, shape, "f32");
      const p = { base: put(base, [width]), scale: put(scale, [3]), n, iters, eps };
      const keeps = !isForward;
      const { pre, post, comb, kept } = hcSplit(device, inParts(device, mix, rows), { ...p, normEps: 0, keeps });
      if (!kept) return [pre, post, comb];
      const grads = { dpre: put(dpre, [rows, n]), dpost: put(dpost, [rows, n]), dcomb: put(dcomb, [rows, n, n]) };
      const back = hcSplitBackward(device, grads, put(mix, [rows, width]), p);
      return [pre, post, comb, kept.y, kept.s, back.dmix, back.dbase, back.dscale];
    },
    expected: () => {
      const weights = [dpre, dpost, dcomb];
      const forward = split(mix, base, scale) as Float32Array[];
      if (isForward) return forward;
      return [
        ...forward,
        mix,
        new Float32Array(rows).fill(1),
        numericGrad(mix, (v) => split(v, base, scale), weights),
        numericGrad(base, (v) => split(mix, v, scale), weights),
        numericGrad(scale, (v) => split(mix, base, v), weights),
      ];
    },
    tolerance: {
      rtol: 1e-3,
      atol: 1e-4 * Math.sqrt(rows),
      why: "central differences with h = 1e-2: h^2/6 times third derivatives near 1, and f32 outputs of the twin over 2h",
    },
  };
}

function streamCase(rows: number, n: number, d: number): KernelCase {
  const [x, f, pre, post, comb] = [
    wave(rows * n * d, 0.31),
    wave(rows * d, 0.57),
    wave(rows * n, 0.9),
    wave(rows * n, 1.2),
    wave(rows * n * n, 1.7),
  ];
  const [dy, dys] = [wave(rows * d, 0.41), wave(rows * n * d, 0.23)];
  return {
    name: `streams ${rows}x${n}x${d}`,
    run: (device) => {
      const put = (a: Float32Array, shape: readonly number[]): NdArray => fromHost(device, a, shape, "f32");
      const [dx, df, dpre, dpost, dcomb] = [
        put(x, [rows, n, d]),
        put(f, [rows, d]),
        put(pre, [rows, n]),
        put(post, [rows, n]),
        put(comb, [rows, n, n]),
      ];
      const a = hcPreBackward(device, put(dy, [rows, d]), dx, dpre);
      const b = hcPostBackward(device, put(dys, [rows, n, d]), df, dx, dpost, dcomb);
      return [
        hcPre(device, dx, dpre),
        hcPost(device, df, dx, dpost, dcomb),
        a.dx,
        a.dpre,
        b.df,
        b.dx,
        b.dpost,
        b.dcomb,
      ];
    },
    expected: () => {
      const out = [
        new Float32Array(rows * n * d),
        new Float32Array(rows * n),
        new Float32Array(rows * d),
        new Float32Array(rows * n * d),
        new Float32Array(rows * n),
        new Float32Array(rows * n * n),
      ] as const;
      const [ax, apre, bf, bx, bpost, bcomb] = out;
      for (let r = 0; r < rows; r++)
        for (let c = 0; c < d; c++)
          for (let j = 0; j < n; j++) {
            const [sj, rj] = [(r * n + j) * d + c, r * n + j];
            ax[sj] = dy[r * d + c]! * pre[rj]!;
            apre[rj]! += dy[r * d + c]! * x[sj]!;
            bf[r * d + c]! += post[rj]! * dys[sj]!;
            bpost[rj]! += f[r * d + c]! * dys[sj]!;
            for (let i = 0; i < n; i++) {
              bx[sj]! += comb[rj * n + i]! * dys[(r * n + i) * d + c]!;
              bcomb[rj * n + i]! += x[sj]! * dys[(r * n + i) * d + c]!;
            }
          }
      return [hcPreRef(x, pre, rows, n, d), hcPostRef(f, x, post, comb, rows, n, d), ...out];
    },
    tolerance: { rtol: 1e-5, atol: 3e-7 * d, why: "sums of n or D products of values up to 1 in f32" },
  };
}

const example: StreamStatic = { n: 4, d: 384, dtype: "bf16", rows: 5 };

export const cases: OpCases = {
  op: "hyperConnection",
  cases: [
    splitCase(5, 4, 20),
    splitCase(70, 2, 3),
    splitCase(9, 4, 20, true),
    streamCase(3, 4, 24),
    streamCase(20, 4, 64),
  ],
  programs: (chip) => [
    ...hcForwardPrograms(example, chip),
    fitted(chip, splitBackwardKernel, { n: 4, eps: 1e-6, rows: SPLIT_ROWS }, smallestSplit).program,
    ...[preBackwardKernel, postBackwardKernel].map((f) => fitted(chip, f, example, { rows: 1 }).program),
  ],
  training: ["hc_split_backward", "hc_pre_backward", "hc_post_backward"],
};
