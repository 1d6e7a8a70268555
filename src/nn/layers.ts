/**
 * The plain layers: thin owners of weights around one op each. Weights start as normal numbers of a
 * stated spread from a counter-based stream, so a seed fixes a network on every machine.
 */
import type { Device } from "../device/device.ts";
import * as t from "../tensor/ops.ts";
import { ones, Parameter, randn, zeros, type Tensor } from "../tensor/tensor.ts";
import { Module } from "./module.ts";

export interface InitOptions {
  readonly seed?: number;
  /** Spread of the normal start; 1/sqrt(inputs) unless told. */
  readonly std?: number;
  readonly init?: "normal" | "zeros";
}

function weight(device: Device, shape: readonly number[], numInputs: number, options: InitOptions): Parameter {
  const { seed = 0, std = 1 / Math.sqrt(numInputs), init = "normal" } = options;
  return new Parameter(init === "zeros" ? zeros(device, shape) : randn(device, shape, { seed, std }));
}

/** x [.., in] -> x . weight^T + bias [.., out]; weight [out, in] f32. */
export class Linear extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  constructor(device: Device, inDim: number, outDim: number, options: InitOptions & { readonly bias?: boolean } = {}) {
    super();
    this.weight = weight(device, [outDim, inDim], inDim, options);
    this.bias = options.bias ? new Parameter(zeros(device, [outDim])) : undefined;
  }
  forward(x: Tensor): Tensor {
    return t.linear(x, this.weight, this.bias);
  }
}

/** ids i32 [..] -> rows [.., dim] of weight [numEmbeddings, dim]. */
export class Embedding extends Module {
  readonly weight: Parameter;
  constructor(device: Device, numEmbeddings: number, dim: number, options: InitOptions = {}) {
    super();
    this.weight = weight(device, [numEmbeddings, dim], dim, { std: 0.02, ...options });
  }
  forward(ids: Tensor): Tensor {
    return t.embedding(this.weight, ids);
  }
}

export class RMSNorm extends Module {
  readonly weight: Parameter;
  readonly eps: number;
  constructor(device: Device, dim: number, options: { readonly eps?: number } = {}) {
    super();
    this.weight = new Parameter(ones(device, [dim]));
    this.eps = options.eps ?? 1e-6;
  }
  forward(x: Tensor): Tensor {
    return t.rmsNorm(x, this.weight, { eps: this.eps });
  }
}

export class LayerNorm extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  readonly eps: number;
  constructor(device: Device, dim: number, options: { readonly eps?: number } = {}) {
    super();
    this.weight = new Parameter(ones(device, [dim]));
    this.bias = new Parameter(zeros(device, [dim]));
    this.eps = options.eps ?? 1e-5;
  }
  forward(x: Tensor): Tensor {
    return t.layerNorm(x, this.weight, this.bias, { eps: this.eps });
  }
}

/** NHWC, stride 1, same padding; weight [out, 3, 3, in]. */
export class Conv3x3 extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  constructor(device: Device, inDim: number, outDim: number, options: InitOptions & { readonly bias?: boolean } = {}) {
    super();
    this.weight = weight(device, [outDim, 3, 3, inDim], 9 * inDim, options);
    this.bias = (options.bias ?? true) ? new Parameter(zeros(device, [outDim])) : undefined;
  }
  forward(x: Tensor): Tensor {
    return t.conv3x3(x, this.weight, this.bias);
  }
}
