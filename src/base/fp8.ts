/**
 * e4m3 codec (8-bit float: 4 exponent bits, bias 7, 3 mantissa bits; no infinities, 0x7f and 0xff are NaN), and
 * the power-of-two block scales that go with it (e8m0: 2^(byte - 127)).
 * Main functions: `e4m3ToF32`, `f32ToE4m3`, `fromE8m0`, `toE8m0`, `pow2Ceil`.
 * Source: OCP 8-bit floating point specification, revision 1.0 (the "fn" variant).
 */

export const E4M3_MAX = 448;

function decode(code: number): number {
  const exponent = (code >> 3) & 15;
  const mantissa = code & 7;
  if (exponent === 15 && mantissa === 7) return NaN;
  const size = exponent === 0 ? (mantissa / 8) * 2 ** -6 : (1 + mantissa / 8) * 2 ** (exponent - 7);
  return code & 128 ? -size : size;
}

const values = Float32Array.from({ length: 256 }, (_, code) => decode(code));

export const fromE4m3 = (code: number): number => values[code]!;

export function e4m3ToF32(codes: Uint8Array): Float32Array<ArrayBuffer> {
  const out = new Float32Array(codes.length);
  for (let i = 0; i < out.length; i++) out[i] = values[codes[i]!]!;
  return out;
}

/** Nearest e4m3 code, ties to even, clamped to +-448; NaN stays NaN. */
export function toE4m3(x: number): number {
  if (Number.isNaN(x)) return 0x7f;
  const sign = x < 0 || Object.is(x, -0) ? 128 : 0;
  const size = Math.min(Math.abs(x), E4M3_MAX);
  // Spacing of e4m3 numbers around x: 2^(exponent - 3), never below 2^-9.
  const exponent = Math.max(size === 0 ? -6 : Math.floor(Math.log2(size)), -6);
  const steps = size / 2 ** (exponent - 3);
  let whole = Math.floor(steps);
  const rest = steps - whole;
  if (rest > 0.5 || (rest === 0.5 && whole % 2 === 1)) whole++;
  // Codes are consecutive integers, so a carry into the next exponent needs no special case.
  return sign | ((exponent + 6) * 8 + whole);
}

export function f32ToE4m3(x: Float32Array): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(x.length);
  for (let i = 0; i < out.length; i++) out[i] = toE4m3(x[i]!);
  return out;
}

export const fromE8m0 = (code: number): number => 2 ** (code - 127);

/** The code of a scale, which is a power of two within 2^-127..2^127. */
export const toE8m0 = (scale: number): number => Math.round(Math.log2(scale)) + 127;

/** Smallest power of two at or above a positive x. */
export function pow2Ceil(x: number): number {
  let p = 2 ** Math.ceil(Math.log2(x));
  // log2 may be off by one ulp next to a power of two.
  while (p < x) p *= 2;
  while (p / 2 >= x) p /= 2;
  return p;
}
