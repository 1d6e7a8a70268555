/** The one place that turns a device's name into a device. */
import { DeviceError, RequestError } from "../base/errors.ts";
import { openCpu } from "./cpu/cpu-device.ts";
import type { Device } from "./device.ts";
import { openInterpreter } from "./interpreter.ts";

export const deviceNames = ["cpu", "interpreter"] as const;
export type DeviceName = (typeof deviceNames)[number];

/** Without a name: cpu where there is a compiler. */
export function openDevice(name: string = process.env["TESSERA_DEVICE"] ?? ""): Device {
  switch (name) {
    case "":
    case "cpu": {
      const cpu = openCpu();
      if (!cpu) throw new DeviceError("cpu: expected a C++ compiler (g++ or clang++, or $CXX), found none", { backend: "cpu" }); // prettier-ignore
      return cpu;
    }
    case "interpreter":
      return openInterpreter();
    default:
      throw new RequestError(`device: expected one of ${deviceNames.join(", ")}, got "${name}"`, "device");
  }
}
