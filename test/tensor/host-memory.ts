/** A device that only holds memory: for tests of lifetimes and host copies. Launching throws. */
import { DeviceError } from "../../src/base/errors.ts";
import type { Device, DeviceBuffer } from "../../src/device/device.ts";

export interface HostMemory extends Device {
  readonly live: ReadonlySet<DeviceBuffer>;
}

export function hostMemory(): HostMemory {
  const live = new Set<DeviceBuffer>();
  const refuse = (): never => {
    throw new DeviceError("host memory: cannot launch", { backend: "test" });
  };
  const check = (b: DeviceBuffer): Uint8Array => {
    if (!live.has(b)) throw new DeviceError("host memory: used after free", { backend: "test" });
    return b.bytes!;
  };
  const view = (a: ArrayBufferView): Uint8Array => new Uint8Array(a.buffer, a.byteOffset, a.byteLength);
  const device: HostMemory = {
    live,
    properties: { name: "host memory", target: "none", numThreads: 1, features: [] },
    alloc(sizeBytes) {
      const buffer: DeviceBuffer = { device, sizeBytes, bytes: new Uint8Array(sizeBytes), handle: 0 };
      live.add(buffer);
      return buffer;
    },
    free(buffer) {
      if (!live.delete(buffer)) throw new DeviceError("host memory: freed twice", { backend: "test" });
    },
    copyIn: (dst, at, src) => check(dst).set(view(src), at),
    copyOut: (src, at, dst) => view(dst).set(check(src).subarray(at, at + dst.byteLength)),
    copyWithin: (dst, at, src, from, n) => check(dst).set(check(src).subarray(from, from + n), at),
    build: refuse,
    launch: refuse,
    capture: refuse,
    replay: refuse,
    synchronize() {},
    dispose() {},
  };
  return device;
}
