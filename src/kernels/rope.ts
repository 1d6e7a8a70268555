/**
 * Rotary position embedding on the LAST R dims of each head, interleaved pairs (2i, 2i+1):
 *   angle = f32(position * freq_i);  (a, b) -> (a cos - b sin, a sin + b cos);  inverse turns back
 * shapes   x [B,T,H,D] (or [B,T,D]) -> same; freqs f32 [R/2]; position of t is start + t * step
 * source   DeepSeek-V4 spec section 2.3; twin ropeRef
 */
import { dtypes, type DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel } from "../tile/builder.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";
import { chosen, rowsPerProgram, type TileChoice } from "./tile-choice.ts";

export interface RopeParams {
  readonly freqs: NdArray;
  readonly start: number;
  readonly step: number;
  readonly inverse: boolean;
}

export function ropeRef(
  x: ArrayLike<number>,
  shape: readonly [number, number, number, number],
  freqs: ArrayLike<number>,
  p: { start: number; step: number; inverse: boolean },
): Float32Array {
  const [, t, h, d] = shape;
  const y = Float32Array.from(x);
  const r = freqs.length * 2;
  for (let row = 0; row < x.length / d; row++) {
    const position = p.start + (Math.floor(row / h) % t) * p.step;
    for (let i = 0; i < freqs.length; i++) {
      const angle = Math.fround(position * freqs[i]!);
      const [cos, sin] = [Math.cos(angle), Math.sin(angle) * (p.inverse ? -1 : 1)];
      const at = row * d + d - r + 2 * i;
      y[at] = x[at]! * cos - x[at + 1]! * sin;
      y[at + 1] = x[at]! * sin + x[at + 1]! * cos;
    }
  }
  return y;
}

interface RopeStatic {
  readonly heads: number;
  readonly dim: number;
  readonly half: number;
  readonly dtype: DType;
  readonly inverse: boolean;
  readonly tokens: number;
}

const ropeKernel = specialize((p: RopeStatic) =>
  kernel("rope", (k) => {
    const { heads: h, dim: d, half } = p;
    const [rows, length, start, step] = [k.index("rows"), k.index("length"), k.index("start"), k.index("step")];
    const x = k.buffer("x", p.dtype);
    const y = k.buffer("y", p.dtype, "out");
    const freqs = k.view(k.buffer("freqs", "f32"), [1, half]);
    const at = [k.programId(0).mul(p.tokens), 0, 0];
    const plain = d - 2 * half;
    const part = (buffer: typeof x, width: number, stride: number, offset: number): ReturnType<typeof k.view> =>
      k.view(buffer, [rows, h, width], { strides: [h * d, d, stride], offset });
    if (plain > 0) k.store(part(y, plain, 1, 0), at, k.load(part(x, plain, 1, 0), at, [p.tokens, h, plain]));
    const token = k.iota([p.tokens, 1], 0).add(k.fromIndex(at[0]!)).mod(k.fromIndex(length));
    const position = token.mul(k.fromIndex(step)).add(k.fromIndex(start)).cast("f32");
    const angle = position.mul(k.load(freqs, [0, 0], [1, half]));
    const wide = (t: typeof angle): typeof angle => t.reshape([p.tokens, 1, half]);
    const cos = wide(angle.cos());
    const sin = wide(p.inverse ? angle.sin().neg() : angle.sin());
    const a = k.load(part(x, half, 2, plain), at, [p.tokens, h, half]).cast("f32");
    const b = k.load(part(x, half, 2, plain + 1), at, [p.tokens, h, half]).cast("f32");
    k.store(part(y, half, 2, plain), at, a.mul(cos).sub(b.mul(sin)).cast(p.dtype));
    k.store(part(y, half, 2, plain + 1), at, a.mul(sin).add(b.mul(cos)).cast(p.dtype));
  }),
);

/** How a chip chooses; where its tokens are in a sequence costs nothing. */
const choiceOf = ({ heads, dim, half, dtype }: RopeStatic, rows: number): TileChoice<RopeStatic> => ({
  rows,
  problem: {},
  lattice: (height) => ({ tokens: rowsPerProgram(height) }),
  launch: (p, height) => {
    const bytes = height * heads * dim * dtypes[dtype].size;
    return { grid: [ceilDiv(height, p.tokens), 1, 1], numbers: { rows: height, length: height, start: 0, step: 1 }, bytes: { x: bytes, y: bytes, freqs: 4 * half } };
  },
}); // prettier-ignore

export function rope(device: Device, x: NdArray, { freqs, start, step, inverse }: RopeParams): NdArray {
  const rank = x.shape.length;
  const [length, heads, dim] = [x.shape[1]!, rank === 4 ? x.shape[2]! : 1, x.shape[rank - 1]!];
  const half = sizeOf(freqs.shape);
  if (rank < 3 || rank > 4 || 2 * half > dim)
    throw new ShapeError(`rope: expected [B,T,H,D] or [B,T,D] with D >= ${2 * half}, got [${x.shape}]`);
  const rows = x.shape[0]! * length;
  const y = empty(device, x.shape, x.dtype);
  const tokens = Math.max(1, Math.min(16, Math.floor(2048 / (heads * half))));
  const given = { heads, dim, half, dtype: x.dtype, inverse, tokens };
  const { program, p } = chosen(device.properties.chip, ropeKernel, given, () => choiceOf(given, rows));
  run(device, program, [ceilDiv(rows, p.tokens), 1, 1], {
    x,
    y,
    freqs,
    rows,
    length,
    start,
    step,
  });
  return y;
}

function caseOf(
  shape: readonly [number, number, number, number],
  half: number,
  p: { start: number; step: number; inverse: boolean },
): KernelCase {
  const data = Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(i * 0.31));
  const freqs = Float32Array.from({ length: half }, (_, i) => 10000 ** (-i / half));
  return {
    name: `[${shape}] start ${p.start} step ${p.step}${p.inverse ? " inverse" : ""}`,
    run: (device) => [
      rope(device, fromHost(device, data, shape, "f32"), { freqs: fromHost(device, freqs, [half], "f32"), ...p }),
    ],
    expected: () => [ropeRef(data, shape, freqs, p)],
    tolerance: {
      rtol: 0,
      atol: 1e-5,
      why: "sin and cos of angles up to about 1000 with one f32 ulp of reduced-angle error (6e-5/8)",
    },
  };
}

const example: RopeStatic = { heads: 8, dim: 64, half: 16, dtype: "bf16", inverse: false, tokens: 8 };

export const cases: OpCases = {
  op: "rope",
  cases: [
    caseOf([3, 9, 3, 16], 4, { start: 0, step: 1, inverse: false }),
    caseOf([1, 21, 2, 8], 4, { start: 77, step: 4, inverse: true }),
    caseOf([1, 1, 4, 64], 8, { start: 900, step: 1, inverse: false }),
  ],
  programs: (chip) => [chosen(chip, ropeKernel, example, () => choiceOf(example, 256)).program],
};
