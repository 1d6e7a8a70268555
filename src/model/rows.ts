/**
 * Rows that a sequence keeps on the device: appended in place at consecutive indices, cut off at the end by a
 * rollback, dropped at the front when nothing needs them any more. Memory grows by doubling (or is reserved), so an
 * append costs what it appends. A batch of sequences lies as [B, capacity, width].
 * Main class: `Rows`. Memory that holds no row yet is zero, never NaN, so that kernels may load past the end.
 */
import { dtypes, type DType } from "../base/dtype.ts";
import { assert } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { appendRows } from "../kernels/append-rows.ts";
import { zeroed } from "../kernels/nd-array.ts";
import * as t from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";

const MIN_CAPACITY = 16;
/** Memory this many times larger than its rows need is given back when rows are dropped. */
const TOO_LARGE = 8;

export class Rows {
  /** Index of the first row in memory, and one past the last row. */
  first = 0;
  end = 0;
  /** [B, capacity, width]; row `first` comes first. */
  private memory: Tensor | undefined;
  private readonly reserved: number;
  private readonly unit: number;

  /** `reserved`: rows to make room for at once; rows are dropped in whole units, so `first` is a multiple of `unit`. */
  constructor(reserved = 0, unit = 1) {
    this.reserved = reserved;
    this.unit = unit;
  }

  /** All memory [B, capacity, width]: row i at i - first, zeros or old rows from `end` on. Undefined before any row. */
  get all(): Tensor | undefined {
    return this.memory;
  }
  get sizeBytes(): number {
    return this.memory ? this.memory.size * dtypes[this.memory.dtype].size : 0;
  }

  /** Rows [start, end) as [B, n, width]: a view of one sequence, a copy of several. Valid until the next append. */
  between(start: number, end: number): Tensor {
    assert(
      this.memory && start >= this.first && end <= this.end,
      `rows ${start}..${end} of ${this.first}..${this.end}`,
    );
    return t.slice(this.memory, 1, start - this.first, end - this.first);
  }

  /** Lets the first row of this empty memory be row `index`, a multiple of the unit. */
  startAt(index: number): void {
    assert(this.memory === undefined && index % this.unit === 0, `rows start at ${index} before there are any`);
    this.first = this.end = index;
  }
  /** Adds rows [B, n, width] at `end`; those before index `needed` may be dropped. */
  append(rows: Tensor, needed = 0): void {
    Rows.append([{ to: this, rows }], needed);
  }
  /** The same for one, or two that go in step and have rows of one form: one launch for all sequences of both. */
  static append(parts: readonly { readonly to: Rows; readonly rows: Tensor }[], needed = 0): void {
    const { to: first, rows } = parts[0]!;
    const [batch, n, width] = rows.shape as [number, number, number];
    for (const { to } of parts) to.makeRoom(rows.device, { batch, n, width, dtype: rows.dtype, needed });
    const appends = parts.map((part) => ({ rows: part.rows.data, memory: part.to.memory!.data }));
    appendRows(rows.device, appends, first.end - first.first);
    for (const { to } of parts) to.end += n;
  }
  /** Forgets rows from index `end` on. */
  truncate(end: number): void {
    assert(end >= this.first, `rows from ${this.first} cut off at ${end}`);
    this.end = Math.min(this.end, end);
  }
  dispose(): void {
    this.memory?.dispose();
    this.memory = undefined;
    this.first = this.end = 0;
  }

  /** Takes copies of one sequence each of others as a batch, into this empty one; the others end at one index. */
  fill(parts: readonly { readonly rows: Rows; readonly sequence: number }[]): void {
    const from = parts.flatMap(({ rows, sequence }) => (rows.memory ? [{ rows, memory: rows.memory, sequence }] : []));
    if (from.length === 0) return;
    const { rows: one, memory } = from[0]!;
    this.first = this.end = Math.max(...from.map(({ rows }) => rows.first));
    const n = one.end - this.first;
    this.makeRoom(memory.device, { batch: from.length, n, width: memory.shape[2]!, dtype: memory.dtype, needed: 0 });
    from.forEach(({ rows, memory: m, sequence }, b) =>
      this.copyIn(b, 0, m, sequence * m.shape[1]! + this.first - rows.first, n),
    );
    this.end = one.end;
  }

  /** n rows of `from`, counted over all its sequences, to row `at` of sequence b. */
  private copyIn(b: number, at: number, from: Tensor, fromRow: number, n: number): void {
    const [, capacity, width] = this.memory!.shape as [number, number, number];
    copyRows(this.memory!, b * capacity + at, from, fromRow, n, width);
  }

  private makeRoom(device: Device, p: { batch: number; n: number; width: number; dtype: DType; needed: number }): void {
    const old = this.memory;
    const capacity = old?.shape[1] ?? 0;
    const from = Math.min(Math.max(this.first, p.needed - (p.needed % this.unit)), this.end);
    const [kept, shift] = [this.end - from, from - this.first];
    const least = kept + p.n;
    const fits = this.end - this.first + p.n <= capacity;
    if (fits && !(shift > 0 && capacity > TOO_LARGE * Math.max(least, MIN_CAPACITY))) return;
    // Sliding to the front in place, where the two ends do not overlap; else into memory of twice the need.
    const slides = old !== undefined && least <= capacity && shift >= kept && capacity <= TOO_LARGE * least;
    const size = Math.max(2 * least, this.reserved, MIN_CAPACITY);
    const next = slides ? old : new Tensor(zeroed(device, [p.batch, size, p.width], p.dtype));
    if (old)
      for (let b = 0; b < p.batch; b++) copyRows(next, b * next.shape[1]!, old, b * capacity + shift, kept, p.width);
    this.memory = next;
    this.first = from;
    if (old && !slides) old.dispose();
  }
}

/** n rows of `width` elements from row `fromRow` of one tensor to row `toRow` of another. */
function copyRows(to: Tensor, toRow: number, from: Tensor, fromRow: number, n: number, width: number): void {
  const bytes = width * dtypes[to.dtype].size;
  assert(to.dtype === from.dtype, `rows of ${to.dtype} and ${from.dtype}`);
  if (n > 0)
    to.device.copyWithin(to.data.buffer, to.data.byteOffset + toRow * bytes, from.data.buffer, from.data.byteOffset + fromRow * bytes, n * bytes); // prettier-ignore
}
