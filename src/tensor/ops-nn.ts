/**
 * The dense network ops: products, norms, softmax, rotation, gate, table lookup, convolution.
 * Weights may be f32 masters under bf16 activations: `compute` makes the narrow copy once per
 * weight version. Gradients of f32 weights are f32.
 */
import type { DType } from "../base/dtype.ts";
import { conv3x3 as conv3x3Kernel } from "../kernels/conv.ts";
import { embedding as embeddingKernel } from "../kernels/embedding.ts";
import { matmul as matmulKernel, linear as linearKernel } from "../kernels/matmul.ts";
import { layerNorm as layerNormKernel, rmsNorm as rmsNormKernel } from "../kernels/norm.ts";
import { quantize as quantizeKernel, type QuantizeParams } from "../kernels/quantize.ts";
import { rope as ropeKernel } from "../kernels/rope.ts";
import { logSoftmax as logSoftmaxKernel, softmax as softmaxKernel } from "../kernels/softmax.ts";
import { swiglu as swigluKernel } from "../kernels/swiglu.ts";
import { axisOf, slice, transpose } from "./ops-shape.ts";
import { cast, fused } from "./ops-elementwise.ts";
import { untrack } from "./scope.ts";
import { needsGrad, record } from "./tape.ts";
import { Parameter, Tensor, wrap } from "./tensor.ts";

/** The narrow formats that released checkpoints hold weights in; through them the copy takes their values. */
export type WeightFormat = "fp8" | "fp4";
const weightFormats: Record<WeightFormat, QuantizeParams> = {
  fp8: { format: "e4m3", block: 128, square: true },
  fp4: { format: "e2m1", block: 32 },
};

/** Narrow copies of weights, by weight; remade in place when the version moves on. */
const casts = new WeakMap<Tensor, { version: number; format: WeightFormat | undefined; copy: Tensor }>();

/** `w` in the compute dtype: itself, or a cached cast. The cast is not on the tape; rules use `w`. */
export function compute(w: Tensor, dtype: DType, format?: WeightFormat): Tensor {
  if (w.dtype === dtype && format === undefined) return w;
  const cached = casts.get(w);
  if (cached?.version === w.version && cached.copy.dtype === dtype && cached.format === format) return cached.copy;
  cached?.copy.dispose();
  const values = format === undefined ? w : wrap(quantizeKernel(w.device, w.data, weightFormats[format]));
  const copy = values.dtype === dtype ? values : fused("cast", [values], dtype, (_k, x) => [x!]);
  if (w instanceof Parameter) {
    untrack(copy.data);
    casts.set(w, { version: w.version, format, copy });
  }
  return copy;
}

export interface MatmulOptions {
  readonly transA?: boolean;
  readonly transB?: boolean;
}

/** a [..,M,K] . b [..,K,N] (or one b [K,N] for all) -> [..,M,N]; f32 accumulate. */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const { transA = false, transB = false } = options;
  const y = wrap(matmulKernel(a.device, a.data, b.data, { transA, transB }));
  if (needsGrad(a, b)) record("matmul", [a, b], [y], { transA, transB });
  return y;
}

/** x [..,K] . w[N,K]^T + bias[N] -> [..,N] in the dtype of x. */
export function linear(
  x: Tensor,
  w: Tensor,
  bias?: Tensor,
  options: { readonly weightFormat?: WeightFormat } = {},
): Tensor {
  const narrow = compute(w, x.dtype, options.weightFormat);
  const y = wrap(linearKernel(x.device, x.data, narrow.data, bias?.data));
  if (needsGrad(x, w, bias)) record("linear", [x, w, bias], [y], { w: narrow });
  return y;
}

/** The versions of weights at which all values are bf16 numbers. */
const halves = new WeakMap<Tensor, number>();
/** Says that the f32 values of `w` are bf16 numbers, as a file held them; true until they change. */
export const noteHalf = (w: Parameter): void => void halves.set(w, w.version);

/**
 * x [..,K] . w[N,K]^T -> [..,N] in f32, of rows `range` of w only if given. Products of bf16 numbers are exact in f32, so
 * where x and the values of w are such numbers w is read in half the bytes; only the order of sums differs.
 */
export function wideLinear(x: Tensor, w: Parameter, range?: { readonly start: number; readonly end: number }): Tensor {
  const rowsOf = (all: Tensor): Tensor => (range ? slice(all, 0, range.start, range.end) : all);
  if (x.dtype !== "bf16" || halves.get(w) !== w.version || needsGrad(x, w)) return linear(cast(x, "f32"), rowsOf(w));
  return wrap(matmulKernel(x.device, x.data, rowsOf(compute(w, "bf16")).data, { transB: true, outDtype: "f32" }));
}

interface AxisOption {
  readonly axis?: number;
}

/** Along the last axis unless told. */
export function softmax(x: Tensor, options: AxisOption = {}): Tensor {
  const at = axisOf("softmax", x, options.axis ?? -1);
  if (at !== x.ndim - 1) return transpose(softmax(transpose(x, at, -1)), at, -1);
  const y = wrap(softmaxKernel(x.device, x.data));
  if (needsGrad(x)) record("softmax", [x], [y], { y: new Tensor(y.data) });
  return y;
}

export function logSoftmax(x: Tensor, options: AxisOption = {}): Tensor {
  const at = axisOf("logSoftmax", x, options.axis ?? -1);
  if (at !== x.ndim - 1) return transpose(logSoftmax(transpose(x, at, -1)), at, -1);
  const y = wrap(logSoftmaxKernel(x.device, x.data));
  if (needsGrad(x)) record("logSoftmax", [x], [y], { y: new Tensor(y.data) });
  return y;
}

/** Over the last axis; w [C] may be absent (all ones). */
export function rmsNorm(x: Tensor, w: Tensor | undefined, options: { readonly eps: number }): Tensor {
  const keeps = needsGrad(x, w);
  const out = rmsNormKernel(x.device, x.data, w?.data, { ...options, keeps });
  const y = wrap(out.y);
  if (keeps) record("rmsNorm", [x, w], [y], { rstd: wrap(out.rstd!) });
  return y;
}

/** Over the last axis; w and b [C]. */
export function layerNorm(x: Tensor, w: Tensor, b: Tensor, options: { readonly eps: number }): Tensor {
  const keeps = needsGrad(x, w, b);
  const out = layerNormKernel(x.device, x.data, w.data, b.data, { ...options, keeps });
  const y = wrap(out.y);
  if (keeps) record("layerNorm", [x, w, b], [y], { mean: wrap(out.mean!), rstd: wrap(out.rstd!) });
  return y;
}

export interface RopeOptions {
  /** f32 [R/2]; the last R dims of each head turn. */
  readonly freqs: Tensor;
  /** Position of t is start + t * step. */
  readonly start?: number;
  readonly step?: number;
  readonly inverse?: boolean;
}

/** x [B,T,H,D], interleaved pairs (2i, 2i+1). */
export function rope(x: Tensor, options: RopeOptions): Tensor {
  const { freqs, start = 0, step = 1, inverse = false } = options;
  const y = wrap(ropeKernel(x.device, x.data, { freqs: freqs.data, start, step, inverse }));
  if (needsGrad(x)) record("rope", [x], [y], { freqs, start, step, inverse });
  return y;
}

/** silu(min(a, limit)) * clamp(b, -limit, limit) * rowScale[row]. */
export function swiglu(a: Tensor, b: Tensor, options: { readonly limit: number; readonly rowScale?: Tensor }): Tensor {
  const { limit, rowScale } = options;
  const y = wrap(swigluKernel(a.device, a.data, b.data, rowScale ? { limit, rowScale: rowScale.data } : { limit }));
  if (needsGrad(a, b, rowScale)) record("swiglu", [a, b, rowScale], [y], { limit });
  return y;
}

/** Rows of table [V,D] by ids i32 [..] -> [..,D] in the table's dtype. */
export function embedding(table: Tensor, ids: Tensor): Tensor {
  const y = wrap(embeddingKernel(table.device, table.data, ids.data));
  if (needsGrad(table)) record("embedding", [table, ids], [y], undefined);
  return y;
}

/** x [B,H,W,C], w [O,3,3,C] -> [B,H,W,O], zero padding. */
export function conv3x3(x: Tensor, w: Tensor, bias?: Tensor): Tensor {
  const narrow = w.dtype === x.dtype ? w : compute(w, x.dtype);
  const y = wrap(conv3x3Kernel(x.device, x.data, narrow.data, bias?.data));
  if (needsGrad(x, w, bias)) record("conv3x3", [x, w, bias], [y], { w: narrow });
  return y;
}
