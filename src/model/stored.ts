/**
 * One weight between its stored form and numbers. Forms: plain f32, bf16; `fp8`, e4m3 codes with a power of two per
 * 128 x 128 block; `fp4`, two e2m1 codes a byte (low half first) with a power of two per 32 numbers of a row; integers.
 * Main functions: `problemOf` (does a tensor fit a weight), `readRows` (to f32), `encoded` (to another form).
 * Every e4m3 or e2m1 number times its scale is a bf16 number, so widening is exact; the way back is not.
 * Source: the released checkpoints' format; e2m1 with its scales into e4m3 without loss as their conversion does it.
 */
import { bf16ToF32, f32ToBf16 } from "../base/bf16.ts";
import { FormatError } from "../base/errors.ts";
import { decodeE2m1, E2M1_MAX, encodeE2m1 } from "../base/fp4.ts";
import { E4M3_MAX, e4m3ToF32, fromE8m0, pow2Ceil, toE4m3 } from "../base/fp8.ts";
import { asBytes, bytesOf, type RawTensor } from "../nn/safetensors.ts";
import type { StoredTensor, TensorSet } from "../nn/tensor-set.ts";
import { INT4_GROUP, intScaleName, packedName, packWords, quantizeInt, shapeName, unpackWords, type IntForm } from "./int-format.ts"; // prettier-ignore
import { FP4_BLOCK, FP8_BLOCK, scaleName, type Weight } from "./storage.ts";

export type Form = "f32" | "bf16" | "fp8" | "fp4" | "ids" | IntForm;

/** What a reader takes for a weight: its name in the file, its shape as numbers, whether it holds integers. */
export type Wanted = Pick<Weight, "name" | "shape"> & { readonly isIds: boolean };

const same = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((n, i) => n === b[i]); // prettier-ignore
const text = ({ fileDType, shape }: Pick<StoredTensor, "fileDType" | "shape">): string => `${fileDType} [${shape}]`;

const formOfDType: Readonly<Record<string, Form>> = {
  F32: "f32", BF16: "bf16", F8_E4M3: "fp8", I8: "fp4", U8: "fp4", I32: "ids", I64: "ids",
}; // prettier-ignore
const valueDTypes = "F32, BF16, F8_E4M3 with scales or I8 (two e2m1) with scales";

/** The form of a tensor that fits; call `problemOf` first. */
export const formOf = (set: TensorSet, name: string): Form => intFormOf(set, name) ?? formOfDType[set.tensors.get(name)!.fileDType]!; // prettier-ignore

/** Integer weights are known by the names beside them. */
function intFormOf({ tensors }: TensorSet, name: string): IntForm | undefined {
  if (tensors.has(packedName(name))) return "int4";
  return tensors.get(name)?.fileDType === "I8" && tensors.has(intScaleName(name)) ? "int8" : undefined;
}

/** The tensors that may hold parts of a weight. */
export const partNames = (name: string): string[] => [name, scaleName(name), intScaleName(name), packedName(name), shapeName(name)]; // prettier-ignore

/** Codes [N,K], -127..127 or -8..7, of a weight in integers, and its scales [N,G]. Call `problemOf` first. */
export function readInt(set: TensorSet, { name, shape }: Pick<Wanted, "name" | "shape">, begin = 0, end = shape[0]!): { codes: Int8Array; scale: Float32Array; group: number } {
  const [, cols] = shape as [number, number];
  const scaleKey = intScaleName(name);
  const across = set.tensors.get(scaleKey)!.shape[1]!;
  const scale = floatsOf(set.readBytes(scaleKey, begin * across * 4, end * across * 4));
  const group = cols / across;
  const bad = scale.findIndex((v) => !(v > 0 && Number.isFinite(v)));
  if (bad >= 0) throw new FormatError(`${set.path}: tensor "${scaleKey}": expected positive numbers, found ${scale[bad]} at element ${bad + begin * across}`, { file: set.path, key: scaleKey }); // prettier-ignore
  if (!set.tensors.has(packedName(name))) return { codes: new Int8Array(set.readBytes(name, begin * cols, end * cols)), scale, group };
  const bytes = set.readBytes(packedName(name), (begin * cols) / 2, (end * cols) / 2);
  return { codes: unpackWords(new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)), scale, group };
} // prettier-ignore

/** Codes [N,K] and scales [N/128,K/128] of a weight in e4m3. Call `problemOf` first. */
export function readFp8(set: TensorSet, name: string): { codes: Uint8Array; scale: Float32Array } {
  const codes = set.readBytes(name);
  const broken = codes.findIndex((c) => (c & 0x7f) === 0x7f);
  if (broken >= 0) throw new FormatError(`${set.path}: tensor "${name}": expected finite numbers, found one that is not at element ${broken}`, { file: set.path, key: name }); // prettier-ignore
  return { codes, scale: scalesOf(set, name) };
}

/** What steps -7..7 of readFp4 are made from: a code's sign and size. */
const stepOf = Int8Array.from({ length: 16 }, (_, code) => (code & 8 ? -(code & 7) : code & 7));

/** Steps -7..7 [N,K] through the sizes of e2m1, and e8m0 codes 2..254 [N,K/32]. Call `problemOf` first. */
export function readFp4(set: TensorSet, { name, shape }: Pick<Wanted, "name" | "shape">): { steps: Int8Array; scale: Uint8Array } {
  const packed = set.readBytes(name);
  const steps = new Int8Array(packed.length * 2);
  for (let i = 0; i < packed.length; i++) {
    steps[2 * i] = stepOf[packed[i]! & 15]!;
    steps[2 * i + 1] = stepOf[packed[i]! >> 4]!;
  }
  const [cols, key] = [shape[1]!, scaleName(name)];
  const scale = Uint8Array.from(set.readBytes(key));
  const across = Math.ceil(cols / FP4_BLOCK);
  for (let b = 0; b < scale.length; b++) {
    const at = Math.floor(b / across) * cols + (b % across) * FP4_BLOCK;
    // Kernels know powers from 2^-125 on; less may stand beside zeros.
    if (scale[b]! < 2 && steps.subarray(at, at + FP4_BLOCK).every((s) => s === 0)) scale[b] = 2;
    if (scale[b]! < 2 || scale[b] === 255) throw new FormatError(`${set.path}: tensor "${key}": expected scales from 2^-125 to 2^127 for numbers that are not 0, found code ${scale[b]} at element ${b}`, { file: set.path, key });
  }
  return { steps, scale };
} // prettier-ignore

function intProblem({ tensors }: TensorSet, { name, shape }: Wanted, form: IntForm): Problem | undefined {
  const key = form === "int4" ? packedName(name) : name;
  const codes = tensors.get(key)!;
  const [rows, cols] = shape as [number, number];
  const width = form === "int4" ? cols / 8 : cols;
  const dtype = form === "int4" ? "I32" : "I8";
  if (shape.length !== 2 || !same(codes.shape, [rows, width]) || codes.fileDType !== dtype) return { key, expected: `${dtype} [${rows},${width}]`, found: text(codes), kind: "shape" }; // prettier-ignore
  const scale = tensors.get(intScaleName(name));
  const across = form === "int8" ? 1 : (scale?.shape[1] ?? 0);
  const isWhole = form === "int8" || (across > 0 && cols % across === 0 && (cols / across) % 64 === 0);
  if (scale === undefined || scale.fileDType !== "F32" || !same(scale.shape, [rows, across]) || !isWhole)
    return { key: intScaleName(name), expected: form === "int8" ? `F32 [${rows},1]` : `F32 [${rows}, ${cols} / group], groups in steps of 64`, found: scale ? text(scale) : "none", kind: "scale" }; // prettier-ignore
  if (form === "int4" && !tensors.has(shapeName(name))) return { key: shapeName(name), expected: "[2]", found: "none", kind: "missing" }; // prettier-ignore
  return undefined;
}

export interface Problem {
  /** The tensor at fault. */
  readonly key: string;
  readonly expected: string;
  readonly found: string;
  readonly kind: "missing" | "shape" | "dtype" | "scale";
}

/** Why the tensors of the set do not hold this weight; undefined when they do. */
export function problemOf(set: TensorSet, { name, shape, isIds }: Wanted): Problem | undefined {
  const int = isIds ? undefined : intFormOf(set, name);
  if (int) return intProblem(set, { name, shape, isIds }, int);
  const found = set.tensors.get(name);
  if (found === undefined) return { key: name, expected: `[${shape}]`, found: "none", kind: "missing" };
  const form = formOfDType[found.fileDType];
  if (form === undefined || (form === "ids") !== isIds || (form === "fp4" && shape.length !== 2))
    return { key: name, expected: isIds ? "I32 or I64" : valueDTypes, found: found.fileDType, kind: "dtype" };
  const expected = form === "fp4" ? [shape[0]!, shape[1]! / 2] : shape;
  if (!same(found.shape, expected) || (form === "fp8" && shape.length !== 2))
    return { key: name, expected: `[${expected}]`, found: text(found), kind: "shape" };
  if (form !== "fp8" && form !== "fp4") return undefined;
  const key = scaleName(name);
  const scale = set.tensors.get(key);
  const blocks = scaleShape(form, shape);
  if (scale === undefined || !same(scale.shape, blocks))
    return { key, expected: `block scales [${blocks}]`, found: scale ? text(scale) : "none", kind: "scale" };
  if (scale.fileDType !== "F8_E8M0" && !(scale.fileDType === "F32" && form === "fp8"))
    return { key, expected: form === "fp8" ? "F32 or F8_E8M0" : "F8_E8M0", found: scale.fileDType, kind: "scale" };
  return undefined;
}

const scaleShape = (form: "fp8" | "fp4", [rows, cols]: readonly number[]): number[] =>
  form === "fp8" ? [Math.ceil(rows! / FP8_BLOCK), Math.ceil(cols! / FP8_BLOCK)] : [rows!, Math.ceil(cols! / FP4_BLOCK)];

/** Numbers of rows [begin, end) of a matrix, or of all of another weight. `begin` is a multiple of 128. */
export function readRows(
  set: TensorSet,
  { name, shape }: Pick<Wanted, "name" | "shape">,
  begin = 0,
  end = shape[0] ?? 1,
): Float32Array {
  // prettier-ignore
  const form = formOf(set, name);
  if (form === "int8" || form === "int4") {
    const { codes, scale, group } = readInt(set, { name, shape }, begin, end);
    return Float32Array.from(codes, (code, i) => code * scale[Math.floor(i / group)]!);
  }
  const { fileDType, shape: storedShape } = set.tensors.get(name)!;
  const rowBytes = (itemBytes: number): number => storedShape.slice(1).reduce((p, n) => p * n, itemBytes);
  const bytesOfRows = (itemBytes: number): Uint8Array => set.readBytes(name, begin * rowBytes(itemBytes), end * rowBytes(itemBytes)); // prettier-ignore
  if (form === "f32") return floatsOf(bytesOfRows(4));
  if (form === "bf16") return bf16ToF32(halvesOf(bytesOfRows(2)));
  if (form === "ids") throw new FormatError(`${set.path}: tensor "${name}": expected numbers, found ${fileDType}`, { file: set.path, key: name }); // prettier-ignore
  const cols = shape[1]!;
  const scales = scalesOf(set, name);
  if (form === "fp8") {
    const out = e4m3ToF32(bytesOfRows(1));
    const across = Math.ceil(cols / FP8_BLOCK);
    for (let r = begin; r < end; r++)
      for (let c = 0; c < cols; c++) {
        const i = (r - begin) * cols + c;
        out[i] = out[i]! * scales[Math.floor(r / FP8_BLOCK) * across + Math.floor(c / FP8_BLOCK)]!;
      }
    return out;
  }
  return unpackE2m1(bytesOfRows(1), scales.subarray(begin * Math.ceil(cols / FP4_BLOCK)), cols);
}

/** Integers of a routing table, whatever their width in the file. */
export function readIds(set: TensorSet, name: string): Int32Array {
  const bytes = set.readBytes(name);
  if (set.tensors.get(name)!.fileDType === "I32") return new Int32Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength / 4); // prettier-ignore
  const wide = new BigInt64Array(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength / 8);
  return Int32Array.from(wide, (id, i) => {
    if (BigInt.asIntN(32, id) === id) return Number(id);
    throw new FormatError(`${set.path}: tensor "${name}": expected 32-bit integers, found ${id} at element ${i}`, { file: set.path, key: name }); // prettier-ignore
  });
}

const floatsOf = (b: Uint8Array): Float32Array => new Float32Array(b.buffer as ArrayBuffer, b.byteOffset, b.byteLength / 4); // prettier-ignore
const halvesOf = (b: Uint8Array): Uint16Array => new Uint16Array(b.buffer as ArrayBuffer, b.byteOffset, b.byteLength / 2); // prettier-ignore

function scalesOf(set: TensorSet, name: string): Float32Array {
  const key = scaleName(name);
  const bytes = set.readBytes(key);
  return set.tensors.get(key)!.fileDType === "F32" ? floatsOf(bytes) : Float32Array.from(bytes, fromE8m0);
}

/** packed [rows, cols/2] -> [rows, cols]; scales of the same rows. */
function unpackE2m1(packed: Uint8Array, scales: Float32Array, cols: number): Float32Array {
  const out = new Float32Array(packed.length * 2);
  const across = Math.ceil(cols / FP4_BLOCK);
  for (let i = 0; i < packed.length; i++) {
    const at = 2 * i;
    const scale = scales[Math.floor(at / cols) * across + Math.floor((at % cols) / FP4_BLOCK)]!;
    out[at] = decodeE2m1(packed[i]! & 15) * scale;
    out[at + 1] = decodeE2m1(packed[i]! >> 4) * scale;
  }
  return out;
}

/** e8m0 of a power of two from 2^-127 to 2^127. */
const toE8m0 = (scale: number): number => Math.min(Math.max(Math.round(Math.log2(scale)) + 127, 0), 254);

/** e4m3 codes and one power of two per 128 x 128 block, so that the largest element stays within 448. */
export function quantize(x: Float32Array, shape: readonly number[]): { codes: Uint8Array; scale: Float32Array } {
  const [rows, cols] = shape as [number, number];
  const across = Math.ceil(cols / FP8_BLOCK);
  const blockOf = (r: number, c: number): number => Math.floor(r / FP8_BLOCK) * across + Math.floor(c / FP8_BLOCK);
  const largest = new Float32Array(Math.ceil(rows / FP8_BLOCK) * across);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < cols; c++) {
      const b = blockOf(r, c);
      largest[b] = Math.max(largest[b]!, Math.abs(x[r * cols + c]!));
    }
  const scale = largest.map((m) => pow2Ceil(Math.max(m, 1e-4) / E4M3_MAX));
  const codes = new Uint8Array(x.length);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < cols; c++) codes[r * cols + c] = toE4m3(x[r * cols + c]! / scale[blockOf(r, c)]!);
  return { codes, scale };
}

/** e2m1 codes, two a byte, and one power of two per 32 numbers of a row, so that the largest stays within 6. */
export function quantizeE2m1(
  x: Float32Array,
  [rows, cols]: readonly number[],
): { packed: Uint8Array; scale: Uint8Array } {
  // prettier-ignore
  const across = cols! / FP4_BLOCK;
  const scale = new Uint8Array(rows! * across);
  const packed = new Uint8Array(x.length / 2);
  for (let b = 0; b < scale.length; b++) {
    const block = x.subarray(b * FP4_BLOCK, (b + 1) * FP4_BLOCK);
    const largest = block.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
    const s = pow2Ceil(Math.max(largest, E2M1_MAX * 2 ** -126) / E2M1_MAX);
    scale[b] = toE8m0(s);
    for (let i = 0; i < FP4_BLOCK; i += 2)
      packed[(b * FP4_BLOCK + i) / 2] = encodeE2m1(block[i]! / s) | (encodeE2m1(block[i + 1]! / s) << 4);
  }
  return { packed, scale };
}

/**
 * e2m1 with its scales as e4m3 with block scales, the same numbers: a block's scale is its largest one over 2^6, so a
 * code grows by at most 6 * 64 = 384 < 448, and by no less than e4m3's smallest step while the scales of the block span
 * at most 2^14. A block that spans more and would lose a number is refused.
 */
export function losslessFp8(
  packed: Uint8Array,
  scale: Uint8Array,
  shape: readonly number[],
  where: { readonly file: string; readonly key: string },
): { codes: Uint8Array; scale: Uint8Array } {
  // prettier-ignore
  const [rows, cols] = shape as [number, number];
  const [perRow, across] = [cols / FP4_BLOCK, Math.ceil(cols / FP8_BLOCK)];
  const blocks = new Uint8Array(Math.ceil(rows / FP8_BLOCK) * across);
  const blockOf = (r: number, c: number): number => Math.floor(r / FP8_BLOCK) * across + Math.floor(c / FP8_BLOCK);
  for (let r = 0; r < rows; r++)
    for (let j = 0; j < perRow; j++) {
      const b = blockOf(r, j * FP4_BLOCK);
      blocks[b] = Math.max(blocks[b]!, scale[r * perRow + j]!);
    }
  const lowered = blocks.map((s) => Math.max(s - 6, 0));
  const codes = new Uint8Array(rows * cols);
  for (let i = 0; i < codes.length; i++) {
    const [r, c] = [Math.floor(i / cols), i % cols];
    const value = decodeE2m1(i % 2 === 0 ? packed[i >> 1]! & 15 : packed[i >> 1]! >> 4);
    const exact = value * 2 ** (scale[r * perRow + Math.floor(c / FP4_BLOCK)]! - lowered[blockOf(r, c)]!);
    const code = toE4m3(exact);
    if (e4m3Values[code] !== exact)
      throw new FormatError(`${where.file}: tensor "${where.key}": expected scales within 2^14 of each other in a block of 128 x 128, found one that e4m3 cannot follow at [${r},${c}]`, where); // prettier-ignore
    codes[i] = code;
  }
  return { codes, scale: lowered };
}

const e4m3Values = e4m3ToF32(Uint8Array.from({ length: 256 }, (_, code) => code));

/** Rows that one piece of a conversion covers; a multiple of the block height. */
const PIECE_ROWS = 8 * FP8_BLOCK;

/**
 * The tensors that hold a weight in `form`, under its own name: the stored bytes themselves when it has that form
 * already, otherwise converted piece by piece. Widening is exact, and so is fp4 or fp8 to bf16 and fp4 to fp8; f32 to
 * bf16 and everything else to fp8 and fp4 rounds to nearest even.
 */
export function encoded(set: TensorSet, weight: Pick<Weight, "name" | "shape">, form: Form): RawTensor[] {
  const { name, shape } = weight;
  const from = formOf(set, name);
  const scale = scaleName(name);
  if (form === "ids") return [{ name, fileDType: "I64", shape, chunks: () => [asI64(readIds(set, name))] }];
  if (from === form) return partNames(name).filter((n) => set.tensors.has(n)).map((n) => verbatim(set, n)); // prettier-ignore
  if (form === "int8" || form === "int4") return asIntegers(set, weight, form);
  if (form === "f32") return [{ name, fileDType: "F32", shape, chunks: pieces(set, weight, asBytes) }];
  if (form === "bf16") return [{ name, fileDType: "BF16", shape, chunks: pieces(set, weight, (x) => asBytes(f32ToBf16(x))) }]; // prettier-ignore
  const scaleTensor = (chunks: () => Uint8Array[]): RawTensor => ({ name: scale, fileDType: "F8_E8M0", shape: scaleShape(form, shape), chunks }); // prettier-ignore
  if (form === "fp4") {
    const made = (): ReturnType<typeof quantizeE2m1> => quantizeE2m1(readRows(set, weight), shape);
    return [
      { name, fileDType: "I8", shape: [shape[0]!, shape[1]! / 2], chunks: () => [made().packed] },
      scaleTensor(() => [made().scale]),
    ];
  }
  const made = (): { codes: Uint8Array; scale: Uint8Array } => {
    if (from === "fp4") return losslessFp8(set.readBytes(name), set.readBytes(scale), shape, { file: set.path, key: name }); // prettier-ignore
    const { codes, scale: floats } = quantize(readRows(set, weight), shape);
    return { codes, scale: Uint8Array.from(floats, toE8m0) };
  };
  return [{ name, fileDType: "F8_E4M3", shape, chunks: () => [made().codes] }, scaleTensor(() => [made().scale])];
}

function asIntegers(set: TensorSet, weight: Pick<Weight, "name" | "shape">, form: IntForm): RawTensor[] {
  const { name, shape } = weight;
  const [rows, cols] = shape as [number, number];
  const group = form === "int4" ? INT4_GROUP : cols;
  if (cols % group !== 0) throw new FormatError(`${set.path}: tensor "${name}": expected rows in whole groups of ${group} numbers for int4, found [${shape}]`, { file: set.path, key: name }); // prettier-ignore
  const made = (): ReturnType<typeof quantizeInt> => quantizeInt(readRows(set, weight), cols, form, group);
  const scale = { name: intScaleName(name), fileDType: "F32", shape: [rows, cols / group], chunks: () => [asBytes(made().scale)] }; // prettier-ignore
  if (form === "int8") return [{ name, fileDType: "I8", shape, chunks: () => [asBytes(made().codes)] }, scale];
  return [
    { name: packedName(name), fileDType: "I32", shape: [rows, cols / 8], chunks: () => [asBytes(packWords(made().codes))] }, // prettier-ignore
    scale,
    { name: shapeName(name), fileDType: "I64", shape: [2], chunks: () => [asI64(Int32Array.of(rows, cols))] },
  ];
}

/** Bytes that are copied at a time. */
const COPY_BYTES = 1 << 26;

/** A tensor's own bytes, read range by range. */
export function verbatim(set: TensorSet, name: string): RawTensor {
  const { fileDType, shape } = set.tensors.get(name)!;
  const sizeBytes = bytesOf({ fileDType, shape });
  const chunks = function* (): Iterable<Uint8Array> {
    for (let at = 0; at < sizeBytes; at += COPY_BYTES) yield set.readBytes(name, at, Math.min(sizeBytes, at + COPY_BYTES)); // prettier-ignore
  };
  return { name, fileDType, shape, chunks };
}

function pieces(
  set: TensorSet,
  weight: Pick<Weight, "name" | "shape">,
  bytes: (x: Float32Array) => Uint8Array,
): () => Iterable<Uint8Array> {
  // prettier-ignore
  const rows = weight.shape[0] ?? 1;
  return function* () {
    for (let r = 0; r < rows; r += PIECE_ROWS) yield bytes(readRows(set, weight, r, Math.min(rows, r + PIECE_ROWS)));
  };
}

const asI64 = (ids: Int32Array): Uint8Array => new Uint8Array(BigInt64Array.from(ids, BigInt).buffer);

/** True when bf16 holds every number of a weight, so that storing it so loses nothing. */
export function fitsBf16(set: TensorSet, weight: Pick<Weight, "name" | "shape">): boolean {
  const rows = weight.shape[0] ?? 1;
  for (let r = 0; r < rows; r += PIECE_ROWS) {
    const x = readRows(set, weight, r, Math.min(rows, r + PIECE_ROWS));
    const back = bf16ToF32(f32ToBf16(x));
    if (x.some((v, i) => !Object.is(back[i], v))) return false;
  }
  return true;
}

/** The first element of a piece of a tensor that is not a number; undefined when all are. Integers always are. */
export function notFinite(fileDType: string, bytes: Uint8Array): number | undefined {
  const at = notFiniteIn[fileDType]?.(bytes) ?? -1;
  return at < 0 ? undefined : at;
}

const notFiniteIn: Readonly<Record<string, (bytes: Uint8Array) => number>> = {
  F32: (b) => floatsOf(b).findIndex((v) => !Number.isFinite(v)),
  BF16: (b) => halvesOf(b).findIndex((v) => (v & 0x7f80) === 0x7f80),
  F8_E4M3: (b) => b.findIndex((v) => (v & 0x7f) === 0x7f),
  F8_E8M0: (b) => b.indexOf(0xff),
};
