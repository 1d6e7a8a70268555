/**
 * Mixture of experts: the router's weights, and all routed experts as one op. Rows are sorted by
 * expert, so each expert is one block of a grouped product; the routing weight multiplies before w2.
 * Main functions: `moeRouter`, `moeExperts`. Backward runs the same plan in reverse.
 */
import { ShapeError } from "../base/errors.ts";
import { combineRows, gatherRows, moeRouter as moeRouterKernel } from "../kernels/moe.ts";
import { moePlan, type MoePlan } from "../kernels/moe-plan.ts";
import { groupedMatmul, groupedMatmulGradW } from "../kernels/grouped-matmul.ts";
import { swiglu as swigluKernel, swigluBackward } from "../kernels/swiglu.ts";
import type { NdArray } from "../kernels/nd-array.ts";
import { quantize } from "../kernels/quantize.ts";
import { add, cast } from "./ops-elementwise.ts";
import { compute, type WeightFormat } from "./ops-nn.ts";
import { innermost, track } from "./scope.ts";
import { needsGrad, record } from "./tape.ts";
import { Tensor, wrap } from "./tensor.ts";

export interface MoeRouterOptions {
  /** Experts per token. */
  readonly k: number;
  /** f32 [E]; moves the choice only, never the weights. No gradient. */
  readonly bias?: Tensor | undefined;
  /** i32 [R,k] from the hash table instead of the choice by score. */
  readonly fixedIds?: Tensor | undefined;
  /** routed_scaling_factor */
  readonly scale: number;
}

export interface Routing {
  /** f32 [R,k] */
  readonly weights: Tensor;
  /** i32 [R,k] */
  readonly indices: Tensor;
}

/** logits f32 [R,E] -> the k experts of each row and their weights. */
export function moeRouter(logits: Tensor, options: MoeRouterOptions): Routing {
  const { k, bias, fixedIds, scale } = options;
  const out = moeRouterKernel(logits.device, logits.data, { k, bias: bias?.data, fixedIds: fixedIds?.data, scale });
  const weights = wrap(out.weights);
  const indices = wrap(out.indices);
  if (needsGrad(logits)) record("moeRouter", [logits], [weights], { indices, scale });
  return { weights, indices };
}

const own = (a: NdArray): NdArray => wrap(a).data;

/** Rows of x [R,D] once for each of their experts, sorted by expert: xs [R*k,D]. */
export function sortedByExpert(x: Tensor, { weights, indices }: Routing, experts: number): MoePlan & { xs: NdArray } {
  const { device } = x;
  // Lists that products ask for later, as in backward, live as long as the plan.
  const scope = innermost();
  const plan = moePlan(device, indices.data, weights.data, experts, (list) => scope?.add(list.buffer));
  for (const a of [plan.order, plan.inverse, plan.offsets, plan.rowScale]) track(a);
  return { ...plan, xs: own(gatherRows(device, x.data, plan.order)) };
}

export interface MoeExpertsOptions {
  readonly limit: number;
  /** Weights take the values of this format. */
  readonly weightFormat?: WeightFormat | undefined;
  /** The input of w2 goes through FP8 in blocks of 128; that of w1 and w3 is the caller's. */
  readonly narrowInput?: boolean;
  /** Add the experts in f32 and return it; otherwise in the dtype of x. */
  readonly wideSum?: boolean;
}

/**
 * x [R,D] -> [R,D]: sum over a row's experts of w2_e (silu(w1_e x) * (w3_e x) * weight), SwiGLU clamped.
 * w1, w3 [E,I,D], w2 [E,D,I].
 */
export function moeExperts(
  x: Tensor,
  w1: Tensor,
  w3: Tensor,
  w2: Tensor,
  routing: Routing,
  options: MoeExpertsOptions,
): Tensor {
  const { weights } = routing;
  const [e, i, d] = w1.shape as [number, number, number];
  const rows = x.shape[0]!;
  if (x.ndim !== 2 || x.shape[1] !== d || weights.shape[0] !== rows || w2.shape[1] !== d || w2.shape[2] !== i)
    throw new ShapeError(
      `moeExperts: expected x [R,${d}], w2 [${e},${d},${i}], weights [R,k], got [${x.shape}], [${w2.shape}], [${weights.shape}]`,
    );
  const device = x.device;
  const { limit, weightFormat, narrowInput = false, wideSum = false } = options;
  const c1 = compute(w1, x.dtype, weightFormat).data;
  const c3 = compute(w3, x.dtype, weightFormat).data;
  const c2 = compute(w2, x.dtype, weightFormat).data;
  const plan = sortedByExpert(x, routing, e);
  const { offsets, xs, rowScale } = plan;
  const a = own(groupedMatmul(device, xs, c1, plan));
  const b = own(groupedMatmul(device, xs, c3, plan));
  const gate = own(swigluKernel(device, a, b, { limit, rowScale }));
  const g = narrowInput ? own(quantize(device, gate, { format: "e4m3", block: 128 })) : gate;
  const rows2 = wrap(groupedMatmul(device, g, c2, plan));
  const y = wrap(combineRows(device, (wideSum ? cast(rows2, "f32") : rows2).data, plan));
  if (!(needsGrad(x, w1, w3, w2) || needsGrad(weights))) return y;
  const run = (dy: Tensor): readonly Tensor[] => {
    const dys = own(gatherRows(device, cast(dy, x.dtype).data, plan.order));
    const dg = own(groupedMatmul(device, dys, c2, plan, { transW: true }));
    const dw2 = wrap(groupedMatmulGradW(device, dys, g, offsets));
    const back = swigluBackward(device, dg, a, b, { limit, rowScale });
    const [da, db] = [own(back.da), own(back.db)];
    const dw1 = wrap(groupedMatmulGradW(device, da, xs, offsets));
    const dw3 = wrap(groupedMatmulGradW(device, db, xs, offsets));
    const dxs = add(
      wrap(groupedMatmul(device, da, c1, plan, { transW: true })),
      wrap(groupedMatmul(device, db, c3, plan, { transW: true })),
    );
    const dx = wrap(combineRows(device, dxs.data, plan));
    const dWeights = wrap(gatherRows(device, { ...own(back.dRowScale!), shape: [weights.size, 1] }, plan.inverse));
    return [dx, dw1, dw3, dw2, dWeights];
  };
  record("moeExperts", [x, w1, w3, w2, weights], [y], { run });
  return y;
}
