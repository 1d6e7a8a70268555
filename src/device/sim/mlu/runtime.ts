/**
 * The library that gives BANG C its meaning on the host (runtime/*.cpp), compiled once and linked with every kernel.
 * Main function: `mluRuntime`, its path.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { DeviceError } from "../../../base/errors.ts";
import { findCompiler, Toolchain } from "../../cpu/toolchain.ts";

const here = dirname(fileURLToPath(import.meta.url));
const [include, runtime] = [join(here, "include"), join(here, "runtime")];
let path: string | undefined;

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
