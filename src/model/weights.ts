/**
 * Between a network and tensors with the official names: one tensor per expert, in any stored form (stored.ts);
 * at load everything is widened to f32, but for layers that hold codes. Writing gives the same layout in f32 or bf16, so our own and released checkpoints are
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
import { packE2m1, packE8m0 } from "../kernels/narrow-matmul.ts";
import { PackedLinear } from "../nn/packed-linear.ts";
import type { PackedForm } from "../tensor/ops-packed.ts";
import { formOf, partNames, problemOf, readFp4, readFp8, readIds, readInt, readRows } from "./stored.ts";

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
  const packed = packedLayersOf(module);
  for (const [base, layer] of packed)
    for (const [key, tensor] of packedState(set, base, layer, need)) state.set(key, tensor);
  for (const [name, p] of module.namedParameters()) {
    if (packed.has(name.slice(0, name.lastIndexOf(".")))) continue;
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

/** Layers that hold codes, by name. */
function packedLayersOf(module: Module): Map<string, PackedLinear> {
  const out = new Map<string, PackedLinear>();
  const visit = (value: unknown, name: string): void => {
    if (value instanceof PackedLinear) out.set(name, value);
    else if (value instanceof Module)
      for (const [key, child] of Object.entries(value)) visit(child, name === "" ? key : `${name}.${key}`); // prettier-ignore
    else if (Array.isArray(value)) value.forEach((child, i) => visit(child, `${name}.${i}`));
  };
  visit(module, "");
  return out;
}

interface Codes {
  readonly codes: TypedArray;
  readonly scale: TypedArray;
}

/** Codes and scales of a tensor of the file as the kernels of its form take them. */
const readers: Record<PackedForm, (set: TensorSet, name: string, layer: PackedLinear) => Codes> = {
  int8: (set, name, layer) => readGroups(set, name, layer),
  int4: (set, name, layer) => readGroups(set, name, layer),
  fp8: (set, name) => readFp8(set, name),
  fp4: (set, name, layer) => {
    const { inDim, outDim } = layer;
    const { device } = layer.weight;
    const { steps, scale } = readFp4(set, { name, shape: [outDim, inDim] });
    return { codes: packE2m1(device, steps, inDim), scale: packE8m0(device, scale, outDim, inDim) };
  },
};

/** Integers with scales by group, int4 packed by halves of groups. */
function readGroups(set: TensorSet, name: string, { group, inDim, outDim: n }: PackedLinear): Codes {
  const { codes, scale, group: found } = readInt(set, { name, shape: [n, inDim] });
  if (group !== undefined && found !== group) throw new FormatError(`${set.path}: tensor "${name}": expected groups of ${group} by the config, found ${found}`, { file: set.path, key: name });
  const groups = scale.length / n;
  return {
    codes: group === undefined ? codes : packInt4(codes, inDim, group),
    scale: Float32Array.from(scale, (_, i) => scale[(i % n) * groups + Math.floor(i / n)]!),
  };
} // prettier-ignore

function packedState(set: TensorSet, base: string, layer: PackedLinear, need: (name: string, shape: readonly number[], isIds: boolean) => void): [string, HostTensor][] {
  const { weight, weight_scale, form } = layer;
  const parts = weight.ndim === 3 ? officialNames(base, weight.shape) : [`${base}.weight`];
  for (const part of parts) {
    need(part, [layer.outDim, layer.inDim], false);
    const found = formOf(set, part);
    if (found !== form) throw new FormatError(`${set.path}: tensor "${part}": expected ${form} by the config, found ${found}`, { file: set.path, key: part });
  }
  const state = (p: Parameter, which: keyof Codes): HostTensor => ({ dtype: p.dtype, shape: p.shape, data: () => joined(parts.map((part) => readers[form](set, part, layer)[which])) });
  return [
    [`${base}.weight`, state(weight, "codes")],
    [`${base}.weight_scale`, state(weight_scale, "scale")],
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

function joined(parts: readonly TypedArray[]): TypedArray {
  if (parts.length === 1) return parts[0]!;
  const size = parts.reduce((n, x) => n + x.length, 0);
  const out = new (parts[0]!.constructor as new (size: number) => TypedArray)(size);
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
  const [packed] = packedLayersOf(module);
  if (packed) throw new FormatError(`${path}: "${packed[0]}": expected weights to train, got ${packed[1].form} (export writes it from wide ones)`, { file: path, key: packed[0] }); // prettier-ignore
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
