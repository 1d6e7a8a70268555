/**
 * oneDNN as a peer of our matrix product, where its development package is installed; benchmarks only.
 * Main function: `openOneDnn`.
 */
import koffi from "koffi";
import type { Runtime } from "../src/device/cpu/runtime.ts";
import { nativeSource } from "./peak.ts";

export interface OneDnnShape {
  readonly dtype: "f32" | "bf16";
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transA: boolean;
  readonly transB: boolean;
  /** B in the layout that oneDNN prefers, made before anything is timed. */
  readonly packed: boolean;
  /** Addresses. */
  readonly a: number;
  readonly b: number;
  readonly c: number;
}
export interface OneDnn {
  readonly version: string;
  /** Undefined where oneDNN has no such product on this CPU. */
  readonly open: (shape: OneDnnShape) => { readonly run: () => void; readonly close: () => void } | undefined;
}

const HEADER = "oneapi/dnnl/dnnl.hpp";
export const oneDnnHint =
  "oneDNN is not installed, so only our own figures follow; on Debian: apt-get install libdnnl-dev";

export function openOneDnn({ toolchain }: Runtime, numThreads: number): OneDnn | undefined {
  if (!toolchain.accepts(["-include", HEADER])) return undefined;
  const source = nativeSource("onednn.cpp");
  const flags = ["-fexceptions", "-frtti", "-Wl,--no-as-needed", "-ldnnl"];
  const path = toolchain.library({ name: "onednn", source, flags });
  // Read when OpenMP is loaded. Waiting threads sleep, as ours do: spinning would be charged as processor time.
  process.env["OMP_NUM_THREADS"] = String(numThreads);
  process.env["OMP_WAIT_POLICY"] ??= "passive";
  const library = koffi.load(path);
  const version = (library.func("int onednn_version()") as () => number)();
  const open = library.func(
    "void* onednn_open(int, int64_t, int64_t, int64_t, int, int, int, uintptr_t, uintptr_t, uintptr_t)",
  ) as (...args: number[]) => unknown;
  const run = library.func("void onednn_run(void*)") as (handle: unknown) => void;
  const close = library.func("void onednn_close(void*)") as (handle: unknown) => void;
  return {
    version: `${Math.floor(version / 100)}.${version % 100}`,
    open: (s) => {
      const flagsOf = [s.transA, s.transB, s.packed].map(Number);
      const handle = open(s.dtype === "bf16" ? 1 : 0, s.m, s.n, s.k, ...flagsOf, s.a, s.b, s.c);
      return handle ? { run: () => run(handle), close: () => close(handle) } : undefined;
    },
  };
}
