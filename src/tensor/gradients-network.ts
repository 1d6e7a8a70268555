/** Gradient rules of the network ops; those with a fused kernel call its backward. Weight gradients are f32. */
import { compressPoolBackward } from "../kernels/compress-pool.ts";
import { conv3x3Backward } from "../kernels/conv.ts";
import { crossEntropyBackward } from "../kernels/cross-entropy.ts";
import { embeddingBackward } from "../kernels/embedding.ts";
import { hcProjectBackward } from "../kernels/hc-project.ts";
import { hcPostBackward, hcPreBackward, hcSplitBackward } from "../kernels/hyper-connection.ts";
import { matmul as matmulKernel } from "../kernels/matmul.ts";
import { moeRouterBackward } from "../kernels/moe.ts";
import { layerNormBackward, rmsNormBackward } from "../kernels/norm.ts";
import { sparseAttentionBackward } from "../kernels/sparse-attention.ts";
import { swigluBackward } from "../kernels/swiglu.ts";
import type { NdArray } from "../kernels/nd-array.ts";
import type { GradRules } from "./gradients.ts";
import { fused, mul } from "./ops-elementwise.ts";
import { sum, sumTo } from "./ops-shape.ts";
import { rope } from "./ops-nn.ts";
import { Tensor, wrap, zeros } from "./tensor.ts";

type Network =
  | "matmul" | "linear" | "embedding" | "softmax" | "logSoftmax" | "rmsNorm" | "layerNorm" | "rope" | "swiglu" | "conv3x3"
  | "crossEntropy" | "linearCrossEntropy" | "sparseAttention" | "compressPool"
  | "hcProject" | "hcMix" | "hcPre" | "hcPost" | "moeRouter" | "moeExperts" | "checkpoint"; // prettier-ignore

const wrapped = (a: NdArray | undefined): Tensor | undefined => (a === undefined ? undefined : wrap(a));
const flatRows = (a: NdArray, width: number): NdArray => ({
  ...a,
  shape: [a.shape.reduce((p, n) => p * n, 1) / width, width],
});
const last = (t: Tensor): number => t.shape[t.ndim - 1]!;

/** dy^T . x added into the weight's own gradient when it already has one, which saves a pass. */
function gradOfWeight(w: Tensor, dy: NdArray, x: NdArray): Tensor {
  if (w.node === undefined && w.grad?.dtype === "f32") {
    matmulKernel(w.device, dy, x, { transA: true, acc: w.grad.data });
    return w.grad;
  }
  return wrap(matmulKernel(w.device, dy, x, { transA: true, outDtype: w.dtype }));
}

export const networkRules: GradRules<Network> = {
  matmul: ({ dys: [dy], inputs: [a, b], saved: { transA, transB } }) => {
    const g = dy!.data;
    const device = dy!.device;
    const shared = b!.ndim === 2 && a!.ndim > 2 && !transA;
    const da = (): Tensor =>
      wrap(
        transA
          ? matmulKernel(device, b!.data, g, { transA: transB, transB: true })
          : matmulKernel(device, g, b!.data, { transB: !transB }),
      );
    // One b for a batch of a: the batch folds into the rows.
    const [ga, aa] = shared ? [flatRows(g, last(dy!)), flatRows(a!.data, last(a!))] : [g, a!.data];
    const db = (): Tensor =>
      sumTo(
        wrap(
          transB
            ? matmulKernel(device, ga, aa, { transA: true, transB: transA })
            : matmulKernel(device, aa, ga, { transA: !transA }),
        ),
        b!.shape,
      );
    return [a!.requiresGrad ? da() : undefined, b!.requiresGrad ? db() : undefined];
  },
  linear: ({ dys: [dy], inputs: [x, w, bias], saved }) => {
    const g = flatRows(dy!.data, last(dy!));
    const rows = flatRows(x!.data, last(x!));
    return [
      x!.requiresGrad
        ? new Tensor({ ...wrap(matmulKernel(dy!.device, g, saved.w.data)).data, shape: x!.shape })
        : undefined,
      w!.requiresGrad ? gradOfWeight(w!, g, rows) : undefined,
      bias?.requiresGrad ? sum(new Tensor(g), 0) : undefined,
    ];
  },
  embedding: ({ dys: [dy], inputs: [table, ids] }) => [
    wrap(embeddingBackward(dy!.device, flatRows(dy!.data, last(dy!)), ids!.data, table!.shape[0]!)),
  ],
  // y (dy - sum(dy y))
  softmax: ({ dys: [dy], saved: { y } }) => {
    const dot = sum(mul(dy!, y), -1, { keepdim: true });
    return [fused("softmaxBack", [dy!, y, dot], y.dtype, (_k, g, p, s) => [p!.mul(g!.sub(s!))])];
  },
  // dy - exp(y) sum(dy)
  logSoftmax: ({ dys: [dy], saved: { y } }) => {
    const total = sum(dy!, -1, { keepdim: true });
    return [fused("logSoftmaxBack", [dy!, y, total], y.dtype, (_k, g, p, s) => [g!.sub(p!.exp().mul(s!))])];
  },
  rmsNorm: ({ dys: [dy], inputs: [x, w], saved: { rstd } }) => {
    const out = rmsNormBackward(dy!.device, dy!.data, x!.data, w?.data, rstd.data);
    return [wrap(out.dx), wrapped(out.dw)];
  },
  layerNorm: ({ dys: [dy], inputs: [x, w], saved: { mean, rstd } }) => {
    const out = layerNormBackward(dy!.device, dy!.data, x!.data, w!.data, mean.data, rstd.data);
    return [wrap(out.dx), wrap(out.dw), wrap(out.db)];
  },
  rope: ({ dys: [dy], saved }) => [rope(dy!, { ...saved, inverse: !saved.inverse })],
  swiglu: ({ dys: [dy], inputs: [a, b, rowScale], saved: { limit } }) => {
    const out = swigluBackward(
      dy!.device,
      dy!.data,
      a!.data,
      b!.data,
      rowScale ? { limit, rowScale: rowScale.data } : { limit },
    );
    return [wrap(out.da), wrap(out.db), wrapped(out.dRowScale)];
  },
  conv3x3: ({ dys: [dy], inputs: [x], saved: { w } }) => {
    const out = conv3x3Backward(dy!.device, dy!.data, x!.data, w.data);
    return [wrap(out.dx), wrap(out.dw), wrap(out.dbias)];
  },
  crossEntropy: ({ dys: [dy], inputs: [logits, targets], saved: { lse, ignoreIndex, zLoss } }) => [
    wrap(crossEntropyBackward(dy!.device, logits!.data, targets!.data, lse.data, dy!.data, { ignoreIndex, zLoss })),
  ],
  linearCrossEntropy: ({ dys: [dy], saved: { run } }) => run(dy!),
  sparseAttention: ({ dys: [dy], inputs: [q, kv, ckv, sink], saved }) => {
    const { o, lse, mask, queryStart, keyStart, window, ratio, scale } = saved;
    const inputs = {
      q: q!.data,
      kv: kv!.data,
      ckv: ckv?.data,
      mask: mask?.data,
      sink: sink!.data,
      queryStart,
      keyStart,
      window,
      ratio,
      scale,
    };
    const out = sparseAttentionBackward(dy!.device, dy!.data, o.data, lse.data, inputs);
    return [wrap(out.dq), wrap(out.dkv), wrapped(out.dckv), wrap(out.dsink)];
  },
  compressPool: ({ dys: [dy], inputs: [kv, score, ape], saved: { m, overlap } }) => {
    const out = compressPoolBackward(dy!.device, dy!.data, {
      kv: kv!.data,
      score: score!.data,
      ape: ape!.data,
      m,
      overlap,
    });
    return [wrap(out.dkv), wrap(out.dscore), wrap(out.dape)];
  },
  hcMix: ({ dys: [dpre, dpost, dcomb], inputs: [x, fn, base, scale], saved: { y, s, n, iters, eps } }) => {
    const { device } = y;
    const rows = y.shape[0]!;
    const or0 = (t: Tensor | undefined, shape: readonly number[]): NdArray => (t ?? zeros(device, shape)).data;
    const grads = { dpre: or0(dpre, [rows, n]), dpost: or0(dpost, [rows, n]), dcomb: or0(dcomb, [rows, n, n]) };
    const split = hcSplitBackward(device, grads, y.data, { base: base!.data, scale: scale!.data, n, iters, eps });
    const dmix = wrap(split.dmix);
    const out = hcProjectBackward(device, dmix.data, { x: x!.data, fn: fn!.data, y: y.data, s: s.data });
    return [wrap(out.dx), wrap(out.dfn), wrap(split.dbase), wrap(split.dscale)];
  },
  hcProject: ({ dys: [dy], inputs: [x, fn], saved: { y, s } }) => {
    const out = hcProjectBackward(dy!.device, dy!.data, { x: x!.data, fn: fn!.data, y: y.data, s: s.data });
    return [wrap(out.dx), wrap(out.dfn)];
  },
  hcPre: ({ dys: [dy], inputs: [x, pre] }) => {
    const out = hcPreBackward(dy!.device, dy!.data, x!.data, pre!.data);
    return [wrap(out.dx), wrap(out.dpre)];
  },
  hcPost: ({ dys: [dy], inputs: [f, x, post, comb] }) => {
    const out = hcPostBackward(dy!.device, dy!.data, f!.data, x!.data, post!.data, comb!.data);
    return [wrap(out.df), wrap(out.dx), wrap(out.dpost), wrap(out.dcomb)];
  },
  moeRouter: ({ dys: [dy], inputs: [logits], saved: { indices, scale } }) => [
    wrap(moeRouterBackward(dy!.device, dy!.data, logits!.data, indices.data, { scale })),
  ],
  moeExperts: ({ dys: [dy], saved: { run } }) => run(dy!),
  checkpoint: ({ dys, saved: { run } }) => run(dys),
};
