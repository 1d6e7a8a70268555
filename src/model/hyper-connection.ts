/**
 * Manifold-constrained hyper-connections: the residual is n streams; each sublayer reads a weighted sum of them,
 * and writes back through weights made from the streams themselves, with a doubly-stochastic mixing matrix.
 * Main functions: `hcRead` (before a sublayer), `hcWrite` (after it), `hcCollapse` (at the end).
 * Source: DeepSeek-V4 report section 2.2; the projection and its weights stay f32.
 */
import type { Device } from "../device/device.ts";
import * as t from "../tensor/ops.ts";
import { Parameter, Tensor } from "../tensor/tensor.ts";
import type { V4Config } from "./config.ts";
import type { Init } from "./init.ts";

export interface HcWeights {
  /** [(2+n)n, nD], or [n, nD] for the final collapse. */
  readonly fn: Tensor;
  readonly base: Tensor;
  readonly scale: Tensor;
}

/** What a sublayer needs to write its output back. */
export interface HcMixing {
  readonly post: Tensor;
  readonly comb: Tensor;
}

const flat = (streams: Tensor): Tensor => t.reshape(streams, [streams.shape[0]!, -1]);

/** streams [R,n,D] -> the sublayer's input [R,D], and how to write its output back. */
export function hcRead(streams: Tensor, weights: HcWeights, config: V4Config): { input: Tensor; mixing: HcMixing } {
  const { pre, post, comb } = t.hcMix(flat(streams), {
    ...weights,
    n: config.hc_mult,
    iters: config.hc_sinkhorn_iters,
    eps: config.hc_eps,
    normEps: config.rms_norm_eps,
  });
  return { input: t.hcPre(streams, pre), mixing: { post, comb } };
}

/** output [R,D] of the sublayer into streams [R,n,D] as they were before it. */
export const hcWrite = (output: Tensor, streams: Tensor, { post, comb }: HcMixing): Tensor =>
  t.hcPost(output, streams, post, comb);

/** streams [R,n,D] -> [R,D]; plain gates, no Sinkhorn. */
export function hcCollapse(streams: Tensor, weights: HcWeights, config: V4Config): Tensor {
  const mix = t.hcProject(flat(streams), weights.fn, { eps: config.rms_norm_eps });
  const gate = t.add(t.sigmoid(t.add(t.mul(mix, weights.scale), weights.base)), config.hc_eps);
  return t.hcPre(streams, gate);
}

/** Dynamic parts start at a tenth, enough to tell the streams apart. */
const SCALE_START = 0.1;
/** softmax([4,0,0,0]) = [.95, .02, .02, .02]: each stream mostly keeps itself. */
const KEEP_START = 4;

/**
 * Starts as a plain residual network: reads the mean of the streams, adds the output to each with weight 1,
 * mixes them by nearly the identity.
 */
export function initHc(init: Init, config: V4Config): { fn: Parameter; base: Parameter; scale: Parameter } {
  const n = config.hc_mult;
  const base = new Float32Array((2 + n) * n);
  for (let j = 0; j < n; j++) {
    base[j] = readStart(n);
    base[2 * n + j * n + j] = KEEP_START;
  }
  return {
    fn: init.matrix([(2 + n) * n, n * config.hidden_size]),
    base: constant(init.device, base),
    scale: constant(init.device, new Float32Array(3).fill(SCALE_START)),
  };
}

export function initHcCollapse(init: Init, config: V4Config): { fn: Parameter; base: Parameter; scale: Parameter } {
  const n = config.hc_mult;
  return {
    fn: init.matrix([n, n * config.hidden_size]),
    base: constant(init.device, new Float32Array(n).fill(readStart(n))),
    scale: constant(init.device, Float32Array.of(SCALE_START)),
  };
}

/** sigmoid of it is 1/n (for one stream, nearly 1). */
const readStart = (n: number): number => (n === 1 ? KEEP_START : -Math.log(n - 1));

const constant = (device: Device, values: Float32Array): Parameter => new Parameter(Tensor.from(device, values));
