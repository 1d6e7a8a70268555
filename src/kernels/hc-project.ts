/**
 * The projection that makes a hyper-connection's mixing values, with its norm folded in, so that the streams are read
 * once and no normalised copy of them exists:
 *   y[r,j] = s_r sum_c fn[j,c] x[r,c],   s_r = rsqrt(mean_c x[r,c]^2 + eps)
 * Channels are cut into parts, so that many cores share even one row: a program leaves the sums of its part, and whoever
 * reads them adds the parts up (hc_split, or `hcFinish`). How many parts follows from the channels alone, never from the
 * rows, so a row's bits do not depend on its company.
 *   backward, with q_r = s_r^2 / C sum_j dy[r,j] y[r,j]:
 *   dx[r,c] = sum_j s_r dy[r,j] fn[j,c] - q_r x[r,c],   dfn[j,c] = sum_r s_r dy[r,j] x[r,c]
 * shapes   x [R,C] (C = streams x width), fn f32 [J,C] -> dots f32 [P,R,J], squares f32 [P,R] -> y f32 [R,J], s f32 [R];
 *          the rows of a part have room for `pitch` of them, so that no part begins within another's line of memory
 * numeric  x is widened, everything else f32; the product is an f32 product whatever x is
 * source   DeepSeek-V4 spec section 2.2 (first two lines); twin hcProjectRef
 */
import type { DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel, type KernelBuilder, type Tile } from "../tile/builder.ts";
import type { View } from "../tile/ir.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { fitted, type Fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, wholeLines, type NdArray } from "./nd-array.ts";

/** y and s in f64 loops. */
export function hcProjectRef(
  x: ArrayLike<number>,
  fn: ArrayLike<number>,
  { rows, channels, outs, eps }: { rows: number; channels: number; outs: number; eps: number },
): { y: Float32Array; s: Float32Array } {
  const [y, s] = [new Float32Array(rows * outs), new Float32Array(rows)];
  for (let r = 0; r < rows; r++) {
    let square = 0;
    for (let c = 0; c < channels; c++) square += x[r * channels + c]! ** 2;
    s[r] = 1 / Math.sqrt(square / channels + eps);
    for (let j = 0; j < outs; j++) {
      let dot = 0;
      for (let c = 0; c < channels; c++) dot += fn[j * channels + c]! * x[r * channels + c]!;
      y[r * outs + j] = s[r]! * dot;
    }
  }
  return { y, s };
}

interface ProjectStatic {
  readonly dtype: DType;
  readonly channels: number;
  readonly outs: number;
  /** Rows and channels of one turn. */
  readonly rows: number;
  readonly depth: number;
}
interface ForwardStatic extends ProjectStatic {
  /** Channels of one part. */
  readonly span: number;
}

/** Sums of parts of the channels, to be added up. */
export interface Projected {
  /** [P,pitch,J]; a part's rows after the first `rows` are undefined. */
  readonly dots: NdArray;
  /** Of x^2, [P,pitch]. */
  readonly squares: NdArray;
  readonly rows: number;
  readonly pitch: number;
  readonly channels: number;
}

const forwardKernel = specialize((p: ForwardStatic) =>
  kernel("hc_project", (k) => {
    const [rows, pitch] = [k.index("rows"), k.index("pitch")];
    const parts = ceilDiv(p.channels, p.span);
    const x = k.view(k.buffer("x", p.dtype), [rows, p.channels]);
    const fn = k.view(k.buffer("fn", "f32"), [p.outs, p.channels]);
    const ofParts = (name: string, width: number): View => k.view(k.buffer(name, "f32", "out"), [parts, rows, width], { strides: [pitch.mul(width), width, 1] }); // prettier-ignore
    const [dots, squares] = [ofParts("dots", p.outs), ofParts("squares", 1)];
    const [part, r0] = [k.programId(0), k.programId(1).mul(p.rows)];
    const first = part.mul(p.span);
    const start = [k.full([p.rows, p.outs], 0), k.full([p.rows, 1], 0)];
    const [dot, square] = k.loop({ end: p.span, step: p.depth }, start, (c, [acc, sum]) => {
      const tile = k.load(x, [r0, first.add(c)], [p.rows, p.depth]).cast("f32");
      const weights = k.load(fn, [0, first.add(c)], [p.outs, p.depth]);
      return [k.dot(tile, weights, { transB: true, acc: acc! }), sum!.add(tile.mul(tile).sum(1))];
    });
    k.store(dots, [part, r0, 0], dot!.reshape([1, p.rows, p.outs]));
    k.store(squares, [part, r0, 0], square!.reshape([1, p.rows, 1]));
  }),
);

interface FinishStatic {
  readonly parts: number;
  readonly outs: number;
  readonly rows: number;
}

const finishKernel = specialize((p: FinishStatic) =>
  kernel("hc_finish", (k) => {
    const [rows, pitch] = [k.index("rows"), k.index("pitch")];
    const r0 = k.programId(0).mul(p.rows);
    const sumOf = (name: string, width: number): Tile =>
      k
        .load(
          k.view(k.buffer(name, "f32"), [p.parts, rows, width], { strides: [pitch.mul(width), width, 1] }),
          [0, r0, 0],
          [p.parts, p.rows, width],
        )
        .sum(0)
        .reshape([p.rows, width]);
    const scale = scaleOf(k, sumOf("squares", 1));
    k.store(k.view(k.buffer("y", "f32", "out"), [rows, p.outs]), [r0, 0], sumOf("dots", p.outs).mul(scale));
    k.store(k.view(k.buffer("s", "f32", "out"), [rows, 1]), [r0, 0], scale);
  }),
);

/** s from sums of squares; reads the scalars `perChannel` = 1 / C and `normEps`. */
export const scaleOf = (k: KernelBuilder, squares: Tile): Tile =>
  squares.mul(k.scalar("perChannel")).add(k.scalar("normEps")).rsqrt();

const inputGradKernel = specialize((p: ProjectStatic) =>
  kernel("hc_project_input_grad", (k) => {
    const rows = k.index("rows");
    const x = k.view(k.buffer("x", p.dtype), [rows, p.channels]);
    const dx = k.view(k.buffer("dx", p.dtype, "out"), [rows, p.channels]);
    const fn = k.view(k.buffer("fn", "f32"), [p.outs, p.channels]);
    const [y, dy] = ["y", "dy"].map((name) => k.view(k.buffer(name, "f32"), [rows, p.outs]));
    const s = k.view(k.buffer("s", "f32"), [rows, 1]);
    const r0 = k.programId(0).mul(p.rows);
    const scale = k.load(s, [r0, 0], [p.rows, 1]);
    const g = k.load(dy!, [r0, 0], [p.rows, p.outs]);
    const along = g
      .mul(k.load(y!, [r0, 0], [p.rows, p.outs]))
      .sum(1)
      .mul(scale)
      .mul(scale)
      .mul(1 / p.channels);
    const scaled = g.mul(scale);
    k.loop({ end: p.channels, step: p.depth }, [], (c) => {
      const direct = k.dot(scaled, k.load(fn, [0, c], [p.outs, p.depth]));
      const tile = k.load(x, [r0, c], [p.rows, p.depth]).cast("f32");
      k.store(dx, [r0, c], direct.sub(tile.mul(along)).cast(p.dtype));
      return [];
    });
  }),
);

/** One program per run of channels, over all rows. */
const weightGradKernel = specialize((p: ProjectStatic) =>
  kernel("hc_project_weight_grad", (k) => {
    const rows = k.index("rows");
    const x = k.view(k.buffer("x", p.dtype), [rows, p.channels]);
    const dy = k.view(k.buffer("dy", "f32"), [rows, p.outs]);
    const s = k.view(k.buffer("s", "f32"), [rows, 1]);
    const dfn = k.view(k.buffer("dfn", "f32", "out"), [p.outs, p.channels]);
    const c0 = k.programId(0).mul(p.depth);
    const [total] = k.loop({ end: rows, step: p.rows }, [k.full([p.outs, p.depth], 0)], (r, [acc]) => {
      const scaled = k.load(dy, [r, 0], [p.rows, p.outs]).mul(k.load(s, [r, 0], [p.rows, 1]));
      const tile = k.load(x, [r, c0], [p.rows, p.depth]).cast("f32");
      return [k.dot(scaled, tile, { transA: true, acc: acc! })];
    });
    k.store(dfn, [0, c0], total!);
  }),
);

const smallestTiles = { depth: 16, rows: 16 } as const;

function check(x: NdArray, fn: NdArray): { rows: number; p: ProjectStatic } {
  const [rows, channels] = x.shape as [number, number];
  const outs = fn.shape[0]!;
  if (x.shape.length !== 2 || fn.dtype !== "f32" || fn.shape.length !== 2 || fn.shape[1] !== channels)
    throw new ShapeError(`hcProject: expected x [R,C] and f32 fn [J,C], got [${x.shape}] and ${fn.dtype} [${fn.shape}]`); // prettier-ignore
  return { rows, p: { dtype: x.dtype, channels, outs, rows: 48, depth: Math.min(128, ceilDiv(channels, 16) * 16) } };
}

/** Parts on a chip; each holds at least the channels of a few turns. */
const CHIP_PARTS = 32;
/** A host's few cores are woken for no less than this. */
const HOST_SPAN = 4096;

function spanOf(device: Device, channels: number, depth: number): number {
  const wanted = device.properties.chip ? ceilDiv(channels, CHIP_PARTS) : HOST_SPAN;
  return Math.max(depth, ceilDiv(Math.min(wanted, channels), depth) * depth);
}

export function hcProject(device: Device, x: NdArray, fn: NdArray): Projected {
  const { rows, p: start } = check(x, fn);
  const { channels, outs } = start;
  const { program, p } = fitted(device.properties.chip, forwardKernel, { ...start, span: spanOf(device, channels, start.depth) }, smallestTiles); // prettier-ignore
  const parts = ceilDiv(channels, p.span);
  const pitch = wholeLines(rows, "f32");
  const [dots, squares] = [empty(device, [parts, pitch, outs]), empty(device, [parts, pitch])];
  run(device, program, [parts, ceilDiv(rows, p.rows), 1], { x, fn, dots, squares, rows, pitch });
  return { dots, squares, rows, pitch, channels };
}

const FINISH_ROWS = 8;

/** The parts added up. */
export function hcFinish(
  device: Device,
  { dots, squares, rows, pitch, channels }: Projected,
  { eps }: { readonly eps: number },
): { y: NdArray; s: NdArray } {
  const [parts, , outs] = dots.shape as [number, number, number];
  const { program, p } = fitted(device.properties.chip, finishKernel, { parts, outs, rows: FINISH_ROWS }, { rows: 1 });
  const [y, s] = [empty(device, [rows, outs]), empty(device, [rows])];
  run(device, program, [ceilDiv(rows, p.rows), 1, 1], { dots, squares, y, s, rows, pitch, perChannel: 1 / channels, normEps: eps }); // prettier-ignore
  return { y, s };
}

export function hcProjectBackward(
  device: Device,
  dy: NdArray,
  saved: { readonly x: NdArray; readonly fn: NdArray; readonly y: NdArray; readonly s: NdArray },
): { dx: NdArray; dfn: NdArray } {
  const { x, fn, y, s } = saved;
  const { rows, p: start } = check(x, fn);
  const [input, weight] = [inputGradKernel, weightGradKernel].map((f) =>
    fitted(device.properties.chip, f, start, smallestTiles),
  ) as [Fitted<ProjectStatic>, Fitted<ProjectStatic>];
  const dx = empty(device, x.shape, x.dtype);
  const dfn = empty(device, fn.shape);
  run(device, input.program, [ceilDiv(rows, input.p.rows), 1, 1], { x, dx, fn, y, dy, s, rows });
  run(device, weight.program, [ceilDiv(start.channels, weight.p.depth), 1, 1], { x, dy, s, dfn, rows });
  return { dx, dfn };
}

const wave = (n: number, f: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(i * f + 0.4));

function caseOf(rows: number, channels: number, outs: number): KernelCase {
  const [x, fn, dy] = [wave(rows * channels, 0.37), wave(outs * channels, 0.71), wave(rows * outs, 1.3)];
  const eps = 1e-6;
  return {
    name: `${rows}x${channels} to ${outs}, forward and backward`,
    run: (device) => {
      const put = (a: Float32Array, shape: readonly number[]): NdArray => fromHost(device, a, shape, "f32");
      const [xs, fns] = [put(x, [rows, channels]), put(fn, [outs, channels])];
      const { y, s } = hcFinish(device, hcProject(device, xs, fns), { eps });
      const { dx, dfn } = hcProjectBackward(device, put(dy, [rows, outs]), { x: xs, fn: fns, y, s });
      return [y, s, dx, dfn];
    },
    expected: () => {
      const { y, s } = hcProjectRef(x, fn, { rows, channels, outs, eps });
      const [dx, dfn] = [new Float32Array(rows * channels), new Float64Array(outs * channels)];
      for (let r = 0; r < rows; r++) {
        let along = 0;
        for (let j = 0; j < outs; j++) along += (dy[r * outs + j]! * y[r * outs + j]! * s[r]! ** 2) / channels;
        for (let c = 0; c < channels; c++) {
          let sum = -along * x[r * channels + c]!;
          for (let j = 0; j < outs; j++) {
            const g = s[r]! * dy[r * outs + j]!;
            sum += g * fn[j * channels + c]!;
            dfn[j * channels + c]! += g * x[r * channels + c]!;
          }
          dx[r * channels + c] = sum;
        }
      }
      return [y, s, dx, Float32Array.from(dfn)];
    },
    tolerance: {
      rtol: 2e-6,
      atol: channels * 1.2e-7,
      why: "f32 sums of up to C products of values up to 1, one rounding each, and one rsqrt",
    },
  };
}

export const cases: OpCases = {
  op: "hcProject",
  cases: [caseOf(5, 40, 24), caseOf(150, 200, 4), caseOf(2, 5000, 24)],
  programs: (chip) => {
    const p = { dtype: "bf16", channels: 1536, outs: 24, rows: 48, depth: 128 } as const;
    return [
      fitted(chip, forwardKernel, { ...p, span: 128 }, smallestTiles).program,
      fitted(chip, finishKernel, { parts: 12, outs: 24, rows: FINISH_ROWS }, { rows: 1 }).program,
      ...[inputGradKernel, weightGradKernel].map((f) => fitted(chip, f, p, smallestTiles).program),
    ];
  },
  training: ["hc_project_input_grad", "hc_project_weight_grad"],
};
