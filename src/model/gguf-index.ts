/**
 * Index heads as llama.cpp can hold them: it rotates index keys in blocks of 64, so heads of another width get zeros in
 * front (their last qk_rope_head_dim numbers are what positions turn), and every score stays what it was:
 *   width' = 4^k width, the first that 64 divides
 *   q'.k' = q.k                                          zeros add nothing, nor does a rotation of both
 *   norm: sum (2^k x)^2 / width' + eps = sum x^2 / width + eps, so keys are times 2^k before it and its weight over 2^k
 *   (width' heads)^-0.5 = (width heads)^-0.5 / 2^k, so the heads' weights are times 2^k
 * All factors are powers of two: nothing is rounded, and reading takes it back bit for bit.
 * Main functions: `ggufIndexDim`, `widenedIndex`, `narrowedIndex`. Source: the order of a head's numbers and its scales as
 * in llama.cpp's src/models/deepseek4.cpp.
 */
import { bf16ToF32, f32ToBf16 } from "../base/bf16.ts";
import { FormatError } from "../base/errors.ts";
import { asBytes, type RawTensor } from "../nn/safetensors.ts";
import type { StoredTensor, TensorSet } from "../nn/tensor-set.ts";

/** Numbers of an index key that llama.cpp rotates together. */
const ROTATED = 64;

/** The width of an index head in a GGUF. */
export const ggufIndexDim = (width: number): number => (width % ROTATED === 0 ? width : ggufIndexDim(4 * width));

/** What becomes of a tensor: the axis along which heads lie, if they do, and the power of 2^k that it is multiplied by. */
interface Part {
  readonly axis?: number;
  readonly power: -1 | 0 | 1;
}
const parts: Readonly<Record<string, Part>> = {
  "wq_b.weight": { axis: 0, power: 0 },
  "weights_proj.weight": { power: 1 },
  "compressor.wkv.weight": { axis: 0, power: 1 },
  "compressor.wgate.weight": { axis: 0, power: 0 },
  "compressor.ape": { axis: 1, power: 0 },
  "compressor.norm.weight": { axis: 0, power: -1 },
};
const partOf = (name: string): Part | undefined => parts[/^layers\.\d+\.attn\.indexer\.(.+)$/.exec(name)?.[1] ?? ""];

const shapeWith = (shape: readonly number[], { axis }: Part, factor: number): number[] => shape.map((n, i) => (i === axis ? n * factor : n)); // prettier-ignore
/** Numbers between two of a head: all of the axes after. */
const strideOf = (shape: readonly number[], axis: number): number => shape.slice(axis + 1).reduce((p, n) => p * n, 1);

interface Codec {
  readonly read: (bytes: Uint8Array) => Float32Array;
  readonly write: (x: Float32Array) => Uint8Array;
}
const codecs: Readonly<Record<string, Codec>> = {
  F32: { read: (b) => new Float32Array(b.buffer as ArrayBuffer, b.byteOffset, b.byteLength / 4), write: asBytes },
  BF16: {
    read: (b) => bf16ToF32(new Uint16Array(b.buffer as ArrayBuffer, b.byteOffset, b.byteLength / 2)),
    write: (x) => asBytes(f32ToBf16(x)),
  },
};

function codecOf({ name, fileDType }: Pick<StoredTensor, "name" | "fileDType">): Codec {
  const codec = codecs[fileDType];
  if (codec === undefined) throw new FormatError(`gguf: tensor "${name}": expected F32 or BF16, got ${fileDType}`, { file: name, key: name }); // prettier-ignore
  return codec;
}

/** A tensor under its official name with index heads of `width`, as a GGUF holds it. */
export function widenedIndex(t: RawTensor, width: number): RawTensor {
  const part = partOf(t.name);
  const to = ggufIndexDim(width);
  if (part === undefined || to === width) return t;
  const { read, write } = codecOf(t);
  const factor = Math.sqrt(to / width) ** part.power;
  const chunks = (): Uint8Array[] => {
    const x = read(new Uint8Array(Buffer.concat([...t.chunks()]))).map((v) => v * factor);
    if (part.axis === undefined) return [write(x)];
    const stride = strideOf(t.shape, part.axis);
    const [head, wide] = [width * stride, to * stride];
    const out = new Float32Array((x.length / head) * wide);
    for (let b = 0; b * head < x.length; b++) out.set(x.subarray(b * head, (b + 1) * head), (b + 1) * wide - head);
    return [write(out)];
  };
  return { ...t, shape: shapeWith(t.shape, part, to / width), chunks };
}

/** Tensors with index heads of `stored` numbers as they were before `widenedIndex`, of `width`. */
export function narrowedIndex(set: TensorSet, width: number, stored: number): TensorSet {
  if (stored === width) return set;
  const narrow = (t: StoredTensor): StoredTensor => {
    const part = partOf(t.name);
    return part === undefined ? t : { ...t, shape: shapeWith(t.shape, part, width / stored) };
  };
  return {
    ...set,
    tensors: new Map([...set.tensors].map(([name, t]) => [name, narrow(t)])),
    readBytes: (name, begin, end) => {
      const [t, part] = [set.tensors.get(name), partOf(name)];
      return t && part ? narrowedBytes(set, t, part, width, stored).slice(begin, end) : set.readBytes(name, begin, end);
    },
  };
}

function narrowedBytes(set: TensorSet, t: StoredTensor, part: Part, width: number, stored: number): Uint8Array {
  const { read, write } = codecOf(t);
  const factor = Math.sqrt(width / stored) ** part.power;
  const x = read(set.readBytes(t.name)).map((v) => v * factor);
  if (part.axis === undefined) return write(x);
  const stride = strideOf(t.shape, part.axis);
  const [head, wide] = [width * stride, stored * stride];
  const out = new Float32Array((x.length / wide) * head);
  for (let b = 0; b * wide < x.length; b++) {
    const [from, to] = [b * wide, (b + 1) * wide];
    if (x.subarray(from, to - head).some((v) => v !== 0))
      throw new FormatError(`${set.path}: tensor "${t.name}": expected zeros in front of index heads of ${width} widened to ${stored}, found others`, { file: set.path, key: t.name }); // prettier-ignore
    out.set(x.subarray(to - head, to), b * head);
  }
  return write(out);
}
