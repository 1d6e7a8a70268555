/**
 * The device that tensor, nn and model tests run on: cpu where there is a compiler, else js, made
 * watchful. It knows every live buffer, refuses a second free, and fills freed memory with NaN bits so that a late
 * read shows. Kernels themselves are compared across devices in test/kernels.
 */
import { DeviceError } from "../../src/base/errors.ts";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import type { Device, DeviceBuffer } from "../../src/device/device.ts";
import { openJs } from "../../src/device/js/js-device.ts";

export interface TestDevice extends Device {
  readonly live: ReadonlySet<DeviceBuffer>;
}

export function openTestDevice(): TestDevice {
  const inner: Device = openCpu() ?? openJs();
  const live = new Set<DeviceBuffer>();
  // Everything else comes from the device itself; buffers name the watchful one as theirs.
  const watchful: TestDevice = Object.assign(Object.create(inner) as Device, {
    live,
    alloc: (sizeBytes: number): DeviceBuffer => {
      const buffer = inner.alloc.call(watchful, sizeBytes);
      live.add(buffer);
      return buffer;
    },
    free: (buffer: DeviceBuffer): void => {
      if (!live.delete(buffer))
        throw new DeviceError("free: expected a live buffer, got one freed before", { backend: "test" });
      buffer.bytes!.fill(0xff);
      inner.free(buffer);
    },
  });
  return watchful;
}
