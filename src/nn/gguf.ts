/**
 * GGUF files: typed metadata, then named tensors. Reading trusts nothing: every count, length and offset is held against
 * the file's size before anything is made of it. Tensor data is read by ranges. gguf-writer.ts is the way out.
 * Main function: `openGguf`. Shapes here are row-major; the file has them reversed.
 * Source: the GGUF description, version 3 (github.com/ggml-org/ggml, docs/gguf.md).
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { FormatError } from "../base/errors.ts";
import type { RawTensor } from "./safetensors.ts";
import type { TensorSet } from "./tensor-set.ts";

export type GgufType = "u8" | "i8" | "u16" | "i16" | "u32" | "i32" | "f32" | "bool" | "string" | "u64" | "i64" | "f64";
export type GgufScalar = number | boolean | string;
export interface GgufValue {
  readonly type: GgufType;
  /** A list where the file has an array. 64-bit integers are numbers and refused beyond 2^53. */
  readonly value: GgufScalar | readonly GgufScalar[];
}

/** The numbers of the value types in the file. */
export const typeIds: Readonly<Record<GgufType, number>> = { u8: 0, i8: 1, u16: 2, i16: 3, u32: 4, i32: 5, f32: 6, bool: 7, string: 8, u64: 10, i64: 11, f64: 12 }; // prettier-ignore
export const ARRAY = 9;
const typeOf = new Map(Object.entries(typeIds).map(([type, id]) => [id, type as GgufType]));
export const typeBytes: Readonly<Record<Exclude<GgufType, "string">, number>> = { u8: 1, i8: 1, u16: 2, i16: 2, u32: 4, i32: 4, f32: 4, bool: 1, u64: 8, i64: 8, f64: 8 }; // prettier-ignore

/** ggml's tensor types that we name: number in the file, elements and bytes of a block. */
export const tensorTypes = {
  F32: { id: 0, block: 1, bytes: 4 },
  F16: { id: 1, block: 1, bytes: 2 },
  Q4_0: { id: 2, block: 32, bytes: 18 },
  Q8_0: { id: 8, block: 32, bytes: 34 },
  Q2_K: { id: 10, block: 256, bytes: 84 },
  Q4_K: { id: 12, block: 256, bytes: 144 },
  Q6_K: { id: 14, block: 256, bytes: 210 },
  IQ2_XXS: { id: 16, block: 256, bytes: 66 },
  I32: { id: 26, block: 1, bytes: 4 },
  I64: { id: 27, block: 1, bytes: 8 },
  BF16: { id: 30, block: 1, bytes: 2 },
  MXFP4: { id: 39, block: 32, bytes: 17 },
} as const;
export type GgufTensorType = keyof typeof tensorTypes;
const tensorTypeOf = new Map(Object.entries(tensorTypes).map(([name, t]) => [t.id as number, name as GgufTensorType]));

export const MAGIC = 0x46554747;
export const VERSION = 3;
export const ALIGNMENT = 32;
/** A vocabulary has 10^5 entries; more is an attack or a mistake. */
const MAX_ELEMENTS = 1 << 24;
const MAX_DIMS = 4;

export interface GgufFile extends TensorSet {
  readonly metadata: ReadonlyMap<string, GgufValue>;
}

type Fail = (message: string, key?: string) => never;

export function openGguf(path: string): GgufFile {
  const fail: Fail = (message, key) => {
    throw new FormatError(`gguf: ${path}: ${message}`, { file: path, ...(key !== undefined && { key }) });
  };
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (cause) {
    return fail(`cannot be opened (${(cause as Error).message})`);
  }
  try {
    const fileBytes = fstatSync(fd).size;
    const at = new Cursor(fd, fileBytes, fail);
    if (at.u32() !== MAGIC) fail("expected the magic GGUF");
    const version = at.u32();
    if (version !== VERSION) fail(`expected version ${VERSION}, got ${version}`);
    const numTensors = at.count("tensors");
    const numValues = at.count("metadata values");
    const metadata = new Map<string, GgufValue>();
    for (let i = 0; i < numValues; i++) {
      const key = at.string();
      if (metadata.has(key)) fail(`metadata "${key}" appears twice`, key);
      metadata.set(key, readValue(at, key, fail));
    }
    const alignment = alignmentOf(metadata, fail);
    const infos = Array.from({ length: numTensors }, () => readInfo(at, fail));
    const dataOffset = Math.ceil(at.position / alignment) * alignment;
    const tensors = placed(infos, Math.max(0, fileBytes - dataOffset), alignment, fail);
    let open = true;
    const close = (): void => {
      if (open) closeSync(fd);
      open = false;
    };
    return {
      path,
      metadata,
      tensors,
      readBytes: (name, from = 0, to) => {
        const { begin, end } = tensors.get(name) ?? fail(`expected tensor "${name}", found none`, name);
        const last = begin + (to ?? end - begin);
        if (from < 0 || begin + from > last || last > end) fail(`tensor "${name}": expected a range within ${end - begin} bytes, got ${from}..${to}`, name); // prettier-ignore
        return readAt(fd, dataOffset + begin + from, last - begin - from, fail);
      },
      close,
      [Symbol.dispose]: close,
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

interface Info {
  readonly name: string;
  readonly fileDType: GgufTensorType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

function readInfo(at: Cursor, fail: Fail): Info {
  const name = at.string();
  const numDims = at.u32();
  if (numDims > MAX_DIMS) fail(`tensor "${name}": expected at most ${MAX_DIMS} dimensions, got ${numDims}`, name);
  const shape = Array.from({ length: numDims }, () => at.u64()).toReversed();
  const id = at.u32();
  const fileDType = tensorTypeOf.get(id) ?? fail(`tensor "${name}": expected a type of ${[...tensorTypeOf.values()].join(" ")}, got number ${id}`, name); // prettier-ignore
  const begin = at.u64();
  const sizeBytes = ggufBytes({ fileDType, shape });
  if (!Number.isSafeInteger(sizeBytes)) fail(`tensor "${name}": expected whole blocks of ${tensorTypes[fileDType].block}, got [${shape}]`, name); // prettier-ignore
  return { name, fileDType, shape, begin, end: begin + sizeBytes };
}

/** Bytes of a tensor; not a whole number where a row is not whole blocks. */
export function ggufBytes({ fileDType, shape }: Pick<RawTensor, "fileDType" | "shape">): number {
  const { block, bytes } = tensorTypes[fileDType as GgufTensorType];
  const row = shape.at(-1) ?? 1;
  return (row / block) * bytes * shape.slice(0, -1).reduce((p, n) => p * n, 1);
}

/** Names once, offsets aligned, ranges within the data and apart from each other. */
function placed(infos: readonly Info[], dataBytes: number, alignment: number, fail: Fail): Map<string, Info> {
  const tensors = new Map<string, Info>();
  for (const info of infos) {
    const { name, begin, end } = info;
    if (tensors.has(name)) fail(`tensor "${name}" appears twice`, name);
    if (begin % alignment !== 0) fail(`tensor "${name}": expected an offset in steps of ${alignment}, got ${begin}`, name); // prettier-ignore
    if (end > dataBytes) fail(`tensor "${name}": bytes ${begin}..${end} lie outside the ${dataBytes} bytes of data (truncated?)`, name); // prettier-ignore
    tensors.set(name, info);
  }
  let last = 0;
  for (const { name, begin, end } of infos.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin < last) fail(`tensor "${name}": starts at ${begin}, expected at least ${last} (overlap)`, name);
    last = end;
  }
  return tensors;
}

function alignmentOf(metadata: ReadonlyMap<string, GgufValue>, fail: Fail): number {
  const { type, value } = metadata.get("general.alignment") ?? { type: "u32", value: ALIGNMENT };
  if (type !== "u32" || typeof value !== "number" || value < 1 || (value & (value - 1)) !== 0 || value > 1 << 20)
    return fail(`metadata "general.alignment": expected a power of two, got ${String(value)}`, "general.alignment");
  return value;
}

function readValue(at: Cursor, key: string, fail: Fail): GgufValue {
  const id = at.u32();
  if (id !== ARRAY) {
    const type = typeOf.get(id) ?? fail(`metadata "${key}": expected a known value type, got number ${id}`, key);
    return { type, value: at.scalar(type) };
  }
  const itemId = at.u32();
  const type = typeOf.get(itemId) ?? fail(`metadata "${key}": expected a list of plain values, got type number ${itemId}`, key); // prettier-ignore
  const length = at.u64();
  const least = type === "string" ? 8 : typeBytes[type];
  if (length > MAX_ELEMENTS || length * least > at.left) fail(`metadata "${key}": expected a list that fits the file, got ${length} items`, key); // prettier-ignore
  return { type, value: Array.from({ length }, () => at.scalar(type)) };
}

/** Reads forward through a window of the file. */
class Cursor {
  position = 0;
  private window = new Uint8Array(0);
  private windowStart = 0;
  private readonly fd: number;
  private readonly fileBytes: number;
  private readonly fail: Fail;
  constructor(fd: number, fileBytes: number, fail: Fail) {
    this.fd = fd;
    this.fileBytes = fileBytes;
    this.fail = fail;
  }
  get left(): number {
    return this.fileBytes - this.position;
  }
  private take(n: number): DataView {
    if (n > this.left) this.fail(`expected ${n} more bytes at ${this.position}, got ${this.left} (truncated?)`);
    const end = this.windowStart + this.window.length;
    if (this.position < this.windowStart || this.position + n > end) {
      this.windowStart = this.position;
      this.window = readAt(this.fd, this.position, Math.min(this.left, Math.max(n, 1 << 20)), this.fail);
    }
    const view = new DataView(this.window.buffer, this.window.byteOffset + this.position - this.windowStart, n);
    this.position += n;
    return view;
  }
  u32(): number {
    return this.take(4).getUint32(0, true);
  }
  u64(): number {
    return this.whole(this.take(8).getBigUint64(0, true));
  }
  private whole(n: bigint): number {
    if (n > BigInt(Number.MAX_SAFE_INTEGER) || n < BigInt(Number.MIN_SAFE_INTEGER)) this.fail(`expected a number below 2^53, got ${n}`); // prettier-ignore
    return Number(n);
  }
  /** Of things that take bytes each, so the file bounds them. */
  count(what: string): number {
    const n = this.u64();
    if (n > MAX_ELEMENTS || n > this.left) this.fail(`expected a count of ${what} that fits the file, got ${n}`);
    return n;
  }
  string(): string {
    const length = this.u64();
    const view = this.take(Math.min(length, this.left + 1));
    try {
      return new TextDecoder("utf-8", { fatal: true }).decode(view);
    } catch {
      return this.fail(`expected UTF-8 text at ${this.position}`);
    }
  }
  scalar(type: GgufType): GgufScalar {
    if (type === "string") return this.string();
    const view = this.take(typeBytes[type]);
    switch (type) {
      case "u8":
        return view.getUint8(0);
      case "i8":
        return view.getInt8(0);
      case "u16":
        return view.getUint16(0, true);
      case "i16":
        return view.getInt16(0, true);
      case "u32":
        return view.getUint32(0, true);
      case "i32":
        return view.getInt32(0, true);
      case "f32":
        return view.getFloat32(0, true);
      case "f64":
        return view.getFloat64(0, true);
      case "bool":
        return view.getUint8(0) !== 0;
      case "u64":
        return this.whole(view.getBigUint64(0, true));
      case "i64":
        return this.whole(view.getBigInt64(0, true));
    }
  }
}

function readAt(fd: number, position: number, sizeBytes: number, fail: Fail): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(sizeBytes);
  let done = 0;
  while (done < sizeBytes) {
    const n = readSync(fd, out, done, Math.min(1 << 28, sizeBytes - done), position + done);
    if (n === 0) fail(`ended ${sizeBytes - done} bytes early (changed while reading?)`);
    done += n;
  }
  return out;
}
