/** GGUF files, written whole or not at all; the format's tables are in gguf.ts. Main function: `writeGguf`. */
import { FormatError } from "../base/errors.ts";
import { replaceFile, writeAll } from "../base/files.ts";
import { ALIGNMENT, ARRAY, ggufBytes, MAGIC, tensorTypes, typeBytes, typeIds, VERSION, type GgufScalar, type GgufTensorType, type GgufType, type GgufValue } from "./gguf.ts"; // prettier-ignore
import type { RawTensor } from "./safetensors.ts";

/** Bytes of a header as they are put together. */
class HeaderWriter {
  private readonly parts: Uint8Array[] = [];
  sizeBytes = 0;
  push(bytes: Uint8Array): void {
    this.parts.push(bytes);
    this.sizeBytes += bytes.length;
  }
  number(type: Exclude<GgufType, "string">, value: number): void {
    const view = new DataView(new ArrayBuffer(typeBytes[type]));
    const write: Record<Exclude<GgufType, "string">, () => void> = {
      u8: () => view.setUint8(0, value),
      i8: () => view.setInt8(0, value),
      u16: () => view.setUint16(0, value, true),
      i16: () => view.setInt16(0, value, true),
      u32: () => view.setUint32(0, value, true),
      i32: () => view.setInt32(0, value, true),
      f32: () => view.setFloat32(0, value, true),
      f64: () => view.setFloat64(0, value, true),
      bool: () => view.setUint8(0, value),
      u64: () => view.setBigUint64(0, BigInt(value), true),
      i64: () => view.setBigInt64(0, BigInt(value), true),
    };
    write[type]();
    this.push(new Uint8Array(view.buffer));
  }
  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.number("u64", bytes.length);
    this.push(bytes);
  }
  scalar(type: GgufType, value: GgufScalar): void {
    if (type === "string") this.string(value as string);
    else this.number(type, Number(value));
  }
  joined(): Uint8Array {
    const out = new Uint8Array(this.sizeBytes);
    let at = 0;
    for (const part of this.parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
}

/** All or nothing. Tensors' `fileDType` is one of GGUF's. */
export function writeGguf(path: string, metadata: ReadonlyMap<string, GgufValue>, tensors: readonly RawTensor[]): void {
  const head = new HeaderWriter();
  head.number("u32", MAGIC);
  head.number("u32", VERSION);
  head.number("u64", tensors.length);
  head.number("u64", metadata.size);
  for (const [key, { type, value }] of metadata) {
    head.string(key);
    if (!Array.isArray(value)) {
      head.number("u32", typeIds[type]);
      head.scalar(type, value as GgufScalar);
      continue;
    }
    head.number("u32", ARRAY);
    head.number("u32", typeIds[type]);
    head.number("u64", value.length);
    for (const item of value) head.scalar(type, item as GgufScalar);
  }
  const padded = (n: number): number => Math.ceil(n / ALIGNMENT) * ALIGNMENT;
  let at = 0;
  for (const t of tensors) {
    head.string(t.name);
    head.number("u32", t.shape.length);
    for (const n of t.shape.toReversed()) head.number("u64", n);
    head.number("u32", tensorTypes[t.fileDType as GgufTensorType].id);
    head.number("u64", at);
    at += padded(ggufBytes(t));
  }
  const dataOffset = padded(head.sizeBytes);
  replaceFile(path, dataOffset + at, (fd) => {
    writeAll(fd, head.joined(), 0);
    let position = dataOffset;
    writeAll(fd, new Uint8Array(dataOffset - head.sizeBytes), head.sizeBytes);
    for (const t of tensors) {
      const start = position;
      for (const bytes of t.chunks()) position = writeAll(fd, bytes, position);
      if (position - start !== ggufBytes(t))
        throw new FormatError(`gguf: ${path}: "${t.name}" expected ${ggufBytes(t)} bytes, got ${position - start}`, { file: path, key: t.name }); // prettier-ignore
      position = writeAll(fd, new Uint8Array(padded(position) - position), position);
    }
  });
}
