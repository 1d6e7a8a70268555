/** Gradient rules of elementwise, shape and reduction ops. Broadcast inputs get their sums back by `sumTo`. */
import { sizeOf } from "../kernels/nd-array.ts";
import type { Tile } from "../tile/builder.ts";
import type { GradRules } from "./gradients.ts";
import { cast, fused, mul, neg } from "./ops-elementwise.ts";
import { concat, expand, permute, reshape, slice, sumTo } from "./ops-shape.ts";
import { Tensor, zeros } from "./tensor.ts";

const sameShape = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((n, i) => n === b[i]);

/** Back to the shape and dtype of an input; nothing when that input wants no gradient. */
function back(input: Tensor, grad: () => Tensor): Tensor | undefined {
  if (!input.requiresGrad) return undefined;
  const g = grad();
  return cast(sameShape(g.shape, input.shape) ? g : sumTo(g, input.shape), input.dtype);
}

/** d x from d y and one tile (the input or the output), in the dtype of x. */
const local = (key: string, dy: Tensor, t: Tensor, body: (dy: Tile, t: Tile) => Tile): Tensor =>
  fused(key, [dy, t], t.dtype, (_k, g, x) => [body(g!, x!)]);

/** 1 where the test holds. */
const only = (x: Tile, test: Tile): Tile => test.cast("f32").mul(x);

type Elementwise =
  | "add" | "sub" | "mul" | "div" | "minimum" | "maximum"
  | "neg" | "abs" | "square" | "exp" | "log" | "sqrt" | "sigmoid" | "tanh" | "relu" | "silu" | "softplus" | "clamp"
  | "cast" | "straightThrough" | "reshape" | "permute" | "expand" | "slice" | "concat" | "sum"; // prettier-ignore

export const elementwiseRules: GradRules<Elementwise> = {
  add: ({ dys: [dy], inputs: [a, b] }) => [back(a!, () => dy!), back(b!, () => dy!)],
  sub: ({ dys: [dy], inputs: [a, b] }) => [back(a!, () => dy!), back(b!, () => neg(dy!))],
  mul: ({ dys: [dy], inputs: [a, b] }) => [back(a!, () => mul(dy!, b!)), back(b!, () => mul(dy!, a!))],
  div: ({ dys: [dy], inputs: [a, b] }) => [
    back(a!, () => fused("div", [dy!, b!], dy!.dtype, (_k, g, d) => [g!.div(d!)])),
    back(b!, () => fused("divBack", [dy!, a!, b!], dy!.dtype, (_k, g, n, d) => [g!.mul(n!).div(d!.mul(d!)).neg()])),
  ],
  minimum: ({ dys: [dy], inputs: [a, b] }) => [
    back(a!, () => fused("minBackA", [dy!, a!, b!], dy!.dtype, (_k, g, x, y) => [only(g!, x!.le(y!))])),
    back(b!, () => fused("minBackB", [dy!, a!, b!], dy!.dtype, (_k, g, x, y) => [only(g!, x!.gt(y!))])),
  ],
  maximum: ({ dys: [dy], inputs: [a, b] }) => [
    back(a!, () => fused("maxBackA", [dy!, a!, b!], dy!.dtype, (_k, g, x, y) => [only(g!, x!.ge(y!))])),
    back(b!, () => fused("maxBackB", [dy!, a!, b!], dy!.dtype, (_k, g, x, y) => [only(g!, x!.lt(y!))])),
  ],
  neg: ({ dys: [dy] }) => [neg(dy!)],
  abs: ({ dys: [dy], inputs: [x] }) => [
    local("absBack", dy!, x!, (g, t) => g.mul(t.gt(0).cast("f32").sub(t.lt(0).cast("f32")))),
  ],
  square: ({ dys: [dy], inputs: [x] }) => [local("squareBack", dy!, x!, (g, t) => g.mul(t).mul(2))],
  exp: ({ dys: [dy], saved: { y } }) => [local("expBack", dy!, y, (g, t) => g.mul(t))],
  log: ({ dys: [dy], inputs: [x] }) => [local("logBack", dy!, x!, (g, t) => g.div(t))],
  sqrt: ({ dys: [dy], saved: { y } }) => [local("sqrtBack", dy!, y, (g, t) => g.div(t).mul(0.5))],
  sigmoid: ({ dys: [dy], saved: { y } }) => [local("sigmoidBack", dy!, y, (g, t) => g.mul(t).mul(t.neg().add(1)))],
  tanh: ({ dys: [dy], saved: { y } }) => [local("tanhBack", dy!, y, (g, t) => g.mul(t.mul(t).neg().add(1)))],
  relu: ({ dys: [dy], inputs: [x] }) => [local("reluBack", dy!, x!, (g, t) => only(g, t.gt(0)))],
  // d silu = s + x s (1 - s)
  silu: ({ dys: [dy], inputs: [x] }) => [
    local("siluBack", dy!, x!, (g, t) => {
      const s = t.sigmoid();
      return g.mul(s.add(t.mul(s).mul(s.neg().add(1))));
    }),
  ],
  softplus: ({ dys: [dy], inputs: [x] }) => [local("softplusBack", dy!, x!, (g, t) => g.mul(t.sigmoid()))],
  clamp: ({ dys: [dy], inputs: [x], saved: { low, high } }) => {
    const [lo, hi] = [Tensor.from(x!.device, [low]), Tensor.from(x!.device, [high])];
    return [
      fused("clampBack", [dy!, x!, lo, hi], x!.dtype, (_k, g, t, l, h) => [only(only(g!, t!.ge(l!)), t!.le(h!))]),
    ];
  },
  cast: ({ dys: [dy], inputs: [x] }) => [cast(dy!, x!.dtype)],
  straightThrough: ({ dys: [dy] }) => [dy],
  reshape: ({ dys: [dy], inputs: [x] }) => [reshape(dy!, x!.shape)],
  permute: ({ dys: [dy], saved: { inverse } }) => [permute(dy!, inverse)],
  expand: ({ dys: [dy], inputs: [x] }) => [sumTo(dy!, x!.shape)],
  slice: ({ dys: [dy], inputs: [x], saved: { axis, start } }) => {
    const side = (n: number): Tensor[] =>
      n === 0 ? [] : [zeros(x!.device, x!.shape.map((size, i) => (i === axis ? n : size)), { dtype: x!.dtype })]; // prettier-ignore
    const end = start + dy!.shape[axis]!;
    return [concat([...side(start), dy!, ...side(x!.shape[axis]! - end)], axis)];
  },
  concat: ({ dys: [dy], inputs, saved: { axis } }) => {
    let at = 0;
    return inputs.map((x) => {
      const start = at;
      at += x!.shape[axis]!;
      return x!.requiresGrad ? slice(dy!, axis, start, at) : undefined;
    });
  },
  sum: ({ dys: [dy], inputs: [x], saved: { keptShape } }) => {
    const kept = new Tensor({ ...dy!.data, shape: keptShape });
    return [sizeOf(keptShape) === x!.size ? kept : expand(kept, x!.shape)];
  },
};
