/**
 * How (row, choice) slots sort by expert, so that each expert is one block of a grouped product: equal experts keep row
 * order.
 *   inverse[s] = #{t : id_t < id_s, or id_t = id_s and t < s};  offsets[e] = #{t : id_t < e}
 *   order[inverse[s]] = s / k;  rowScale[inverse[s]] = weights[s]
 * method   Few slots, as in decode, sort by comparison on the device, and nothing waits for it; many, as in a prompt or in
 *          training, by counting on the host. Comparing each slot with each soon costs more than a look at memory that is
 *          the host's own, and later more than a wait for a chip.
 * shapes   indices i32 [R,k], ids in [0,E), weights f32 [R,k] -> i32 [R*k], [R*k], [E+1], f32 [R*k,1]
 * numeric  the key id * slots + s is a whole f32 below 2^24, and makes every slot different
 * errors   The host refuses ids out of range. The device puts them after the last expert's rows, where no product reads
 *          them: a router gives none, and who has a table checks it (model/moe.ts).
 */
import { ShapeError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { kernel, type Tile } from "../tile/builder.ts";
import type { KernelCase, OpCases } from "./case.ts";
import { fitted } from "./fit.ts";
import { ceilDiv, run, specialize } from "./launch.ts";
import { gatherRows } from "./moe.ts";
import { empty, fromHost, sizeOf, toHost, type NdArray } from "./nd-array.ts";
import { sortedRows, type SortedRows, type SortedRowsOptions } from "./work-list.ts";

/** All on the device. */
export interface MoePlan extends SortedRows {
  readonly k: number;
  /** Source row of each sorted slot, i32 [R*k]. */
  readonly order: NdArray;
  /** Sorted position of each flat slot r*k+j, i32 [R*k]. */
  readonly inverse: NdArray;
  /** Weight of each sorted slot, f32 [R*k,1]. */
  readonly rowScale: NdArray;
}

/** Slots of a kernel's tile, ascending. */
const TILES: readonly number[] = [16, 128, 512];
/** The most slots that a device sorts itself: on a CPU 16 take 2 us either way, 80 take 6 there and 4 on the host. */
const mostSlots = (device: Device): number => (device.properties.chip ? 512 : 16);

/** `own` is told of what products ask the plan for later (work-list.ts). */
export function moePlan(device: Device, indices: NdArray, weights: NdArray, numExperts: number, own?: SortedRowsOptions["own"]): MoePlan {
  const { shape, dtype } = indices;
  if (dtype !== "i32" || shape.length !== 2 || weights.dtype !== "f32" || sizeOf(weights.shape) !== sizeOf(shape))
    throw new ShapeError(`moePlan: expected i32 indices and f32 weights [R,k], got ${dtype} [${shape}] and ${weights.dtype} [${weights.shape}]`);
  return (sizeOf(shape) <= mostSlots(device) ? devicePlan : hostPlan)(device, indices, weights, numExperts, own);
} // prettier-ignore

interface PlanStatic {
  readonly experts: number;
  readonly k: number;
  /** No fewer than there are. */
  readonly slots: number;
  /** Outputs of a program. */
  readonly rows: number;
}

/** Where slots and experts go: each is compared with all slots. */
const placesKernel = specialize((p: PlanStatic) =>
  kernel("moe_places", (k) => {
    const n = k.index("n");
    const indices = k.buffer("indices", "i32");
    const first = k.programId(0).mul(p.rows);
    // What is no slot has an expert after the last.
    const absent = { other: p.experts };
    const ids = k.load(k.view(indices, [1, n]), [0, 0], [1, p.slots], absent).cast("f32");
    const keys = ids.mul(p.slots).add(k.iota([1, p.slots], 1).cast("f32"));
    const own = k.load(k.view(indices, [n, 1]), [first, 0], [p.rows, 1], absent).cast("f32");
    const number = k.iota([p.rows, 1], 0).cast("f32").add(k.fromIndex(first).cast("f32"));
    const before = (key: Tile): Tile => keys.lt(key).cast("f32").sum(1).cast("i32");
    k.store(k.view(k.buffer("inverse", "i32", "out"), [n, 1]), [first, 0], before(own.mul(p.slots).add(number)));
    k.store(k.view(k.buffer("offsets", "i32", "out"), [p.experts + 1, 1]), [first, 0], before(number.mul(p.slots)));
  }),
);

/** What lies at each place: the one slot that goes there. */
const orderKernel = specialize((p: PlanStatic) =>
  kernel("moe_order", (k) => {
    const n = k.index("n");
    const first = k.programId(0).mul(p.rows);
    const row = (name: string, dtype: "i32" | "f32", other: number): Tile => k.load(k.view(k.buffer(name, dtype), [1, n]), [0, 0], [1, p.slots], { other }); // prettier-ignore
    const place = k.iota([p.rows, 1], 0).cast("f32").add(k.fromIndex(first).cast("f32"));
    const isHere = row("inverse", "i32", -1).cast("f32").eq(place);
    const slot = k.select(isHere, k.iota([1, p.slots], 1).cast("f32"), 0).sum(1);
    // Half a slot keeps the quotient away from whole numbers, whatever its last digit is.
    k.store(k.view(k.buffer("order", "i32", "out"), [n, 1]), [first, 0], slot.add(0.5).mul(1 / p.k).cast("i32")); // prettier-ignore
    k.store(k.view(k.buffer("rowScale", "f32", "out"), [n, 1]), [first, 0], k.select(isHere, row("weights", "f32", 0), 0).sum(1)); // prettier-ignore
  }),
);

/** As they start; a chip may take fewer outputs at once. */
const startOf = (experts: number, k: number, slots: number): PlanStatic => ({
  experts,
  k,
  slots: TILES.find((n) => n >= slots)!,
  rows: 16,
});

function devicePlan(device: Device, indices: NdArray, weights: NdArray, experts: number, own?: SortedRowsOptions["own"]): MoePlan {
  const { chip } = device.properties;
  const k = indices.shape[1]!;
  const n = sizeOf(indices.shape);
  const start = startOf(experts, k, n);
  const [order, inverse, offsets] = [n, n, experts + 1].map((size) => empty(device, [size], "i32")) as [NdArray, NdArray, NdArray]; // prettier-ignore
  const rowScale = empty(device, [n, 1]);
  const places = fitted(chip, placesKernel, start, { rows: 1 });
  run(device, places.program, [ceilDiv(Math.max(n, experts + 1), places.p.rows), 1, 1], { indices, inverse, offsets, n });
  const sorted = fitted(chip, orderKernel, start, { rows: 1 });
  run(device, sorted.program, [ceilDiv(n, sorted.p.rows), 1, 1], { inverse, weights, order, rowScale, n });
  return { k, order, inverse, rowScale, ...sortedRows(device, offsets, n, { own }) };
} // prettier-ignore

/** A counting sort. Synchronizes. */
function hostPlan(device: Device, indices: NdArray, weights: NdArray, numExperts: number, own?: SortedRowsOptions["own"]): MoePlan {
  const ids = toHost(indices) as Int32Array;
  const k = indices.shape[1]!;
  const offsets = new Int32Array(numExperts + 1);
  for (const e of ids) {
    if (!(e >= 0 && e < numExperts))
      throw new ShapeError(`moePlan: expected expert ids in [0, ${numExperts}), got ${e}`);
    offsets[e + 1]!++;
  }
  for (let e = 0; e < numExperts; e++) offsets[e + 1]! += offsets[e]!;
  const next = offsets.slice(0, numExperts);
  const [order, slots, inverse] = [new Int32Array(ids.length), new Int32Array(ids.length), new Int32Array(ids.length)];
  for (let slot = 0; slot < ids.length; slot++) {
    const at = next[ids[slot]!]!++;
    order[at] = Math.floor(slot / k);
    slots[at] = slot;
    inverse[slot] = at;
  }
  const put = (a: Int32Array): NdArray => fromHost(device, a, [a.length], "i32");
  const sorted = put(slots);
  const rowScale = gatherRows(device, { ...weights, shape: [ids.length, 1] }, sorted);
  device.free(sorted.buffer);
  return { k, order: put(order), inverse: put(inverse), rowScale, ...sortedRows(device, put(offsets), ids.length, { known: offsets, own }) };
} // prettier-ignore

/** k experts for each row, `used` of them in all. */
function planCase(rows: number, k: number, experts: number, used = experts): KernelCase {
  const ids = Int32Array.from({ length: rows * k }, (_, s) => (7 * Math.floor(s / k) + 3 * (s % k) + ((s * s) % 2)) % used);
  const weights = Float32Array.from(ids, (_, s) => Math.sin(s + 1));
  return {
    name: `plan of ${rows}x${k} among ${experts}${used < experts ? `, ${used} in use` : ""}`,
    run: (device) => {
      const args = [device, fromHost(device, ids, [rows, k], "i32"), fromHost(device, weights, [rows, k], "f32"), experts] as const;
      return [devicePlan, hostPlan].flatMap((make) => {
        const { order, inverse, offsets, rowScale } = make(...args);
        return [order, inverse, offsets, rowScale];
      });
    },
    expected: () => {
      const slots = Int32Array.from(ids.keys()).sort((a, b) => ids[a]! - ids[b]! || a - b);
      const inverse = new Int32Array(ids.length);
      slots.forEach((s, at) => (inverse[s] = at));
      const offsets = Int32Array.from({ length: experts + 1 }, (_, e) => ids.filter((id) => id < e).length);
      const plan = [slots.map((s) => Math.floor(s / k)), inverse, offsets, Float32Array.from(slots, (s) => weights[s]!)];
      return [...plan, ...plan];
    },
    tolerance: { rtol: 0, atol: 0, why: "whole numbers, and copies" },
  };
} // prettier-ignore

export const cases: OpCases = {
  op: "moePlan",
  cases: [
    planCase(1, 6, 256),
    planCase(8, 2, 4),
    planCase(3, 5, 7, 6),
    planCase(21, 6, 40, 9),
    planCase(64, 6, 256),
    planCase(128, 4, 5),
  ],
  programs: (chip) =>
    TILES.flatMap((n) => [placesKernel, orderKernel].map((make) => fitted(chip, make, startOf(256, 6, n), { rows: 1 }).program)),
}; // prettier-ignore
