/**
 * The C++ compiler of the cpu device. A kernel's key is the hash of everything that makes it (source, header, flags,
 * compiler); kernels that are missing from the cache are compiled many to a translation unit, because the header
 * and the start of the compiler cost as much as a small kernel.
 * Main functions: `kernels` (now, what is missing), `compileAhead` (in the background, with progress), `library`.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CompileError } from "../../base/errors.ts";
import { cacheDir, LibraryCache, libraryKey, sha256 } from "./library-cache.ts";

export interface Compiler {
  readonly path: string;
  readonly version: string;
}

/** $CXX, else the first of g++ and clang++ that runs. */
export function findCompiler(): Compiler | undefined {
  const names = process.env["CXX"] ? [process.env["CXX"]] : ["g++", "clang++", "c++"];
  for (const path of names) {
    const result = spawnSync(path, ["--version"], { encoding: "utf8" });
    if (result.status === 0) return { path, version: result.stdout.split("\n")[0]! };
  }
  return undefined;
}

/** Strict IEEE except for what cannot change results that we test: no errno, no traps; contraction to FMA is allowed. */
const baseFlags = [
  "-std=c++17",
  "-O3",
  "-shared",
  "-fPIC",
  "-fno-math-errno",
  "-fno-trapping-math",
  "-fopenmp-simd",
  "-fno-exceptions",
  "-fno-rtti",
  "-w",
];

/** Kernels of one translation unit at most: few compiler starts, yet enough units for a bar that moves. */
const KERNELS_PER_UNIT = 12;
/** The name every emitted kernel has in its source; a unit of many renames it. */
export const SYMBOL = "ts_kernel";

/** One kernel of `emitCpp`, which was told to name it `ts_kernel`. */
export interface KernelSource {
  readonly name: string;
  readonly source: string;
}
/** A library of ours that is not made of kernels. */
export interface LibrarySource {
  readonly name: string;
  readonly source: string;
  readonly flags: readonly string[];
}
/** Where a built kernel is. */
export interface BuiltKernel {
  readonly library: string;
  readonly symbol: string;
}
export type OnProgress = (done: number, total: number) => void;

/** What kernels of one target include: the folders, and the header every unit starts with. */
export interface Headers {
  readonly folders: readonly string[];
  readonly header: string;
  readonly kernelsPerUnit?: number;
}

interface Unit {
  /** For messages. */
  readonly name: string;
  readonly key: string;
  readonly source: string;
  readonly flags: readonly string[];
  /** Keys of the kernels inside. */
  readonly kernels: readonly string[];
}
interface Job {
  readonly unit: Unit;
  readonly folder: string;
  readonly command: string;
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
const symbolOf = (key: string): string => `ts_${key}`;

export class Toolchain {
  readonly compiler: Compiler;
  readonly cache: LibraryCache;
  /** Hash of the headers, part of every key. */
  private readonly headerHash: string;
  private readonly headers: Headers;

  constructor(compiler: Compiler, headers: Headers) {
    this.compiler = compiler;
    this.headers = headers;
    this.cache = new LibraryCache(cacheDir());
    const files = headers.folders.flatMap((dir) => readdirSync(dir).filter((f) => f.endsWith(".h")).sort().map((f) => join(dir, f))); // prettier-ignore
    this.headerHash = sha256(files.map((f) => readFileSync(f, "utf8")).join("\0"));
  }

  private get includes(): string[] {
    return this.headers.folders.flatMap((dir) => ["-I", dir]);
  }

  /** Path of a library of ours that is not made of kernels. */
  library({ name, source, flags }: LibrarySource): string {
    const key = this.keyOf(source, flags);
    return this.cache.find(key) ?? this.compileNow([{ name, key, source, flags, kernels: [] }])[0]!;
  }

  /** Built kernels, in order; what the cache lacks is compiled first, `numJobs` units at a time. */
  kernels(wanted: readonly KernelSource[], flags: readonly string[], numJobs: number): BuiltKernel[] {
    const units = this.missingUnits(wanted, flags, numJobs);
    for (let i = 0; i < units.length; i += numJobs) this.compileNow(units.slice(i, i + numJobs));
    return wanted.map((w) => {
      const key = this.keyOf(w.source, flags);
      return { library: this.cache.findKernel(key)!, symbol: symbolOf(key) };
    });
  }

  /**
   * Compiles what is missing while this thread does other things. Never fails: a unit that does not compile is left
   * to the first launch of its kernels, which says what is wrong.
   */
  async compileAhead(
    wanted: readonly KernelSource[],
    flags: readonly string[],
    numJobs: number,
    onProgress: OnProgress,
  ): Promise<void> {
    const units = this.missingUnits(wanted, flags, numJobs);
    const total = units.reduce((n, u) => n + u.kernels.length, 0);
    let done = 0;
    const queue = [...units];
    const work = async (): Promise<void> => {
      for (let unit = queue.shift(); unit; unit = queue.shift()) {
        const job = this.prepare(unit);
        await new Promise((resolve) => spawn("sh", ["-c", job.command], { stdio: "ignore" }).on("close", resolve).on("error", resolve)); // prettier-ignore
        this.collect(job);
        onProgress((done += unit.kernels.length), total);
      }
    };
    if (total > 0) onProgress(0, total);
    await Promise.all(Array.from({ length: numJobs }, work));
  }

  /** Whether the compiler knows all the flags; an older one refuses those of newer instructions. Asked once and kept. */
  knows(flags: readonly string[]): boolean {
    const record = `knows-${this.keyOf("", flags)}`;
    const kept = this.cache.readJson(record) as { readonly isKnown?: boolean } | undefined;
    if (kept?.isKnown !== undefined) return kept.isKnown;
    const isKnown = this.accepts(flags);
    this.cache.write(record, { isKnown });
    return isKnown;
  }

  /** Whether an empty source compiles with these flags now: `-include` asks for a header. */
  accepts(flags: readonly string[]): boolean {
    return spawnSync(this.compiler.path, [...flags, "-fsyntax-only", "-x", "c++", "/dev/null"]).status === 0;
  }

  keyOf(source: string, flags: readonly string[]): string {
    return sha256([this.compiler.version, ...baseFlags, ...flags, this.headerHash, source].join("\0")).slice(0, 32);
  }

  /** Translation units of about equal size for the kernels that the cache lacks. */
  private missingUnits(wanted: readonly KernelSource[], flags: readonly string[], numJobs: number): Unit[] {
    const missing = new Map<string, KernelSource>();
    for (const w of wanted) {
      const key = this.keyOf(w.source, flags);
      if (!this.cache.findKernel(key)) missing.set(key, w);
    }
    const numUnits = Math.min(
      missing.size,
      Math.max(numJobs, Math.ceil(missing.size / (this.headers.kernelsPerUnit ?? KERNELS_PER_UNIT))),
    );
    // Dealt like cards from the longest down: source length is a fair guess of compile time.
    const bySize = [...missing].sort(([, a], [, b]) => b.source.length - a.source.length);
    return Array.from({ length: numUnits }, (_, u) => {
      const members = bySize.filter((_m, i) => i % numUnits === u);
      const kernels = members.map(([key]) => key);
      const bodies = members.map(([key, k]) => `#define ${SYMBOL} ${symbolOf(key)}\n${k.source}#undef ${SYMBOL}\n`);
      const name = members.map(([, k]) => k.name).join(", ");
      return {
        name,
        key: libraryKey(kernels),
        source: `#include "${this.headers.header}"\n${bodies.join("")}`,
        flags,
        kernels,
      };
    });
  }

  /** All units at once, one process each; the shell waits for them. Returns the libraries' paths. */
  private compileNow(units: readonly Unit[]): string[] {
    const attempt = (list: readonly Unit[]): (string | CompileError)[] => {
      const jobs = list.map((unit) => this.prepare(unit));
      spawnSync("sh", ["-c", `${jobs.map((job) => `( ${job.command} ) &`).join("\n")}\nwait`]);
      return jobs.map((job) => this.collect(job));
    };
    return attempt(units).map((first, i) => {
      // A compiler that was killed (memory, a signal) says nothing about the source: once more, alone.
      const result = first instanceof CompileError ? attempt([units[i]!])[0]! : first;
      if (result instanceof CompileError) throw result;
      return result;
    });
  }

  private prepare(unit: Unit): Job {
    const folder = this.cache.openBuildFolder();
    const [source, part, out] = [join(folder, "unit.cpp"), join(folder, "part.so"), join(folder, "unit.so")];
    writeFileSync(source, unit.source);
    const args = [...baseFlags, ...unit.flags, ...this.includes, "-o", part, source];
    const compile = [this.compiler.path, ...args].map(quote).join(" ");
    // Renamed only after success, so that a killed linker leaves nothing that looks done.
    return { unit, folder, command: `${compile} 2>${quote(join(folder, "err"))} && mv ${quote(part)} ${quote(out)}` };
  }

  /** Takes a finished job's library into the cache. */
  private collect({ unit, folder }: Job): string | CompileError {
    const out = join(folder, "unit.so");
    if (existsSync(out)) {
      const path = this.cache.add(unit.key, out, unit.kernels);
      rmSync(folder, { recursive: true, force: true });
      return path;
    }
    const log = existsSync(join(folder, "err")) ? readFileSync(join(folder, "err"), "utf8") : "";
    rmSync(folder, { recursive: true, force: true });
    return new CompileError(`${unit.name}: ${this.compiler.path} failed\n${log.slice(0, 2000)}`, { pass: "compile", target: "cpu" }); // prettier-ignore
  }
}
