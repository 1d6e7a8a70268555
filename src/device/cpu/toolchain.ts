/**
 * The C++ compiler of the cpu device and the cache of what it built.
 * A shared library is found by the hash of everything that made it (source, header, flags, compiler version); beside
 * it lies the hash of its own bytes, so a damaged file is rebuilt instead of loaded. Main function: `Toolchain.library`.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { CompileError } from "../../base/errors.ts";

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

/** $TESSERA_CACHE_DIR, else the user's cache folder; a folder that cannot be written falls back to the temporary one. */
export function cacheDir(): string {
  const home = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  for (const root of [process.env["TESSERA_CACHE_DIR"], join(home, "tessera"), join(tmpdir(), "tessera-cache")]) {
    if (!root) continue;
    const dir = join(root, "kernels");
    try {
      mkdirSync(dir, { recursive: true });
      writeFileSync(join(dir, `.probe-${process.pid}`), "");
      rmSync(join(dir, `.probe-${process.pid}`));
      return dir;
    } catch {
      continue;
    }
  }
  throw new CompileError("kernel cache: expected a writable folder, set TESSERA_CACHE_DIR", { pass: "cache", target: "cpu" }); // prettier-ignore
}

const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");

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

export interface LibrarySource {
  readonly name: string;
  readonly source: string;
  readonly flags: readonly string[];
  /** Headers beside tessera.h that the source includes; their text is part of the key. */
  readonly headers?: readonly string[];
}

export class Toolchain {
  readonly compiler: Compiler;
  readonly dir: string;
  /** Hash of tessera.h, part of every key. */
  private readonly headerHash: string;
  private readonly includeDir: string;

  constructor(compiler: Compiler, includeDir: string) {
    this.compiler = compiler;
    this.dir = cacheDir();
    this.includeDir = includeDir;
    this.headerHash = sha256(readFileSync(join(includeDir, "tessera.h")));
  }

  /** Paths of the built libraries, in order; what the cache lacks is compiled, `numJobs` at a time. */
  libraries(
    wanted: readonly LibrarySource[],
    numJobs: number,
    onBuilt?: (done: number, total: number) => void,
  ): string[] {
    const paths = wanted.map((w) => join(this.dir, `${this.key(w)}.so`));
    const missing = wanted.map((w, i) => ({ ...w, path: paths[i]! })).filter((w) => !isIntact(w.path));
    for (let i = 0; i < missing.length; i += numJobs) {
      this.compile(missing.slice(i, i + numJobs));
      onBuilt?.(Math.min(i + numJobs, missing.length), missing.length);
    }
    return paths;
  }

  /** Whether the compiler knows all the flags; an older one refuses those of newer instructions. */
  accepts(flags: readonly string[]): boolean {
    return spawnSync(this.compiler.path, [...flags, "-fsyntax-only", "-x", "c++", "/dev/null"]).status === 0;
  }

  private key({ source, flags, headers = [] }: LibrarySource): string {
    const texts = headers.map((name) => readFileSync(join(this.includeDir, name), "utf8"));
    return sha256([this.compiler.version, ...baseFlags, ...flags, this.headerHash, ...texts, source].join("\0")).slice(0, 32); // prettier-ignore
  }

  /** One compiler process per library, all at once; the shell waits for them. */
  private compile(jobs: readonly (LibrarySource & { readonly path: string })[]): void {
    const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
    const temporary = jobs.map((job) => `${job.path}.${process.pid}`);
    const commands = jobs.map((job, i) => {
      writeFileSync(`${temporary[i]}.cpp`, job.source);
      const args = [
        ...baseFlags,
        ...job.flags,
        "-I",
        this.includeDir,
        "-o",
        `${temporary[i]}.so`,
        `${temporary[i]}.cpp`,
      ];
      return `${[this.compiler.path, ...args].map(quote).join(" ")} 2>${quote(`${temporary[i]}.err`)} &`;
    });
    spawnSync("sh", ["-c", `${commands.join("\n")}\nwait`]);
    jobs.forEach((job, i) => {
      const built = `${temporary[i]}.so`;
      if (!existsSync(built)) {
        const log = existsSync(`${temporary[i]}.err`) ? readFileSync(`${temporary[i]}.err`, "utf8") : "";
        throw new CompileError(`${job.name}: ${this.compiler.path} failed; source kept at ${temporary[i]}.cpp\n${log.slice(0, 2000)}`, { pass: "compile", target: "cpu" }); // prettier-ignore
      }
      // The hash is written first: a library without one counts as damaged, one with a wrong one too.
      writeFileSync(`${job.path}.sha256`, sha256(readFileSync(built)));
      renameSync(built, job.path);
      for (const end of [".cpp", ".err"]) rmSync(temporary[i] + end, { force: true });
    });
  }
}

function isIntact(path: string): boolean {
  try {
    return sha256(readFileSync(path)) === readFileSync(`${path}.sha256`, "utf8");
  } catch {
    return false;
  }
}
