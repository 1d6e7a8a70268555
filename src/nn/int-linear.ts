/** A linear layer whose weight stays in integers, of one matrix or of as many as there are experts. Inference only. */
import { packedWidth } from "../kernels/int-matmul.ts";
import type { Device } from "../device/device.ts";
import * as t from "../tensor/ops.ts";
import { Parameter, zeros, type Tensor } from "../tensor/tensor.ts";
import { Module } from "./module.ts";

export class IntLinear extends Module {
  /** i8 [(E,) N,K], or two int4 a byte as the kernel takes them. */
  readonly weight: Parameter;
  /** f32 [(E,) N], or of groups [(E,) G,N]. */
  readonly weight_scale: Parameter;
  /** Numbers of K that share a scale; undefined: int8, one scale per output channel. */
  readonly group: number | undefined;
  readonly inDim: number;

  constructor(
    device: Device,
    inDim: number,
    outDim: number,
    options: { readonly group?: number; readonly experts?: number } = {},
  ) {
    super();
    const { group, experts } = options;
    const lead = experts === undefined ? [] : [experts];
    this.group = group;
    this.inDim = inDim;
    const width = group === undefined ? inDim : packedWidth(inDim, group);
    const scales = group === undefined ? [outDim] : [Math.ceil(inDim / group), outDim];
    this.weight = new Parameter(zeros(device, [...lead, outDim, width], { dtype: "i8" }), false);
    this.weight_scale = new Parameter(zeros(device, [...lead, ...scales]), false);
  }
  /** x [..,in] -> [..,out]. */
  forward(x: Tensor): Tensor {
    return t.intLinear(x, this);
  }
}
