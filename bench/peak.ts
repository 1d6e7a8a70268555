/**
 * The arithmetic peak of this machine, measured by bench/native/peak.cpp in the run that quotes it.
 * Main function: `measurePeak`.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import koffi from "koffi";
import { dotLibrary, type Runtime } from "../src/device/cpu/runtime.ts";

/** FLOP/s of all threads together. */
export interface Rate {
  readonly wall: number;
  /** By the time that the threads really ran: what an otherwise idle machine would do. */
  readonly cpu: number;
}
export interface Peak {
  readonly f32: Rate;
  readonly bf16: Rate;
  /** The unit behind bf16: f32 where bf16 is widened first. */
  readonly bf16Unit: string;
}

export const nativeSource = (name: string): string =>
  readFileSync(fileURLToPath(new URL(`native/${name}`, import.meta.url)), "utf8");

/** The best of a few bursts; a burst is long enough for the clock of the cores to settle. */
export function measurePeak(runtime: Runtime, numThreads: number, bursts = 3, seconds = 0.15): Peak {
  const { flags } = dotLibrary(runtime.features);
  const source = nativeSource("peak.cpp");
  const path = runtime.toolchain.library({ name: "peak", source, flags: [...flags, "-lpthread"] });
  const library = koffi.load(path);
  const nameOf = library.func("str bench_peak_name(int)") as (kind: number) => string;
  const run = library.func("void bench_peak(int, int, double, _Out_ double*)") as (kind: number, threads: number, seconds: number, rates: Float64Array) => void; // prettier-ignore
  const rates: Record<string, Rate> = {};
  for (let kind = 0; nameOf(kind) !== ""; kind++) {
    let best: Rate = { wall: 0, cpu: 0 };
    for (let burst = 0; burst < bursts; burst++) {
      const out = new Float64Array(2);
      run(kind, numThreads, seconds, out);
      best = { wall: Math.max(best.wall, out[0]!), cpu: Math.max(best.cpu, out[1]!) };
    }
    rates[nameOf(kind)] = best;
  }
  const bf16Unit = ["amx", "vdpbf16ps", "f32"].find((unit) => rates[unit])!;
  return { f32: rates["f32"]!, bf16: rates[bf16Unit]!, bf16Unit };
}
