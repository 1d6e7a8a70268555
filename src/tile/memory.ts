/**
 * Typed access to raw bytes by dtype, and rounding to a dtype: what the interpreter and tests read and
 * write buffers through. Values are numbers; bits stay inside.
 */
import { fromBf16Bits, roundToBf16, toBf16Bits } from "../base/bf16.ts";
import { dtypes, type DType } from "../base/dtype.ts";
import { f16FromBits, f16ToBits, roundF16 } from "../base/f16.ts";
import { fromE4m3, toE4m3 } from "../base/fp8.ts";

/** A buffer as a list of numbers. */
export interface Memory {
  readonly length: number;
  get(i: number): number;
  set(i: number, value: number): void;
}

interface Codec {
  /** To the nearest value of the dtype. */
  readonly round: (x: number) => number;
  readonly toBits: (x: number) => number;
  readonly fromBits: (bits: number) => number;
}
const same = (x: number): number => x;

const codecs: Record<DType, Codec> = {
  f32: { round: Math.fround, toBits: same, fromBits: same },
  bf16: { round: roundToBf16, toBits: toBf16Bits, fromBits: fromBf16Bits },
  f16: { round: roundF16, toBits: f16ToBits, fromBits: f16FromBits },
  e4m3: { round: (x) => fromE4m3(toE4m3(x)), toBits: toE4m3, fromBits: fromE4m3 },
  i32: { round: (x) => x | 0, toBits: same, fromBits: same },
  u32: { round: (x) => x >>> 0, toBits: same, fromBits: same },
  i8: { round: (x) => (x << 24) >> 24, toBits: same, fromBits: same },
  u8: { round: (x) => x & 255, toBits: same, fromBits: same },
  bool: { round: (x) => (x !== 0 ? 1 : 0), toBits: same, fromBits: same },
};

export const quantizer = (dtype: DType): ((x: number) => number) => codecs[dtype].round;

/** `bytes` from byteOffset on, as elements of `dtype`. */
export function memoryOf(bytes: Uint8Array, byteOffset: number, dtype: DType): Memory {
  const { storage, size } = dtypes[dtype];
  const start = bytes.byteOffset + byteOffset;
  const data = new storage(bytes.buffer as ArrayBuffer, start, Math.floor((bytes.byteLength - byteOffset) / size));
  const { toBits, fromBits } = codecs[dtype];
  return {
    length: data.length,
    get: (i) => fromBits(data[i]!),
    set: (i, value) => void (data[i] = toBits(value)),
  };
}
