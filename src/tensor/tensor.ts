/**
 * Tensor: an NdArray with a place on the gradient tape. Shapes are row-major and contiguous; a
 * reshape shares its buffer, every other op makes a new one. Memory belongs to the innermost open
 * `tensorScope` at creation; a tensor made outside of any scope, and every Parameter, lives until
 * `dispose`. Free functions in ops.ts do the arithmetic; autograd.ts owns the tape.
 */
import { bf16ToF32, f32ToBf16 } from "../base/bf16.ts";
import { dtypes, type DType, type TypedArray } from "../base/dtype.ts";
import { DTypeError, ShapeError } from "../base/errors.ts";
import { normals } from "../base/prng.ts";
import type { Device } from "../device/device.ts";
import { fromHost, sizeOf, toHost, zeroed, type NdArray } from "../kernels/nd-array.ts";
import type { GradNode } from "./tape.ts";
import { track, untrack } from "./scope.ts";

export interface CreateOptions {
  readonly dtype?: DType;
  readonly requiresGrad?: boolean;
}

export class Tensor {
  /** The optimizer may replace the contents, never the shape or dtype; it then calls `bumpVersion`. */
  data: NdArray;
  requiresGrad: boolean;
  /** Accumulated gradient of a leaf; same shape, f32 for f32 leaves. */
  grad: Tensor | undefined = undefined;
  /** The op that made it, when gradients are on; leaves have none. */
  node: GradNode | undefined = undefined;
  /** Which output of `node` it is. */
  outputIdx = 0;
  /** Counts in-place updates, so that casts of a weight are remade once per step. */
  version = 0;

  constructor(data: NdArray, requiresGrad = false) {
    this.data = data;
    this.requiresGrad = requiresGrad;
  }

  /** Host data; plain numbers become `dtype`, typed arrays must be its storage (bf16 also takes Float32Array). */
  static from(
    device: Device,
    data: TypedArray | readonly number[],
    shape: readonly number[] = [data.length],
    dtype: DType = data instanceof Int32Array ? "i32" : data instanceof Uint8Array ? "u8" : "f32",
  ): Tensor {
    return wrap(fromHost(device, toStorage(data, dtype), shape, dtype));
  }

  get shape(): readonly number[] {
    return this.data.shape;
  }
  get dtype(): DType {
    return this.data.dtype;
  }
  get device(): Device {
    return this.data.buffer.device;
  }
  get ndim(): number {
    return this.data.shape.length;
  }
  get size(): number {
    return sizeOf(this.data.shape);
  }

  /** The one element as a number. Synchronizes. */
  item(): number {
    if (this.size !== 1) throw new ShapeError(`item: expected one element, got [${this.shape}]`);
    return this.toArray()[0]!;
  }
  /** Elements as numbers (bf16 widened to f32), row-major. Synchronizes. */
  toArray(): Float32Array | Exclude<TypedArray, Uint16Array> {
    const raw = toHost(this.data);
    if (raw instanceof Uint16Array) {
      if (this.dtype !== "bf16")
        throw new DTypeError(`toArray: expected f32, bf16 or an integer type, got ${this.dtype}`);
      return bf16ToF32(raw);
    }
    return raw;
  }
  /** Storage bits, for files. Synchronizes. */
  toRaw(): TypedArray {
    return toHost(this.data);
  }
  /** Overwrites the contents from the host. */
  copyFrom(data: TypedArray | readonly number[]): void {
    if (data.length !== this.size) throw new ShapeError(`copyFrom: expected ${this.size} elements, got ${data.length}`);
    this.device.copyIn(this.data.buffer, this.data.byteOffset, toStorage(data, this.dtype));
    this.bumpVersion();
  }
  bumpVersion(): void {
    this.version++;
  }
  /** Frees the buffer now. Views of it die too. */
  dispose(): void {
    untrack(this.data);
    this.device.free(this.data.buffer);
  }
}

/** A leaf that outlives every scope: weights (requiresGrad) and persistent buffers (not). */
export class Parameter extends Tensor {
  constructor(source: Tensor | NdArray, requiresGrad = true) {
    const data = source instanceof Tensor ? source.data : source;
    untrack(data);
    super(data, requiresGrad);
  }
}

/** A kernel's output as a tensor of the innermost scope. */
export function wrap(data: NdArray): Tensor {
  track(data);
  return new Tensor(data);
}

function toStorage(data: TypedArray | readonly number[], dtype: DType): TypedArray {
  const storage = dtypes[dtype].storage;
  if (data instanceof storage) return data;
  if (dtype === "bf16") return f32ToBf16(data instanceof Float32Array ? data : Float32Array.from(data));
  if (Array.isArray(data) && dtype !== "f16" && dtype !== "e4m3") return storage.from(data as number[]);
  throw new DTypeError(`tensor: expected ${storage.name} or numbers for ${dtype}, got ${data.constructor.name}`);
}

const create = (
  device: Device,
  shape: readonly number[],
  options: CreateOptions,
  fill: (raw: TypedArray) => void,
): Tensor => {
  const { dtype = "f32", requiresGrad = false } = options;
  const host = dtype === "bf16" ? new Float32Array(sizeOf(shape)) : new dtypes[dtype].storage(sizeOf(shape));
  fill(host);
  const t = Tensor.from(device, host, shape, dtype);
  t.requiresGrad = requiresGrad;
  return t;
};

export function zeros(device: Device, shape: readonly number[], options: CreateOptions = {}): Tensor {
  const { dtype = "f32", requiresGrad = false } = options;
  const t = wrap(zeroed(device, shape, dtype));
  t.requiresGrad = requiresGrad;
  return t;
}
export const full = (device: Device, shape: readonly number[], value: number, options: CreateOptions = {}): Tensor =>
  create(device, shape, options, (a) => a.fill(value));
export const ones = (device: Device, shape: readonly number[], options: CreateOptions = {}): Tensor =>
  full(device, shape, 1, options);
/** 0, 1, ... n-1; i32 unless told. */
export const arange = (device: Device, n: number, options: CreateOptions = {}): Tensor =>
  create(device, [n], { dtype: "i32", ...options }, (a) => {
    for (let i = 0; i < a.length; i++) a[i] = i;
  });
/** Normal numbers; element i depends on (seed, i) only. */
export const randn = (
  device: Device,
  shape: readonly number[],
  options: CreateOptions & { readonly seed: number; readonly mean?: number; readonly std?: number },
): Tensor =>
  create(device, shape, options, (a) => {
    const { mean = 0, std = 1 } = options;
    if (!(a instanceof Float32Array)) throw new DTypeError(`randn: expected a float dtype, got ${options.dtype}`);
    normals(a, options.seed);
    for (let i = 0; i < a.length; i++) a[i] = a[i]! * std + mean;
  });
