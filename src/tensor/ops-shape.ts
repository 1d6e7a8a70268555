/**
 * Shape ops and reductions. Reshape and slices of the outermost axis share their input's buffer; all
 * others make a contiguous copy. Axes may be negative, counting from the end.
 */
import { dtypes } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import { concat as concatKernel, copyStrided } from "../kernels/layout.ts";
import { sizeOf } from "../kernels/nd-array.ts";
import { sum as sumKernel } from "../kernels/reduce.ts";
import { mul } from "./ops-elementwise.ts";
import { needsGrad, record } from "./tape.ts";
import { Tensor, wrap } from "./tensor.ts";

export function axisOf(op: string, x: Tensor, axis: number): number {
  const at = axis < 0 ? axis + x.ndim : axis;
  if (!(at >= 0 && at < x.ndim)) throw new ShapeError(`${op}: expected an axis of [${x.shape}], got ${axis}`);
  return at;
}

/** Same elements, new shape; one entry may be -1. */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  const hole = shape.indexOf(-1);
  const full = hole < 0 ? shape : shape.map((n, i) => (i === hole ? x.size / -sizeOf(shape) : n));
  if (sizeOf(full) !== x.size || !full.every(Number.isInteger))
    throw new ShapeError(`reshape: expected ${x.size} elements for [${x.shape}], got [${shape}]`);
  const y = new Tensor({ buffer: x.data.buffer, byteOffset: x.data.byteOffset, dtype: x.dtype, shape: full });
  if (needsGrad(x)) record("reshape", [x], [y], undefined);
  return y;
}

const stridesOf = (shape: readonly number[]): number[] => {
  const out = Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    out[i] = step;
    step *= shape[i]!;
  }
  return out;
};

/** Axis i of the result is axis order[i] of x. */
export function permute(x: Tensor, order: readonly number[]): Tensor {
  if (order.length !== x.ndim || [...order].sort((a, b) => a - b).some((n, i) => n !== i))
    throw new ShapeError(`permute: expected an order of ${x.ndim} axes, got [${order}]`);
  const strides = stridesOf(x.shape);
  const shape = order.map((a) => x.shape[a]!);
  // Axes of one element move for nothing.
  const moved = order.filter((a) => x.shape[a] !== 1);
  const isView = moved.every((a, i) => i === 0 || moved[i - 1]! < a);
  const { buffer, byteOffset, dtype } = x.data;
  const y = isView
    ? new Tensor({ buffer, byteOffset, dtype, shape })
    : wrap(copyStrided(x.device, x.data, { shape, strides: order.map((a) => strides[a]!), offset: 0 }));
  if (needsGrad(x)) record("permute", [x], [y], { inverse: order.map((_, i) => order.indexOf(i)) });
  return y;
}

/** Swaps two axes, the last two unless told. */
export function transpose(x: Tensor, a = -2, b = -1): Tensor {
  const order = x.shape.map((_, i) => i);
  const [i, j] = [axisOf("transpose", x, a), axisOf("transpose", x, b)];
  [order[i], order[j]] = [order[j]!, order[i]!];
  return permute(x, order);
}

/** Numpy broadcast to a larger shape, made contiguous. */
export function expand(x: Tensor, shape: readonly number[]): Tensor {
  const pad = shape.length - x.ndim;
  const strides = stridesOf(x.shape);
  const bad = pad < 0 || x.shape.some((n, i) => n !== 1 && n !== shape[i + pad]);
  if (bad) throw new ShapeError(`expand: expected a shape that [${x.shape}] broadcasts to, got [${shape}]`);
  const y = wrap(copyStrided(x.device, x.data, { shape, strides: shape.map((_, i) => (i < pad || x.shape[i - pad] === 1 ? 0 : strides[i - pad]!)), offset: 0 })); // prettier-ignore
  if (needsGrad(x)) record("expand", [x], [y], undefined);
  return y;
}

/** Elements start <= i < end along `axis`; end -1 is not special. */
export function slice(
  x: Tensor,
  axis: number,
  start: number,
  end: number = x.shape[axisOf("slice", x, axis)]!,
): Tensor {
  const at = axisOf("slice", x, axis);
  const n = x.shape[at]!;
  if (!(start >= 0 && start <= end && end <= n))
    throw new ShapeError(`slice: expected 0 <= start <= end <= ${n}, got ${start}, ${end}`);
  const shape = x.shape.map((size, i) => (i === at ? end - start : size));
  const strides = stridesOf(x.shape);
  const offset = start * strides[at]!;
  const { buffer, byteOffset, dtype } = x.data;
  // One piece of memory.
  const isView = sizeOf(x.shape.slice(0, at)) === 1 || end - start === n;
  const y = isView
    ? new Tensor({ buffer, byteOffset: byteOffset + offset * dtypes[dtype].size, dtype, shape })
    : wrap(copyStrided(x.device, x.data, { shape, strides, offset }));
  if (needsGrad(x)) record("slice", [x], [y], { axis: at, start });
  return y;
}

/** Consecutive pieces of the given sizes, as in torch.split. */
export function split(x: Tensor, sizes: readonly number[], axis = -1): Tensor[] {
  let at = 0;
  return sizes.map((n) => slice(x, axis, at, (at += n)));
}

export function concat(xs: readonly Tensor[], axis: number): Tensor {
  const first = xs[0];
  if (first === undefined) throw new ShapeError("concat: expected at least one tensor, got none");
  if (xs.length === 1) return first;
  const at = axisOf("concat", first, axis);
  const y = wrap(concatKernel(first.device, xs.map((t) => t.data), at)); // prettier-ignore
  if (xs.some((t) => needsGrad(t))) record("concat", xs, [y], { axis: at });
  return y;
}

interface ReduceOptions {
  readonly keepdim?: boolean;
}

/** Along one axis, or over everything (shape []) without one. Accumulates in f32. */
export function sum(x: Tensor, axis?: number, options: ReduceOptions = {}): Tensor {
  const flat = axis === undefined;
  const at = flat ? 0 : axisOf("sum", x, axis);
  const source = flat ? { ...x.data, shape: [x.size] } : x.data;
  const keptShape = flat ? x.shape.map(() => 1) : x.shape.map((n, i) => (i === at ? 1 : n));
  const shape = options.keepdim ? keptShape : flat ? [] : keptShape.filter((_, i) => i !== at);
  const y = wrap({ ...sumKernel(x.device, source, at), shape });
  if (needsGrad(x)) record("sum", [x], [y], { keptShape });
  return y;
}

export function mean(x: Tensor, axis?: number, options: ReduceOptions = {}): Tensor {
  const n = axis === undefined ? x.size : x.shape[axisOf("mean", x, axis)]!;
  return mul(sum(x, axis, options), 1 / n);
}

export const sumAll = (x: Tensor): Tensor => sum(x);
export const meanAll = (x: Tensor): Tensor => mean(x);

/** Sums the axes that broadcasting to x.shape had repeated. Unrecorded; for gradient rules. */
export function sumTo(x: Tensor, shape: readonly number[]): Tensor {
  const target = [...Array<number>(Math.max(0, x.ndim - shape.length)).fill(1), ...shape];
  let data = x.data;
  for (let i = x.ndim - 1; i >= 0; i--) {
    if (target[i] === x.shape[i]) continue;
    // A run of neighbouring repeated axes is one axis.
    let start = i;
    while (start > 0 && target[start - 1] === 1) start--;
    const outer = sizeOf(x.shape.slice(0, start));
    const inner = sizeOf(target.slice(i + 1));
    const run = sizeOf(x.shape.slice(start, i + 1));
    data = wrap(sumKernel(x.device, { ...data, shape: [outer, run, inner] }, 1)).data;
    i = start;
  }
  return new Tensor({ ...data, shape });
}
