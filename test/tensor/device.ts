/**
 * The device that tensor and nn tests run on: in-process, no compiler, and watchful. It knows every live
 * buffer, refuses a second free, and fills freed memory with NaN bits so that a late read shows.
 * Kernels themselves are compared across devices in test/kernels.
 */
import { DeviceError } from "../../src/base/errors.ts";
import type { Device, DeviceBuffer } from "../../src/device/device.ts";
import { openInterpreter } from "../../src/device/interpreter.ts";

export interface TestDevice extends Device {
  readonly live: ReadonlySet<DeviceBuffer>;
}

export function openTestDevice(): TestDevice {
  const device = openInterpreter();
  const live = new Set<DeviceBuffer>();
  const alloc = device.alloc.bind(device);
  return Object.assign(device, {
    live,
    alloc: (sizeBytes: number): DeviceBuffer => {
      const buffer = alloc(sizeBytes);
      live.add(buffer);
      return buffer;
    },
    free: (buffer: DeviceBuffer): void => {
      if (!live.delete(buffer))
        throw new DeviceError("free: expected a live buffer, got one freed before", { backend: "test" });
      buffer.bytes!.fill(0xff);
    },
  });
}
