/**
 * Sums and maxima along one axis: y = sum_i x[.., i, ..]. Accumulates in f32 and returns f32. The axis
 * stays with size 1. Long reductions run in two fixed stages, so the order depends on shapes only.
 */
import type { DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel } from "../tile/builder.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";

type Reduction = "sum" | "max";
const identity: Record<Reduction, number> = { sum: 0, max: -Infinity };

/** x [outer, n, inner] -> plain loops. */
export function reduceRef(x: ArrayLike<number>, outer: number, n: number, inner: number, op: Reduction): Float32Array {
  const y = new Float32Array(outer * inner).fill(identity[op]);
  for (let o = 0; o < outer; o++)
    for (let i = 0; i < n; i++)
      for (let c = 0; c < inner; c++) {
        const v = x[(o * n + i) * inner + c]!;
        const at = o * inner + c;
        y[at] = op === "sum" ? y[at]! + v : Math.max(y[at]!, v);
      }
  return y;
}

/** Rows [R, width] -> [R]; a program takes 8 rows. */
const rowsKernel = specialize(
  ({ op, dtype, tile }: { readonly op: Reduction; readonly dtype: DType; readonly tile: number }) =>
    kernel(`reduce_rows_${op}`, (k) => {
      const [rows, width] = [k.index("rows"), k.index("width")];
      const x = k.view(k.buffer("x", dtype), [rows, width]);
      const y = k.view(k.buffer("y", "f32", "out"), [rows, 1]);
      const r0 = k.programId(0).mul(8);
      const start = k.full([8, 1], identity[op]);
      const [total] = k.loop({ end: width, step: tile }, [start], (c, [acc]) => {
        const t = k.load(x, [r0, c], [8, tile], { other: identity[op] }).cast("f32");
        return [op === "sum" ? acc!.add(t.sum(1)) : acc!.max(t.maxOver(1))];
      });
      k.store(y, [r0, 0], total!);
    }),
);

/** [outer, n, inner] -> [outer, chunks, inner]; a program takes one chunk of n and `tile` of inner. */
const columnsKernel = specialize(
  ({ op, dtype, tile }: { readonly op: Reduction; readonly dtype: DType; readonly tile: number }) =>
    kernel(`reduce_columns_${op}`, (k) => {
      const [outer, n, inner, chunks, per] = [
        k.index("outer"),
        k.index("n"),
        k.index("inner"),
        k.index("chunks"),
        k.index("per"),
      ];
      const x = k.view(k.buffer("x", dtype), [outer, n, inner]);
      const y = k.view(k.buffer("y", "f32", "out"), [outer, chunks, inner]);
      const [c0, chunk, o] = [k.programId(0).mul(tile), k.programId(1), k.programId(2)];
      const start = chunk.mul(per);
      // The last chunk may be short: rows past its end belong to nobody, and the view ends at n.
      const [total] = k.loop(
        { start, end: start.add(per).min(n), step: 16 },
        [k.full([1, tile], identity[op])],
        (i, [acc]) => {
          const t = k.load(x, [o, i, c0], [1, 16, tile], { other: identity[op] }).cast("f32").reshape([16, tile]);
          return [op === "sum" ? acc!.add(t.sum(0)) : acc!.max(t.maxOver(0))];
        },
      );
      k.store(y, [o, chunk, c0], total!.reshape([1, 1, tile]));
    }),
);

function reduce(device: Device, x: NdArray, axis: number, op: Reduction): NdArray {
  if (!(axis >= 0 && axis < x.shape.length))
    throw new ShapeError(`${op}: expected an axis of [${x.shape}], got ${axis}`);
  const outer = sizeOf(x.shape.slice(0, axis));
  const n = x.shape[axis]!;
  const inner = sizeOf(x.shape.slice(axis + 1));
  const shape = x.shape.map((size, i) => (i === axis ? 1 : size));
  if (inner === 1) {
    const split = outer < 16 && n >= 8192 && n % 64 === 0;
    if (split) {
      const width = n / 64;
      const partial = reduceRows(device, { ...x, shape: [outer * 64, width] }, op);
      const y = reduceRows(device, { ...partial, shape: [outer, 64] }, op);
      device.free(partial.buffer);
      return { ...y, shape };
    }
    return { ...reduceRows(device, { ...x, shape: [outer, n] }, op), shape };
  }
  const given = { op, dtype: x.dtype, tile: Math.min(inner, 256) };
  const { program, p } = fitted(device.properties.chip, columnsKernel, given, { tile: 16 });
  const programs = outer * ceilDiv(inner, p.tile);
  const chunks = programs >= 16 || n < 256 ? 1 : Math.min(32, ceilDiv(n, 128));
  const per = ceilDiv(ceilDiv(n, chunks), 16) * 16;
  const used = Math.max(1, ceilDiv(n, per));
  const y = empty(device, [outer, used, inner]);
  run(device, program, [ceilDiv(inner, p.tile), used, outer], {
    x,
    y,
    outer,
    n,
    inner,
    chunks: used,
    per,
  });
  if (used === 1) return { ...y, shape };
  const total = reduce(device, y, 1, op);
  device.free(y.buffer);
  return { ...total, shape };
}

function reduceRows(device: Device, x: NdArray, op: Reduction): NdArray {
  const [rows, width] = x.shape as [number, number];
  const y = empty(device, [rows]);
  const given = { op, dtype: x.dtype, tile: Math.max(1, Math.min(width, 512)) };
  const { program } = fitted(device.properties.chip, rowsKernel, given, { tile: 16 });
  run(device, program, [ceilDiv(rows, 8), 1, 1], {
    x,
    y,
    rows,
    width,
  });
  return y;
}

export const sum = (device: Device, x: NdArray, axis: number): NdArray => reduce(device, x, axis, "sum");
export const maxOver = (device: Device, x: NdArray, axis: number): NdArray => reduce(device, x, axis, "max");

function reduceCase(name: string, shape: readonly number[], axis: number, op: Reduction): KernelCase {
  const data = Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(i * 1.3));
  const [outer, n, inner] = [sizeOf(shape.slice(0, axis)), shape[axis]!, sizeOf(shape.slice(axis + 1))];
  return {
    name: `${op} ${name}`,
    run: (device) => [reduce(device, fromHost(device, data, shape, "f32"), axis, op)],
    expected: () => [reduceRef(data, outer, n, inner, op)],
    tolerance:
      op === "max"
        ? { rtol: 0, atol: 0, why: "exact" }
        : { rtol: 0, atol: n * 1.2e-7, why: "n terms of at most 1, one f32 rounding each in any order" },
  };
}

export const cases: OpCases = {
  op: "reduce",
  cases: [
    reduceCase("rows", [13, 70], 1, "sum"),
    reduceCase("long row", [1, 16384], 1, "sum"),
    reduceCase("columns", [300, 33], 0, "sum"),
    reduceCase("many rows of columns", [1000, 20], 0, "sum"),
    reduceCase("middle", [3, 20, 5], 1, "sum"),
    reduceCase("rows", [21, 40], 1, "max"),
    reduceCase("columns", [40, 90], 0, "max"),
  ],
  programs: (chip) => [
    fitted(chip, rowsKernel, { op: "sum", dtype: "bf16", tile: 512 }, { tile: 16 }).program,
    fitted(chip, columnsKernel, { op: "sum", dtype: "f32", tile: 256 }, { tile: 16 }).program,
  ],
};
