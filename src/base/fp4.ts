/**
 * e2m1 codec (4-bit float: sign, 2 exponent bits, 1 mantissa bit; 0 .5 1 1.5 2 3 4 6, no infinities, no NaN), as the
 * routed experts' weights and the index keys have it. Its block scales are the e8m0 powers of two of fp8.ts.
 * Main functions: `encodeE2m1`, `decodeE2m1`, `roundToE2m1`.
 * Source: OCP microscaling formats specification, revision 1.0.
 */
import { DTypeError } from "./errors.ts";

export const E2M1_MAX = 6;

const sizes = [0, 0.5, 1, 1.5, 2, 3, 4, 6] as const;

/** The number of a code 0..15; code 8 is -0. */
export const decodeE2m1 = (code: number): number => (code & 8 ? -sizes[code & 7]! : sizes[code & 7]!);

/** Nearest code, ties to the even one, clamped to +-6; the sign is kept, also of zero. NaN has no code. */
export function encodeE2m1(x: number): number {
  if (Number.isNaN(x)) throw new DTypeError("encodeE2m1: expected a number, got NaN");
  const size = Math.abs(x);
  let code = 0;
  while (code < 7 && isNearerToNext(size, code)) code++;
  return x < 0 || Object.is(x, -0) ? code | 8 : code;
}

/** The midpoint between two codes belongs to the even one. */
function isNearerToNext(size: number, code: number): boolean {
  const middle = (sizes[code]! + sizes[code + 1]!) / 2;
  return code % 2 === 0 ? size > middle : size >= middle;
}

export const roundToE2m1 = (x: number): number => decodeE2m1(encodeE2m1(x));
