/**
 * Norms over the last axis.
 *   rmsNorm    y = x * rstd * w,            rstd = rsqrt(mean(x^2) + eps)
 *   layerNorm  y = (x - mean) * rstd * w + b, rstd = rsqrt(var(x) + eps)
 * numeric  f32 inside, y in the dtype of x; statistics f32; w, b and their gradients f32
 * source   arXiv:1910.07467, arXiv:1607.06450; twins rmsNormRef, layerNormRef
 */
import { dtypes, type DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel, type Index, type KernelBuilder, type Tile } from "../tile/builder.ts";
import type { Chip } from "../tile/chips/types.ts";
import type { TileProgram } from "../tile/ir.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { fitted, type Fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";
import { sum } from "./reduce.ts";
import { chosenRows } from "./tile-choice.ts";

/** centred: layer norm. keeps: what gradients need is stored too. */
interface NormStatic {
  readonly channels: number;
  readonly dtype: DType;
  readonly centred: boolean;
  readonly weighted: boolean;
  readonly rows: number;
}
interface ForwardStatic extends NormStatic {
  readonly keeps: boolean;
}

export interface NormOptions {
  readonly eps: number;
  /** Whether statistics are stored, which backward needs; off by default. */
  readonly keeps?: boolean;
}

/** x [R,C] -> y, mean (0 unless centred), rstd, in plain loops. */
export function normRef(
  x: ArrayLike<number>,
  channels: number,
  p: { w?: ArrayLike<number>; b?: ArrayLike<number>; eps: number; centred: boolean },
): { y: Float32Array; mean: Float32Array; rstd: Float32Array } {
  const rows = x.length / channels;
  const y = new Float32Array(x.length);
  const mean = new Float32Array(rows);
  const rstd = new Float32Array(rows);
  for (let r = 0; r < rows; r++) {
    let m = 0;
    if (p.centred) for (let c = 0; c < channels; c++) m += x[r * channels + c]! / channels;
    let v = 0;
    for (let c = 0; c < channels; c++) v += (x[r * channels + c]! - m) ** 2 / channels;
    mean[r] = m;
    rstd[r] = 1 / Math.sqrt(v + p.eps);
    for (let c = 0; c < channels; c++)
      y[r * channels + c] = (x[r * channels + c]! - m) * rstd[r]! * (p.w?.[c] ?? 1) + (p.b?.[c] ?? 0);
  }
  return { y, mean, rstd };
}

const vector = (k: KernelBuilder, name: string, channels: number): Tile =>
  k.load(k.view(k.buffer(name, "f32"), [1, channels]), [0, 0], [1, channels]);

const forwardKernel = specialize((p: ForwardStatic): TileProgram =>
  kernel(p.centred ? "layer_norm" : "rms_norm", (k) => {
    const c = p.channels;
    const rows = k.index("rows");
    const x = k.view(k.buffer("x", p.dtype), [rows, c]);
    const y = k.view(k.buffer("y", p.dtype, "out"), [rows, c]);
    const column = (name: string): ReturnType<typeof k.view> => k.view(k.buffer(name, "f32", "out"), [rows, 1]);
    const eps = k.scalar("eps");
    const r0 = k.programId(0).mul(p.rows);
    let t = k.load(x, [r0, 0], [p.rows, c]).cast("f32");
    if (p.centred) {
      const mean = t.sum(1).mul(1 / c);
      if (p.keeps) k.store(column("mean"), [r0, 0], mean);
      t = t.sub(mean);
    }
    const rstd = t
      .mul(t)
      .sum(1)
      .mul(1 / c)
      .add(eps)
      .rsqrt();
    if (p.keeps) k.store(column("rstd"), [r0, 0], rstd);
    let out = t.mul(rstd);
    if (p.weighted) out = out.mul(vector(k, "w", c));
    if (p.centred) out = out.add(vector(k, "b", c));
    k.store(y, [r0, 0], out.cast(p.dtype));
  }),
);

/** xhat = (x - mean) rstd, g = dy w: dx = rstd (g - mean(g xhat) xhat [- mean(g])); dw and db as partial sums per program. */
const backwardKernel = specialize((p: NormStatic): TileProgram =>
  kernel(p.centred ? "layer_norm_backward" : "rms_norm_backward", (k) => {
    const c = p.channels;
    const [rows, per, parts] = [k.index("rows"), k.index("per"), k.index("parts")];
    const whole = (name: string, mode: "in" | "out"): ReturnType<typeof k.view> =>
      k.view(k.buffer(name, p.dtype, mode), [rows, c]);
    const [x, dy, dx] = [whole("x", "in"), whole("dy", "in"), whole("dx", "out")];
    const rstds = k.view(k.buffer("rstd", "f32"), [rows, 1]);
    const means = p.centred ? k.view(k.buffer("mean", "f32"), [rows, 1]) : undefined;
    const w = p.weighted ? vector(k, "w", c) : undefined;
    const start = k.programId(0).mul(per);
    const zero = k.full([1, c], 0);
    const step = (r: Index, [dw, db]: Tile[]): Tile[] => {
      const rstd = k.load(rstds, [r, 0], [p.rows, 1]);
      const g0 = k.load(dy, [r, 0], [p.rows, c]).cast("f32");
      let xhat = k.load(x, [r, 0], [p.rows, c]).cast("f32");
      if (means) xhat = xhat.sub(k.load(means, [r, 0], [p.rows, 1]));
      xhat = xhat.mul(rstd);
      const g = w ? g0.mul(w) : g0;
      let d = g.sub(
        xhat.mul(
          g
            .mul(xhat)
            .sum(1)
            .mul(1 / c),
        ),
      );
      if (p.centred) d = d.sub(g.sum(1).mul(1 / c));
      k.store(dx, [r, 0], d.mul(rstd).cast(p.dtype));
      return [...(p.weighted ? [dw!.add(g0.mul(xhat).sum(0))] : []), ...(p.centred ? [db!.add(g0.sum(0))] : [])];
    };
    const sums = k.loop(
      { start, end: start.add(per).min(rows), step: p.rows },
      [p.weighted, p.centred].filter((on) => on).map(() => zero),
      step,
    );
    const out = (name: string, t: Tile): void =>
      k.store(k.view(k.buffer(name, "f32", "out"), [parts, c]), [k.programId(0), 0], t);
    if (p.weighted) out("dw", sums[0]!);
    if (p.centred) out("db", sums[1]!);
  }),
);

function dims(
  op: string,
  x: NdArray,
  ...vectors: readonly (NdArray | undefined)[]
): { rows: number; channels: number; tileRows: number } {
  const channels = x.shape[x.shape.length - 1] ?? 0;
  for (const v of vectors)
    if (v && (v.dtype !== "f32" || sizeOf(v.shape) !== channels))
      throw new ShapeError(`${op}: expected f32 [${channels}], got ${v.dtype} [${v.shape}]`);
  const tileRows = Math.max(1, Math.min(16, Math.floor(4096 / Math.max(1, channels))));
  return { rows: sizeOf(x.shape) / Math.max(1, channels), channels, tileRows };
}

const forwardProgram = (chip: Chip | undefined, start: ForwardStatic, rows: number): Fitted<ForwardStatic> =>
  chosenRows(chip, forwardKernel, start, rows, (height) => {
    const bytes = height * start.channels * dtypes[start.dtype].size;
    return { numbers: { rows: height }, bytes: { x: bytes, y: bytes, rstd: 4 * height, mean: 4 * height, w: 4 * start.channels, b: 4 * start.channels } };
  }); // prettier-ignore

function forward(
  device: Device,
  x: NdArray,
  w: NdArray | undefined,
  b: NdArray | undefined,
  { eps, keeps = false }: NormOptions,
  centred: boolean,
): { y: NdArray; rstd: NdArray | undefined; mean: NdArray | undefined } {
  const { rows, channels, tileRows } = dims(centred ? "layerNorm" : "rmsNorm", x, w, b);
  const y = empty(device, x.shape, x.dtype);
  const rstd = keeps ? empty(device, [rows]) : undefined;
  const mean = keeps && centred ? empty(device, [rows]) : undefined;
  const start = { channels, dtype: x.dtype, centred, weighted: w !== undefined, rows: tileRows, keeps };
  const { program, p } = forwardProgram(device.properties.chip, start, rows);
  run(device, program, [ceilDiv(rows, p.rows), 1, 1], {
    x,
    y,
    rows,
    eps,
    ...(w && { w }),
    ...(b && { b }),
    ...(mean && { mean }),
    ...(rstd && { rstd }),
  });
  return { y, rstd, mean };
}

function backward(
  device: Device,
  dy: NdArray,
  x: NdArray,
  w: NdArray | undefined,
  rstd: NdArray,
  mean: NdArray | undefined,
): { dx: NdArray; dw: NdArray | undefined; db: NdArray | undefined } {
  const { rows, channels, tileRows } = dims("norm backward", x, w);
  const start = {
    channels,
    dtype: x.dtype,
    centred: mean !== undefined,
    weighted: w !== undefined,
    rows: tileRows,
  };
  const { program, p } = fitted(device.properties.chip, backwardKernel, start, { rows: 1 });
  const dx = empty(device, x.shape, x.dtype);
  const per = Math.max(p.rows, ceilDiv(ceilDiv(rows, 32), p.rows) * p.rows);
  const parts = Math.max(1, ceilDiv(rows, per));
  const part = (on: boolean): NdArray | undefined => (on ? empty(device, [parts, channels]) : undefined);
  const [dw, db] = [part(w !== undefined), part(mean !== undefined)];
  run(device, program, [parts, 1, 1], {
    x,
    dy,
    dx,
    rstd,
    rows,
    per,
    parts,
    ...(w && { w }),
    ...(mean && { mean }),
    ...(dw && { dw }),
    ...(db && { db }),
  });
  const total = (a: NdArray | undefined): NdArray | undefined => {
    if (!a) return undefined;
    const y = sum(device, a, 0);
    device.free(a.buffer);
    return { ...y, shape: [channels] };
  };
  return { dx, dw: total(dw), db: total(db) };
}

/** w may be absent (all ones); rstd f32 [rows], where it is kept. */
export function rmsNorm(
  device: Device,
  x: NdArray,
  w: NdArray | undefined,
  options: NormOptions,
): { y: NdArray; rstd: NdArray | undefined } {
  return forward(device, x, w, undefined, options, false);
}
export function rmsNormBackward(
  device: Device,
  dy: NdArray,
  x: NdArray,
  w: NdArray | undefined,
  rstd: NdArray,
): { dx: NdArray; dw: NdArray | undefined } {
  return backward(device, dy, x, w, rstd, undefined);
}
export function layerNorm(
  device: Device,
  x: NdArray,
  w: NdArray,
  b: NdArray,
  options: NormOptions,
): { y: NdArray; mean: NdArray | undefined; rstd: NdArray | undefined } {
  return forward(device, x, w, b, options, true);
}
export function layerNormBackward(
  device: Device,
  dy: NdArray,
  x: NdArray,
  w: NdArray,
  mean: NdArray,
  rstd: NdArray,
): { dx: NdArray; dw: NdArray; db: NdArray } {
  const out = backward(device, dy, x, w, rstd, mean);
  return { dx: out.dx, dw: out.dw!, db: out.db! };
}

const wave = (n: number, f: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(i * f) + 0.1);
const bound = { rtol: 2e-5, atol: 2e-6, why: "means of up to 100 terms in f32 and one approximate rsqrt" };

/** Backward twin by its formula in f64. */
function normBackwardRef(
  dy: Float32Array,
  x: Float32Array,
  channels: number,
  w: Float32Array,
  centred: boolean,
  eps: number,
): { dx: Float32Array; dw: Float32Array; db: Float32Array } {
  const { mean, rstd } = normRef(x, channels, { w, eps, centred });
  const [dx, dw, db] = [new Float32Array(x.length), new Float32Array(channels), new Float32Array(channels)];
  for (let r = 0; r < rstd.length; r++) {
    let [mg, mgx] = [0, 0];
    const xhat = (c: number): number => (x[r * channels + c]! - mean[r]!) * rstd[r]!;
    for (let c = 0; c < channels; c++) {
      const g = dy[r * channels + c]! * w[c]!;
      if (centred) mg += g / channels;
      mgx += (g * xhat(c)) / channels;
      dw[c]! += dy[r * channels + c]! * xhat(c);
      db[c]! += dy[r * channels + c]!;
    }
    for (let c = 0; c < channels; c++)
      dx[r * channels + c] = rstd[r]! * (dy[r * channels + c]! * w[c]! - mg - xhat(c) * mgx);
  }
  return { dx, dw, db };
}

function normCase(rows: number, channels: number, centred: boolean): KernelCase {
  const [x, w, b, dy] = [
    wave(rows * channels, 0.37),
    wave(channels, 1.1),
    wave(channels, 2.3),
    wave(rows * channels, 0.91),
  ];
  const eps = 1e-5;
  return {
    name: `${centred ? "layerNorm" : "rmsNorm"} ${rows}x${channels} forward and backward`,
    run: (device) => {
      const put = (a: Float32Array, shape: readonly number[]): NdArray => fromHost(device, a, shape, "f32");
      const [dx, dw, db, ddy] = [
        put(x, [rows, channels]),
        put(w, [channels]),
        put(b, [channels]),
        put(dy, [rows, channels]),
      ];
      if (centred) {
        const f = layerNorm(device, dx, dw, db, { eps, keeps: true });
        const back = layerNormBackward(device, ddy, dx, dw, f.mean!, f.rstd!);
        return [layerNorm(device, dx, dw, db, { eps }).y, f.y, back.dx, back.dw, back.db];
      }
      const f = rmsNorm(device, dx, dw, { eps, keeps: true });
      const back = rmsNormBackward(device, ddy, dx, dw, f.rstd!);
      return [rmsNorm(device, dx, dw, { eps }).y, f.y, back.dx, back.dw!];
    },
    expected: () => {
      const back = normBackwardRef(dy, x, channels, w, centred, eps);
      const y = normRef(x, channels, { w, ...(centred && { b }), eps, centred }).y;
      return [y, y, back.dx, back.dw, ...(centred ? [back.db] : [])];
    },
    tolerance: { ...bound, atol: 2e-6 * Math.sqrt(rows) },
  };
}

const example = { channels: 384, dtype: "bf16", weighted: true, rows: 8 } as const;

export const cases: OpCases = {
  op: "norm",
  cases: [normCase(5, 24, false), normCase(130, 64, false), normCase(5, 24, true), normCase(37, 100, true)],
  programs: (chip) =>
    [false, true].flatMap((centred) => [
      ...[false, true].map((keeps) => forwardProgram(chip, { ...example, centred, keeps }, 256).program),
      fitted(chip, backwardKernel, { ...example, centred }, { rows: 1 }).program,
    ]),
  training: ["rms_norm_backward", "layer_norm_backward"],
};
