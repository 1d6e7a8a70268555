/**
 * Element types: the one table of names, sizes and JavaScript storage.
 * Owns nothing else; codecs for the narrow floats live in bf16.ts, fp8.ts and fp4.ts.
 */

/** Storage types a tensor or tile may have. `bool` is one byte, 0 or 1. */
export type DType = "f32" | "bf16" | "f16" | "i32" | "u32" | "i8" | "u8" | "bool" | "e4m3";

type TypedArrayConstructor =
  | typeof Float32Array
  | typeof Uint16Array
  | typeof Int32Array
  | typeof Uint32Array
  | typeof Int8Array
  | typeof Uint8Array;

export type TypedArray = Float32Array | Uint16Array | Int32Array | Uint32Array | Int8Array | Uint8Array;

interface DTypeInfo {
  /** Bytes per element. */
  readonly size: number;
  /** Raw storage; bf16 and f16 are held as their 16 bits, e4m3 as its 8. */
  readonly storage: TypedArrayConstructor;
  readonly kind: "float" | "int" | "bool";
}

export const dtypes: Record<DType, DTypeInfo> = {
  f32: { size: 4, storage: Float32Array, kind: "float" },
  bf16: { size: 2, storage: Uint16Array, kind: "float" },
  f16: { size: 2, storage: Uint16Array, kind: "float" },
  i32: { size: 4, storage: Int32Array, kind: "int" },
  u32: { size: 4, storage: Uint32Array, kind: "int" },
  i8: { size: 1, storage: Int8Array, kind: "int" },
  u8: { size: 1, storage: Uint8Array, kind: "int" },
  bool: { size: 1, storage: Uint8Array, kind: "bool" },
  e4m3: { size: 1, storage: Uint8Array, kind: "float" },
};

export const isFloat = (dtype: DType): boolean => dtypes[dtype].kind === "float";
