/**
 * Products with weights that stay codes. The input is rounded as its partner wants it, scales come last or on the way:
 *   int8, int4  input int8 per row, products of integers
 *   fp8         input FP8 in blocks of 128; products of codes where the matrix unit takes them, otherwise of their numbers
 *   fp4         input FP8 in blocks of 128; products of numbers
 * For inference only: there is no gradient. Main functions: `packedLinear(s)`, `packedGroups`, `moeExpertsPacked`.
 * Source: DeepSeek-V4 spec section 2.0; chips spec E.2.
 */
import { TesseraError } from "../base/errors.ts";
import { fp8Matmul, hasFp8Products, quantizeE4m3 } from "../kernels/fp8-matmul.ts";
import { intMatmul } from "../kernels/int-matmul.ts";
import { combineRows } from "../kernels/moe.ts";
import { narrowMatmul, type NarrowWeights } from "../kernels/narrow-matmul.ts";
import type { NdArray } from "../kernels/nd-array.ts";
import { quantizeRows } from "../kernels/quantize-rows.ts";
import { swiglu as swigluKernel } from "../kernels/swiglu.ts";
import { cast } from "./ops-elementwise.ts";
import { sortedByExpert, type Routing } from "./ops-moe.ts";
import { quantize } from "./ops-narrow.ts";
import { track } from "./scope.ts";
import { needsGrad } from "./tape.ts";
import { wrap, type Tensor } from "./tensor.ts";

export type PackedForm = "int8" | "int4" | "fp8" | "fp4";

/** See kernels/int-matmul.ts and narrow-matmul.ts; of experts with a leading axis E. */
export interface PackedWeight {
  readonly form: PackedForm;
  readonly weight: Tensor;
  readonly weight_scale: Tensor;
  /** Of int4. */
  readonly group: number | undefined;
}

/** Multiplies a rounded input; the rows are sorted by expert where it was said that they are. */
type Multiply = (w: PackedWeight) => Tensor;
type Rounded = (x: Tensor, offsets?: NdArray) => Multiply;

function integers(x: Tensor, offsets?: NdArray): Multiply {
  const rows = quantizeRows(x.device, x.data);
  for (const a of [rows.q, rows.scale]) track(a);
  return ({ weight, weight_scale, group }) => wrap(intMatmul(x.device, rows, { codes: weight.data, scale: weight_scale.data, group }, { out: x.dtype, ...(offsets && { offsets }) })); // prettier-ignore
}

const heldAs = (format: NarrowWeights["format"], { weight, weight_scale }: PackedWeight): NarrowWeights => ({ format, codes: weight.data, scale: weight_scale.data }); // prettier-ignore

function numbers(format: NarrowWeights["format"]): Rounded {
  return (x, offsets) => {
    const input = quantize(x, { format: "e4m3", block: 128 }).data;
    return (w) => wrap(narrowMatmul(x.device, input, heldAs(format, w), { offsets }));
  };
}

function codes(x: Tensor): Multiply {
  const rows = quantizeE4m3(x.device, x.data);
  for (const a of [rows.codes, rows.scale]) track(a);
  return (w) => wrap(fp8Matmul(x.device, rows, heldAs("e4m3", w), x.dtype));
}

const roundings: Record<PackedForm, Rounded> = {
  int8: integers,
  int4: integers,
  fp8: (x, offsets) => offsets === undefined && hasFp8Products(x.device.properties.chip) ? codes(x) : numbers("e4m3")(x, offsets), // prettier-ignore
  fp4: numbers("e2m1"),
};

function rounded(x: Tensor, { form }: PackedWeight, offsets?: NdArray): Multiply {
  if (needsGrad(x)) throw new TesseraError("autograd", "packedLinear: expected no gradients, weights that stay codes are for inference only"); // prettier-ignore
  return roundings[form](x, offsets);
}

/** x [..,K] -> [..,N] in the dtype of x. */
export const packedLinear = (x: Tensor, w: PackedWeight): Tensor => rounded(x, w)(w);

/** Of several weights of one form: the input is rounded once. */
export function packedLinears(x: Tensor, ws: readonly PackedWeight[]): Tensor[] {
  return ws.map(rounded(x, ws[0]!));
}

/** x [..,G K] whose groups meet rows of their own of w [G N,K], an fp8 one -> [..,G N]. The input stays wide. */
export const packedGroups = (x: Tensor, w: PackedWeight, groups: number): Tensor => wrap(narrowMatmul(x.device, x.data, heldAs("e4m3", w), { groups })); // prettier-ignore

/** `moeExperts` with such weights: x [R,D] -> [R,D]. */
export function moeExpertsPacked(
  x: Tensor,
  { w1, w2, w3 }: { readonly w1: PackedWeight; readonly w2: PackedWeight; readonly w3: PackedWeight },
  routing: Routing,
  { limit, wideSum = false }: { readonly limit: number; readonly wideSum?: boolean },
): Tensor {
  const { device } = x;
  const { xs, rowScale, offsets, plan } = sortedByExpert(x, routing, w1.weight.shape[0]!);
  const input = rounded(wrap(xs), w1, offsets);
  const gate = wrap(swigluKernel(device, input(w1).data, input(w3).data, { limit, rowScale }));
  const y = rounded(gate, w2, offsets)(w2);
  return wrap(combineRows(device, (wideSum ? cast(y, "f32") : y).data, plan));
}
