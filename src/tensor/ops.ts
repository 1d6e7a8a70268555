/** Every tensor op under one roof: `import * as t from "../tensor/ops.ts"`. */
export * from "./ops-elementwise.ts";
export * from "./ops-shape.ts";
export * from "./ops-nn.ts";
export * from "./ops-narrow.ts";
export * from "./ops-v4.ts";
export * from "./ops-moe.ts";
export * from "./ops-packed.ts";
export * from "./ops-loss.ts";
export { backward, checkpoint } from "./autograd.ts";
export { isGradEnabled, needsGrad, noGrad } from "./tape.ts";
export { tensorScope, TensorScope } from "./scope.ts";
export { arange, full, ones, Parameter, randn, Tensor, zeros } from "./tensor.ts";
