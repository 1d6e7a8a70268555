/**
 * The library that gives BANG C its meaning on the host (runtime/*.cpp), compiled once and linked with every kernel.
 * Main function: `mluRuntime`, its path.
 */
import koffi from "koffi";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { DeviceError } from "../../../base/errors.ts";
import { findCompiler, Toolchain } from "../../cpu/toolchain.ts";

const here = dirname(fileURLToPath(import.meta.url));
const [include, runtime] = [join(here, "include"), join(here, "runtime")];
let path: string | undefined;

/** What the last launch did, and the makespan of a model of unit costs (runtime/machine.h: `spend`); no chip's time. */
export interface RunCounters {
  /** Bytes read from and written to device memory, and copied on the chip. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly bytesMoved: number;
  readonly vectorElements: number;
  readonly multiplyAdds: number;
  readonly makespan: number;
}
let read: ((out: Float64Array) => void) | undefined;

/** Of a checked launch: in fast mode only bytes are counted. */
export function mluCounters(): RunCounters {
  read ??= koffi.load(mluRuntime()).func("void bang_counters(_Out_ double*)") as (out: Float64Array) => void;
  const out = new Float64Array(6);
  read(out);
  const [bytesIn, bytesOut, bytesMoved, vectorElements, multiplyAdds, makespan] = out as unknown as [number, number, number, number, number, number]; // prettier-ignore
  return { bytesIn, bytesOut, bytesMoved, vectorElements, multiplyAdds, makespan };
}

export function mluRuntime(): string {
  if (path !== undefined) return path;
  const compiler = findCompiler();
  if (!compiler) throw new DeviceError("sim:mlu: expected a C++ compiler (g++, or $CXX), found none", { backend: "sim:mlu" }); // prettier-ignore
  const folders = [include, join(include, "bang"), runtime];
  const files = readdirSync(runtime).filter((f) => f.endsWith(".cpp")).toSorted(); // prettier-ignore
  const source = files.map((f) => readFileSync(join(runtime, f), "utf8")).join("\n");
  path = new Toolchain(compiler, { folders, header: "bang.h" }).library({
    name: "bang runtime",
    source,
    flags: ["-O2", "-fno-trapping-math"],
  });
  return path;
}
