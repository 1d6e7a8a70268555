/**
 * What the cost model assumes beyond the chip tables, each number once, with where it is from. Nothing here was measured
 * on a chip. Main tables: `assumptions`, `coreRates`, `instructionsOf`.
 */
import type { DType } from "../base/dtype.ts";
import type { Chip, ChipName } from "./chips/types.ts";
import type { TileOp } from "./ir.ts";
import { exactly, rangeOf, scaled, type Range } from "./range.ts";

interface Assumption {
  readonly value: number;
  readonly source: string;
}

export const assumptions = {
  launchSeconds: { value: 5e-6, source: "5 to 10 us a launch in public serving logs; the lower end" },
  barrierSeconds: {
    value: 2e-6,
    source: "assumed: what a launch in a list costs, a barrier of all cores and the flush of a data cache",
  },
  copySeconds: { value: 5e-6, source: "a copy inside the device is queued like a launch" },
  hostWaitSeconds: { value: 20e-6, source: "assumed: a transfer to the host, a wait, and a new queue" },
  collectiveSeconds: {
    value: 20e-6,
    source: "assumed: latency of one all-reduce or all-to-all over a handful of cards",
  },
  coreShare: {
    value: 1.5,
    source:
      "assumed where no rate of a core from memory is published: so many times its even share; 1.44 on a vector core of 910B",
  },
  cacheShare: {
    value: 0.5,
    source: "assumed: of the shared cache, what still has the results of earlier launches when the next read them",
  },
  issueCycles: { value: 30, source: "assumed: scalar unit, one instruction of a copy, vector or matrix unit" },
  scalarReadCycles: { value: 10, source: "assumed: one element through the scalar unit, its line in the data cache" },
  syncCycles: { value: 20, source: "assumed: one flag or barrier between two pipes" },
  linkBytesPerSecond: { value: 200e9, source: "910B and MLU590: no published rate; MLU370-X8's. Marked as a rumour" },
  mluClockHz: { value: 1.3e9, source: "MLU590's clock is unknown; that of MLU370-X8" },
  f32MatrixShare: { value: 0.25, source: "platform_config: f32 at a quarter of f16; MLU370's data sheet says a third" },
} as const satisfies Record<string, Assumption>;

/** Of one core, per cycle. Undefined: not published. */
interface CoreRates {
  /** Of a vector instruction. */
  readonly vectorBytes: number;
  /** From and to device memory. */
  readonly deviceBytes: number | undefined;
  /** From the shared cache. */
  readonly cacheBytes: number | undefined;
  /** Between the memories of the two cores, where there is such a way: published from UB to L1, assumed the same from L0C to UB. */
  readonly handoverBytes?: number;
  readonly source: string;
}
const ascend = { vectorBytes: 256, cacheBytes: 110 };
export const coreRates: Readonly<Record<ChipName, CoreRates>> = {
  "ascend-910b": { ...ascend, deviceBytes: 32, source: "platform_config; one repeat of 256 bytes a cycle" },
  "ascend-910c": { ...ascend, deviceBytes: 32, source: "platform_config; one repeat of 256 bytes a cycle" },
  "ascend-950": { ...ascend, deviceBytes: 31, handoverBytes: 128, source: "platform_config of 950PR (950DT: 80); registers of 256 bytes" },
  "mlu-370": { vectorBytes: 128, deviceBytes: undefined, cacheBytes: undefined, source: "vector unit of 128 bytes a cycle on 3xx" },
  "mlu-590": { vectorBytes: 128, deviceBytes: undefined, cacheBytes: undefined, source: "as MLU370; unpublished" },
}; // prettier-ignore

/** A core's rate from device memory; 950DT's memory is wider than 950PR's. */
export const coreDeviceBytes = (chip: Chip): number | undefined =>
  chip.rates.product.startsWith("Ascend 950DT") ? 80 : coreRates[chip.name].deviceBytes;
export const linkRate = (chip: Chip): Range => rangeOf(chip.rates.linkBytesPerSecond) ?? { ...exactly(assumptions.linkBytesPerSecond.value), isRumoured: true }; // prettier-ignore

/** Multiply-adds count twice. Per second, of the whole chip. */
export function matrixRate(chip: Chip, dtype: DType): Range | undefined {
  const { f16, i8, e4m3 } = chip.rates.opsPerSecond;
  if (dtype === "i8") return rangeOf(i8) ?? rangeOf(f16);
  if (dtype === "e4m3") return rangeOf(e4m3) ?? rangeOf(f16);
  const half = rangeOf(f16);
  return dtype === "f32" && half ? scaled(half, assumptions.f32MatrixShare.value) : half;
}
export const clockOf = (chip: Chip): Range => rangeOf(chip.rates.clockHz) ?? { ...exactly(assumptions.mluClockHz.value), isRumoured: true }; // prettier-ignore

/** Vector instructions over the tile that stand for one op, where the chip's own table names no expansion. */
export function instructionsOf(op: TileOp, into: string | undefined, lastAxis: number): number {
  switch (op.kind) {
    case "cumsum":
      return 2 * Math.ceil(Math.log2(Math.max(2, lastAxis)));
    // Sorted in runs of 32, merged four to one.
    case "topk":
      return 2 + Math.ceil(Math.log2(Math.max(2, lastAxis / 32)) / 2);
    case "reduce":
      return 2;
    default:
      return into === undefined ? 1 : into.split(",").length;
  }
}
