/**
 * Products with weights that stay integers: the input is rounded to int8 per row, the product is of integers, scales come
 * last. For inference only: there is no gradient. Main functions: `intLinear`, `moeExpertsInt`.
 */
import { TesseraError } from "../base/errors.ts";
import { intMatmul } from "../kernels/int-matmul.ts";
import { combineRows } from "../kernels/moe.ts";
import type { NdArray } from "../kernels/nd-array.ts";
import { quantizeRows, type QuantizedRows } from "../kernels/quantize-rows.ts";
import { swiglu as swigluKernel } from "../kernels/swiglu.ts";
import { cast } from "./ops-elementwise.ts";
import { sortedByExpert, type Routing } from "./ops-moe.ts";
import { innermost, track, type TensorScope } from "./scope.ts";
import { needsGrad } from "./tape.ts";
import { wrap, type Tensor } from "./tensor.ts";

/** See kernels/int-matmul.ts; of experts with a leading axis E. */
export interface IntWeight {
  readonly weight: Tensor;
  readonly weight_scale: Tensor;
  readonly group: number | undefined;
}

/** Products that share an input share its rounding, as long as the scope that owns it is the innermost one. */
const known = new WeakMap<Tensor, { rows: QuantizedRows; version: number; scope: TensorScope | undefined }>();

function rounded(x: Tensor): QuantizedRows {
  if (needsGrad(x)) throw new TesseraError("autograd", "intLinear: expected no gradients, integer weights are for inference only"); // prettier-ignore
  const scope = innermost();
  const found = known.get(x);
  if (scope && found?.scope === scope && found.version === x.version) return found.rows;
  const rows = quantizeRows(x.device, x.data);
  track(rows.q);
  track(rows.scale);
  known.set(x, { rows, version: x.version, scope });
  return rows;
}
const held = ({ weight, weight_scale, group }: IntWeight) => ({ codes: weight.data, scale: weight_scale.data, group });

/** x [..,K] -> [..,N] in the dtype of x. */
export const intLinear = (x: Tensor, w: IntWeight): Tensor => wrap(intMatmul(x.device, rounded(x), held(w), { out: x.dtype as "f32" })); // prettier-ignore

/** x [G,R,K], each group with its own rows of w [G*N,K] in int8 -> [G,R,N]. */
export function intGroups(x: Tensor, { weight, weight_scale }: IntWeight): Tensor {
  const [groups, , depth] = x.shape as [number, number, number];
  const n = weight.shape[0]! / groups;
  const codes = { ...weight.data, shape: [groups, n, depth] };
  const scale = { ...weight_scale.data, shape: [groups, n] };
  return wrap(intMatmul(x.device, rounded(x), { codes, scale }, { out: x.dtype }));
}

/** `moeExperts` with integer weights: x [R,D] -> [R,D]. */
export function moeExpertsInt(
  x: Tensor,
  { w1, w2, w3 }: { readonly w1: IntWeight; readonly w2: IntWeight; readonly w3: IntWeight },
  routing: Routing,
  { limit, wideSum = false }: { readonly limit: number; readonly wideSum?: boolean },
): Tensor {
  const { device, dtype } = x;
  const plan = sortedByExpert(x, routing, w1.weight.shape[0]!);
  const { xs, rowScale, offsets } = plan;
  const product = (rows: QuantizedRows, w: IntWeight): NdArray => wrap(intMatmul(device, rows, held(w), { out: dtype, offsets })).data; // prettier-ignore
  const input = rounded(wrap(xs));
  const gate = wrap(swigluKernel(device, product(input, w1), product(input, w3), { limit, rowScale }));
  const y = wrap(product(rounded(gate), w2));
  return wrap(combineRows(device, (wideSum ? cast(y, "f32") : y).data, plan));
}
