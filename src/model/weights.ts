/**
 * Weight files with the official names: one tensor per expert, bf16, f32 or e4m3 with a `.scale` of one power of
 * two per 128x128 block; everything is widened to f32 at load. Writing gives the same layout, so exported and
 * released checkpoints are one format.
 * Main functions: `loadOfficial`, `saveOfficial`.
 */
import { f32ToBf16 } from "../base/bf16.ts";
import type { TypedArray } from "../base/dtype.ts";
import { FormatError } from "../base/errors.ts";
import { E4M3_MAX, e4m3ToF32, f32ToE4m3, fromE8m0, pow2Ceil } from "../base/fp8.ts";
import type { HostTensor, Module } from "../nn/module.ts";
import { openSafetensors, writeSafetensors, type SafetensorsFile, type TensorSource } from "../nn/safetensors.ts";
import { bf16ToF32 } from "../base/bf16.ts";
import type { Parameter } from "../tensor/tensor.ts";

const BLOCK = 128;
const stacked = /^(.*\.ffn\.experts)\.(w[123])$/;

/** The official names of one of our parameters: itself, or one per expert of a stacked one. */
export function officialNames(name: string, shape: readonly number[]): string[] {
  const match = stacked.exec(name);
  if (!match) return [name];
  return Array.from({ length: shape[0]! }, (_, e) => `${match[1]}.${e}.${match[2]}.weight`);
}

/** Fills the module. Every tensor of the file must belong; every parameter must be there. */
export function loadOfficial(
  path: string,
  module: Module,
  options: { readonly ignore?: (name: string) => boolean } = {},
): void {
  using file = openSafetensors(path);
  const fail = (key: string, message: string): never => {
    throw new FormatError(`${path}: tensor "${key}": ${message}`, { file: path, key });
  };
  const { ignore = () => false } = options;
  const used = new Set<string>();
  const state = new Map<string, HostTensor>();
  for (const [name, p] of module.namedParameters()) {
    const parts = officialNames(name, p.shape);
    const partShape = parts.length === 1 && !stacked.test(name) ? p.shape : p.shape.slice(1);
    for (const part of parts) {
      const found = file.tensors.get(part) ?? fail(part, `expected [${partShape}], found none`);
      if (found.shape.length !== partShape.length || found.shape.some((n, i) => n !== partShape[i]))
        fail(part, `expected [${partShape}], found ${found.fileDType} [${found.shape}]`);
      checkDType(file, part, p, fail);
      used.add(part);
      used.add(scaleName(part));
    }
    const data = (): TypedArray => joined(parts.map((part) => readWide(file, part, p)));
    state.set(name, { dtype: p.dtype, shape: p.shape, data });
  }
  for (const name of file.tensors.keys())
    if (!used.has(name) && !ignore(name)) fail(name, "expected no such tensor for this config");
  module.loadStateDict(state);
}

const scaleName = (name: string): string => name.replace(/\.weight$/, "") + ".scale";

const floats = new Set(["F32", "BF16", "F8_E4M3"]);
const ints = new Set(["I32", "I64"]);

function checkDType(
  file: SafetensorsFile,
  name: string,
  p: Parameter,
  fail: (key: string, message: string) => never,
): void {
  const { fileDType, shape } = file.tensors.get(name)!;
  const allowed = p.dtype === "i32" ? ints : floats;
  if (!allowed.has(fileDType)) fail(name, `expected ${[...allowed].join(" or ")}, found ${fileDType}`);
  if (fileDType !== "F8_E4M3") return;
  const scale = file.tensors.get(scaleName(name));
  const expected = shape.map((n) => Math.ceil(n / BLOCK));
  if (scale === undefined || shape.length !== 2 || scale.shape.some((n, i) => n !== expected[i]))
    fail(scaleName(name), `expected block scales [${expected}], found ${scale ? `[${scale.shape}]` : "none"}`);
  if (scale && scale.fileDType !== "F32" && scale.fileDType !== "F8_E8M0")
    fail(scaleName(name), `expected F32 or F8_E8M0, found ${scale.fileDType}`);
}

/** One tensor of the file as f32 or i32. */
function readWide(file: SafetensorsFile, name: string, p: Parameter): Float32Array | Int32Array {
  const { fileDType, shape } = file.tensors.get(name)!;
  const bytes = file.readBytes(name);
  const view = bytes.buffer as ArrayBuffer;
  if (fileDType === "I64")
    return Int32Array.from(new BigInt64Array(view, bytes.byteOffset, bytes.byteLength / 8), Number);
  if (fileDType === "I32") return new Int32Array(view, bytes.byteOffset, bytes.byteLength / 4);
  const out = toFloats(fileDType, bytes);
  if (fileDType === "F8_E4M3") {
    const scale = scaleName(name);
    const scaleBytes = file.readBytes(scale);
    multiplyBlocks(out, shape, toFloats(file.tensors.get(scale)!.fileDType, scaleBytes));
  }
  if (p.dtype !== "f32")
    throw new FormatError(`${file.path}: tensor "${name}": expected ${p.dtype}, found ${fileDType}`, {
      file: file.path,
      key: name,
    });
  const broken = out.findIndex((v) => !Number.isFinite(v));
  if (broken >= 0)
    throw new FormatError(`${file.path}: tensor "${name}": expected finite numbers, found ${out[broken]} at element ${broken}`, { file: file.path, key: name }); // prettier-ignore
  return out;
}

function toFloats(fileDType: string, bytes: Uint8Array): Float32Array {
  const view = bytes.buffer as ArrayBuffer;
  if (fileDType === "F32") return new Float32Array(view, bytes.byteOffset, bytes.byteLength / 4);
  if (fileDType === "BF16") return bf16ToF32(new Uint16Array(view, bytes.byteOffset, bytes.byteLength / 2));
  if (fileDType === "F8_E8M0") return Float32Array.from(bytes, fromE8m0);
  return e4m3ToF32(bytes);
}

function multiplyBlocks(x: Float32Array, shape: readonly number[], scale: Float32Array): void {
  const [rows, cols] = shape as [number, number];
  const across = Math.ceil(cols / BLOCK);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < cols; c++)
      x[r * cols + c] = x[r * cols + c]! * scale[Math.floor(r / BLOCK) * across + Math.floor(c / BLOCK)]!;
}

function joined(parts: readonly (Float32Array | Int32Array)[]): TypedArray {
  if (parts.length === 1) return parts[0]!;
  const first = parts[0]!;
  const size = parts.reduce((n, x) => n + x.length, 0);
  const out = first instanceof Int32Array ? new Int32Array(size) : new Float32Array(size);
  let at = 0;
  for (const x of parts) {
    out.set(x, at);
    at += x.length;
  }
  return out;
}

export type WeightFormat = "f32" | "bf16" | "fp8";

/** Kept f32 in every format, as in the released files. */
const keptWide = /(^|\.)(hc_\w+|attn_sink|ape|bias)$/;
/** Kept bf16 under fp8: small, or read by row. */
const keptHalf = /(^|\.)(embed\w*|\w*norm|gate|weights_proj|compressor)\./;

/** Writes all parameters under their official names, atomically. */
export function saveOfficial(
  path: string,
  module: Module,
  options: { readonly format: WeightFormat; readonly metadata?: Readonly<Record<string, string>> },
): void {
  const sources: TensorSource[] = [];
  for (const [name, p] of module.namedParameters()) {
    const parts = officialNames(name, p.shape);
    const shape = stacked.test(name) ? p.shape.slice(1) : p.shape;
    const size = shape.reduce((n, k) => n * k, 1);
    parts.forEach((part, i) => {
      const read = (): Float32Array | Int32Array => {
        const all = p.toArray() as Float32Array | Int32Array;
        return parts.length === 1 ? all : all.slice(i * size, (i + 1) * size);
      };
      sources.push(...encoded(part, shape, p.dtype === "i32", read, options.format));
    });
  }
  writeSafetensors(path, sources, options.metadata ? { metadata: options.metadata } : {});
}

function encoded(
  name: string,
  shape: readonly number[],
  isInt: boolean,
  read: () => Float32Array | Int32Array,
  format: WeightFormat,
): TensorSource[] {
  if (isInt) return [{ name, dtype: "i32", shape, data: read }];
  const floats = read as () => Float32Array;
  if (format === "f32" || keptWide.test(name)) return [{ name, dtype: "f32", shape, data: floats }];
  if (format === "bf16" || shape.length !== 2 || keptHalf.test(name))
    return [{ name, dtype: "bf16", shape, data: () => f32ToBf16(floats()) }];
  const blocks = shape.map((n) => Math.ceil(n / BLOCK));
  return [
    { name, dtype: "e4m3", shape, data: () => quantize(floats(), shape).codes },
    { name: scaleName(name), dtype: "f32", shape: blocks, data: () => quantize(floats(), shape).scale },
  ];
}

/** e4m3 codes and one power-of-two scale per block, so that the largest element stays within 448. */
export function quantize(x: Float32Array, shape: readonly number[]): { codes: Uint8Array; scale: Float32Array } {
  const [rows, cols] = shape as [number, number];
  const across = Math.ceil(cols / BLOCK);
  const largest = new Float32Array(Math.ceil(rows / BLOCK) * across);
  const blockOf = (r: number, c: number): number => Math.floor(r / BLOCK) * across + Math.floor(c / BLOCK);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < cols; c++) {
      const b = blockOf(r, c);
      largest[b] = Math.max(largest[b]!, Math.abs(x[r * cols + c]!));
    }
  const scale = largest.map((m) => pow2Ceil(Math.max(m, 1e-4) / E4M3_MAX));
  const scaled = new Float32Array(x.length);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < cols; c++) scaled[r * cols + c] = x[r * cols + c]! / scale[blockOf(r, c)]!;
  return { codes: f32ToE4m3(scaled), scale };
}
