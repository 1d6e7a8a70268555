/** bfloat16 codec: the top 16 bits of an f32, rounded to nearest even; NaN stays NaN. */

const f32 = new Float32Array(1);
const bits = new Uint32Array(f32.buffer);

/** The 16 bits of one number. */
export function toBf16Bits(x: number): number {
  f32[0] = x;
  const u = bits[0]!;
  if ((u & 0x7fffffff) > 0x7f800000) return (u >>> 16) | 0x40;
  return ((u + 0x7fff + ((u >>> 16) & 1)) >>> 16) & 0xffff;
}

export function fromBf16Bits(b: number): number {
  bits[0] = b << 16;
  return f32[0]!;
}

/** The nearest bf16 value as a number. */
export const roundToBf16 = (x: number): number => fromBf16Bits(toBf16Bits(x));

export function f32ToBf16(x: Float32Array): Uint16Array<ArrayBuffer> {
  const u = new Uint32Array(x.buffer, x.byteOffset, x.length);
  const out = new Uint16Array(x.length);
  for (let i = 0; i < out.length; i++) {
    const v = u[i]!;
    out[i] = (v & 0x7fffffff) > 0x7f800000 ? (v >>> 16) | 0x40 : (v + 0x7fff + ((v >>> 16) & 1)) >>> 16;
  }
  return out;
}

export function bf16ToF32(x: Uint16Array): Float32Array<ArrayBuffer> {
  const out = new Float32Array(x.length);
  const u = new Uint32Array(out.buffer);
  for (let i = 0; i < x.length; i++) u[i] = x[i]! << 16;
  return out;
}
