/**
 * What narrow formats do to numbers, as ops on wide tensors: quantise and come back, the Hadamard rotation before FP4,
 * and a norm rounded at each step. Gradients pass as if nothing had been rounded.
 */
import { fp8Matmul, hasFp8Products, quantizeE4m3, type Fp8Matrix } from "../kernels/fp8-matmul.ts";
import { hadamard as hadamardKernel } from "../kernels/hadamard.ts";
import { quantize as quantizeKernel, type QuantizeParams } from "../kernels/quantize.ts";
import { roundFp8 } from "../kernels/round-fp8.ts";
import { add, cast, fused, mul, square, straightThrough } from "./ops-elementwise.ts";
import { rmsNorm } from "./ops-nn.ts";
import { mean } from "./ops-shape.ts";
import { track } from "./scope.ts";
import { needsGrad } from "./tape.ts";
import { Parameter, wrap, type Tensor } from "./tensor.ts";

/** Each block of the last axis through the format; by casts where the chip has them. */
export const quantize = (x: Tensor, params: QuantizeParams): Tensor =>
  straightThrough(x, () => {
    const { format, block, width = 0, square = false } = params;
    const isCast = format === "e4m3" && block === 128 && width === 0 && !square && hasFp8Products(x.device.properties.chip); // prettier-ignore
    return wrap(isCast ? roundFp8(x.device, x.data) : quantizeKernel(x.device, x.data, params));
  });

/** Whether products of FP8 codes exist on the device and may be used: they have no gradient. */
export const hasFp8Linear = (x: Tensor, w: Tensor): boolean => hasFp8Products(x.device.properties.chip) && !needsGrad(x, w); // prettier-ignore

/** Codes of weights, by weight; remade when the version moves on. */
const codes = new WeakMap<Parameter, { version: number; made: Fp8Matrix }>();

function codesOf(w: Tensor): Fp8Matrix {
  if (!(w instanceof Parameter)) return owned(quantizeE4m3(w.device, w.data, { square: true }));
  const known = codes.get(w);
  if (known?.version === w.version) return known.made;
  for (const { buffer } of known ? [known.made.codes, known.made.scale] : []) w.device.free(buffer);
  const made = quantizeE4m3(w.device, w.data, { square: true });
  codes.set(w, { version: w.version, made });
  return made;
}
/** In the innermost scope. */
function owned(matrix: Fp8Matrix): Fp8Matrix {
  track(matrix.codes);
  track(matrix.scale);
  return matrix;
}

/** x [..,K], rounded to e4m3 in blocks of 128 of a row, times w [N,K], in blocks of 128 x 128 -> [..,N] in the dtype of x. */
export const fp8Linear = (x: Tensor, w: Tensor): Tensor =>
  wrap(fp8Matmul(x.device, owned(quantizeE4m3(x.device, x.data)), codesOf(w), x.dtype));

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
