/**
 * The ops of the V4 block that are not plain layers: window + compressed attention with sinks, the
 * compressor's pooling, the indexer, and hyper-connections. Formulas are in the kernels of the same names.
 */
import { compressPool as compressPoolKernel } from "../kernels/compress-pool.ts";
import { hcFinish, hcProject as hcProjectKernel, type Projected } from "../kernels/hc-project.ts";
import { hcPost as hcPostKernel, hcPre as hcPreKernel, hcSplit as hcSplitKernel } from "../kernels/hyper-connection.ts";
import { indexScores as indexScoresKernel, topkMask as topkMaskKernel } from "../kernels/indexer.ts";
import { slotAttention as slotAttentionKernel } from "../kernels/slot-attention.ts";
import { topkIndices as topkIndicesKernel } from "../kernels/topk-indices.ts";
import { assert } from "../base/errors.ts";
import { sparseAttention as sparseAttentionKernel } from "../kernels/sparse-attention.ts";
import { straightThrough } from "./ops-elementwise.ts";
import { needsGrad, record } from "./tape.ts";
import { Tensor, wrap } from "./tensor.ts";

export interface SparseAttentionInputs {
  /** [B,T,H,D] */
  readonly q: Tensor;
  /** Keys and values at once, [B,Tk,D]; key i stands at position keyStart + i. */
  readonly kv: Tensor;
  /** Compressed entries [B,Tc,D]; entry j is visible to position p when j < floor((p+1)/ratio). */
  readonly ckv?: Tensor | undefined;
  /** u8 [B,T,Tc]: 1 where the query may use the entry. */
  readonly mask?: Tensor | undefined;
  /** Instead of a mask: i32 [B,T,K], the entries a query uses, ascending, then -1. Only these are read; no gradient. */
  readonly chosen?: Tensor | undefined;
  /** f32 [H], in the softmax denominator only. */
  readonly sink: Tensor;
  readonly queryStart: number;
  readonly keyStart: number;
  /** Keys are added up in an order that is the same however a sequence is cut into calls. */
  readonly isAnchored?: boolean;
  readonly window: number;
  readonly ratio: number;
  readonly scale: number;
  /** Probabilities rounded to bf16 over blocks of 64 slots, as the official kernel does; gradients are the plain ones. */
  readonly inSlots?: boolean;
}

/** -> [B,T,H,D]. One joint softmax over window keys and compressed entries. */
export function sparseAttention({ inSlots = false, ...inputs }: SparseAttentionInputs): Tensor {
  const { q, kv, ckv, mask, chosen, sink, queryStart, keyStart, isAnchored = false, window, ratio, scale } = inputs;
  assert(!(inSlots && chosen), "sparseAttention: attention in slots takes a mask");
  if (inSlots) {
    const slots = (): Tensor => wrap(slotAttentionKernel(q.device, { q: q.data, kv: kv.data, ckv: ckv?.data, mask: mask?.data, sink: sink.data, queryStart, keyStart, window, ratio, scale })); // prettier-ignore
    return needsGrad(q, kv, ckv, sink) ? straightThrough(sparseAttention(inputs), slots) : slots();
  }
  const out = sparseAttentionKernel(q.device, { q: q.data, kv: kv.data, ckv: ckv?.data, mask: mask?.data, chosen: chosen?.data, sink: sink.data, queryStart, keyStart, isAnchored, window, ratio, scale }); // prettier-ignore
  const o = wrap(out.o);
  const lse = wrap(out.lse);
  const isRecorded = needsGrad(q, kv, ckv, sink);
  assert(!(isRecorded && chosen), "sparseAttention: a list of entries has no gradient");
  if (isRecorded)
    record("sparseAttention", [q, kv, ckv, sink], [o], {
      o: new Tensor(o.data),
      lse,
      mask,
      queryStart,
      keyStart,
      window,
      ratio,
      scale,
    });
  return o;
}

export interface CompressPoolInputs {
  /** [B,T,coff*d], coff 2 with overlap. */
  readonly kv: Tensor;
  readonly score: Tensor;
  /** [m, coff*d] */
  readonly ape: Tensor;
  readonly m: number;
  readonly overlap: boolean;
}

/** -> entries [B, floor(T/m), d]. */
export function compressPool({ kv, score, ape, m, overlap }: CompressPoolInputs): Tensor {
  const y = wrap(compressPoolKernel(kv.device, { kv: kv.data, score: score.data, ape: ape.data, m, overlap }));
  if (needsGrad(kv, score, ape)) record("compressPool", [kv, score, ape], [y], { m, overlap });
  return y;
}

export interface IndexScoresInputs {
  /** [B,T,Hi,di] */
  readonly iq: Tensor;
  /** [B,Tc,di] */
  readonly ik: Tensor;
  /** [B,T,Hi] */
  readonly w: Tensor;
  readonly ratio: number;
  readonly queryStart: number;
  /** Products, their weighted values and the sum are each rounded to bf16. */
  readonly isRounded?: boolean;
  /** Scores of the first entries only; all of ik unless told. */
  readonly numEntries?: number;
}

/** -> f32 [B,T,numEntries], -inf where invisible. No gradient. */
export const indexScores = ({ iq, ik, w, ...rest }: IndexScoresInputs): Tensor =>
  wrap(indexScoresKernel(iq.device, { iq: iq.data, ik: ik.data, w: w.data, ...rest }));

/** Scores f32 [..,N] -> i32 [..,k]: the k largest visible ones' indices, ascending, then -1. No gradient. */
export const topkIndices = (scores: Tensor, k: number): Tensor =>
  wrap(topkIndicesKernel(scores.device, scores.data, k));

/** u8 mask of the k largest visible scores per row, lowest index on ties. No gradient. */
export const topkMask = (scores: Tensor, k: number): Tensor => wrap(topkMaskKernel(scores.device, scores.data, k));

/** In the innermost scope. */
function projected(x: Tensor, fn: Tensor): Projected {
  const out = hcProjectKernel(x.device, x.data, fn.data);
  for (const part of [out.dots, out.squares]) wrap(part);
  return out;
}

/** x [R,C] in any float type, fn f32 [J,C] -> f32 [R,J]: fn . (x normalised to a root mean square of 1). */
export function hcProject(x: Tensor, fn: Tensor, options: { readonly eps: number }): Tensor {
  const out = hcFinish(x.device, projected(x, fn), options);
  const y = wrap(out.y);
  const s = wrap(out.s);
  if (needsGrad(x, fn)) record("hcProject", [x, fn], [y], { y: new Tensor(y.data), s });
  return y;
}

export interface HcMixOptions {
  /** f32 [(2+n)n,C] */
  readonly fn: Tensor;
  /** [(2+n)n] */
  readonly base: Tensor;
  /** [3] */
  readonly scale: Tensor;
  readonly n: number;
  readonly iters: number;
  readonly eps: number;
  /** Of the norm of x. */
  readonly normEps: number;
}

/** x [R,C] in any float type -> the three mixing weights of a hyper-connection, f32 [R,n], [R,n], [R,n,n]. */
export function hcMix(x: Tensor, options: HcMixOptions): { pre: Tensor; post: Tensor; comb: Tensor } {
  const { fn, base, scale, n, iters, eps, normEps } = options;
  const keeps = needsGrad(x, fn, base, scale);
  const out = hcSplitKernel(x.device, projected(x, fn), { base: base.data, scale: scale.data, n, iters, eps, normEps, keeps }); // prettier-ignore
  const pre = wrap(out.pre);
  const post = wrap(out.post);
  const comb = wrap(out.comb);
  if (out.kept) record("hcMix", [x, fn, base, scale], [pre, post, comb], { y: wrap(out.kept.y), s: wrap(out.kept.s), n, iters, eps }); // prettier-ignore
  return { pre, post, comb };
}

/** x [R,n,D], pre [R,n] -> [R,D]: sum_j pre_j x_j. */
export function hcPre(x: Tensor, pre: Tensor): Tensor {
  const y = wrap(hcPreKernel(x.device, x.data, pre.data));
  if (needsGrad(x, pre)) record("hcPre", [x, pre], [y], undefined);
  return y;
}

/** f [R,D], x [R,n,D] -> [R,n,D]: post_k f + sum_j comb_jk x_j. */
export function hcPost(f: Tensor, x: Tensor, post: Tensor, comb: Tensor): Tensor {
  const y = wrap(hcPostKernel(f.device, f.data, x.data, post.data, comb.data));
  if (needsGrad(f, x, post, comb)) record("hcPost", [f, x, post, comb], [y], undefined);
  return y;
}
