/** The devices of this machine, for tests that run on each. */
import type { Device } from "../../src/device/device.ts";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import { openInterpreter } from "../../src/device/interpreter.ts";
import { openJs } from "../../src/device/js/js-device.ts";

export interface TestDevice {
  readonly name: string;
  readonly device: Device | undefined;
  readonly reason?: string;
}

export function availableDevices(): TestDevice[] {
  return [
    { name: "interpreter", device: openInterpreter() },
    { name: "js", device: openJs() },
    { name: "cpu", device: openCpu(), reason: "no C++ compiler" },
  ];
}
