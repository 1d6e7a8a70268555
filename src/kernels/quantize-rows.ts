/**
 * Dynamic int8 of activations: every row (token) gets the scale at which its largest element is 127.
 *   scale = max(largest |x|, least) * f32(1 / 127);  q = round(x / scale), ties to even
 * shapes   x [.., C] f32|bf16 -> q i8 [.., C], scale f32 [..]
 * numeric  symmetric, -127..127; where a chip divides by way of a reciprocal, q of an x on the border between two steps
 *          may be either
 * source   chips spec E.2 (W8A8: "dynamic per-token int8 activations"); twin quantizeRowsRef
 */
import { dtypes, type DType } from "../base/dtype.ts";
import { randomBits, uniform } from "../base/prng.ts";
import type { Device } from "../device/device.ts";
import { kernel, type Tile } from "../tile/builder.ts";
import type { KernelCase, OpCases } from "./case.ts";
import type { Chip } from "../tile/chips/types.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";
import { chosen, rowsPerProgram, type TileChoice } from "./tile-choice.ts";

export const INT8_MAX = 127;
/** Rows smaller than this are scaled as if they had it, so that a row of zeros divides by something. */
const LEAST = Math.fround(1e-30);
const STEP = Math.fround(1 / INT8_MAX);

export interface QuantizedRows {
  readonly q: NdArray;
  readonly scale: NdArray;
}

export function quantizeRowsRef(x: ArrayLike<number>, cols: number): { q: Int32Array; scale: Float32Array } {
  const rows = x.length / cols;
  const q = new Int32Array(x.length);
  const scale = new Float32Array(rows);
  for (let r = 0; r < rows; r++) {
    let largest = LEAST;
    for (let c = 0; c < cols; c++) largest = Math.max(largest, Math.abs(x[r * cols + c]!));
    scale[r] = largest * STEP;
    for (let c = 0; c < cols; c++) q[r * cols + c] = toNearestEven(x[r * cols + c]! / scale[r]!);
  }
  return { q, scale };
}

export function toNearestEven(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
}

interface RowsStatic {
  readonly dtype: DType;
  readonly rows: number;
  readonly cols: number;
  /** A tile holds whole rows, so they are read once. */
  readonly isWhole: boolean;
}

const rowsKernel = specialize((p: RowsStatic) =>
  kernel("quantize_rows", (k) => {
    const [rows, cols] = [k.index("rows"), k.index("cols")];
    const x = k.view(k.buffer("x", p.dtype), [rows, cols]);
    const q = k.view(k.buffer("q", "i8", "out"), [rows, cols]);
    const scales = k.view(k.buffer("scale", "f32", "out"), [rows, 1]);
    const r0 = k.programId(0).mul(p.rows);
    const load = (c: Parameters<typeof k.load>[1][number]): Tile => k.load(x, [r0, c], [p.rows, p.cols]).cast("f32");
    // Past the end reads 0, which changes no largest element.
    const largestOf = (tile: Tile): Tile => tile.abs().maxOver(1);
    const least = k.full([p.rows, 1], LEAST);
    const codes = (tile: Tile, scale: Tile): Tile => tile.div(scale).round().cast("i8");
    if (p.isWhole) {
      const tile = load(0);
      const scale = largestOf(tile).max(least).mul(STEP);
      k.store(scales, [r0, 0], scale);
      k.store(q, [r0, 0], codes(tile, scale));
      return;
    }
    const range = { end: cols, step: p.cols };
    const [largest] = k.loop(range, [least], (c, [sofar]) => [largestOf(load(c)).max(sofar!)]);
    const scale = largest!.mul(STEP);
    k.store(scales, [r0, 0], scale);
    k.loop(range, [], (c) => {
      k.store(q, [r0, c], codes(load(c), scale));
      return [];
    });
  }),
);

/** Widest rows that a tile holds: a chip's memory beside its cores takes what would leave a host's first cache. */
const WHOLE = { chip: 4096, host: 256 } as const;
const powerOfTwo = (n: number): number => 2 ** Math.max(5, Math.ceil(Math.log2(n)));

/** How a chip chooses; a turn takes as much of a wide row as it likes, since the largest element is exact. */
const choiceOf = ({ dtype, isWhole }: RowsStatic, rows: number, cols: number): TileChoice<RowsStatic> => ({
  rows,
  problem: { cols },
  lattice: (height) => ({
    ...(!isWhole && { cols: [256, 512, 1024, 2048, 4096, 8192, 128, 64].filter((n) => n < 2 * cols || n === 64) }),
    rows: rowsPerProgram(height),
  }),
  launch: (p, height) => ({
    grid: [ceilDiv(height, p.rows), 1, 1],
    numbers: { rows: height, cols },
    bytes: { x: height * cols * dtypes[dtype].size, q: height * cols, scale: 4 * height },
  }),
});

function startOf(chip: Chip | undefined, dtype: DType, rows: number, cols: number): RowsStatic {
  const isWhole = cols <= WHOLE[chip ? "chip" : "host"];
  return { dtype, rows: rows < 8 ? 1 : 8, cols: isWhole ? powerOfTwo(cols) : 256, isWhole };
}

export function quantizeRows(device: Device, x: NdArray): QuantizedRows {
  const cols = x.shape[x.shape.length - 1]!;
  const rows = sizeOf(x.shape) / Math.max(1, cols);
  const q = empty(device, x.shape, "i8");
  const scale = empty(device, x.shape.slice(0, -1), "f32");
  const { chip } = device.properties;
  const start = startOf(chip, x.dtype, rows, cols);
  const { program, p } = chosen(chip, rowsKernel, start, () => choiceOf(start, rows, cols));
  run(device, program, [ceilDiv(rows, p.rows), 1, 1], { x, q, scale, rows, cols });
  return { q, scale };
}

/** Steps that no rounding of a division moves over a border: at most 0.4 from a whole one. */
function away(rows: number, cols: number): Float32Array {
  return Float32Array.from({ length: rows * cols }, (_, i) => {
    const [row, col] = [Math.floor(i / cols), i % cols];
    const unit = 2 ** (row % 5) * (row === 3 ? 0 : 1);
    if (col === row % cols) return -INT8_MAX * unit;
    return ((randomBits(11, i) % 253) - 126 + 0.8 * uniform(12, i) - 0.4) * unit;
  });
}

function caseOf(rows: number, cols: number): KernelCase {
  const x = away(rows, cols);
  return {
    name: `rows ${rows}x${cols}${rows > 3 ? ", one of zeros" : ""}`,
    run: (device) => {
      const { q, scale } = quantizeRows(device, fromHost(device, x, [rows, cols], "f32"));
      return [q, scale];
    },
    expected: () => {
      const { q, scale } = quantizeRowsRef(x, cols);
      return [q, scale];
    },
    tolerance: { rtol: 0, atol: 0, why: "one f32 product a row, and whole steps" },
  };
}

export const cases: OpCases = {
  op: "quantizeRows",
  cases: [caseOf(1, 40), caseOf(5, 192), caseOf(19, 300), caseOf(9, 4500)],
  programs: (chip) =>
    ([8, 1] as const).flatMap((rows) =>
      [1000, 8192].map((cols) => {
        const [height, start] = [128 * rows - 127, startOf(chip, "bf16", rows, cols)];
        return chosen(chip, rowsKernel, start, () => choiceOf(start, height, cols)).program;
      }),
    ),
};
