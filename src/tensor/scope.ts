/**
 * Lexical memory. `using scope = tensorScope()` owns every buffer that ops allocate until the block
 * ends, also by a throw; `scope.keep(t)` hands a buffer to the enclosing scope (or to nobody: then
 * it lives until `dispose`). Scopes nest strictly, so never hold one open across an `await`.
 */
import { assert } from "../base/errors.ts";
import type { DeviceBuffer } from "../device/device.ts";

/** Anything whose buffer a scope can own; Tensor and NdArray both fit. */
interface Owned {
  readonly buffer: DeviceBuffer;
}
type Keepable = { readonly data: Owned };

let current: TensorScope | undefined;

export class TensorScope {
  private readonly parent: TensorScope | undefined;
  private readonly buffers = new Set<DeviceBuffer>();

  constructor(parent: TensorScope | undefined) {
    this.parent = parent;
  }
  /** Returns its argument, which now outlives this scope. */
  keep<T extends Keepable | readonly Keepable[]>(kept: T): T {
    const list: readonly Keepable[] = Array.isArray(kept) ? kept : [kept as Keepable];
    for (const { data } of list) if (this.buffers.delete(data.buffer)) this.parent?.buffers.add(data.buffer);
    return kept;
  }
  add(buffer: DeviceBuffer): void {
    this.buffers.add(buffer);
  }
  /** Forgets a buffer without freeing it, here or in an enclosing scope. */
  release(buffer: DeviceBuffer): boolean {
    return this.buffers.delete(buffer) || (this.parent?.release(buffer) ?? false);
  }
  has(buffer: DeviceBuffer): boolean {
    return this.buffers.has(buffer);
  }
  get numBuffers(): number {
    return this.buffers.size;
  }
  [Symbol.dispose](): void {
    assert(current === this, "tensorScope: closed out of order (was one held across an await?)");
    current = this.parent;
    for (const buffer of this.buffers) buffer.device.free(buffer);
    this.buffers.clear();
  }
}

export const tensorScope = (): TensorScope => (current = new TensorScope(current));

/** The innermost scope, if any. */
export const innermost = (): TensorScope | undefined => current;

/** The innermost scope owns `a` from now on. */
export function track(a: Owned): void {
  if (current !== undefined) current.add(a.buffer);
}

/** No scope owns `a` any more. */
export function untrack(a: Owned): void {
  if (current !== undefined) current.release(a.buffer);
}
