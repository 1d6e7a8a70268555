/** Runs a kernel case on a simulator and says what came of it. Main functions: `runCase`, `outcomeOf`. */
import { bf16ToF32 } from "../../src/base/bf16.ts";
import { f16FromBits } from "../../src/base/f16.ts";
import type { LaunchArg } from "../../src/device/device.ts";
import type { RunOptions, SimDevice, SimKernel } from "../../src/device/sim/sim-device.ts";
import { SimulationError } from "../../src/device/sim/violation.ts";
import type { SimCase } from "./sim-ascend-cases.ts";

/** The largest distance from what an output must hold, against its tolerance; NaN counts as far. */
function isRight(c: SimCase, outputs: readonly ArrayBufferView[]): boolean {
  return c.expected.every(({ values, tolerance }, i) => {
    const raw = outputs[i]!;
    const got: ArrayLike<number> =
      raw instanceof Uint16Array ? (c.isBf16 ? bf16ToF32(raw) : Float32Array.from(raw, f16FromBits)) : (raw as Float32Array); // prettier-ignore
    for (let j = 0; j < values.length; j++)
      if (!(Math.abs(got[j]! - values[j]!) <= tolerance * Math.max(1, Math.abs(values[j]!)))) return false;
    return true;
  });
}

/** Whether the outputs are right; throws SimulationError when a rule was broken. */
export function runCase(
  device: SimDevice,
  kernel: SimKernel,
  c: SimCase,
  options: RunOptions,
  extra: readonly number[] = [],
): boolean {
  // prettier-ignore
  const args: LaunchArg[] = c.values.map((v) => {
    if (typeof v === "number") return v;
    const buffer = device.alloc(v.byteLength);
    device.copyIn(buffer, 0, v);
    return { buffer, byteOffset: 0 };
  });
  let workspaceArg = -1;
  if (c.workspace) {
    args.push({ buffer: device.alloc(c.workspace.bytesPerBlock * options.numBlocks), byteOffset: 0 });
    workspaceArg = c.workspace.arg;
  }
  try {
    device.run(kernel, [...args, ...extra], { ...options, workspaceArg });
    const outputs = c.expected.map(({ arg }) => {
      const out = (c.values[arg] as Float32Array).slice();
      device.copyOut((args[arg] as Exclude<LaunchArg, number>).buffer, 0, out);
      return out;
    });
    return isRight(c, outputs);
  } finally {
    for (const a of args) if (typeof a !== "number") device.free(a.buffer);
  }
}

/** "accepted", "wrong numbers", or the rule that was broken. */
export function outcomeOf(run: () => boolean): string {
  try {
    return run() ? "accepted" : "wrong numbers";
  } catch (error) {
    if (error instanceof SimulationError) return error.rule;
    throw error;
  }
}
