/**
 * What a sequence's keys and entries take: bytes that each token adds, and bytes of the windows, which do not grow.
 * Main functions: `kvBytesPerToken`, `windowBytes`.
 * Source: DeepSeek-V4 spec section 3.1. Packed is the serving layout of the released models: e4m3 dims with a scale byte
 * per 64, padded to 8 bytes, rotated dims in bf16; index keys in e2m1 with a scale byte per 32, or in e4m3 with one f32.
 */
import { CSA_RATIO, type V4Config } from "./config.ts";

/** Bytes of an entry (or window key) of d dims, r of them rotated, and of an index key of d dims. */
interface Format {
  readonly entry: (d: number, r: number) => number;
  readonly indexKey: (d: number) => number;
}

const packedEntry = (d: number, r: number): number => d - r + 2 * r + Math.ceil((d - r) / 64 / 8) * 8;

const formats = {
  f32: { entry: (d) => 4 * d, indexKey: (d) => 4 * d },
  bf16: { entry: (d) => 2 * d, indexKey: (d) => 2 * d },
  packed: { entry: packedEntry, indexKey: (d) => d / 2 + d / 32 },
  "packed, e4m3 index": { entry: packedEntry, indexKey: (d) => d + 4 },
} as const satisfies Readonly<Record<string, Format>>;
export type KvFormat = keyof typeof formats;

type KvShape = Pick<V4Config, "num_hidden_layers" | "compress_ratios" | "head_dim" | "qk_rope_head_dim" | "index_head_dim" | "sliding_window">; // prettier-ignore

const ratiosOf = (c: KvShape): readonly number[] => c.compress_ratios.slice(0, c.num_hidden_layers);

export function kvBytesPerToken(config: KvShape, format: KvFormat): number {
  const { entry, indexKey } = formats[format];
  const entryBytes = entry(config.head_dim, config.qk_rope_head_dim);
  const keyBytes = indexKey(config.index_head_dim);
  const layerBytes = (ratio: number): number =>
    ratio === 0 ? 0 : (entryBytes + (ratio === CSA_RATIO ? keyBytes : 0)) / ratio;
  return ratiosOf(config).reduce((sum, ratio) => sum + layerBytes(ratio), 0);
}

/** Of all layers' windows when they are full. */
export const windowBytes = (config: KvShape, format: KvFormat): number =>
  ratiosOf(config).length * config.sliding_window * formats[format].entry(config.head_dim, config.qk_rope_head_dim);
