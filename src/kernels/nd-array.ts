/**
 * The kernels' currency: a contiguous row-major array on a device. No autograd, no views;
 * tensor/tensor.ts builds on it.
 */
import { dtypes, type DType, type TypedArray } from "../base/dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { BufferArg, Device, DeviceBuffer } from "../device/device.ts";

export interface NdArray extends BufferArg {
  readonly buffer: DeviceBuffer;
  readonly byteOffset: number;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

export const sizeOf = (shape: readonly number[]): number => shape.reduce((p, n) => p * n, 1);

/** Contents undefined. Who allocates frees: `device.free(a.buffer)`, or the tensor layer's scope. */
export function empty(device: Device, shape: readonly number[], dtype: DType = "f32"): NdArray {
  return {
    buffer: device.alloc(Math.max(1, sizeOf(shape)) * dtypes[dtype].size),
    byteOffset: 0,
    dtype,
    shape: [...shape],
  };
}

const LINE_BYTES = 64;
/** So many elements of a row, up to whole lines of device memory: cores of a chip must not share one (tile/lines.ts). */
export function wholeLines(count: number, dtype: DType): number {
  const each = LINE_BYTES / dtypes[dtype].size;
  return Math.ceil(count / each) * each;
}

const ZEROS = new Uint8Array(1 << 20);

/** Zeros, written in pieces, so that large ones take no memory of the host's. */
export function zeroed(device: Device, shape: readonly number[], dtype: DType = "f32"): NdArray {
  const out = empty(device, shape, dtype);
  const sizeBytes = sizeOf(shape) * dtypes[dtype].size;
  for (let at = 0; at < sizeBytes; at += ZEROS.length)
    device.copyIn(out.buffer, at, ZEROS.subarray(0, Math.min(ZEROS.length, sizeBytes - at)));
  return out;
}

export function fromHost(device: Device, data: TypedArray, shape: readonly number[], dtype: DType): NdArray {
  if (data.length !== sizeOf(shape))
    throw new ShapeError(`fromHost: expected ${sizeOf(shape)} elements for [${shape}], got ${data.length}`);
  const out = empty(device, shape, dtype);
  device.copyIn(out.buffer, 0, data);
  return out;
}

/** Raw storage (bf16 as its 16 bits). Synchronizes. */
export function toHost(a: NdArray): TypedArray {
  const out = new dtypes[a.dtype].storage(sizeOf(a.shape));
  a.buffer.device.synchronize();
  a.buffer.device.copyOut(a.buffer, a.byteOffset, out);
  return out;
}
