/**
 * The chips kernels must fit: an architecture and the rates of one product of it.
 * Main table: `chips`. Sources beside the numbers; a rumour has no single value (`Figure`).
 */
import { ascend2201, ascend3510 } from "./ascend.ts";
import { mlu372, mlu592 } from "./mlu.ts";
import type { Chip, ChipName, Figure } from "./types.ts";

const stated = (value: number, source: string): Figure => ({ kind: "stated", value, source });
const derived = (value: number, from: string): Figure => ({ kind: "derived", value, from });
const rumoured = (low: number, high: number, source: string): Figure => ({ kind: "rumoured", low, high, source });
const unknown: Figure = { kind: "unknown" };

const [MiB, GiB] = [2 ** 20, 2 ** 30];
const ini = "platform_config of the CANN runtime";
const keynote = "Huawei Connect 2025 keynote";
const datasheet = "MLU370 data sheet";
const logs = "public experiment logs";

export const chips: Readonly<Record<ChipName, Chip>> = {
  "ascend-910b": {
    name: "ascend-910b",
    arch: ascend2201,
    rates: {
      product: "Ascend 910B3",
      matrixCores: stated(20, ini),
      vectorCores: stated(40, ini),
      clockHz: stated(1.8e9, ini),
      memoryBytes: stated(64 * GiB, ini),
      memoryBytesPerSecond: derived(1.6e12, "half of the 910C's stated 3.2 TB/s"),
      cacheBytes: stated(192 * MiB, ini),
      opsPerSecond: {
        f16: derived(294.9e12, "8192 per core and cycle"),
        i8: derived(589.8e12, "twice f16"),
        e4m3: unknown,
      },
      linkBytesPerSecond: unknown,
    },
  },
  "ascend-910c": {
    name: "ascend-910c",
    arch: ascend2201,
    rates: {
      product: "Ascend 910C, both dies (9382)",
      matrixCores: stated(48, ini),
      vectorCores: stated(96, ini),
      clockHz: stated(1.8e9, ini),
      memoryBytes: stated(128 * GiB, ini),
      memoryBytesPerSecond: stated(3.2e12, keynote),
      cacheBytes: stated(384 * MiB, ini),
      opsPerSecond: { f16: stated(800e12, keynote), i8: derived(1600e12, "twice f16"), e4m3: unknown },
      linkBytesPerSecond: stated(784e9, keynote),
    },
  },
  "ascend-950": {
    name: "ascend-950",
    arch: ascend3510,
    rates: {
      product: "Ascend 950PR (9599)",
      matrixCores: stated(36, ini),
      vectorCores: stated(72, ini),
      clockHz: stated(1.8e9, ini),
      memoryBytes: stated(128 * GiB, ini),
      memoryBytesPerSecond: stated(1.6e12, keynote),
      cacheBytes: stated(128 * MiB, ini),
      opsPerSecond: {
        f16: derived(530e12, "8192 per core and cycle"),
        i8: unknown,
        e4m3: stated(1e15, keynote),
      },
      linkBytesPerSecond: stated(2e12, keynote),
    },
  },
  "mlu-370": {
    name: "mlu-370",
    arch: mlu372,
    rates: {
      product: "MLU370-X8, both chips",
      matrixCores: derived(32, "2 chips of 4 clusters of 4 cores"),
      vectorCores: derived(32, "2 chips of 4 clusters of 4 cores"),
      clockHz: stated(1.3e9, datasheet),
      memoryBytes: stated(48e9, datasheet),
      memoryBytesPerSecond: stated(614.4e9, datasheet),
      cacheBytes: unknown,
      opsPerSecond: { f16: stated(96e12, datasheet), i8: stated(256e12, datasheet), e4m3: unknown },
      linkBytesPerSecond: stated(200e9, datasheet),
    },
  },
  "mlu-590": {
    name: "mlu-590",
    arch: mlu592,
    rates: {
      product: "MLU590; the vendor publishes no specification",
      matrixCores: rumoured(32, 64, logs),
      vectorCores: rumoured(32, 64, logs),
      clockHz: unknown,
      memoryBytes: stated(81920 * MiB, "cnmon of MLU590-M9DG in public logs"),
      memoryBytesPerSecond: rumoured(2.0e12, 2.7e12, "unverified reports"),
      cacheBytes: unknown,
      opsPerSecond: {
        f16: rumoured(314e12, 314e12, "unverified reports"),
        i8: rumoured(628e12, 628e12, "unverified reports"),
        e4m3: unknown,
      },
      linkBytesPerSecond: unknown,
    },
  },
};

/**
 * What a cost is asked for: a chip, or another product of the same architecture, whose kernels are the chip's and whose
 * rates are its own.
 */
const pr = chips["ascend-950"];
export const products = {
  ...chips,
  "ascend-950dt": {
    ...pr,
    rates: {
      ...pr.rates,
      product: "Ascend 950DT (9591)",
      memoryBytes: stated(144 * GiB, keynote),
      memoryBytesPerSecond: stated(4.0e12, keynote),
    },
  },
} as const satisfies Readonly<Record<string, Chip>>;
export type ProductName = keyof typeof products;
export const productNames = Object.keys(products) as ProductName[];

export const chipNames = Object.keys(chips) as ChipName[];
