/**
 * The feed-forward part: a few routed experts per token and one shared expert, all clamped SwiGLU. The first
 * layers choose experts by token id from a fixed table, the others by score with a bias that only balances load.
 * Main parts: `Moe.forward`, `balanceBias` (the auxiliary-loss-free update of the bias).
 * Source: DeepSeek-V4 report section 2.1; bias update speed 0.001 as in its training recipe.
 */
import { Prng } from "../base/prng.ts";
import { Module } from "../nn/module.ts";
import type { PackedLinear } from "../nn/packed-linear.ts";
import * as t from "../tensor/ops.ts";
import type { Routing } from "../tensor/ops-moe.ts";
import { Parameter, Tensor, zeros } from "../tensor/tensor.ts";
import type { Choose } from "./choose.ts";
import type { V4Config } from "./config.ts";
import type { Init, Projection } from "./init.ts";
import { fp8Linear, fp8Linears, narrowInput } from "./numerics.ts";

/** The router's weights; scores are f32. */
export class Gate extends Module {
  /** [E, D] */
  readonly weight: Parameter;
  /** f32 [E], learned layers only; moved by `balanceBias`, not by gradients. */
  readonly bias: Parameter | undefined;
  /** i32 [V, k], hash layers only. */
  readonly tid2eid: Parameter | undefined;
  private readonly config: V4Config;
  private hostTable: { version: number; ids: Int32Array } | undefined;

  constructor(init: Init, config: V4Config, isHash: boolean) {
    super();
    this.config = config;
    const { n_routed_experts: e, hidden_size: d, num_experts_per_tok: k, vocab_size: v } = config;
    this.weight = init.matrix([e, d]);
    const tableSeed = init.seed();
    this.bias = isHash ? undefined : new Parameter(zeros(init.device, [e]), false);
    this.tid2eid = isHash
      ? new Parameter(Tensor.from(init.device, balancedTable(v, e, k, tableSeed), [v, k]), false)
      : undefined;
  }

  /** x [R,D], the rows' token ids [R] on the host. */
  forward(x: Tensor, ids: Int32Array, choose?: Choose): Routing {
    const { num_experts_per_tok: k, routed_scaling_factor: scale } = this.config;
    const logits = t.linear(t.cast(x, "f32"), this.weight);
    return t.moeRouter(logits, {
      k,
      bias: this.bias,
      fixedIds: this.expertsOf(ids, k) ?? choose?.experts(logits),
      scale,
    });
  }

  private expertsOf(ids: Int32Array, k: number): Tensor | undefined {
    if (this.tid2eid === undefined) return undefined;
    if (this.hostTable?.version !== this.tid2eid.version)
      this.hostTable = { version: this.tid2eid.version, ids: this.tid2eid.toArray() as Int32Array };
    const table = this.hostTable.ids;
    const out = new Int32Array(ids.length * k);
    for (let i = 0; i < ids.length; i++) for (let j = 0; j < k; j++) out[i * k + j] = table[ids[i]! * k + j]!;
    return Tensor.from(this.tid2eid.device, out, [ids.length, k]);
  }
}

/** Every run of E ids uses each expert exactly k times, and no id uses one twice. */
function balancedTable(v: number, e: number, k: number, seed: number): Int32Array {
  const random = new Prng(seed);
  const out = new Int32Array(v * k);
  let offsets: number[] = [];
  for (let id = 0; id < v; id++) {
    if (id % e === 0) offsets = random.shuffle(Array.from({ length: e }, (_, i) => i));
    for (let j = 0; j < k; j++) out[id * k + j] = (id + offsets[j]!) % e;
  }
  return out;
}

/** All routed experts of a layer as stacked matrices; the official files have one tensor per expert. */
export class Experts extends Module {
  readonly w1: Parameter | PackedLinear;
  readonly w2: Parameter | PackedLinear;
  readonly w3: Parameter | PackedLinear;
  constructor(init: Init, config: V4Config) {
    super();
    const { n_routed_experts: e, moe_intermediate_size: i, hidden_size: d } = config;
    this.w1 = init.experts(e, d, i);
    this.w2 = init.experts(e, i, d, { isResidualOut: true });
    this.w3 = init.experts(e, d, i);
  }
}

export class SharedExpert extends Module {
  readonly w1: Projection;
  readonly w2: Projection;
  readonly w3: Projection;
  private readonly config: V4Config;
  constructor(init: Init, config: V4Config) {
    super();
    const { moe_intermediate_size: i, hidden_size: d } = config;
    this.config = config;
    this.w1 = init.projection(d, i);
    this.w2 = init.projection(i, d, { isResidualOut: true });
    this.w3 = init.projection(d, i);
  }
  /** x as products take it. */
  forward(x: Tensor): Tensor {
    const { swiglu_limit: limit, numerics } = this.config;
    const [gate, up] = fp8Linears(x, [this.w1, this.w3], numerics) as [Tensor, Tensor];
    const inner = t.swiglu(gate, up, { limit });
    return fp8Linear(narrowInput(inner, numerics), this.w2, numerics);
  }
}

export class Moe extends Module {
  readonly gate: Gate;
  readonly experts: Experts;
  readonly shared_experts: SharedExpert;
  private readonly config: V4Config;

  constructor(init: Init, config: V4Config, isHash: boolean) {
    super();
    this.config = config;
    this.gate = new Gate(init, config, isHash);
    this.experts = new Experts(init, config);
    this.shared_experts = new SharedExpert(init, config);
  }

  /** x [R,D] with the rows' token ids -> [R,D]. */
  forward(x: Tensor, ids: Int32Array, onRouting?: (routing: Routing) => void, choose?: Choose): Tensor {
    const routing = this.gate.forward(x, ids, choose);
    onRouting?.(routing);
    const { swiglu_limit: limit, numerics } = this.config;
    const input = narrowInput(x, numerics);
    const routed = this.routed(input, routing, limit);
    return t.cast(t.add(routed, this.shared_experts.forward(input)), x.dtype);
  }

  private routed(x: Tensor, routing: Routing, limit: number): Tensor {
    const { w1, w2, w3 } = this.experts;
    const { expertFp4, actFp8: narrowInput, moeSumF32: wideSum } = this.config.numerics;
    if (w1 instanceof Parameter && w2 instanceof Parameter && w3 instanceof Parameter)
      return t.moeExperts(x, w1, w3, w2, routing, { limit, weightFormat: expertFp4 ? "fp4" : undefined, narrowInput, wideSum }); // prettier-ignore
    return t.moeExpertsPacked(x, { w1, w2, w3 } as Record<"w1" | "w2" | "w3", PackedLinear>, routing, {
      limit,
      wideSum,
    });
  }
}

/**
 * Moves a learned layer's bias against its load: up for experts with fewer than the mean of `counts`, down for
 * those with more. Call once per step with the step's counts.
 */
export function balanceBias(gate: Gate, counts: ArrayLike<number>, speed = 0.001): void {
  if (gate.bias === undefined) return;
  const bias = gate.bias.toArray() as Float32Array;
  let total = 0;
  for (let e = 0; e < counts.length; e++) total += counts[e]!;
  const mean = total / counts.length;
  for (let e = 0; e < counts.length; e++) bias[e] = bias[e]! + speed * Math.sign(mean - counts[e]!);
  gate.bias.copyFrom(bias);
}
