/**
 * What narrow formats do to numbers, as ops on wide tensors: quantise and come back, the Hadamard rotation before FP4,
 * and a norm rounded at each step. Gradients pass as if nothing had been rounded.
 */
import { hadamard as hadamardKernel } from "../kernels/hadamard.ts";
import { quantize as quantizeKernel, type QuantizeParams } from "../kernels/quantize.ts";
import { add, cast, fused, mul, square, straightThrough } from "./ops-elementwise.ts";
import { rmsNorm } from "./ops-nn.ts";
import { mean } from "./ops-shape.ts";
import { wrap, type Tensor } from "./tensor.ts";

/** Each block of the last axis through the format. */
export const quantize = (x: Tensor, params: QuantizeParams): Tensor =>
  straightThrough(x, () => wrap(quantizeKernel(x.device, x.data, params)));

/** Over the last axis, a power of two. No gradient. */
export const hadamard = (x: Tensor): Tensor => wrap(hadamardKernel(x.device, x.data));

/** rmsNorm without weight that rounds to the dtype of x after the squares, the mean, the sum with eps and the root. */
export const headNormSteps = (x: Tensor, eps: number): Tensor =>
  straightThrough(rmsNorm(x, undefined, { eps }), () => {
    const meanSquare = cast(mean(cast(square(x), "f32"), -1, { keepdim: true }), x.dtype);
    return mul(
      x,
      fused("rsqrt", [add(meanSquare, eps)], x.dtype, (_k, v) => [v!.rsqrt()]),
    );
  });
