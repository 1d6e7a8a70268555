/** A linear layer whose weight stays codes in memory, of one matrix or of as many as there are experts. Inference only. */
import type { DType } from "../base/dtype.ts";
import type { Device } from "../device/device.ts";
import { packedWidth } from "../kernels/int-matmul.ts";
import { fp8Scales } from "../kernels/fp8-matmul.ts";
import { fp4Scales, fp4Width } from "../kernels/narrow-matmul.ts";
import * as t from "../tensor/ops.ts";
import type { PackedForm } from "../tensor/ops-packed.ts";
import { Parameter, zeros, type Tensor } from "../tensor/tensor.ts";
import { Module } from "./module.ts";

interface Part {
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** Codes and scales of a matrix [n, k] as the kernels of its form take them. */
const partsOf: Record<PackedForm, (n: number, k: number, group: number) => { readonly codes: Part; readonly scale: Part }> = {
  int8: (n, k) => ({ codes: { dtype: "i8", shape: [n, k] }, scale: { dtype: "f32", shape: [n] } }),
  int4: (n, k, group) => ({ codes: { dtype: "i8", shape: [n, packedWidth(k, group)] }, scale: { dtype: "f32", shape: [Math.ceil(k / group), n] } }),
  fp8: (n, k) => ({ codes: { dtype: "e4m3", shape: [n, k] }, scale: { dtype: "f32", shape: fp8Scales(n, k) } }),
  fp4: (n, k) => ({ codes: { dtype: "i8", shape: [n, fp4Width(k)] }, scale: { dtype: "i8", shape: fp4Scales(n, k) } }),
}; // prettier-ignore

export interface PackedOptions {
  readonly form: PackedForm;
  /** Numbers of K that share a scale, for int4. */
  readonly group?: number;
  readonly experts?: number;
}

export class PackedLinear extends Module {
  /** [(E,) ..] as `partsOf` says. */
  readonly weight: Parameter;
  readonly weight_scale: Parameter;
  readonly form: PackedForm;
  readonly group: number | undefined;
  readonly inDim: number;
  readonly outDim: number;

  constructor(device: Device, inDim: number, outDim: number, { form, group, experts }: PackedOptions) {
    super();
    this.form = form;
    this.group = form === "int4" ? group : undefined;
    this.inDim = inDim;
    this.outDim = outDim;
    const lead = experts === undefined ? [] : [experts];
    const { codes, scale } = partsOf[form](outDim, inDim, group ?? inDim);
    const make = ({ dtype, shape }: Part): Parameter => new Parameter(zeros(device, [...lead, ...shape], { dtype }), false);
    this.weight = make(codes);
    this.weight_scale = make(scale);
  } // prettier-ignore
  /** x [..,in] -> [..,out]. */
  forward(x: Tensor): Tensor {
    return t.packedLinear(x, this);
  }
}
