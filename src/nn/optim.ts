/**
 * Optimizers: AdamW for tables, norms, vectors and small maps; Muon for matrices (each expert by itself).
 * `makeOptimizer` splits a module's parameters between the two. State is named after the parameter it
 * belongs to, so a checkpoint of it is readable and order-free.
 * Source: DeepSeek-V4 report (hybrid Newton-Schulz, RMS-matched update 0.18 sqrt(max(rows, cols))); AdamW arXiv:1711.05101.
 */
import { TesseraError } from "../base/errors.ts";
import { adamwStep, muonOrthogonalize, sumSquares } from "../kernels/optim.ts";
import { assign, fused } from "../tensor/ops-elementwise.ts";
import { tensorScope } from "../tensor/scope.ts";
import { noGrad } from "../tensor/tape.ts";
import { Parameter, Tensor, wrap, zeros } from "../tensor/tensor.ts";
import { loadInto, type HostTensor, type StateDict } from "./module.ts";

export type NamedParameter = readonly [name: string, p: Parameter];

export interface AdamWOptions {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly eps?: number;
  readonly weightDecay?: number;
}
export interface MuonOptions {
  readonly momentum?: number;
  readonly weightDecay?: number;
}

/** What both share: named state that is saved and loaded, and one update per step. */
export interface Optimizer {
  /** Updates every parameter that has a gradient. */
  step(options: { readonly lr: number }): void;
  zeroGrad(): void;
  stateDict(): Map<string, HostTensor>;
  loadStateDict(state: StateDict): void;
}

const zerosLike = (p: Parameter): Parameter => new Parameter(zeros(p.device, p.shape), false);

function trainable(named: readonly NamedParameter[]): NamedParameter[] {
  for (const [name, p] of named)
    if (p.requiresGrad && p.dtype !== "f32")
      throw new TesseraError("dtype", `optimizer: expected f32 master weights, got ${p.dtype} for "${name}"`);
  return named.filter(([, p]) => p.requiresGrad);
}

function clearGrads(named: readonly NamedParameter[]): void {
  for (const [, p] of named) {
    p.grad?.dispose();
    p.grad = undefined;
  }
}

const toState = (targets: ReadonlyMap<string, Parameter>): Map<string, HostTensor> =>
  new Map([...targets].map(([name, t]) => [name, { dtype: t.dtype, shape: t.shape, data: () => t.toRaw() }]));

/** p -= lr (m^ / (sqrt(v^) + eps) + weightDecay p), moments bias-corrected. */
export class AdamW implements Optimizer {
  private readonly named: NamedParameter[];
  private readonly options: Required<AdamWOptions>;
  private readonly moments: Map<string, Parameter>;
  /** Updates done so far; drives the bias correction. */
  private readonly count: Parameter;

  constructor(named: readonly NamedParameter[], options: AdamWOptions = {}) {
    this.named = trainable(named);
    this.options = { beta1: 0.9, beta2: 0.95, eps: 1e-20, weightDecay: 0.1, ...options };
    const pairs = this.named.flatMap(([name, p]): [string, Parameter][] => [
      [`${name}.m`, zerosLike(p)],
      [`${name}.v`, zerosLike(p)],
    ]);
    this.moments = new Map(pairs);
    const device = this.named[0]?.[1].device;
    if (device === undefined) throw new TesseraError("optimizer", "AdamW: expected at least one parameter, got none");
    this.count = new Parameter(zeros(device, [1], { dtype: "i32" }), false);
  }
  step({ lr }: { readonly lr: number }): void {
    const step = this.count.item() + 1;
    this.count.copyFrom([step]);
    for (const [name, p] of this.named) {
      if (p.grad === undefined) continue;
      const m = this.moments.get(`${name}.m`)!;
      const v = this.moments.get(`${name}.v`)!;
      adamwStep(p.device, p.data, p.grad.data, m.data, v.data, { lr, ...this.options, step });
      p.bumpVersion();
    }
  }
  zeroGrad(): void {
    clearGrads(this.named);
  }
  stateDict(): Map<string, HostTensor> {
    return toState(this.tensors());
  }
  loadStateDict(state: StateDict): void {
    loadInto(this.tensors(), state, "AdamW state");
  }
  private tensors(): Map<string, Parameter> {
    return new Map([...this.moments, ["step", this.count]]);
  }
}

/** M = mu M + G; p -= lr (0.18 sqrt(max(rows, cols)) orthogonalize(mu M + G) + weightDecay p). */
export class Muon implements Optimizer {
  private readonly named: NamedParameter[];
  private readonly options: Required<MuonOptions>;
  private readonly momenta: Map<string, Parameter>;

  constructor(named: readonly NamedParameter[], options: MuonOptions = {}) {
    this.named = trainable(named);
    this.options = { momentum: 0.95, weightDecay: 0.1, ...options };
    for (const [name, p] of this.named)
      if (p.ndim < 2)
        throw new TesseraError("optimizer", `Muon: expected matrices, got [${p.shape}] for "${name}" (use AdamW)`);
    this.momenta = new Map(this.named.map(([name, p]) => [`${name}.momentum`, zerosLike(p)]));
  }
  step({ lr }: { readonly lr: number }): void {
    const { momentum, weightDecay } = this.options;
    for (const [name, p] of this.named) {
      if (p.grad === undefined) continue;
      using _scope = tensorScope();
      const device = p.device;
      const m = this.momenta.get(`${name}.momentum`)!;
      const mu = Tensor.from(device, [momentum]);
      assign(m, "muonMomentum", [m, p.grad, mu], (_k, a, g, u) => [a!.mul(u!).add(g!)]);
      const [batch, rows, cols] = matrixShape(p.shape);
      const ahead = fused("muonNesterov", [m, p.grad, mu], "f32", (_k, a, g, u) => [a!.mul(u!).add(g!)]);
      const update = wrap(muonOrthogonalize(device, { ...ahead.data, shape: [batch, rows, cols] }));
      const rate = Tensor.from(device, [lr * 0.18 * Math.sqrt(Math.max(rows, cols))]);
      const keep = Tensor.from(device, [1 - lr * weightDecay]);
      assign(p, "muonUpdate", [p, update, rate, keep], (_k, w, o, r, d) => [w!.mul(d!).sub(o!.mul(r!))]);
    }
  }
  zeroGrad(): void {
    clearGrads(this.named);
  }
  stateDict(): Map<string, HostTensor> {
    return toState(this.momenta);
  }
  loadStateDict(state: StateDict): void {
    loadInto(this.momenta, state, "Muon state");
  }
}

/** [..,R,C] as a batch of matrices; a convolution weight [O,3,3,C] is one matrix [O, 9C]. */
function matrixShape(shape: readonly number[]): [number, number, number] {
  const n = shape.length;
  if (n === 4) return [1, shape[0]!, shape[1]! * shape[2]! * shape[3]!];
  return [n === 3 ? shape[0]! : 1, shape[n - 2]!, shape[n - 1]!];
}

/** Several optimizers as one; each state name carries its part's name. */
class Combined implements Optimizer {
  private readonly parts: readonly (readonly [name: string, optimizer: Optimizer, lrScale: number])[];
  constructor(parts: Combined["parts"]) {
    this.parts = parts;
  }
  step({ lr }: { readonly lr: number }): void {
    for (const [, optimizer, lrScale] of this.parts) optimizer.step({ lr: lr * lrScale });
  }
  zeroGrad(): void {
    for (const [, optimizer] of this.parts) optimizer.zeroGrad();
  }
  stateDict(): Map<string, HostTensor> {
    return new Map(
      this.parts.flatMap(([part, o]) =>
        [...o.stateDict()].map(([name, t]): [string, HostTensor] => [`${part}.${name}`, t]),
      ),
    );
  }
  loadStateDict(state: StateDict): void {
    for (const [part, optimizer] of this.parts) {
      const own = [...state].filter(([name]) => name.startsWith(`${part}.`));
      optimizer.loadStateDict(new Map(own.map(([name, t]) => [name.slice(part.length + 1), t])));
    }
  }
}

export interface OptimizerOptions {
  /** Which parameters are Muon's; the default is `isMuonByDefault`. */
  readonly isMuon?: (name: string, p: Parameter) => boolean;
  readonly muon?: MuonOptions;
  readonly adamw?: AdamWOptions;
  /** AdamW's learning rate over Muon's. */
  readonly adamwLrScale?: number;
}

/** A path step that marks a table, an output head or a norm: `embed`, `embed_visual`, `head`, `head_levels`, `attn_norm`. */
const notMuon = /(^|\.)((\w+_)?embed(ding)?s?(_\w+)?|head(_\w+)?|(\w+_)?norm)(\.|$)/;

/** Every matrix but those of tables, heads and norms; hyper-connection maps are matrices, their bases and scales vectors. */
export const isMuonByDefault = (name: string, p: Parameter): boolean => p.ndim >= 2 && !notMuon.test(name);

export function makeOptimizer(named: readonly NamedParameter[], options: OptimizerOptions = {}): Optimizer {
  const { isMuon = isMuonByDefault, adamwLrScale = 1 } = options;
  const own = trainable(named);
  const matrices = own.filter(([name, p]) => isMuon(name, p));
  const others = own.filter(([name, p]) => !isMuon(name, p));
  const parts: [string, Optimizer, number][] = [];
  if (matrices.length > 0) parts.push(["muon", new Muon(matrices, options.muon), 1]);
  if (others.length > 0) parts.push(["adamw", new AdamW(others, options.adamw), adamwLrScale]);
  return new Combined(parts);
}

/** Scales all gradients so that their joint norm is at most `maxNorm`; returns the norm before. Synchronizes. */
export function clipGradNorm(params: readonly Parameter[], maxNorm: number): number {
  return noGrad(() => {
    using _scope = tensorScope();
    const grads = params.flatMap((p) => (p.grad ? [p.grad] : []));
    const squares = grads.map((g) => wrap(sumSquares(g.device, g.data)));
    const norm = Math.sqrt(squares.reduce((total, s) => total + s.item(), 0));
    if (norm > maxNorm) {
      const factor = Tensor.from(grads[0]!.device, [maxNorm / norm]);
      for (const g of grads) assign(g, "mul", [g, factor], (_k, a, b) => [a!.mul(b!)]);
    }
    return norm;
  });
}
