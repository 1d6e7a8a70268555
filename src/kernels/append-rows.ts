/**
 * Rows that a batch of sequences appends to memory it keeps, of one or two arrays of the same form in one launch:
 *   memory[b, at + i, :] = rows[b, i, :]
 * shapes   rows [B,n,W], memory [B,capacity,W] of the same dtype, any float
 * numeric  a copy
 * source   model/rows.ts; twin: plain indexing in the cases
 */
import type { DType } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel } from "../tile/builder.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { columnTile } from "./elementwise.ts";
import { fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { fromHost, type NdArray } from "./nd-array.ts";

/** Where rows go: both arrays have one shape, memories have one capacity. */
export interface Append {
  readonly rows: NdArray;
  readonly memory: NdArray;
}

interface AppendStatic {
  readonly dtype: DType;
  /** Arrays of a launch. */
  readonly count: number;
  readonly rows: number;
  readonly tile: number;
}

const appendKernel = specialize((p: AppendStatic) =>
  kernel("append_rows", (k) => {
    const [batch, n, width, capacity, at] = ["batch", "n", "width", "capacity", "at"].map((name) => k.index(name)) as [Index, Index, Index, Index, Index]; // prettier-ignore
    const pos = [k.programId(2), k.programId(1).mul(p.rows), k.programId(0).mul(p.tile)];
    for (let i = 0; i < p.count; i++) {
      const x = k.view(k.buffer(`rows${i}`, p.dtype), [batch, n, width]);
      // The part of the memory that the rows fill.
      const y = k.view(k.buffer(`memory${i}`, p.dtype, "out"), [batch, n, width], { strides: [capacity.mul(width), width, 1], offset: at.mul(width) }); // prettier-ignore
      k.store(y, pos, k.load(x, pos, [1, p.rows, p.tile]));
    }
  }),
);
type Index = ReturnType<Parameters<Parameters<typeof kernel>[1]>[0]["index"]>;

/** A step of decoding appends one row a sequence. */
const MANY_ROWS = 8;

/** `appends`: one, or two whose arrays have the same form; `at`: the first row of the memory that is written. */
export function appendRows(device: Device, appends: readonly Append[], at: number): void {
  const { rows, memory } = appends[0]!;
  const [batch, n, width] = rows.shape as [number, number, number];
  const [, capacity] = memory.shape as [number, number, number];
  for (const a of appends)
    if (a.rows.dtype !== rows.dtype || a.memory.dtype !== rows.dtype || `${a.rows.shape}` !== `${rows.shape}` || `${a.memory.shape}` !== `${[batch, capacity, width]}` || at + n > capacity)
      throw new ShapeError(`appendRows: expected ${rows.dtype} [${rows.shape}] into [${batch},at least ${at + n},${width}], got ${a.rows.dtype} [${a.rows.shape}] into ${a.memory.dtype} [${a.memory.shape}]`); // prettier-ignore
  const start = { dtype: rows.dtype, count: appends.length, rows: n === 1 ? 1 : MANY_ROWS, tile: columnTile(width) };
  const { program, p } = fitted(device.properties.chip, appendKernel, start, { tile: 16 });
  const args = Object.fromEntries(appends.flatMap((a, i) => [[`rows${i}`, a.rows], [`memory${i}`, a.memory]])); // prettier-ignore
  run(device, program, [ceilDiv(width, p.tile), ceilDiv(n, p.rows), batch], { ...args, batch, n, width, capacity, at });
}

const ramp = (n: number, from: number): Float32Array => Float32Array.from({ length: n }, (_, i) => i + from);

function caseOf(count: number, [batch, n, width]: readonly [number, number, number], capacity: number, at: number): KernelCase {
  const rows = ramp(batch * n * width, 0.5);
  const memory = ramp(batch * capacity * width, -1000);
  return {
    name: `${count} of ${batch}x${n}x${width} at ${at} of ${capacity}`,
    run: (device) => {
      const appends = Array.from({ length: count }, () => ({ rows: fromHost(device, rows, [batch, n, width], "f32"), memory: fromHost(device, memory, [batch, capacity, width], "f32") })); // prettier-ignore
      appendRows(device, appends, at);
      return appends.map((a) => a.memory);
    },
    expected: () => {
      const out = memory.slice();
      for (let b = 0; b < batch; b++) out.set(rows.subarray(b * n * width, (b + 1) * n * width), (b * capacity + at) * width); // prettier-ignore
      return Array.from({ length: count }, () => out);
    },
    tolerance: { rtol: 0, atol: 0, why: "copies are exact" },
  };
} // prettier-ignore

const example = { dtype: "bf16", count: 2, rows: 1, tile: 256 } as const;

export const cases: OpCases = {
  op: "appendRows",
  cases: [
    caseOf(1, [1, 1, 32], 16, 15),
    caseOf(2, [3, 1, 72], 16, 5),
    caseOf(1, [2, 19, 512], 40, 8),
    caseOf(2, [20, 3, 48], 8, 4),
  ],
  programs: (chip) => [example, { ...example, count: 1, rows: MANY_ROWS }].map((p) => fitted(chip, appendKernel, p, { tile: 16 }).program), // prettier-ignore
};
