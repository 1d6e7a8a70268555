/**
 * softmax and log-softmax over the last axis, f32 inside: y = exp(x - max) / sum, or x - max - log(sum).
 * A program holds whole rows, so the last axis is static and at most 8192.
 */
import type { DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel } from "../tile/builder.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";

export function softmaxRef(x: ArrayLike<number>, width: number, log: boolean): Float32Array {
  const y = new Float32Array(x.length);
  for (let r = 0; r < x.length; r += width) {
    let max = -Infinity;
    for (let c = 0; c < width; c++) max = Math.max(max, x[r + c]!);
    let total = 0;
    for (let c = 0; c < width; c++) total += Math.exp(x[r + c]! - max);
    for (let c = 0; c < width; c++)
      y[r + c] = log ? x[r + c]! - max - Math.log(total) : Math.exp(x[r + c]! - max) / total;
  }
  return y;
}

const softmaxKernel = specialize(
  (p: { readonly width: number; readonly dtype: DType; readonly log: boolean; readonly rows: number }) =>
    kernel(p.log ? "log_softmax" : "softmax", (k) => {
      const rows = k.index("rows");
      const x = k.view(k.buffer("x", p.dtype), [rows, p.width]);
      const y = k.view(k.buffer("y", p.dtype, "out"), [rows, p.width]);
      const at = [k.programId(0).mul(p.rows), 0];
      const t = k.load(x, at, [p.rows, p.width]).cast("f32");
      const centred = t.sub(t.maxOver(1));
      const e = centred.exp();
      const total = e.sum(1);
      k.store(y, at, (p.log ? centred.sub(total.log()) : e.div(total)).cast(p.dtype));
    }),
);

function launch(device: Device, x: NdArray, log: boolean): NdArray {
  const width = x.shape[x.shape.length - 1] ?? 1;
  if (width > 8192) throw new ShapeError(`softmax: expected a last axis of at most 8192, got ${width}`);
  const rows = sizeOf(x.shape) / width;
  const y = empty(device, x.shape, x.dtype);
  const tileRows = Math.max(1, Math.min(16, Math.floor(4096 / width)));
  const start = { width, dtype: x.dtype, log, rows: tileRows };
  const { program, p } = fitted(device.properties.chip, softmaxKernel, start, { rows: 1 });
  run(device, program, [ceilDiv(rows, p.rows), 1, 1], {
    x,
    y,
    rows,
  });
  return y;
}

export const softmax = (device: Device, x: NdArray): NdArray => launch(device, x, false);
export const logSoftmax = (device: Device, x: NdArray): NdArray => launch(device, x, true);

function caseOf(rows: number, width: number, log: boolean): KernelCase {
  const data = Float32Array.from({ length: rows * width }, (_, i) => Math.sin(i * 0.9) * 4);
  return {
    name: `${log ? "log" : "plain"} ${rows}x${width}`,
    run: (device) => [launch(device, fromHost(device, data, [rows, width], "f32"), log)],
    expected: () => [softmaxRef(data, width, log)],
    tolerance: { rtol: 3e-6, atol: 2e-6, why: "one exp, one log, a sum of `width` positive terms" },
  };
}

export const cases: OpCases = {
  op: "softmax",
  cases: [caseOf(5, 13, false), caseOf(37, 13, true), caseOf(19, 500, false)],
  programs: (chip) =>
    [1024, 8192].map(
      (width) => fitted(chip, softmaxKernel, { width, dtype: "bf16", log: width > 1024, rows: 4 }, { rows: 1 }).program,
    ),
};
