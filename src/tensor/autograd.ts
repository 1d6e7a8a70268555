/**
 * Reverse-mode differentiation over the tape, and gradient checkpointing.
 * Main functions: `backward(loss)` adds d loss / d leaf into every leaf's `grad`; `checkpoint(fn, inputs)`
 * keeps only the outputs of `fn` and runs it again when its gradient is wanted.
 * Deterministic: nodes run in reverse program order, sums in that order too.
 */
import { ShapeError, TesseraError } from "../base/errors.ts";
import type { DeviceBuffer } from "../device/device.ts";
import { gradRules, type GradContext } from "./gradients.ts";
import { addInto, cast, cloneTensor } from "./ops-elementwise.ts";
import { TensorScope, tensorScope, track, untrack } from "./scope.ts";
import { enableGrad, isGradEnabled, noGrad, record, type GradNode, type OpName } from "./tape.ts";
import { full, Tensor } from "./tensor.ts";

/** Adds the gradient of a scalar (or of any tensor, given `dy`) to every leaf that requires one. */
export function backward(loss: Tensor, dy?: Tensor): void {
  if (loss.node === undefined)
    throw new TesseraError(
      "autograd",
      "backward: expected a tensor made from leaves that require gradients, got a leaf",
    );
  if (dy === undefined && loss.size !== 1)
    throw new ShapeError(`backward: expected a scalar loss, got [${loss.shape}] (pass dy)`);
  noGrad(() => {
    using scope = tensorScope();
    runBackward([[loss, dy ?? full(loss.device, loss.shape, 1, { dtype: loss.dtype })]], scope);
  });
}

/** Gradients waiting for their node, and how many slots hold each buffer (reshapes share them). */
class Pending {
  private readonly slots = new Map<GradNode, (Tensor | undefined)[]>();
  private readonly uses = new Map<DeviceBuffer, number>();
  private readonly scope: TensorScope;
  constructor(scope: TensorScope) {
    this.scope = scope;
  }
  put(node: GradNode, slot: number, grad: Tensor): void {
    let grads = this.slots.get(node);
    if (grads === undefined) this.slots.set(node, (grads = Array<Tensor | undefined>(node.numOutputs).fill(undefined)));
    const before = grads[slot];
    if (before === undefined) {
      grads[slot] = grad;
      this.retain(grad);
    } else if (this.uses.get(before.data.buffer) === 1 && this.scope.has(before.data.buffer)) {
      addInto(before, grad);
    } else {
      const sum = cloneTensor(before);
      untrack(sum.data);
      this.scope.add(sum.data.buffer);
      addInto(sum, grad);
      this.release(before);
      grads[slot] = sum;
      this.retain(sum);
    }
  }
  take(node: GradNode): (Tensor | undefined)[] | undefined {
    const grads = this.slots.get(node);
    this.slots.delete(node);
    return grads;
  }
  retain(t: Tensor): void {
    this.uses.set(t.data.buffer, (this.uses.get(t.data.buffer) ?? 0) + 1);
  }
  /** Frees the buffer with its last use, if this pass made it. */
  release(t: Tensor): void {
    const buffer = t.data.buffer;
    const left = this.uses.get(buffer)! - 1;
    if (left > 0) this.uses.set(buffer, left);
    else {
      this.uses.delete(buffer);
      if (this.scope.has(buffer)) t.dispose();
    }
  }
}

function runBackward(seeds: readonly (readonly [Tensor, Tensor])[], scope: TensorScope): void {
  const pending = new Pending(scope);
  for (const [output, dy] of seeds) {
    if (output.node) pending.put(output.node, output.outputIdx, dy);
    else if (output.requiresGrad) addToLeaf(output, dy, scope);
  }
  for (const node of reachable(seeds.map(([output]) => output))) {
    const dys = pending.take(node);
    if (dys === undefined) continue;
    {
      using ruleScope = tensorScope();
      const rule = gradRules[node.op] as (ctx: GradContext<OpName>) => readonly (Tensor | undefined)[];
      const grads = rule({ dys, inputs: node.inputs, saved: node.saved });
      node.inputs.forEach((input, i) => {
        const made = grads[i];
        if (input === undefined || !input.requiresGrad || made === undefined) return;
        if (made.size !== input.size)
          throw new ShapeError(`${node.op} gradient: expected [${input.shape}] for input ${i}, got [${made.shape}]`);
        // A gradient has the dtype of its tensor: f32 for weights, bf16 along bf16 activations.
        const grad = cast(made, input.dtype);
        if (input.node !== undefined) {
          ruleScope.keep(grad);
          pending.put(input.node, input.outputIdx, grad);
        } else addToLeaf(input, grad, ruleScope);
      });
    }
    for (const dy of dys) if (dy !== undefined) pending.release(dy);
  }
}

/** Nodes behind `roots`, newest first: a reverse topological order. */
function reachable(roots: readonly Tensor[]): GradNode[] {
  const seen = new Set<GradNode>();
  const stack: GradNode[] = [];
  const visit = (t: Tensor | undefined): void => {
    if (t?.node === undefined || seen.has(t.node)) return;
    seen.add(t.node);
    stack.push(t.node);
  };
  roots.forEach(visit);
  while (stack.length > 0) stack.pop()!.inputs.forEach(visit);
  return [...seen].sort((a, b) => b.id - a.id);
}

/** Leaf gradients outlive all scopes. A buffer that the rule just made is taken over, any other is copied. */
function addToLeaf(leaf: Tensor, grad: Tensor, ruleScope: TensorScope): void {
  if (leaf.grad !== undefined) {
    if (leaf.grad.data.buffer !== grad.data.buffer) addInto(leaf.grad, grad);
    return;
  }
  const owned = ruleScope.has(grad.data.buffer) ? grad : cloneTensor(grad);
  untrack(owned.data);
  leaf.grad = new Tensor({ ...owned.data, shape: leaf.shape });
}

/**
 * Runs `fn` without a tape and keeps only its outputs; the gradient runs it again with one. `fn` must be a pure
 * function of `inputs` and of parameters. Memory: one block's activations at a time, for one more forward pass.
 */
export function checkpoint<T extends Tensor | readonly Tensor[]>(
  fn: (...inputs: Tensor[]) => T,
  inputs: readonly Tensor[],
): T {
  const asList = (out: T): readonly Tensor[] => (out instanceof Tensor ? [out] : (out as readonly Tensor[]));
  if (!isGradEnabled()) return fn(...inputs);
  using scope = tensorScope();
  const made = noGrad(() => fn(...inputs));
  // Fresh tensors: `fn` may have returned an input or a shared view.
  const outputs = asList(made).map((t) => new Tensor(t.data));
  scope.keep(outputs);
  const run = (dys: readonly (Tensor | undefined)[]): readonly (Tensor | undefined)[] => {
    // Everything but the inputs' gradients dies here; their buffers belong to the caller's scope.
    const leaves = inputs.map((t) => new Tensor(t.data, t.requiresGrad));
    {
      using inner = tensorScope();
      const again = asList(enableGrad(() => fn(...leaves)));
      const seeds = again.flatMap((t, i) => (dys[i] === undefined ? [] : [[t, dys[i]] as const]));
      runBackward(seeds, inner);
    }
    return leaves.map(({ grad }) => {
      if (grad !== undefined) track(grad.data);
      return grad;
    });
  };
  record("checkpoint", inputs, outputs, { run });
  return (made instanceof Tensor ? outputs[0]! : outputs) as T;
}
