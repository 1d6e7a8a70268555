/**
 * Numbers rounded to FP8 and back in blocks of 128 of a row, by casts: what quantize.ts does with format e4m3, for chips
 * that have the cast, where it takes a tenth of the instructions.
 * shapes   x [.., C] f32|bf16 -> same
 * numeric  scales are powers of two, so every result is exact in bf16; ties to even; a zero may lose its sign
 * source   DeepSeek-V4 spec section 2.0 (QDQ8); twin quantizeRef
 */
import type { DType } from "../base/dtype.ts";
import type { Device } from "../device/device.ts";
import { kernel } from "../tile/builder.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { fitted } from "./fit.ts";
import { hasFp8Products } from "./fp8-matmul.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";
import { blockScale, quantizeRef } from "./quantize.ts";

const BLOCK = 128;

interface RoundStatic {
  readonly dtype: DType;
  readonly rows: number;
}

const roundKernel = specialize((p: RoundStatic) =>
  kernel("round_fp8", (k) => {
    const [rows, cols] = [k.index("rows"), k.index("cols")];
    const x = k.view(k.buffer("x", p.dtype), [rows, cols]);
    const y = k.view(k.buffer("y", p.dtype, "out"), [rows, cols]);
    const r0 = k.programId(1).mul(p.rows);
    const c = k.programId(0).mul(BLOCK);
    // Past the end reads 0, which changes no largest element.
    const part = k.load(x, [r0, c], [p.rows, BLOCK]).cast("f32");
    const [scale, inverse] = blockScale(k, "e4m3", part.abs().maxOver(1));
    k.store(y, [r0, c], part.mul(inverse).cast("e4m3").cast("f32").mul(scale).cast(p.dtype));
  }),
);

export function roundFp8(device: Device, x: NdArray): NdArray {
  const cols = x.shape[x.shape.length - 1]!;
  const rows = sizeOf(x.shape) / Math.max(1, cols);
  const y = empty(device, x.shape, x.dtype);
  const start: RoundStatic = { dtype: x.dtype, rows: rows < 16 ? 1 : 16 };
  const { program, p } = fitted(device.properties.chip, roundKernel, start, { rows: 1 });
  run(device, program, [ceilDiv(cols, BLOCK), ceilDiv(rows, p.rows), 1], { x, y, rows, cols });
  return y;
}

const wave = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(i * 0.37 + 0.3) * 2 ** (Math.floor(i / 50) % 5)); // prettier-ignore

function caseOf(rows: number, cols: number): KernelCase {
  const x = wave(rows * cols);
  return {
    name: `rows ${rows}x${cols}`,
    run: (device) => [roundFp8(device, fromHost(device, x, [rows, cols], "f32"))],
    expected: () => [quantizeRef(x, cols, { format: "e4m3", block: BLOCK })],
    tolerance: { rtol: 0, atol: 0, why: "powers of two and whole steps" },
  };
}

export const cases: OpCases = {
  op: "roundFp8",
  cases: [caseOf(1, 40), caseOf(19, 300)],
  programs: (chip) => (chip && !hasFp8Products(chip) ? [] : [16, 1].map((rows) => fitted(chip, roundKernel, { dtype: "bf16", rows }, { rows: 1 }).program)), // prettier-ignore
  onlyWhere: hasFp8Products,
};
