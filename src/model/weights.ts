/**
 * Between a network and tensors with the official names: one tensor per expert, in any stored form (stored.ts);
 * everything is widened to f32 at load. Writing gives the same layout in f32 or bf16, so our own and released checkpoints are
 * one format; codes with scales are written by exchange.ts from such files.
 * Main functions: `loadOfficial`, `saveOfficial`.
 */
import { f32ToBf16 } from "../base/bf16.ts";
import type { TypedArray } from "../base/dtype.ts";
import { FormatError } from "../base/errors.ts";
import { Module, type HostTensor } from "../nn/module.ts";
import { writeSafetensors, type TensorSource } from "../nn/safetensors.ts";
import { openTensors, type TensorSet } from "../nn/tensor-set.ts";
import { noteHalf } from "../tensor/ops.ts";
import type { Parameter } from "../tensor/tensor.ts";
import { packInt4 } from "../kernels/int-matmul.ts";
import { IntLinear } from "../nn/int-linear.ts";
import { formOf, partNames, problemOf, readIds, readInt, readRows } from "./stored.ts";

const stacked = /^(.*\.ffn\.experts)\.(w[123])$/;

/** The official names of one of our parameters: itself, or one per expert of a stacked one. */
export function officialNames(name: string, shape: readonly number[]): string[] {
  const match = stacked.exec(name);
  if (!match) return [name];
  return Array.from({ length: shape[0]! }, (_, e) => `${match[1]}.${e}.${match[2]}.weight`);
}

/** Fills the module from a file or shards. Every tensor must belong; every parameter must be there. */
export function loadOfficial(
  path: string,
  module: Module,
  options: { readonly ignore?: (name: string) => boolean } = {},
): void {
  using set = openTensors(path);
  fillFrom(set, module, options);
}

/** The same from any set of tensors under the official names. */
export function fillFrom(
  set: TensorSet,
  module: Module,
  options: { readonly ignore?: (name: string) => boolean } = {},
): void {
  const fail = (key: string, message: string): never => {
    throw new FormatError(`${set.path}: tensor "${key}": ${message}`, { file: set.path, key });
  };
  const { ignore = () => false } = options;
  const used = new Set<string>();
  const state = new Map<string, HostTensor>();
  const need = (name: string, shape: readonly number[], isIds: boolean): void => {
    const problem = problemOf(set, { name, shape, isIds });
    if (problem) fail(problem.key, `expected ${problem.expected}, found ${problem.found}`);
    for (const part of partNames(name)) used.add(part);
  };
  const integers = intLayersOf(module);
  for (const [base, layer] of integers)
    for (const [key, tensor] of intState(set, base, layer, need)) state.set(key, tensor);
  for (const [name, p] of module.namedParameters()) {
    if (integers.has(name.slice(0, name.lastIndexOf(".")))) continue;
    const parts = officialNames(name, p.shape);
    const shape = stacked.test(name) ? p.shape.slice(1) : p.shape;
    for (const part of parts) need(part, shape, p.dtype === "i32");
    const data = (): TypedArray => joined(parts.map((part) => readFinite(set, part, shape, p)));
    state.set(name, { dtype: p.dtype, shape: p.shape, data });
  }
  for (const name of set.tensors.keys())
    if (!used.has(name) && !ignore(name)) fail(name, "expected no such tensor for this config");
  module.loadStateDict(state);
  noteHalves(set, module);
}

/** Products may read a weight in bf16 where the file has it so (`wideLinear`). */
function noteHalves(set: TensorSet, module: Module): void {
  for (const [name, p] of module.namedParameters())
    if (officialNames(name, p.shape).every((part) => set.tensors.get(part)?.fileDType === "BF16")) noteHalf(p);
}

/** A network that learns the forms of a file's weights but not their values, to find out what it would launch. */
export function loadForms(path: string, module: Module): void {
  using set = openTensors(path);
  noteHalves(set, module);
}

/** Layers that hold integers, by name. */
function intLayersOf(module: Module): Map<string, IntLinear> {
  const out = new Map<string, IntLinear>();
  const visit = (value: unknown, name: string): void => {
    if (value instanceof IntLinear) out.set(name, value);
    else if (value instanceof Module)
      for (const [key, child] of Object.entries(value)) visit(child, name === "" ? key : `${name}.${key}`); // prettier-ignore
    else if (Array.isArray(value)) value.forEach((child, i) => visit(child, `${name}.${i}`));
  };
  visit(module, "");
  return out;
}

/** Codes and scales of a layer as its kernel takes them: scales by group, int4 packed by halves of groups. */
function intState(set: TensorSet, base: string, layer: IntLinear, need: (name: string, shape: readonly number[], isIds: boolean) => void): [string, HostTensor][] {
  const { weight, weight_scale, group, inDim } = layer;
  const isStack = weight.ndim === 3;
  const n = weight.shape[weight.ndim - 2]!;
  const parts = isStack ? officialNames(base, weight.shape) : [`${base}.weight`];
  const form = group === undefined ? "int8" : "int4";
  for (const part of parts) {
    need(part, [n, inDim], false);
    const found = formOf(set, part);
    if (found !== form) throw new FormatError(`${set.path}: tensor "${part}": expected ${form} by the config, found ${found}`, { file: set.path, key: part });
  }
  const read = (part: string): ReturnType<typeof readInt> => {
    const made = readInt(set, { name: part, shape: [n, inDim] });
    if (group !== undefined && made.group !== group) throw new FormatError(`${set.path}: tensor "${part}": expected groups of ${group} by the config, found ${made.group}`, { file: set.path, key: part });
    return made;
  };
  const codesOf = (part: string): Int8Array => (group === undefined ? read(part).codes : packInt4(read(part).codes, inDim, group));
  const scalesOf = (part: string): Float32Array => {
    const { scale } = read(part);
    const groups = scale.length / n;
    return Float32Array.from(scale, (_, i) => scale[(i % n) * groups + Math.floor(i / n)]!);
  };
  return [
    [`${base}.weight`, { dtype: "i8", shape: weight.shape, data: () => joined(parts.map(codesOf)) }],
    [`${base}.weight_scale`, { dtype: "f32", shape: weight_scale.shape, data: () => joined(parts.map(scalesOf)) }],
  ];
} // prettier-ignore

/** One tensor of the file as f32 or i32. */
function readFinite(set: TensorSet, name: string, shape: readonly number[], p: Parameter): Float32Array | Int32Array {
  if (p.dtype === "i32") return readIds(set, name);
  const out = readRows(set, { name, shape });
  const broken = out.findIndex((v) => !Number.isFinite(v));
  if (broken >= 0)
    throw new FormatError(`${set.path}: tensor "${name}": expected finite numbers, found ${out[broken]} at element ${broken}`, { file: set.path, key: name }); // prettier-ignore
  return out;
}

function joined(parts: readonly (Float32Array | Int32Array | Int8Array)[]): TypedArray {
  if (parts.length === 1) return parts[0]!;
  const first = parts[0]!;
  const size = parts.reduce((n, x) => n + x.length, 0);
  const out = first instanceof Int32Array ? new Int32Array(size) : first instanceof Int8Array ? new Int8Array(size) : new Float32Array(size); // prettier-ignore
  let at = 0;
  for (const x of parts) {
    out.set(x, at);
    at += x.length;
  }
  return out;
}

export type WeightFormat = "f32" | "bf16";

/** Kept f32 in every format, as in the released files. */
const keptWide = /(^|\.)(hc_\w+|attn_sink|ape|bias)$/;

export interface SaveOptions {
  readonly format: WeightFormat;
  readonly metadata?: Readonly<Record<string, string>>;
  /** Of our parameters; absent: all. */
  readonly only?: (name: string) => boolean;
}

/** Writes the parameters under their official names, atomically. Returns those names. */
export function saveOfficial(path: string, module: Module, options: SaveOptions): string[] {
  const [integers] = intLayersOf(module).keys();
  if (integers !== undefined) throw new FormatError(`${path}: "${integers}": expected weights to train, got integers (export writes them from wide ones)`, { file: path, key: integers }); // prettier-ignore
  const sources: TensorSource[] = [];
  for (const [name, p] of module.namedParameters()) {
    if (options.only?.(name) === false) continue;
    const parts = officialNames(name, p.shape);
    const shape = stacked.test(name) ? p.shape.slice(1) : p.shape;
    const size = shape.reduce((n, k) => n * k, 1);
    parts.forEach((part, i) => {
      const read = (): Float32Array | Int32Array => {
        const all = p.toArray() as Float32Array | Int32Array;
        return parts.length === 1 ? all : all.slice(i * size, (i + 1) * size);
      };
      sources.push(sourceOf(part, shape, p.dtype === "i32", read, options.format));
    });
  }
  writeSafetensors(path, sources, options.metadata ? { metadata: options.metadata } : {});
  return sources.map((s) => s.name);
}

function sourceOf(
  name: string,
  shape: readonly number[],
  isInt: boolean,
  read: () => Float32Array | Int32Array,
  format: WeightFormat,
): TensorSource {
  if (isInt) return { name, dtype: "i32", shape, data: read };
  const floats = read as () => Float32Array;
  if (format === "f32" || keptWide.test(name)) return { name, dtype: "f32", shape, data: floats };
  return { name, dtype: "bf16", shape, data: () => f32ToBf16(floats()) };
}
