/**
 * Clamped SwiGLU: y = silu(min(a, limit)) * clamp(b, -limit, limit) * rowScale[row].
 * shapes   a, b [.., I] -> y [.., I]; rowScale f32, one per row (the routing weight), optional
 * numeric  f32 inside, y in the dtype of a; gradients pass the clamps only inside them
 * source   DeepSeek-V4 spec section 2.9; twin swigluRef
 */
import type { Device } from "../device/device.ts";
import type { Tile } from "../tile/builder.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { map, mapProgram, type MapBody } from "./elementwise.ts";
import { fromHost, sizeOf, type NdArray } from "./nd-array.ts";
import { sum } from "./reduce.ts";

export interface SwigluOptions {
  readonly limit: number;
  readonly rowScale?: NdArray;
}

export function swigluRef(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  width: number,
  limit: number,
  rowScale?: ArrayLike<number>,
): Float32Array {
  return Float32Array.from(a, (v, i) => {
    const x = Math.min(v, limit);
    return (
      (x / (1 + Math.exp(-x))) * Math.max(-limit, Math.min(limit, b[i]!)) * (rowScale?.[Math.floor(i / width)] ?? 1)
    );
  });
}

const rowsOf = (x: NdArray): readonly [number, number] => {
  const width = x.shape[x.shape.length - 1]!;
  return [sizeOf(x.shape) / width, width];
};
const clampBoth = (t: Tile, limit: number): Tile => t.min(limit).max(-limit);
const asRows = (x: NdArray): NdArray => ({ ...x, shape: rowsOf(x) });
const asColumn = (x: NdArray): NdArray => ({ ...x, shape: [sizeOf(x.shape), 1] });

const forwardBody =
  (limit: number): MapBody =>
  (_k, x, y, r) => {
    const c = x!.min(limit);
    const out = c.mul(c.sigmoid()).mul(clampBoth(y!, limit));
    return [r ? out.mul(r) : out];
  };

/** Gradients of a, b and, where there is one, of the row scale before its sum over the row. */
const backwardBody =
  (limit: number): MapBody =>
  (_k, g, x, y, r) => {
    const c = x!.min(limit);
    const s = c.sigmoid();
    const silu = c.mul(s);
    const yc = clampBoth(y!, limit);
    const gr = r ? g!.mul(r) : g!;
    const inA = x!.le(limit).cast("f32");
    const inB = y!.abs().le(limit).cast("f32");
    const da = gr
      .mul(yc)
      .mul(s.add(silu.mul(s.neg().add(1))))
      .mul(inA);
    return [da, gr.mul(silu).mul(inB), ...(r ? [g!.mul(silu).mul(yc)] : [])];
  };

export function swiglu(device: Device, a: NdArray, b: NdArray, { limit, rowScale }: SwigluOptions): NdArray {
  const inputs = rowScale ? [asRows(a), asRows(b), asColumn(rowScale)] : [asRows(a), asRows(b)];
  const [y] = map(device, `swiglu${limit}`, inputs, [a.dtype], forwardBody(limit));
  return { ...y!, shape: a.shape };
}

export function swigluBackward(
  device: Device,
  dy: NdArray,
  a: NdArray,
  b: NdArray,
  { limit, rowScale }: SwigluOptions,
): { da: NdArray; db: NdArray; dRowScale: NdArray | undefined } {
  const inputs = [asRows(dy), asRows(a), asRows(b), ...(rowScale ? [asColumn(rowScale)] : [])];
  const outs = map(
    device,
    `swigluBackward${limit}`,
    inputs,
    [a.dtype, b.dtype, ...(rowScale ? ["f32" as const] : [])],
    backwardBody(limit),
  );
  const shaped = (x: NdArray): NdArray => ({ ...x, shape: a.shape });
  if (!rowScale) return { da: shaped(outs[0]!), db: shaped(outs[1]!), dRowScale: undefined };
  const dRowScale = sum(device, outs[2]!, 1);
  device.free(outs[2]!.buffer);
  return { da: shaped(outs[0]!), db: shaped(outs[1]!), dRowScale: { ...dRowScale, shape: rowScale.shape } };
}

const wave = (n: number, f: number, scale = 1): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => Math.sin(i * f) * scale);

/** Central differences of the reference, which is smooth away from the clamps. */
function caseOf(rows: number, width: number): KernelCase {
  const n = rows * width;
  const [a, b, dy, scale] = [wave(n, 0.3, 3), wave(n, 0.7, 3), wave(n, 1.1), wave(rows, 0.5)];
  const limit = 2;
  return {
    name: `${rows}x${width} forward and backward`,
    run: (device) => {
      const put = (x: Float32Array, shape: readonly number[]): NdArray => fromHost(device, x, shape, "f32");
      const [da, db, ddy, ds] = [
        put(a, [rows, width]),
        put(b, [rows, width]),
        put(dy, [rows, width]),
        put(scale, [rows]),
      ];
      const y = swiglu(device, da, db, { limit, rowScale: ds });
      const back = swigluBackward(device, ddy, da, db, { limit, rowScale: ds });
      return [y, back.da, back.db, back.dRowScale!];
    },
    expected: () => {
      const y = swigluRef(a, b, width, limit, scale);
      const [ga, gb, gs] = [new Float32Array(n), new Float32Array(n), new Float32Array(rows)];
      for (let i = 0; i < n; i++) {
        const r = Math.floor(i / width);
        const x = Math.min(a[i]!, limit);
        const s = 1 / (1 + Math.exp(-x));
        const c = Math.max(-limit, Math.min(limit, b[i]!));
        ga[i] = a[i]! <= limit ? dy[i]! * scale[r]! * c * (s + x * s * (1 - s)) : 0;
        gb[i] = Math.abs(b[i]!) <= limit ? dy[i]! * scale[r]! * x * s : 0;
        gs[r]! += dy[i]! * x * s * c;
      }
      return [y, ga, gb, gs];
    },
    tolerance: { rtol: 1e-5, atol: 1e-6 * width, why: "a dozen f32 roundings and one exp; row sums of `width` terms" },
  };
}

const whole = { dtype: "bf16", rows: "each", cols: "unit" } as const;
const column = { dtype: "f32", rows: "each", cols: "same" } as const;
const tiles = { tileRows: 16, tileCols: 256 };

export const cases: OpCases = {
  op: "swiglu",
  cases: [caseOf(3, 17), caseOf(20, 64)],
  programs: (chip) => [
    mapProgram(chip, "swiglu10", { ...tiles, inputs: [whole, whole, column], outputs: ["bf16"] }, forwardBody(10))
      .program,
    mapProgram(
      chip,
      "swigluBackward10",
      { ...tiles, inputs: [whole, whole, whole, column], outputs: ["bf16", "bf16", "f32"] },
      backwardBody(10),
    ).program,
  ],
  training: ["map_swigluBackward10"],
};
