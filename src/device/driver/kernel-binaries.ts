/**
 * Kernels in a chip's language -> binaries, through the vendor's compiler and the cache of library-cache.ts. Kernels of
 * one kind are compiled a few dozen to a binary; each has a name of its own, the hash of everything that makes it.
 * Main function: `KernelBinaries.build`. What compiles is a `ChipCompiler` (ascend/compiler.ts, mlu/compiler.ts).
 */
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CompileError } from "../../base/errors.ts";
import { cacheDir, LibraryCache, libraryKey, sha256 } from "../cpu/library-cache.ts";
import { SYMBOL } from "../cpu/toolchain.ts";

export interface ChipCompiler {
  readonly target: string;
  /** Everything about it that changes what comes out: product, version, options. */
  readonly identity: string;
  /** module: the driver loads it; launchers: a library of the host with a function `<kernel>_launch` for every kernel. */
  readonly form: "module" | "launchers";
  /** Compiles `source` to the file `path`. Throws CompileError with the compiler's log. */
  compile(source: string, path: string): void;
  /** What a launcher's file needs beside the kernels. */
  launcher?(symbol: string, source: string, kind: string): string;
}

/** A kernel in the chip's own language, whose function is called `ts_kernel`. */
export interface ChipSource {
  readonly name: string;
  readonly source: string;
  readonly kind: string;
}
/** Where a built kernel is. */
export interface BuiltKernel {
  readonly path: string;
  readonly symbol: string;
}

const KERNELS_PER_BINARY = 48;
const symbolPattern = new RegExp(`\\b${SYMBOL}\\b`, "g");
const symbolOf = (key: string): string => `ts_${key}`;

export class KernelBinaries {
  private readonly compiler: ChipCompiler;
  private readonly cache: LibraryCache;

  constructor(compiler: ChipCompiler) {
    this.compiler = compiler;
    this.cache = new LibraryCache(cacheDir(), compiler.form === "module" ? ".bin" : ".so");
  }

  /** In order; what the cache lacks is compiled first. */
  build(wanted: readonly ChipSource[]): BuiltKernel[] {
    const keys = wanted.map((w) => this.keyOf(w));
    const missing = new Map<string, Map<string, ChipSource>>();
    wanted.forEach((w, i) => {
      if (this.cache.findKernel(keys[i]!)) return;
      const kind = missing.get(w.kind) ?? new Map<string, ChipSource>();
      missing.set(w.kind, kind.set(keys[i]!, w));
    });
    // One kind a binary: how a binary of several kinds is loaded differs between releases.
    for (const kernels of missing.values()) {
      const list = [...kernels];
      for (let i = 0; i < list.length; i += KERNELS_PER_BINARY) this.compile(list.slice(i, i + KERNELS_PER_BINARY));
    }
    return keys.map((key) => ({ path: this.cache.findKernel(key)!, symbol: symbolOf(key) }));
  }

  private keyOf({ source, kind }: ChipSource): string {
    const { target, identity, form } = this.compiler;
    return sha256([target, identity, form, kind, source].join("\0")).slice(0, 32);
  }

  private compile(kernels: readonly (readonly [string, ChipSource])[]): void {
    const { compiler, cache } = this;
    const names = kernels.map(([, k]) => k.name).join(", ");
    const source = kernels.map(([key, k]) => {
      const text = k.source.replace(symbolPattern, symbolOf(key));
      return text + (compiler.launcher?.(symbolOf(key), text, k.kind) ?? "");
    });
    const folder = cache.openBuildFolder();
    try {
      const path = join(folder, "kernels");
      compiler.compile(source.join("\n"), path);
      if (!existsSync(path)) throw new CompileError(`${compiler.identity}: expected a binary, got none`, { pass: "compile", target: compiler.target }); // prettier-ignore
      const keys = kernels.map(([key]) => key);
      cache.add(libraryKey(keys), path, keys);
    } catch (cause) {
      if (!(cause instanceof CompileError)) throw cause;
      throw new CompileError(`${names}: ${cause.message}`, { pass: "compile", target: compiler.target, cause });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

/** The parameters of a kernel's text, as `type name`. */
export function parametersOf(symbol: string, source: string): { readonly type: string; readonly name: string }[] {
  const list = new RegExp(`\\b${symbol}\\(([^)]*)\\)`).exec(source)?.[1] ?? "";
  return list.split(",").map((text) => text.trim()).filter((text) => text !== "").map((text) => {
    const at = Math.max(text.lastIndexOf(" "), text.lastIndexOf("*") + 1);
    return { type: text.slice(0, at).trim(), name: text.slice(at).trim() };
  }); // prettier-ignore
}
