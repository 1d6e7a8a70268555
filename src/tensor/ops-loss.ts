/**
 * Cross-entropy, plain and fused with the output head. `linearCrossEntropy` walks the rows in chunks,
 * so all logits [R,V] never exist at once; for a scalar loss it makes the gradients in the same walk
 * (they are linear in d loss, which only scales them), so the head is multiplied once, not twice.
 */
import { ShapeError } from "../base/errors.ts";
import { crossEntropy as crossEntropyKernel, crossEntropyBackward } from "../kernels/cross-entropy.ts";
import { matmul as matmulKernel } from "../kernels/matmul.ts";
import type { NdArray } from "../kernels/nd-array.ts";
import { cast, div, fused, maximum, mul } from "./ops-elementwise.ts";
import { compute } from "./ops-nn.ts";
import { concat, reshape, slice, sum } from "./ops-shape.ts";
import { tensorScope, track, untrack } from "./scope.ts";
import { needsGrad, noGrad, record } from "./tape.ts";
import { Tensor, wrap, zeros } from "./tensor.ts";

export interface CrossEntropyOptions {
  /** Rows with this target have loss 0 and no gradient. */
  readonly ignoreIndex?: number;
  /** Adds zLoss * lse^2 per row. */
  readonly zLoss?: number;
  /** "mean" is over rows that are not ignored; with rowWeights it is their weighted sum, undivided. */
  readonly reduction?: "mean" | "sum" | "none";
  /** f32 [R]; for "none" not allowed. */
  readonly rowWeights?: Tensor;
}

const DEFAULT_IGNORE = -100;

/** 1/count for counted rows, 0 for ignored ones ("mean"); 1 for all ("sum"); or the caller's. f32 [R]. */
function weightsOf(targets: Tensor, options: CrossEntropyOptions): Tensor {
  const { ignoreIndex = DEFAULT_IGNORE, reduction = "mean", rowWeights } = options;
  if (rowWeights !== undefined) return rowWeights;
  const counted = fused(`isTarget:${ignoreIndex}`, [targets], "f32", (k, t) => [
    k.select(t!.ne(ignoreIndex), k.full([], 1), 0),
  ]);
  return reduction === "sum" ? counted : div(counted, maximum(sum(counted), 1));
}

function checkRows(op: string, rows: number, targets: Tensor, options: CrossEntropyOptions): void {
  const { rowWeights, reduction } = options;
  if (targets.size !== rows || (rowWeights !== undefined && rowWeights.size !== rows))
    throw new ShapeError(
      `${op}: expected ${rows} targets and weights, got [${targets.shape}] and [${rowWeights?.shape ?? "none"}]`,
    );
  if (rowWeights !== undefined && reduction === "none")
    throw new ShapeError(`${op}: rowWeights do not go with reduction "none"`);
}

const flatRows = (t: Tensor): Tensor => (t.ndim === 1 ? t : reshape(t, [t.size]));

/** logits [..,V], targets i32 [..] -> scalar, or per row [..] with reduction "none". */
export function crossEntropy(logits: Tensor, targets: Tensor, options: CrossEntropyOptions = {}): Tensor {
  const { ignoreIndex = DEFAULT_IGNORE, zLoss = 0, reduction = "mean" } = options;
  const v = logits.shape[logits.ndim - 1]!;
  const rows = logits.size / v;
  checkRows("crossEntropy", rows, targets, options);
  const flat = logits.ndim === 2 ? logits : reshape(logits, [rows, v]);
  const ids = flatRows(targets);
  const out = crossEntropyKernel(flat.device, flat.data, ids.data, { ignoreIndex, zLoss });
  const loss = wrap(out.loss);
  const lse = wrap(out.lse);
  if (needsGrad(flat)) record("crossEntropy", [flat, ids], [loss], { lse, ignoreIndex, zLoss });
  if (reduction === "none") return reshape(loss, logits.shape.slice(0, -1));
  return sum(
    mul(
      loss,
      noGrad(() => flatRows(weightsOf(ids, options))),
    ),
  );
}

/** Logits of one chunk stay near 64 MiB of f32. */
const chunkRowsFor = (v: number): number => Math.max(16, Math.min(4096, Math.floor((1 << 24) / v)));

export interface LinearCrossEntropyOptions extends CrossEntropyOptions {
  readonly chunkRows?: number;
}

/** x [..,D] . head [V,D]^T against targets i32 [..] -> scalar, or per row with reduction "none". */
export function linearCrossEntropy(
  x: Tensor,
  head: Tensor,
  targets: Tensor,
  options: LinearCrossEntropyOptions = {},
): Tensor {
  const { ignoreIndex = DEFAULT_IGNORE, zLoss = 0, reduction = "mean" } = options;
  const [v, d] = [head.shape[0]!, head.shape[1]!];
  const rows = x.size / d;
  checkRows("linearCrossEntropy", rows, targets, options);
  const chunkRows = options.chunkRows ?? chunkRowsFor(v);
  const flat = x.ndim === 2 ? x : reshape(x, [rows, d]);
  const ids = flatRows(targets);
  const walk = new HeadWalk(flat, head, ids, { ignoreIndex, zLoss, chunkRows });
  const inputs = [flat, head, ids];
  if (reduction === "none") {
    const { loss } = noGrad(() => walk.run(undefined));
    if (needsGrad(flat, head)) record("linearCrossEntropy", inputs, [loss], { run: (dy) => walk.run(dy).grads });
    return reshape(loss, x.shape.slice(0, -1));
  }
  const weights = noGrad(() => flatRows(weightsOf(ids, options)));
  const recorded = needsGrad(flat, head);
  const { loss, grads } = noGrad(() => walk.run(recorded ? weights : undefined));
  const total = noGrad(() => sum(mul(loss, weights)));
  if (recorded)
    record("linearCrossEntropy", inputs, [total], {
      run: (dy) => grads.map((g) => g && (isOne(dy) ? adopted(g) : mul(g, dy))),
    });
  return total;
}

/** Hands a buffer made in the forward pass to the scope of the rule that uses it up. */
function adopted(t: Tensor): Tensor {
  untrack(t.data);
  track(t.data);
  return t;
}

/** On devices whose memory the host sees, a seed of exactly 1 saves two passes over the gradients. */
function isOne(dy: Tensor): boolean {
  return dy.data.buffer.bytes !== undefined && dy.size === 1 && dy.item() === 1;
}

/** The walk over row chunks: losses, and with row weights also d x and d head. */
class HeadWalk {
  private readonly x: Tensor;
  private readonly head: Tensor;
  private readonly ids: Tensor;
  private readonly options: { readonly ignoreIndex: number; readonly zLoss: number; readonly chunkRows: number };
  constructor(x: Tensor, head: Tensor, ids: Tensor, options: HeadWalk["options"]) {
    this.x = x;
    this.head = head;
    this.ids = ids;
    this.options = options;
  }
  run(weights: Tensor | undefined): { loss: Tensor; grads: readonly (Tensor | undefined)[] } {
    const { x, ids, options } = this;
    const { chunkRows, ignoreIndex, zLoss } = options;
    const device = x.device;
    const rows = x.shape[0]!;
    const w = compute(this.head, x.dtype);
    const losses: Tensor[] = [];
    const dxs: Tensor[] = [];
    let dHead: NdArray | undefined;
    using scope = tensorScope();
    for (let start = 0; start < rows; start += chunkRows) {
      const end = Math.min(rows, start + chunkRows);
      using chunkScope = tensorScope();
      const xc = slice(x, 0, start, end).data;
      const target = slice(ids, 0, start, end).data;
      // f32 whatever the activations are: the softmax of a large vocabulary needs it.
      const logits = wrap(matmulKernel(device, xc, w.data, { transB: true, outDtype: "f32" })).data;
      const out = crossEntropyKernel(device, logits, target, { ignoreIndex, zLoss });
      wrap(out.lse);
      losses.push(chunkScope.keep(wrap(out.loss)));
      if (weights === undefined) continue;
      const scale = slice(weights, 0, start, end).data;
      const wide = wrap(crossEntropyBackward(device, logits, target, out.lse, scale, { ignoreIndex, zLoss }));
      const dLogits = cast(wide, x.dtype).data;
      if (this.x.requiresGrad) dxs.push(chunkScope.keep(wrap(matmulKernel(device, dLogits, w.data))));
      if (this.head.requiresGrad)
        if (dHead === undefined)
          dHead = chunkScope.keep(
            wrap(matmulKernel(device, dLogits, xc, { transA: true, outDtype: this.head.dtype })),
          ).data;
        else matmulKernel(device, dLogits, xc, { transA: true, acc: dHead });
    }
    const loss = scope.keep(losses.length === 0 ? zeros(device, [0]) : concat(losses, 0));
    const dx = dxs.length === 0 ? undefined : scope.keep(concat(dxs, 0));
    const dh = dHead && scope.keep(new Tensor(dHead));
    return { loss, grads: [dx, dh] };
  }
}
