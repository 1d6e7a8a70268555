/**
 * Hadamard rotation of the last axis: y_j = n^-1/2 sum_i (-1)^popcount(i & j) x_i, Sylvester order, no random signs.
 * It spreads outliers over the row before FP4 rounding; applied to both sides, dot products stay what they were.
 * shapes   x [.., n] f32|bf16 -> same; n a power of two
 * numeric  f32 sums, one rounding to the dtype of x
 * source   DeepSeek-V4 spec section 2.5; twin hadamardRef
 */
import type { DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel } from "../tile/builder.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";

/** By butterflies, as the transform is usually written. */
export function hadamardRef(x: ArrayLike<number>, n: number): Float32Array {
  const y = Float64Array.from(x);
  for (let half = 1; half < n; half *= 2)
    for (let i = 0; i < y.length; i++)
      if ((i & half) === 0) {
        const [a, b] = [y[i]!, y[i + half]!];
        y[i] = a + b;
        y[i + half] = a - b;
      }
  return Float32Array.from(y, (v) => v * n ** -0.5);
}

interface HadamardStatic {
  readonly n: number;
  readonly dtype: DType;
  readonly rows: number;
  /** Results of a program: a power of two, at most n. */
  readonly cols: number;
}

const smallest = { cols: 16, rows: 16 } as const;

const hadamardKernel = specialize((p: HadamardStatic) =>
  kernel("hadamard", (k) => {
    const { n, cols } = p;
    const rows = k.index("rows");
    const x = k.view(k.buffer("x", p.dtype), [rows, n]);
    const y = k.view(k.buffer("y", p.dtype, "out"), [rows, n]);
    const [r0, c0] = [k.programId(0).mul(p.rows), k.programId(1).mul(cols)];
    // A factor of -1 for each bit that i and j share.
    const shared = k.iota([n, cols], 0).and(k.iota([n, cols], 1).add(k.fromIndex(c0)));
    let factors = k.full([n, cols], 1);
    for (let bit = 1; bit < n; bit *= 2) factors = factors.mul(shared.and(bit).cast("f32").mul(-2 / bit).add(1)); // prettier-ignore
    const signs = factors.cast(p.dtype);
    const sums = k.dot(k.load(x, [r0, 0], [p.rows, n]), signs);
    k.store(y, [r0, c0], sums.mul(n ** -0.5).cast(p.dtype));
  }),
);

export function hadamard(device: Device, x: NdArray): NdArray {
  const n = x.shape[x.shape.length - 1]!;
  if (n < 2 || n > 1024 || Math.log2(n) % 1 !== 0)
    throw new ShapeError(`hadamard: expected a last axis of a power of two up to 1024, got [${x.shape}]`);
  const rows = sizeOf(x.shape) / n;
  const y = empty(device, x.shape, x.dtype);
  const start = { n, dtype: x.dtype, rows: 32, cols: Math.min(n, 64) };
  const { program, p } = fitted(device.properties.chip, hadamardKernel, start, smallest);
  run(device, program, [ceilDiv(rows, p.rows), ceilDiv(n, p.cols), 1], { x, y, rows });
  return y;
}

function caseOf(rows: number, n: number): KernelCase {
  const data = Float32Array.from({ length: rows * n }, (_, i) => Math.sin(i * 0.37));
  return {
    name: `[${rows},${n}]`,
    run: (device) => [hadamard(device, fromHost(device, data, [rows, n], "f32"))],
    expected: () => [hadamardRef(data, n)],
    tolerance: { rtol: 0, atol: 128 ** 0.5 * 2 ** -24 * 8, why: "sums of at most 128 values up to 1, over sqrt(n)" },
  };
}

export const cases: OpCases = {
  op: "hadamard",
  cases: [caseOf(5, 8), caseOf(35, 32), caseOf(70, 128)],
  programs: (chip) => [fitted(chip, hadamardKernel, { n: 128, dtype: "bf16", rows: 32, cols: 64 }, smallest).program],
};
