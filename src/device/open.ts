/** The one place that turns a device's name into a device. */
import { DeviceError, RequestError } from "../base/errors.ts";
import { openAscend } from "./ascend/ascend-device.ts";
import { openCpu } from "./cpu/cpu-device.ts";
import type { Device } from "./device.ts";
import { openInterpreter } from "./interpreter.ts";
import { openJs } from "./js/js-device.ts";
import { openMlu } from "./mlu/mlu-device.ts";
import { openSim, simNames } from "./sim/open-sim.ts";

function cpuOrFail(): Device {
  const cpu = openCpu();
  if (!cpu) throw new DeviceError("cpu: expected a C++ compiler (g++ or clang++, or $CXX), found none", { backend: "cpu" }); // prettier-ignore
  return cpu;
}

/** What the js target costs is said once per process. */
let isTold = false;
function cpuOrJs(): Device {
  const cpu = openCpu();
  if (cpu) return cpu;
  if (!isTold)
    process.stderr.write("no C++ compiler found: using the js target, which is slower (install g++ or clang++, or set CXX, for the cpu target)\n"); // prettier-ignore
  isTold = true;
  return openJs();
}

const openers = { cpu: cpuOrFail, js: openJs, interpreter: openInterpreter } as const;
type DeviceName = keyof typeof openers;
/** Real chips: `ascend` is the first, `ascend:3` the fourth. */
const chipOpeners = { ascend: openAscend, mlu: openMlu } as const;
export const deviceNames: readonly string[] = [...Object.keys(openers), ...Object.keys(chipOpeners), ...simNames];

function chipOf(name: string): (() => Device) | undefined {
  const [, kind = "", index] = /^(\w+?)(?::(\d+))?$/.exec(name) ?? [];
  if (!Object.hasOwn(chipOpeners, kind)) return undefined;
  return () => chipOpeners[kind as keyof typeof chipOpeners](Number(index ?? 0));
}

/** Without a name: cpu where there is a compiler, else js. */
export function openDevice(name: string = process.env["TESSERA_DEVICE"] ?? ""): Device {
  if (name === "") return cpuOrJs();
  if (simNames.includes(name)) return openSim(name);
  const open = Object.hasOwn(openers, name) ? openers[name as DeviceName] : chipOf(name);
  if (!open) throw new RequestError(`device: expected one of ${deviceNames.join(", ")}, got "${name}"`, "device");
  return open();
}
