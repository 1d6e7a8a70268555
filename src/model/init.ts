/**
 * How weights start: one counter-based stream per weight, in construction order, so a seed fixes a network.
 * `normal` is training from scratch (0.02, outputs into the residual streams scaled down by depth);
 * `zeros` is for networks about to be loaded.
 */
import type { Device } from "../device/device.ts";
import { Linear } from "../nn/layers.ts";
import { PackedLinear } from "../nn/packed-linear.ts";
import { Parameter, randn, zeros } from "../tensor/tensor.ts";
import type { Packed } from "./storage.ts";

export const INIT_STD = 0.02;

/** A layer that files may hold in codes. */
export type Projection = Linear | PackedLinear;

export class Init {
  readonly device: Device;
  private readonly kind: "normal" | "zeros";
  private readonly residualStd: number;
  private next: number;
  private readonly packed: Packed | undefined;

  constructor(
    device: Device,
    options: {
      readonly seed: number;
      readonly kind: "normal" | "zeros";
      readonly numLayers: number;
      readonly packed?: Packed | undefined;
    },
  ) {
    this.packed = options.packed;
    this.device = device;
    this.kind = options.kind;
    this.next = options.seed * 100_000;
    // Two sublayers per layer write into the residual streams.
    this.residualStd = INIT_STD / Math.sqrt(2 * options.numLayers);
  }
  seed(): number {
    return this.next++;
  }
  matrix(
    shape: readonly number[],
    options: { readonly isResidualOut?: boolean; readonly std?: number } = {},
  ): Parameter {
    const seed = this.seed();
    const std = options.std ?? (options.isResidualOut ? this.residualStd : INIT_STD);
    return new Parameter(this.kind === "zeros" ? zeros(this.device, shape) : randn(this.device, shape, { seed, std }));
  }
  /** One that the files' role `linear` is about (storage.ts); wo_a may have a form of its own. */
  projection(
    inDim: number,
    outDim: number,
    options: { readonly isResidualOut?: boolean; readonly isOutA?: boolean } = {},
  ): Projection {
    const form = this.packed?.[options.isOutA ? "outA" : "linear"];
    return form ? new PackedLinear(this.device, inDim, outDim, { form }) : this.linear(inDim, outDim, options);
  }
  /** A matrix for each routed expert [E, out, in]. */
  experts(numExperts: number, inDim: number, outDim: number, options: { readonly isResidualOut?: boolean } = {}): Parameter | PackedLinear {
    const { expert, group } = this.packed ?? {};
    if (!expert) return this.matrix([numExperts, outDim, inDim], options);
    return new PackedLinear(this.device, inDim, outDim, { form: expert, experts: numExperts, group: group! });
  } // prettier-ignore
  linear(inDim: number, outDim: number, options: { readonly isResidualOut?: boolean } = {}): Linear {
    const std = options.isResidualOut ? this.residualStd : INIT_STD;
    return new Linear(this.device, inDim, outDim, { seed: this.seed(), std, init: this.kind });
  }
}
