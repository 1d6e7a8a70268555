/** Names, types and bytes of local tensors, and literals, in Ascend C. */
import { dtypes, type DType } from "../../../base/dtype.ts";
import { toBf16Bits } from "../../../base/bf16.ts";
import type { Access, Pipe, Slots } from "./code.ts";

export const typeNames: Readonly<Record<DType, string>> = {
  f32: "float",
  bf16: "bfloat16_t",
  f16: "half",
  i32: "int32_t",
  u32: "uint32_t",
  i8: "int8_t",
  u8: "uint8_t",
  // Packed bits.
  bool: "uint8_t",
  e4m3: "fp8_e4m3fn_t",
};

/** A tensor expression and the bytes behind it. */
export interface Buf {
  readonly text: string;
  readonly dtype: DType;
  readonly memory: string;
  readonly from: number;
  readonly to: number;
  readonly slots?: Slots | undefined;
}

/** The same bytes as another element type. */
export const as = (b: Buf, dtype: DType): Buf =>
  typeNames[dtype] === typeNames[b.dtype]
    ? b
    : { ...b, dtype, text: `${b.text}.ReinterpretCast<${typeNames[dtype]}>()` };
/** 16-bit lanes, for bits and bytes. */
export const asLanes16 = (b: Buf): Buf => ({ ...b, dtype: "bf16", text: `${b.text}.ReinterpretCast<uint16_t>()` });
/** The same bytes as integers of the same width: a copy of them keeps every bit. */
export const asIntegers = (b: Buf): Buf => (dtypes[b.dtype].size === 4 ? as(b, "i32") : { ...b, text: `${b.text}.ReinterpretCast<int16_t>()` }); // prettier-ignore

/** Both halves of a place, seen from outside of the loop that takes them by turns. */
export const wholeOf = ({ slots, ...b }: Buf): Buf => (slots ? { ...b, text: `${b.text}_both`, to: b.to + slots.pitch } : b); // prettier-ignore
export const at = (b: Buf, index: string): Buf => (index === "0" ? b : { ...b, text: `${b.text}[${index}]` });
export const touch = (pipe: Pipe, b: Buf, isWrite: boolean): Access => ({ pipe, isWrite, memory: b.memory, from: b.from, to: b.to, slots: b.slots }); // prettier-ignore

/** A float as C++ writes it, exact to the bit. */
function floatText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "__builtin_huge_valf()";
  if (value === Number.NEGATIVE_INFINITY) return "-__builtin_huge_valf()";
  if (value !== value) return '__builtin_nanf("")';
  if (Object.is(value, -0)) return "-0.0f";
  const short = Number(Math.fround(value).toPrecision(9));
  const text = String(short);
  return `${/[.e]/.test(text) ? text : `${text}.0`}f`;
}

/** A constant of `dtype`; bf16 as the 16 bits of it. */
export function literal(value: number, dtype: DType): string {
  switch (dtype) {
    case "f32":
      return floatText(value);
    case "f16":
      return `(half)${floatText(value)}`;
    case "bf16":
      return `(uint16_t)0x${toBf16Bits(value).toString(16).padStart(4, "0")}`;
    default:
      return `(${typeNames[dtype]})${value}`;
  }
}
