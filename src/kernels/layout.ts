/**
 * Copies that change layout: a strided view made contiguous, concatenation. Built on the strided walk
 * of elementwise.ts; the reference is plain indexing in the cases.
 */
import { ShapeError } from "../base/errors.ts";
import { dtypes } from "../base/dtype.ts";
import type { Device } from "../device/device.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { columnTile, mergeAxes, stridedMap } from "./elementwise.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";

export interface StridedLayout {
  readonly shape: readonly number[];
  /** In elements. */
  readonly strides: readonly number[];
  readonly offset: number;
}

/** Element (i, j, ..) of the result is x[offset + i*strides[0] + j*strides[1] + ..]. */
export function copyStrided(device: Device, x: NdArray, { shape, strides, offset }: StridedLayout): NdArray {
  const last = shape.reduce((at, n, i) => at + (n - 1) * strides[i]!, offset);
  if (sizeOf(shape) > 0 && last >= sizeOf(x.shape))
    throw new ShapeError(
      `copyStrided: expected elements within [${x.shape}], got shape [${shape}], strides [${strides}], offset ${offset}`,
    );
  const runs = runsOf({ shape, strides, offset });
  if (runs) {
    const y = empty(device, shape, x.dtype);
    const { size } = dtypes[x.dtype];
    const bytes = runs.width * size;
    runs.starts.forEach((at, i) => device.copyWithin(y.buffer, i * bytes, x.buffer, x.byteOffset + at * size, bytes));
    return y;
  }
  return stridedMap(
    device,
    "copy",
    [{ buffer: x.buffer, byteOffset: x.byteOffset, dtype: x.dtype, strides, offset }],
    shape,
    [x.dtype],
    (_k, t) => [t!],
  )[0]!;
}

/** Up to this many runs of bytes are copied one by one; more are a kernel. Growing arrays then need no kernel per length. */
const FEW_COPIES = 4;

/** Starts of the runs of `width` neighbouring elements a layout consists of, in order; undefined where there are many. */
function runsOf({ shape, strides, offset }: StridedLayout): { starts: readonly number[]; width: number } | undefined {
  const walk = mergeAxes(shape, [{ strides }]);
  const steps = walk.strides[0]!;
  const last = walk.shape.length - 1;
  const isRun = last >= 0 && steps[last] === 1;
  const outer = isRun ? walk.shape.slice(0, -1) : walk.shape;
  if (sizeOf(outer) > FEW_COPIES) return undefined;
  let starts = [offset];
  outer.forEach((n, d) => (starts = starts.flatMap((at) => Array.from({ length: n }, (_, i) => at + i * steps[d]!))));
  return { starts, width: isRun ? walk.shape[last]! : 1 };
}

/** Joins arrays that agree on every other axis. */
export function concat(device: Device, xs: readonly NdArray[], axis: number): NdArray {
  const first = xs[0];
  if (!first) throw new ShapeError("concat: expected at least one array, got none");
  for (const x of xs) {
    if (
      x.dtype !== first.dtype ||
      x.shape.length !== first.shape.length ||
      x.shape.some((n, i) => i !== axis && n !== first.shape[i])
    )
      throw new ShapeError(
        `concat: expected ${first.dtype} [${first.shape}] but for axis ${axis}, got ${x.dtype} [${x.shape}]`,
      );
  }
  const total = xs.reduce((n, x) => n + x.shape[axis]!, 0);
  const shape = first.shape.map((n, i) => (i === axis ? total : n));
  const out = empty(device, shape, first.dtype);
  const outer = sizeOf(shape.slice(0, axis));
  const inner = sizeOf(shape.slice(axis + 1));
  const size = dtypes[first.dtype].size;
  let at = 0;
  for (const x of xs) {
    const width = x.shape[axis]! * inner;
    if (outer <= FEW_COPIES)
      for (let row = 0; row < outer; row++)
        device.copyWithin(out.buffer, (row * total * inner + at) * size, x.buffer, x.byteOffset + row * width * size, width * size); // prettier-ignore
    else scatterColumns(device, x, out, { outer, width, total: total * inner, at });
    at += width;
  }
  return out;
}

import { kernel } from "../tile/builder.ts";
import { fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import type { DType } from "../base/dtype.ts";

/** x [outer, width] into columns at..at+width of out [outer, total]. */
const columnsKernel = specialize(({ dtype, tile }: { readonly dtype: DType; readonly tile: number }) =>
  kernel("concat_columns", (k) => {
    const [outer, width, total, at] = [k.index("outer"), k.index("width"), k.index("total"), k.index("at")];
    const x = k.view(k.buffer("x", dtype), [outer, width]);
    const y = k.view(k.buffer("y", dtype, "out"), [outer, width], { strides: [total, 1], offset: at });
    const pos = [k.programId(1).mul(8), k.programId(0).mul(tile)];
    k.store(y, pos, k.load(x, pos, [8, tile]));
  }),
);

function scatterColumns(
  device: Device,
  x: NdArray,
  out: NdArray,
  p: { outer: number; width: number; total: number; at: number },
): void {
  const start = { dtype: x.dtype, tile: columnTile(p.width) };
  const { program, p: used } = fitted(device.properties.chip, columnsKernel, start, { tile: 16 });
  run(device, program, [ceilDiv(p.width, used.tile), ceilDiv(p.outer, 8), 1], {
    x,
    y: out,
    ...p,
  });
}

const ramp = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => i + 0.5);
const exact = { rtol: 0, atol: 0, why: "copies are exact" };

function copyCase(name: string, from: readonly number[], layout: StridedLayout): KernelCase {
  const data = ramp(sizeOf(from));
  return {
    name,
    run: (device) => [copyStrided(device, fromHost(device, data, from, "f32"), layout)],
    expected: () => {
      const y = new Float32Array(sizeOf(layout.shape));
      for (let i = 0; i < y.length; i++) {
        let rest = i;
        let at = layout.offset;
        for (let d = layout.shape.length - 1; d >= 0; d--) {
          at += (rest % layout.shape[d]!) * layout.strides[d]!;
          rest = Math.floor(rest / layout.shape[d]!);
        }
        y[i] = data[at]!;
      }
      return [y];
    },
    tolerance: exact,
  };
}

export const cases: OpCases = {
  op: "layout",
  cases: [
    copyCase("transpose", [5, 7], { shape: [7, 5], strides: [1, 7], offset: 0 }),
    copyCase("slice", [4, 9, 6], { shape: [4, 3, 6], strides: [54, 6, 1], offset: 12 }),
    copyCase("space to depth", [2, 4, 6, 3], { shape: [2, 2, 3, 2, 2, 3], strides: [72, 36, 6, 18, 3, 1], offset: 0 }),
    copyCase("expand", [3, 1, 4], { shape: [3, 5, 4], strides: [4, 0, 1], offset: 0 }),
    {
      name: "concat inner axis",
      run: (device) => [
        concat(device, [fromHost(device, ramp(6), [2, 3], "f32"), fromHost(device, ramp(10), [2, 5], "f32")], 1),
      ],
      expected: () => [
        Float32Array.from([0.5, 1.5, 2.5, 0.5, 1.5, 2.5, 3.5, 4.5, 3.5, 4.5, 5.5, 5.5, 6.5, 7.5, 8.5, 9.5]),
      ],
      tolerance: exact,
    },
  ],
  programs: (chip) => [fitted(chip, columnsKernel, { dtype: "f32", tile: 256 }, { tile: 16 }).program],
};
