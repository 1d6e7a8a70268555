/**
 * The gradient of every differentiable op, one rule per key of `OpSaved`: a missing rule does not
 * compile. A rule gets the gradients of the outputs and returns those of the inputs, in order;
 * `undefined` means none. Rules run without a tape inside their own scope. They never return a
 * saved tensor; they may return `dy` itself. Each is checked in test/tensor/gradients.test.ts.
 */
import type { Tensor } from "./tensor.ts";
import { elementwiseRules } from "./gradients-elementwise.ts";
import { networkRules } from "./gradients-network.ts";
import type { OpName, OpSaved } from "./tape.ts";

export interface GradContext<K extends OpName> {
  /** One per output; undefined where nothing flowed back. */
  readonly dys: readonly (Tensor | undefined)[];
  readonly inputs: readonly (Tensor | undefined)[];
  readonly saved: OpSaved[K];
}
export type GradRule<K extends OpName> = (ctx: GradContext<K>) => readonly (Tensor | undefined)[];
export type GradRules<K extends OpName> = { readonly [N in K]: GradRule<N> };

export const gradRules: GradRules<OpName> = { ...elementwiseRules, ...networkRules };
