/**
 * Reconstruction loss and metrics of the visual tokenizer.
 *   loss = 0.5 L1 + L2 + 0.5 (horizontal + vertical gradient L1) + L1 of frame differences (clips)
 * on pixels in [-1,1]. PSNR is over 8-bit range: 10 log10(4 / mse) with the same pixels.
 */
import * as t from "../tensor/ops.ts";
import type { Tensor } from "../tensor/tensor.ts";

const l1 = (a: Tensor, b: Tensor): Tensor => t.meanAll(t.abs(t.sub(a, b)));

/** x[..., 1:] - x[..., :-1] along `axis`. */
function difference(x: Tensor, axis: number): Tensor {
  const n = x.shape[axis]!;
  return t.sub(t.slice(x, axis, 1, n), t.slice(x, axis, 0, n - 1));
}

/** Both [B,F,H,W,3]; returns a scalar. */
export function reconstructionLoss(output: Tensor, target: Tensor): Tensor {
  const error = t.sub(output, target);
  let loss = t.add(t.mul(t.meanAll(t.abs(error)), 0.5), t.meanAll(t.mul(error, error)));
  for (const axis of [2, 3]) loss = t.add(loss, t.mul(t.meanAll(t.abs(difference(error, axis))), 0.5));
  if (output.shape[1]! > 1) loss = t.add(loss, l1(difference(output, 1), difference(target, 1)));
  return loss;
}

/** Mean squared error of two pixel tensors; returns a scalar. */
export function squaredError(output: Tensor, target: Tensor): Tensor {
  const error = t.sub(output, target);
  return t.meanAll(t.mul(error, error));
}

/** Mean squared error over 8-bit pixels -> decibels. */
export const psnrFromMse = (mse: number): number => 10 * Math.log10((255 * 255) / Math.max(mse, 1e-10));

/** Mean squared error of two equally long 8-bit pixel arrays. */
export function mse(a: Uint8Array, b: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return sum / a.length;
}

/**
 * Structural similarity of two 8-bit RGB pictures: luma, uniform 8x8 windows with stride 4,
 * C1 = (0.01*255)^2, C2 = (0.03*255)^2 (Wang et al. 2004, with a box instead of a Gaussian window).
 */
export function ssim(a: Uint8Array, b: Uint8Array, width: number, height: number): number {
  const luma = (p: Uint8Array): Float64Array => {
    const out = new Float64Array(width * height);
    for (let i = 0; i < out.length; i++) out[i] = 0.299 * p[3 * i]! + 0.587 * p[3 * i + 1]! + 0.114 * p[3 * i + 2]!;
    return out;
  };
  const x = luma(a);
  const y = luma(b);
  const size = 8;
  const n = size * size;
  const c1 = (0.01 * 255) ** 2;
  const c2 = (0.03 * 255) ** 2;
  let total = 0;
  let windows = 0;
  for (let top = 0; top + size <= height; top += 4) {
    for (let left = 0; left + size <= width; left += 4) {
      let sx = 0,
        sy = 0,
        sxx = 0,
        syy = 0,
        sxy = 0;
      for (let r = top; r < top + size; r++) {
        for (let c = left; c < left + size; c++) {
          const u = x[r * width + c]!;
          const v = y[r * width + c]!;
          sx += u;
          sy += v;
          sxx += u * u;
          syy += v * v;
          sxy += u * v;
        }
      }
      const mx = sx / n;
      const my = sy / n;
      const vx = sxx / n - mx * mx;
      const vy = syy / n - my * my;
      const cov = sxy / n - mx * my;
      total += ((2 * mx * my + c1) * (2 * cov + c2)) / ((mx * mx + my * my + c1) * (vx + vy + c2));
      windows++;
    }
  }
  return total / windows;
}
