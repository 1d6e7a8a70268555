/** Simulated chips by name: `sim:ascend-910b` checks every rule, `sim:ascend-910b:fast` none. Main function: `openSim`. */
import { DeviceError } from "../../base/errors.ts";
import { openCpu } from "../cpu/cpu-device.ts";
import { findCompiler } from "../cpu/toolchain.ts";
import { SimDevice, type SimOptions } from "./sim-device.ts";
import { simTargets, type SimTarget } from "./targets.ts";

const FAST = ":fast";
export const simNames: readonly string[] = Object.keys(simTargets).flatMap((name) => [name, name + FAST]);

/** `Sim`: the class of the device. */
export function openSim<D extends SimDevice = SimDevice>(
  name: string,
  options: Partial<SimOptions> = {},
  Sim: new (...args: ConstructorParameters<typeof SimDevice>) => D = SimDevice as never,
): D {
  const isFast = name.endsWith(FAST);
  const target = (simTargets as Readonly<Record<string, SimTarget>>)[isFast ? name.slice(0, -FAST.length) : name];
  if (!target) throw new DeviceError(`${name}: expected one of ${simNames.join(", ")}`, { backend: name });
  const [memory, compiler] = [openCpu(), findCompiler()];
  if (!memory || !compiler) throw new DeviceError(`${name}: expected a C++ compiler (g++, or $CXX), found none`, { backend: name }); // prettier-ignore
  const seed = Number(process.env["TESSERA_SIM_SEED"] ?? 0);
  return new Sim(name, target, memory, compiler, { isFast, seed, ...options });
}
