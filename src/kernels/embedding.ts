/**
 * Table lookup y[r] = table[ids[r]] and its gradient dTable[v] = sum of dy[r] with ids[r] = v.
 * shapes   table [V,D], ids i32 [..] -> [..,D] in the dtype of the table; gradient f32 [V,D]
 * The gradient is deterministic: a program owns a band of columns and walks the rows in order.
 */
import type { DType } from "../base/dtype.ts";
import { DTypeError, ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel } from "../tile/builder.ts";
import type { OpCases } from "./case.ts";
import { fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { empty, fromHost, sizeOf, type NdArray } from "./nd-array.ts";

export function embeddingRef(table: ArrayLike<number>, ids: ArrayLike<number>, dim: number): Float32Array {
  return Float32Array.from({ length: ids.length * dim }, (_, i) => table[ids[Math.floor(i / dim)]! * dim + (i % dim)]!);
}

const lookupKernel = specialize((p: { readonly dim: number; readonly dtype: DType; readonly rows: number }) =>
  kernel("embedding", (k) => {
    const [rows, vocab] = [k.index("rows"), k.index("vocab")];
    const table = k.view(k.buffer("table", p.dtype), [vocab, p.dim]);
    const ids = k.view(k.buffer("ids", "i32"), [rows]);
    const y = k.view(k.buffer("y", p.dtype, "out"), [rows, p.dim]);
    const r0 = k.programId(0).mul(p.rows);
    k.store(y, [r0, 0], k.gather(table, k.load(ids, [r0], [p.rows], { other: -1 }), p.dim));
  }),
);

const gradKernel = specialize((p: { readonly dtype: DType; readonly tile: number }) =>
  kernel("embedding_backward", (k) => {
    const [rows, vocab, dim] = [k.index("rows"), k.index("vocab"), k.index("dim")];
    const dy = k.view(k.buffer("dy", p.dtype), [rows, dim]);
    const ids = k.view(k.buffer("ids", "i32"), [rows]);
    const out = k.view(k.buffer("dTable", "f32", "inout"), [vocab, dim]);
    const c0 = k.programId(0).mul(p.tile);
    const zero = k.full([16, p.tile], 0);
    k.loop({ end: vocab, step: 16 }, [], (v) => {
      k.store(out, [v, c0], zero);
      return [];
    });
    k.loop({ end: rows }, [], (r) => {
      const v = k.read(ids, [r]);
      k.store(out, [v, c0], k.load(out, [v, c0], [1, p.tile]).add(k.load(dy, [r, c0], [1, p.tile]).cast("f32")));
      return [];
    });
  }),
);

export function embedding(device: Device, table: NdArray, ids: NdArray): NdArray {
  if (ids.dtype !== "i32" || table.shape.length !== 2)
    throw new DTypeError(`embedding: expected i32 ids and a table [V,D], got ${ids.dtype} and [${table.shape}]`);
  const [vocab, dim] = table.shape as [number, number];
  const rows = sizeOf(ids.shape);
  const y = empty(device, [...ids.shape, dim], table.dtype);
  const tileRows = Math.max(1, Math.min(16, Math.floor(4096 / dim)));
  const start = { dim, dtype: table.dtype, rows: tileRows };
  const { program, p } = fitted(device.properties.chip, lookupKernel, start, { rows: 1 });
  run(device, program, [ceilDiv(rows, p.rows), 1, 1], {
    table,
    ids,
    y,
    rows,
    vocab,
  });
  return y;
}

/** dy [R,D], ids i32 [R] -> f32 [V,D]. */
export function embeddingBackward(device: Device, dy: NdArray, ids: NdArray, vocab: number): NdArray {
  const [rows, dim] = dy.shape as [number, number];
  if (dy.shape.length !== 2 || sizeOf(ids.shape) !== rows)
    throw new ShapeError(`embeddingBackward: expected dy [${sizeOf(ids.shape)},D], got [${dy.shape}]`);
  const dTable = empty(device, [vocab, dim]);
  const tile = dim % 64 === 0 ? 64 : dim <= 64 ? dim : 32;
  const { program, p } = fitted(device.properties.chip, gradKernel, { dtype: dy.dtype, tile }, { tile: 16 });
  run(device, program, [ceilDiv(dim, p.tile), 1, 1], { dy, ids, dTable, rows, vocab, dim });
  return dTable;
}

const wave = (n: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.sin(i * 0.77));
const someIds = Int32Array.from({ length: 37 }, (_, i) => (i * 7) % 11);

export const cases: OpCases = {
  op: "embedding",
  cases: [
    {
      name: "lookup and gradient with repeated ids",
      run: (device) => {
        const ids = fromHost(device, someIds, [37], "i32");
        return [
          embedding(device, fromHost(device, wave(11 * 40), [11, 40], "f32"), ids),
          embeddingBackward(device, fromHost(device, wave(37 * 40), [37, 40], "f32"), ids, 12),
        ];
      },
      expected: () => {
        const dTable = new Float32Array(12 * 40);
        const dy = wave(37 * 40);
        someIds.forEach((v, r) => {
          for (let c = 0; c < 40; c++) dTable[v * 40 + c]! += dy[r * 40 + c]!;
        });
        return [embeddingRef(wave(11 * 40), someIds, 40), dTable];
      },
      tolerance: { rtol: 0, atol: 0, why: "copies, and f32 sums in the same order" },
    },
    {
      name: "lookup of six whole numbers",
      run: (device) => {
        const table = fromHost(
          device,
          Int32Array.from({ length: 11 * 6 }, (_, i) => (i * 5) % 37),
          [11, 6],
          "i32",
        );
        return [embedding(device, table, fromHost(device, someIds, [37], "i32"))];
      },
      expected: () => [
        Int32Array.from({ length: 37 * 6 }, (_, i) => ((someIds[Math.floor(i / 6)]! * 6 + (i % 6)) * 5) % 37),
      ],
      tolerance: { rtol: 0, atol: 0, why: "copies" },
    },
  ],
  programs: (chip) => [
    fitted(chip, lookupKernel, { dim: 384, dtype: "bf16", rows: 8 }, { rows: 1 }).program,
    fitted(chip, gradKernel, { dtype: "f32", tile: 64 }, { tile: 16 }).program,
  ],
  training: ["embedding_backward"],
};
