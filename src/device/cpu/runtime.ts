/**
 * The native library of the cpu device as typed functions: everything that crosses the FFI is declared here.
 * Built twice over: runtime.cpp without ISA flags (it probes the CPU), dot.cpp with the flags of that probe.
 */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import koffi from "koffi";
import { DeviceError } from "../../base/errors.ts";
import { findCompiler, Toolchain, type LibrarySource } from "./toolchain.ts";

export const nativeDir = join(dirname(fileURLToPath(import.meta.url)), "native");

export interface Runtime {
  readonly toolchain: Toolchain;
  /** What the CPU has, the system allows and the compiler knows; amx only after its self-test. */
  readonly features: readonly string[];
  /** For everything that may use the probed instructions. */
  readonly isaFlags: readonly string[];
  readonly start: (numThreads: number) => number;
  readonly stop: () => void;
  readonly launch: (block: number) => void;
  readonly replay: (list: number, count: number) => void;
  readonly alloc: (sizeBytes: number) => number;
  readonly free: (address: number) => void;
  readonly copy: (dst: number, src: number, sizeBytes: number) => void;
  readonly copyIn: (dst: number, src: Uint8Array, sizeBytes: number) => void;
  readonly copyOut: (dst: Uint8Array, src: number, sizeBytes: number) => void;
  /** Loads a library and returns the address of `symbol` in it. */
  readonly load: (path: string, symbol: string) => number;
  /** Address of the kernel that copies bytes: arguments dst, src, sizeBytes. */
  readonly copyKernel: number;
  /** Live bytes at an address; the memory must outlive the view. */
  readonly view: (address: number, sizeBytes: number) => Uint8Array;
}

/** Compiler flags for what the probe found; `-march=native` would also turn on what the OS does not save. */
const flagOf: Readonly<Record<string, string>> = {
  "sse4.1": "-msse4.1",
  avx: "-mavx",
  fma: "-mfma",
  f16c: "-mf16c",
  avx2: "-mavx2",
  bmi2: "-mbmi2",
  avx512f: "-mavx512f",
  avx512dq: "-mavx512dq",
  avx512bw: "-mavx512bw",
  avx512vl: "-mavx512vl",
};
/** What only dot.cpp uses; a feature whose flag the compiler does not know counts as absent. */
const dotFlagOf: Readonly<Record<string, string>> = {
  avx512bf16: "-mavx512bf16",
  "amx-tile": "-mamx-tile",
  "amx-bf16": "-mamx-bf16",
};

/** Flags for every kernel. */
export function isaFlagsFor(features: readonly string[]): string[] {
  const flags = features.flatMap((name) => flagOf[name] ?? []);
  return features.includes("avx512f") ? [...flags, "-mprefer-vector-width=512"] : flags;
}

/** The matrix library for a set of features, and what else to define. */
export function dotLibrary(features: readonly string[], defines: readonly string[] = []): LibrarySource {
  return {
    name: "dot",
    source: readFileSync(join(nativeDir, "dot.cpp"), "utf8"),
    flags: [...isaFlagsFor(features), ...features.flatMap((name) => dotFlagOf[name] ?? []), ...defines],
  };
}

let opened: Runtime | undefined;

/** Undefined when the machine has no compiler. */
export function openRuntime(): Runtime | undefined {
  if (opened) return opened;
  const compiler = findCompiler();
  if (!compiler) return undefined;
  const toolchain = new Toolchain(compiler, { folders: [nativeDir], header: "tessera.h" });
  // Never unloaded: at exit koffi closes its libraries while the pool's threads may still run in this one.
  const links = ["-lpthread", ...(process.platform === "linux" ? ["-ldl", "-Wl,-z,nodelete"] : [])];
  const runtime = { name: "runtime", source: readFileSync(join(nativeDir, "runtime.cpp"), "utf8"), flags: links };
  const lib = koffi.load(toolchain.library(runtime));
  const f = {
    start: lib.func("int ts_start(int)") as (n: number) => number,
    stop: lib.func("void ts_stop()") as () => void,
    launch: lib.func("void ts_launch(uintptr_t)") as (block: number) => void,
    replay: lib.func("void ts_replay(uintptr_t, int)") as (list: number, count: number) => void,
    alloc: lib.func("uintptr_t ts_alloc(double)") as (size: number) => number | bigint,
    free: lib.func("void ts_free(uintptr_t)") as (address: number) => void,
    copy: lib.func("void ts_copy(uintptr_t, uintptr_t, double)") as Runtime["copy"],
    copyIn: lib.func("void ts_copy_in(uintptr_t, const void*, double)") as Runtime["copyIn"],
    copyOut: lib.func("void ts_copy_out(void*, uintptr_t, double)") as Runtime["copyOut"],
    open: lib.func("uintptr_t ts_open(str, int)") as (path: string, global: number) => number | bigint,
    symbol: lib.func("uintptr_t ts_symbol(uintptr_t, str)") as (lib: number, name: string) => number | bigint,
    error: lib.func("str ts_error()") as () => string,
    probe: lib.func("str ts_probe()") as () => string,
    copyKernel: lib.func("uintptr_t ts_copy_kernel()") as () => number | bigint,
  };
  const isKnown = (name: string): boolean => !dotFlagOf[name] || toolchain.knows([dotFlagOf[name]]);
  const probed = f.probe().split(" ").filter((name) => name !== "" && isKnown(name)); // prettier-ignore
  const handles = new Map<string, number>();
  const openLibrary = (file: string, global: boolean): number => {
    const handle = handles.get(file) ?? Number(f.open(file, global ? 1 : 0));
    if (handle === 0) throw new DeviceError(`cannot load ${file}: ${f.error()}`, { backend: "cpu" });
    handles.set(file, handle);
    return handle;
  };
  const dot = toolchain.library(dotLibrary(probed));
  openLibrary(dot, true);
  // The probe says that the unit may be used; the library, that its products are right.
  const hasAmx = (koffi.load(dot).func("int ts_enable_amx()") as () => number)() === 1;
  const features = probed.filter((name) => hasAmx || !name.startsWith("amx"));
  opened = {
    ...f,
    toolchain,
    features,
    isaFlags: isaFlagsFor(features),
    alloc: (size) => Number(f.alloc(size)),
    load: (file, symbol) => {
      const address = Number(f.symbol(openLibrary(file, false), symbol));
      if (address === 0) throw new DeviceError(`${file}: expected a symbol ${symbol}`, { backend: "cpu" });
      return address;
    },
    copyKernel: Number(f.copyKernel()),
    view: (address, size) => new Uint8Array(koffi.view(BigInt(address), size)),
  };
  return opened;
}
