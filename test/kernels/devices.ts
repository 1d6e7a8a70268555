/** The devices of this machine, for tests that run on each. */
import type { Device } from "../../src/device/device.ts";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import { openInterpreter } from "../../src/device/interpreter.ts";

export interface TestDevice {
  readonly name: string;
  readonly device: Device | undefined;
  readonly reason?: string;
}

export function availableDevices(): TestDevice[] {
  return [
    { name: "interpreter", device: openInterpreter() },
    { name: "cpu", device: openCpu(), reason: "no C++ compiler" },
  ];
}
