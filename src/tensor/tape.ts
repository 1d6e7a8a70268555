/**
 * The tape: what each op leaves behind for its gradient. `OpSaved` lists every differentiable op with
 * what it saves; gradients.ts must have a rule for each key or does not compile. `record` is all an
 * op calls; without gradients it costs one branch.
 */
import type { Tensor } from "./tensor.ts";

/** Per op: the static options and the extra arrays its rule needs, beside the inputs themselves. */
export interface OpSaved {
  add: undefined;
  sub: undefined;
  mul: undefined;
  div: undefined;
  minimum: undefined;
  maximum: undefined;
  neg: undefined;
  abs: undefined;
  square: undefined;
  exp: { readonly y: Tensor };
  log: undefined;
  sqrt: { readonly y: Tensor };
  sigmoid: { readonly y: Tensor };
  tanh: { readonly y: Tensor };
  relu: undefined;
  silu: undefined;
  softplus: undefined;
  clamp: { readonly low: number; readonly high: number };
  cast: undefined;
  straightThrough: undefined;
  reshape: undefined;
  permute: { readonly inverse: readonly number[] };
  expand: undefined;
  slice: { readonly axis: number; readonly start: number };
  concat: { readonly axis: number };
  sum: { readonly keptShape: readonly number[] };
  softmax: { readonly y: Tensor };
  logSoftmax: { readonly y: Tensor };
  matmul: { readonly transA: boolean; readonly transB: boolean };
  linear: { readonly w: Tensor };
  embedding: undefined;
  rmsNorm: { readonly rstd: Tensor };
  layerNorm: { readonly mean: Tensor; readonly rstd: Tensor };
  rope: { readonly freqs: Tensor; readonly start: number; readonly step: number; readonly inverse: boolean };
  swiglu: { readonly limit: number };
  crossEntropy: { readonly lse: Tensor; readonly ignoreIndex: number; readonly zLoss: number };
  linearCrossEntropy: { readonly run: (dy: Tensor) => readonly (Tensor | undefined)[] };
  conv3x3: { readonly w: Tensor };
  sparseAttention: {
    readonly o: Tensor;
    readonly lse: Tensor;
    readonly mask: Tensor | undefined;
    readonly queryStart: number;
    readonly keyStart: number;
    readonly window: number;
    readonly ratio: number;
    readonly scale: number;
  };
  compressPool: { readonly m: number; readonly overlap: boolean };
  hcMix: { readonly y: Tensor; readonly s: Tensor; readonly n: number; readonly iters: number; readonly eps: number };
  hcProject: { readonly y: Tensor; readonly s: Tensor };
  hcPre: undefined;
  hcPost: undefined;
  moeRouter: { readonly indices: Tensor; readonly scale: number };
  moeExperts: { readonly run: (dy: Tensor) => readonly (Tensor | undefined)[] };
  checkpoint: { readonly run: (dys: readonly (Tensor | undefined)[]) => readonly (Tensor | undefined)[] };
}

export type OpName = keyof OpSaved;

/** One recorded op. Inputs may be absent (an optional bias); ids grow in program order. */
export interface GradNode<K extends OpName = OpName> {
  readonly id: number;
  readonly op: K;
  readonly inputs: readonly (Tensor | undefined)[];
  readonly saved: OpSaved[K];
  readonly numOutputs: number;
}

let gradEnabled = true;
let nextId = 0;

/** Whether an op with these inputs must be recorded. */
export function needsGrad(a: Tensor | undefined, b?: Tensor, c?: Tensor, d?: Tensor): boolean {
  return (
    gradEnabled &&
    ((a !== undefined && a.requiresGrad) ||
      (b !== undefined && b.requiresGrad) ||
      (c !== undefined && c.requiresGrad) ||
      (d !== undefined && d.requiresGrad))
  );
}

export const isGradEnabled = (): boolean => gradEnabled;

/** Puts an op on the tape; its outputs require gradients from now on. */
export function record<K extends OpName>(
  op: K,
  inputs: readonly (Tensor | undefined)[],
  outputs: readonly Tensor[],
  saved: OpSaved[K],
): void {
  const node: GradNode<K> = { id: nextId++, op, inputs, saved, numOutputs: outputs.length };
  for (let i = 0; i < outputs.length; i++) {
    const out = outputs[i]!;
    out.node = node as unknown as GradNode;
    out.outputIdx = i;
    out.requiresGrad = true;
  }
}

function withGrad<T>(enabled: boolean, fn: () => T): T {
  const before = gradEnabled;
  gradEnabled = enabled;
  try {
    return fn();
  } finally {
    gradEnabled = before;
  }
}

/** Runs `fn` without recording; `fn` must be synchronous. */
export const noGrad = <T>(fn: () => T): T => withGrad(false, fn);
export const enableGrad = <T>(fn: () => T): T => withGrad(true, fn);
