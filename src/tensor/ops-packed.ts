/**
 * Products with weights that stay codes. The input is rounded as its partner wants it, scales come last or on the way:
 *   int8, int4  input int8 per row, products of integers
 *   fp8         input FP8 in blocks of 128; products of codes where the matrix unit takes them, otherwise of their numbers
 *   fp4         input FP8 in blocks of 128; products of numbers
 * For inference only: there is no gradient. Main functions: `packedLinear`, `packedGroups`, `moeExpertsPacked`.
 * Source: DeepSeek-V4 spec section 2.0; chips spec E.2.
 */
import { TesseraError } from "../base/errors.ts";
import { fp8Matmul, hasFp8Products, quantizeE4m3 } from "../kernels/fp8-matmul.ts";
import { intMatmul } from "../kernels/int-matmul.ts";
import { combineRows } from "../kernels/moe.ts";
import { narrowMatmul, type NarrowWeights } from "../kernels/narrow-matmul.ts";
import { quantizeRows } from "../kernels/quantize-rows.ts";
import { swiglu as swigluKernel } from "../kernels/swiglu.ts";
import type { SortedRows } from "../kernels/work-list.ts";
import { cast } from "./ops-elementwise.ts";
import { sortedByExpert, type Routing } from "./ops-moe.ts";
import { quantize } from "./ops-narrow.ts";
import { permute, reshape } from "./ops-shape.ts";
import { innermost, track, type TensorScope } from "./scope.ts";
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
type Rounded = (x: Tensor, sorted?: SortedRows) => Multiply;

function integers(x: Tensor, sorted?: SortedRows): Multiply {
  const rows = quantizeRows(x.device, x.data);
  for (const a of [rows.q, rows.scale]) track(a);
  return ({ weight, weight_scale, group }) => wrap(intMatmul(x.device, rows, { codes: weight.data, scale: weight_scale.data, group }, { out: x.dtype, sorted })); // prettier-ignore
}

const heldAs = (format: NarrowWeights["format"], { weight, weight_scale }: PackedWeight): NarrowWeights => ({ format, codes: weight.data, scale: weight_scale.data }); // prettier-ignore

function numbers(format: NarrowWeights["format"]): Rounded {
  return (x, sorted) => {
    const input = quantize(x, { format: "e4m3", block: 128 }).data;
    return (w) => wrap(narrowMatmul(x.device, input, heldAs(format, w), { sorted }));
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
  fp8: (x, sorted) => sorted === undefined && hasFp8Products(x.device.properties.chip) ? codes(x) : numbers("e4m3")(x, sorted), // prettier-ignore
  fp4: numbers("e2m1"),
};

/** Products that share an input share its rounding, as long as the scope that owns it is the innermost one. */
interface Known {
  readonly form: PackedForm;
  readonly multiply: Multiply;
  readonly version: number;
  readonly scope: TensorScope | undefined;
}
const known = new WeakMap<Tensor, Known>();

function rounded(x: Tensor, { form }: PackedWeight, sorted?: SortedRows): Multiply {
  if (needsGrad(x)) throw new TesseraError("autograd", "packedLinear: expected no gradients, weights that stay codes are for inference only"); // prettier-ignore
  if (sorted) return roundings[form](x, sorted);
  const scope = innermost();
  const found = known.get(x);
  if (scope && found?.scope === scope && found.version === x.version && found.form === form) return found.multiply;
  const multiply = roundings[form](x);
  known.set(x, { form, multiply, version: x.version, scope });
  return multiply;
}

/** x [..,K] -> [..,N] in the dtype of x. */
export const packedLinear = (x: Tensor, w: PackedWeight): Tensor => rounded(x, w)(w);

/** x [..,G K] whose groups meet rows of their own of w [G N,K] -> [..,G N]. For fp8 the input stays wide, for int8 it is rounded per group. */
export function packedGroups(x: Tensor, w: PackedWeight, groups: number): Tensor {
  if (w.form === "fp8") return wrap(narrowMatmul(x.device, x.data, heldAs("e4m3", w), { groups }));
  if (groups === 1) return packedLinear(x, w);
  const depth = x.shape[x.ndim - 1]! / groups;
  const n = w.weight.shape[0]! / groups;
  const grouped = permute(reshape(x, [x.size / (groups * depth), groups, depth]), [1, 0, 2]);
  const each: PackedWeight = { ...w, weight: reshape(w.weight, [groups, n, depth]), weight_scale: reshape(w.weight_scale, [groups, n]) };
  const y = rounded(grouped, w)(each); // [G,R,N]
  return reshape(permute(y, [1, 0, 2]), [...x.shape.slice(0, -1), groups * n]);
} // prettier-ignore

/** `moeExperts` with such weights: x [R,D] -> [R,D]. */
export function moeExpertsPacked(
  x: Tensor,
  { w1, w2, w3 }: { readonly w1: PackedWeight; readonly w2: PackedWeight; readonly w3: PackedWeight },
  routing: Routing,
  { limit, wideSum = false }: { readonly limit: number; readonly wideSum?: boolean },
): Tensor {
  const { device } = x;
  const plan = sortedByExpert(x, routing, w1.weight.shape[0]!);
  const { xs, rowScale } = plan;
  const input = rounded(wrap(xs), w1, plan);
  const gate = wrap(swigluKernel(device, input(w1).data, input(w3).data, { limit, rowScale }));
  const y = rounded(gate, w2, plan)(w2);
  return wrap(combineRows(device, (wideSum ? cast(y, "f32") : y).data, plan));
}
