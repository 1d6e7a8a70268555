/**
 * Elementwise ops: arithmetic with numpy broadcasting, activations, casts. Each is one `map` kernel
 * over tiles; a plain number joins as an argument of the launch, so constants never make new kernels.
 * Mixed f32 and bf16 give f32, as in torch; a number keeps the tensor's dtype.
 */
import { dtypes, type DType } from "../base/dtype.ts";
import { softplus as softplusTile } from "../kernels/softplus.ts";
import { map, type MapBody as Body } from "../kernels/elementwise.ts";
import { empty, type NdArray } from "../kernels/nd-array.ts";
import { needsGrad, noGrad, record } from "./tape.ts";
import { full, Tensor, wrap } from "./tensor.ts";

/** One output by a fused elementwise kernel, unrecorded. `key` names the body: same key, same body. */
export const fused = (key: string, inputs: readonly [Tensor, ...(Tensor | number)[]], dtype: DType, body: Body): Tensor =>
  wrap(map(inputs[0].device, key, inputs.map((t) => (typeof t === "number" ? t : t.data)), [dtype], body)[0]!); // prettier-ignore

type BinaryOpName = "add" | "sub" | "mul" | "div" | "minimum" | "maximum";

const binaryBodies: Record<BinaryOpName, Body> = {
  add: (_k, a, b) => [a!.add(b!)],
  sub: (_k, a, b) => [a!.sub(b!)],
  mul: (_k, a, b) => [a!.mul(b!)],
  div: (_k, a, b) => [a!.div(b!)],
  minimum: (_k, a, b) => [a!.min(b!)],
  maximum: (_k, a, b) => [a!.max(b!)],
};

function binary(op: BinaryOpName, a: Tensor, b: Tensor | number): Tensor {
  const isNumber = typeof b === "number";
  const dtype = isNumber || a.dtype === b.dtype ? a.dtype : "f32";
  const y = fused(op, [a, b], dtype, binaryBodies[op]);
  // Rules take tensors.
  if (isNumber ? needsGrad(a) : needsGrad(a, b)) record(op, [a, isNumber ? full(a.device, [1], b) : b], [y], undefined);
  return y;
}

export const add = (a: Tensor, b: Tensor | number): Tensor => binary("add", a, b);
export const sub = (a: Tensor, b: Tensor | number): Tensor => binary("sub", a, b);
export const mul = (a: Tensor, b: Tensor | number): Tensor => binary("mul", a, b);
export const div = (a: Tensor, b: Tensor | number): Tensor => binary("div", a, b);
/** Where equal, the gradient goes to `a`. */
export const minimum = (a: Tensor, b: Tensor | number): Tensor => binary("minimum", a, b);
export const maximum = (a: Tensor, b: Tensor | number): Tensor => binary("maximum", a, b);

type UnaryOpName =
  | "neg"
  | "abs"
  | "square"
  | "exp"
  | "log"
  | "sqrt"
  | "sigmoid"
  | "tanh"
  | "relu"
  | "silu"
  | "softplus";

const unaryBodies: Record<UnaryOpName, Body> = {
  neg: (_k, x) => [x!.neg()],
  abs: (_k, x) => [x!.abs()],
  square: (_k, x) => [x!.mul(x!)],
  exp: (_k, x) => [x!.exp()],
  log: (_k, x) => [x!.log()],
  sqrt: (_k, x) => [x!.sqrt()],
  sigmoid: (_k, x) => [x!.sigmoid()],
  tanh: (_k, x) => [x!.tanh()],
  relu: (_k, x) => [x!.max(0)],
  silu: (_k, x) => [x!.mul(x!.sigmoid())],
  softplus: (k, x) => [softplusTile(k, x!)],
};

const unary = (op: UnaryOpName, x: Tensor): Tensor => fused(op, [x], x.dtype, unaryBodies[op]);

/** Ops whose rule needs the input only. */
function unaryOfInput(op: "neg" | "abs" | "square" | "log" | "relu" | "silu" | "softplus", x: Tensor): Tensor {
  const y = unary(op, x);
  if (needsGrad(x)) record(op, [x], [y], undefined);
  return y;
}
/** Ops whose rule is written in their output. */
function unaryOfOutput(op: "exp" | "sqrt" | "sigmoid" | "tanh", x: Tensor): Tensor {
  const y = unary(op, x);
  if (needsGrad(x)) record(op, [x], [y], { y: new Tensor(y.data) });
  return y;
}

export const neg = (x: Tensor): Tensor => unaryOfInput("neg", x);
/** Gradient 0 at 0. */
export const abs = (x: Tensor): Tensor => unaryOfInput("abs", x);
export const square = (x: Tensor): Tensor => unaryOfInput("square", x);
export const log = (x: Tensor): Tensor => unaryOfInput("log", x);
/** Gradient 0 at 0. */
export const relu = (x: Tensor): Tensor => unaryOfInput("relu", x);
export const silu = (x: Tensor): Tensor => unaryOfInput("silu", x);
export const softplus = (x: Tensor): Tensor => unaryOfInput("softplus", x);
export const exp = (x: Tensor): Tensor => unaryOfOutput("exp", x);
export const sqrt = (x: Tensor): Tensor => unaryOfOutput("sqrt", x);
export const sigmoid = (x: Tensor): Tensor => unaryOfOutput("sigmoid", x);
export const tanh = (x: Tensor): Tensor => unaryOfOutput("tanh", x);

/** Gradient passes where low <= x <= high. */
export function clamp(x: Tensor, low: number, high: number): Tensor {
  const y = noGrad(() => minimum(maximum(x, low), high));
  if (needsGrad(x)) record("clamp", [x], [y], { low, high });
  return y;
}

const identity: Body = (_k, x) => [x!];

export function cast(x: Tensor, dtype: DType): Tensor {
  if (x.dtype === dtype) return x;
  const y = fused("cast", [x], dtype, identity);
  if (needsGrad(x)) record("cast", [x], [y], undefined);
  return y;
}

/** The same values with no way back for gradients; shares the buffer. */
export const stopGradient = (x: Tensor): Tensor => new Tensor(x.data);

/** f(x) forward, identity backward; `f` keeps the shape. */
export function straightThrough(x: Tensor, f: (x: Tensor) => Tensor): Tensor {
  const y = new Tensor(noGrad(() => f(x)).data);
  if (needsGrad(x)) record("straightThrough", [x], [y], undefined);
  return y;
}
/** To the nearest integer, ties to even. No gradient. */
export const round = (x: Tensor): Tensor => fused("round", [x], x.dtype, (_k, t) => [t!.round()]);
export const roundStraightThrough = (x: Tensor): Tensor => straightThrough(x, round);

/** A fresh copy, unrecorded. */
export function cloneTensor(x: Tensor): Tensor {
  const y = wrap(empty(x.device, x.shape, x.dtype));
  x.device.copyWithin(y.data.buffer, 0, x.data.buffer, x.data.byteOffset, x.size * dtypes[x.dtype].size);
  return y;
}

/** Overwrites `dst`, which may be an input, by a fused elementwise kernel of equally sized inputs (one-element ones repeat). Unrecorded. */
export function assign(dst: Tensor, key: string, inputs: readonly Tensor[], body: Body): void {
  const size = dst.size;
  const flat = (t: Tensor): NdArray => ({ ...t.data, shape: [t.size === size ? size : 1] });
  map(dst.device, key, inputs.map(flat), [dst.dtype], body, [flat(dst)]);
  dst.bumpVersion();
}

/** a += b in place, unrecorded; equal sizes, shapes may differ. */
export const addInto = (a: Tensor, b: Tensor): void => assign(a, "add", [a, b], binaryBodies.add);
