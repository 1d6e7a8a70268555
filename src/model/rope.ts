/**
 * Rotary frequency tables. Window layers (and MTP) use `rope_theta`; layers with compression use
 * `compress_rope_theta`, with YaRN where the config has it, for everything in the layer: queries, window keys,
 * compressed entries, the indexer, and the inverse rotation of the output.
 * Rounded to f32 at each step as torch does; no attention factor anywhere.
 */
import type { Device } from "../device/device.ts";
import { untrack } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { V4Config } from "./config.ts";

const f32 = Math.fround;

/** f32 [R/2], R = qk_rope_head_dim. */
export function ropeFrequencies(config: V4Config, isCompressed: boolean): Float32Array {
  const dim = config.qk_rope_head_dim;
  const base = isCompressed ? config.compress_rope_theta : config.rope_theta;
  const scaling = isCompressed ? config.rope_scaling : undefined;
  const plain = Float32Array.from({ length: dim / 2 }, (_, i) => f32(1 / f32(Math.pow(base, f32((2 * i) / dim)))));
  if (!scaling) return plain;
  // The pair that turns `r` times within the original length.
  const pairOf = (r: number): number =>
    (dim * Math.log(scaling.original_max_position_embeddings / (2 * Math.PI * r))) / (2 * Math.log(base));
  const low = Math.max(Math.floor(pairOf(scaling.beta_fast)), 0);
  const high = Math.min(Math.ceil(pairOf(scaling.beta_slow)), dim - 1);
  const width = high === low ? 0.001 : high - low;
  return plain.map((f, i) => {
    const ramp = f32(Math.min(Math.max((i - low) / width, 0), 1));
    const slow = f32(f / scaling.factor);
    return f32(f32(slow * ramp) + f32(f * f32(1 - ramp)));
  });
}

/** Both tables on a device, kept for the network's life. */
export interface RopeTables {
  readonly main: Tensor;
  readonly compress: Tensor;
}

export function ropeTables(device: Device, config: V4Config): RopeTables {
  const table = (isCompressed: boolean): Tensor => {
    const freqs = Tensor.from(device, ropeFrequencies(config, isCompressed));
    untrack(freqs.data);
    return freqs;
  };
  return { main: table(false), compress: table(true) };
}
