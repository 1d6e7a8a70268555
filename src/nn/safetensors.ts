/**
 * safetensors files: named arrays behind a JSON header. Reading checks everything before a byte of
 * data is trusted (lengths, duplicate names, dtype, shape, offsets that tile the data exactly);
 * writing replaces the file whole (base/files.ts).
 * Main functions: `openSafetensors`, `writeSafetensors`. Bytes only; checkpoint.ts and module.ts add meaning.
 * Source: the safetensors format description (github.com/huggingface/safetensors).
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { dtypes, type DType, type TypedArray } from "../base/dtype.ts";
import { FormatError } from "../base/errors.ts";
import { replaceFile, writeAll } from "../base/files.ts";

/** Every dtype name a file may carry, with its size in bytes; ours are in `dtypeNames`. */
export const fileDTypes: Readonly<Record<string, number>> = {
  F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U64: 8, U32: 4, U16: 2, U8: 1, BOOL: 1,
  F8_E4M3: 1, F8_E5M2: 1, F8_E8M0: 1,
}; // prettier-ignore

const dtypeNames: Record<DType, string> = {
  f32: "F32",
  bf16: "BF16",
  f16: "F16",
  i32: "I32",
  u32: "U32",
  i8: "I8",
  u8: "U8",
  bool: "BOOL",
  e4m3: "F8_E4M3",
};
const dtypeOf = new Map(Object.entries(dtypeNames).map(([dtype, name]) => [name, dtype as DType]));

/** The format's own limit, against headers that would fill memory. */
const MAX_HEADER_BYTES = 100_000_000;
/** A header is an object of objects of lists; deeper ones only cost memory and stack. */
const MAX_DEPTH = 4;
/** One read call moves at most this; Node refuses 2 GiB and more. */
const IO_CHUNK_BYTES = 1 << 28;

export interface TensorInfo {
  readonly name: string;
  /** As in the file, e.g. "BF16". */
  readonly fileDType: string;
  readonly shape: readonly number[];
  /** Byte range in the data part. */
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsFile {
  readonly path: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** Offset of the data part in the file. */
  readonly dataOffset: number;
  /** Our dtype of a tensor; FormatError for one we do not have (I64, F64, ...). */
  dtype(name: string): DType;
  /** The tensor's own storage bits, in fresh memory. */
  read(name: string): TypedArray;
  /** All bytes of a tensor or bytes [begin, end) of it, in fresh memory: a positioned read of that range alone. */
  readBytes(name: string, begin?: number, end?: number): Uint8Array;
  close(): void;
  [Symbol.dispose](): void;
}

export function openSafetensors(path: string): SafetensorsFile {
  const fail = (message: string, key?: string): never => {
    throw new FormatError(`safetensors: ${path}: ${message}`, key === undefined ? { file: path } : { file: path, key });
  };
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (cause) {
    throw new FormatError(`safetensors: ${path}: cannot be opened (${(cause as Error).message})`, {
      file: path,
      cause,
    });
  }
  try {
    const fileBytes = fstatSync(fd).size;
    if (fileBytes < 8) fail(`expected at least 8 bytes, got ${fileBytes}`);
    const head = readAt(fd, 0, 8, fail);
    const headerBytes = Number(new DataView(head.buffer, head.byteOffset, 8).getBigUint64(0, true));
    if (headerBytes > MAX_HEADER_BYTES || 8 + headerBytes > fileBytes)
      fail(
        `expected a header of at most ${Math.min(MAX_HEADER_BYTES, fileBytes - 8)} bytes, got length ${headerBytes}`,
      );
    const text = readText(readAt(fd, 8, headerBytes, fail), fail);
    const dataOffset = 8 + headerBytes;
    const { tensors, metadata } = parseHeader(text, fileBytes - dataOffset, fail);
    const info = (name: string): TensorInfo => tensors.get(name) ?? fail(`expected tensor "${name}", found none`, name);
    let open = true;
    const close = (): void => {
      if (open) closeSync(fd);
      open = false;
    };
    const readBytes = (name: string, from = 0, to?: number): Uint8Array => {
      const { begin, end } = info(name);
      const last = begin + (to ?? end - begin);
      if (from < 0 || begin + from > last || last > end)
        fail(`tensor "${name}": expected a range within ${end - begin} bytes, got ${from}..${to}`, name);
      return readAt(fd, dataOffset + begin + from, last - begin - from, fail);
    };
    const dtype = (name: string): DType =>
      dtypeOf.get(info(name).fileDType) ??
      fail(
        `tensor "${name}" has dtype ${info(name).fileDType}, expected one of ${[...dtypeOf.keys()].join(" ")}`,
        name,
      );
    return {
      path,
      metadata,
      tensors,
      dataOffset,
      dtype,
      readBytes,
      read: (name) => {
        const { storage, size } = dtypes[dtype(name)];
        const bytes = readBytes(name);
        return new storage(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength / size);
      },
      close,
      [Symbol.dispose]: close,
    };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

type Fail = (message: string, key?: string) => never;

function readText(bytes: Uint8Array, fail: Fail): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return fail("header is not UTF-8");
  }
}

function parseHeader(
  text: string,
  dataBytes: number,
  fail: Fail,
): { tensors: Map<string, TensorInfo>; metadata: Record<string, string> } {
  const { keys, depth } = scanJson(text);
  if (depth > MAX_DEPTH) fail(`expected a header nested at most ${MAX_DEPTH} deep, got ${depth}`);
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (cause) {
    fail(`header is not JSON (${(cause as Error).message})`);
  }
  if (!text.startsWith("{") || typeof header !== "object" || header === null) fail("expected a JSON object as header");
  const seen = new Set<string>();
  for (const raw of keys) {
    const name = JSON.parse(raw) as string;
    if (seen.has(name)) fail(`tensor "${name}" appears twice`, name);
    seen.add(name);
  }
  const metadata: Record<string, string> = {};
  const tensors = new Map<string, TensorInfo>();
  for (const [name, entry] of Object.entries(header as Record<string, unknown>)) {
    if (name !== "__metadata__") tensors.set(name, parseEntry(name, entry, dataBytes, fail));
    else
      for (const [key, value] of Object.entries((entry ?? {}) as Record<string, unknown>)) {
        if (typeof value !== "string") fail(`expected text for metadata "${key}", got ${typeof value}`, key);
        metadata[key] = value as string;
      }
  }
  // The data part is tiled exactly: no overlap, no gap, no rest.
  let at = 0;
  for (const t of [...tensors.values()].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (t.begin !== at)
      fail(`tensor "${t.name}" starts at ${t.begin}, expected ${at} (${t.begin < at ? "overlap" : "gap"})`, t.name);
    at = t.end;
  }
  if (at !== dataBytes) fail(`expected ${at} bytes of data, got ${dataBytes}${dataBytes < at ? " (truncated?)" : ""}`);
  return { tensors, metadata };
}

function parseEntry(name: string, entry: unknown, dataBytes: number, fail: Fail): TensorInfo {
  const e = entry as { dtype?: unknown; shape?: unknown; data_offsets?: unknown } | null;
  if (typeof e !== "object" || e === null) return fail(`tensor "${name}": expected an object`, name);
  for (const key of Object.keys(e))
    if (key !== "dtype" && key !== "shape" && key !== "data_offsets")
      fail(`tensor "${name}": unknown field "${key}"`, name);
  const { dtype, shape, data_offsets: offsets } = e;
  const isCount = (n: unknown): n is number => typeof n === "number" && Number.isSafeInteger(n) && n >= 0;
  const itemBytes = typeof dtype === "string" && Object.hasOwn(fileDTypes, dtype) ? fileDTypes[dtype]! : undefined;
  if (itemBytes === undefined) return fail(`tensor "${name}": unknown dtype ${brief(dtype)}`, name);
  if (!Array.isArray(shape) || !shape.every(isCount))
    return fail(`tensor "${name}": expected a shape of counts, got ${brief(shape)}`, name);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
    return fail(`tensor "${name}": expected data_offsets [begin, end], got ${brief(offsets)}`, name);
  const [begin, end] = offsets as [number, number];
  const expected = (shape as number[]).reduce((p, n) => p * n, itemBytes);
  if (end < begin || end > dataBytes)
    fail(`tensor "${name}": offsets ${begin}..${end} lie outside the ${dataBytes} bytes of data (truncated?)`, name);
  if (end - begin !== expected)
    fail(
      `tensor "${name}": ${dtype as string} [${(shape as number[]).join(",")}] takes ${expected} bytes, got ${end - begin}`,
      name,
    );
  return { name, fileDType: dtype as string, shape: shape as number[], begin, end };
}

/** A value of the header for a message; a hostile one may be long. */
function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? "none";
  return text.length <= 80 ? text : `${text.slice(0, 80)}...`;
}

/** The keys of the outermost object as written (JSON.parse would hide repeats), and how deep the text nests. */
function scanJson(text: string): { keys: string[]; depth: number } {
  const keys: string[] = [];
  const isSpace = (c: string | undefined): boolean => c === " " || c === "\n" || c === "\t" || c === "\r";
  let [at, deepest] = [0, 0];
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === "{" || c === "[") deepest = Math.max(deepest, ++at);
    else if (c === "}" || c === "]") at--;
    else if (c === '"') {
      const start = i++;
      while (i < text.length && text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
      let next = i + 1;
      while (isSpace(text[next])) next++;
      if (at === 1 && text[next] === ":") keys.push(text.slice(start, i + 1));
    }
  }
  return { keys, depth: deepest };
}

function readAt(fd: number, position: number, sizeBytes: number, fail: Fail): Uint8Array {
  const out = new Uint8Array(sizeBytes);
  let done = 0;
  while (done < sizeBytes) {
    const n = readSync(fd, out, done, Math.min(IO_CHUNK_BYTES, sizeBytes - done), position + done);
    if (n === 0) fail(`ended ${sizeBytes - done} bytes early (changed while reading?)`);
    done += n;
  }
  return out;
}

export interface TensorSource {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Called once, in order, so that only one tensor need be in host memory. */
  readonly data: () => TypedArray;
}

/** A tensor on its way to a file, of any dtype a file may carry; its bytes come in pieces, in order, once. */
export interface RawTensor {
  readonly name: string;
  /** As in the file, e.g. "F8_E8M0". */
  readonly fileDType: string;
  readonly shape: readonly number[];
  readonly chunks: () => Iterable<Uint8Array>;
}

export interface WriteOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  /** Sees the data bytes in file order; its result replaces the equally long metadata value `key`. */
  readonly seal?: { readonly key: string; update(bytes: Uint8Array): void; digest(header: Uint8Array): string };
}

export const bytesOf = (t: Pick<RawTensor, "fileDType" | "shape">): number =>
  t.shape.reduce((p, n) => p * n, fileDTypes[t.fileDType]!);

export const asBytes = (x: TypedArray): Uint8Array => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);

/** All or nothing: `path` holds either its old content or the whole new one. */
export function writeSafetensors(path: string, tensors: readonly TensorSource[], options: WriteOptions = {}): void {
  const raw = tensors.map(({ name, dtype, shape, data }): RawTensor => ({ name, fileDType: dtypeNames[dtype], shape, chunks: () => [asBytes(data())] })); // prettier-ignore
  writeRaw(path, raw, options);
}

/** The same for tensors that are only bytes. */
export function writeRaw(path: string, tensors: readonly RawTensor[], options: WriteOptions = {}): void {
  const header: Record<string, unknown> = {};
  if (options.metadata) header["__metadata__"] = options.metadata;
  let at = 0;
  for (const t of tensors) {
    if (Object.hasOwn(header, t.name))
      throw new FormatError(`safetensors: ${path}: tensor "${t.name}" given twice`, { file: path, key: t.name });
    header[t.name] = { dtype: t.fileDType, shape: t.shape, data_offsets: [at, at + bytesOf(t)] };
    at += bytesOf(t);
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  // Data starts at a multiple of 8, as readers that map the file expect.
  const text = new Uint8Array(Math.ceil(json.length / 8) * 8).fill(0x20);
  text.set(json);
  replaceFile(path, 8 + text.length + at, (fd) => {
    const length = new Uint8Array(8);
    new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true);
    let position = writeAll(fd, length, 0);
    position = writeAll(fd, text, position);
    for (const t of tensors) {
      const start = position;
      for (const bytes of t.chunks()) {
        options.seal?.update(bytes);
        position = writeAll(fd, bytes, position);
      }
      if (position - start !== bytesOf(t))
        throw new FormatError(`safetensors: ${path}: "${t.name}" expected ${bytesOf(t)} bytes, got ${position - start}`, { file: path, key: t.name }); // prettier-ignore
    }
    if (options.seal) writeAll(fd, sealed(text, options.metadata ?? {}, options.seal), 8);
  });
}

function sealed(
  text: Uint8Array,
  metadata: Readonly<Record<string, string>>,
  seal: NonNullable<WriteOptions["seal"]>,
): Uint8Array {
  const before = metadata[seal.key] ?? "";
  const after = seal.digest(text);
  const find = JSON.stringify(seal.key) + ":" + JSON.stringify(before);
  const header = new TextDecoder().decode(text);
  if (before.length !== after.length || !header.includes(find))
    throw new FormatError(
      `safetensors: seal: expected a placeholder of ${after.length} characters under "${seal.key}"`,
      { file: seal.key },
    );
  return new TextEncoder().encode(header.replace(find, JSON.stringify(seal.key) + ":" + JSON.stringify(after)));
}
