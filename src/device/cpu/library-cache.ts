/**
 * The folder of built libraries. A library's stamp (`<key>.json`) is named by the hash of what went into it and names
 * a file that carries the hash of its own bytes. The stamp is renamed into place last, so whatever stops a build, or
 * builds beside it, leaves a whole library or none; a file that does not match its name is built again.
 * Main functions: `find`, `findKernel`, `add`. Compiles nothing; toolchain.ts does.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs"; // prettier-ignore
import { homedir, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { CompileError } from "../../base/errors.ts";

interface Stamp {
  /** Library file in the same folder; its name ends with the hash of its bytes. */
  readonly file: string;
  /** Keys of the kernels inside. */
  readonly kernels: readonly string[];
}

/** Folders of builds that were killed are swept after this long. */
const STALE_MS = 3_600_000;

export const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");
const hashOf = (path: string): string => sha256(readFileSync(path)).slice(0, 32);

/** $TESSERA_CACHE_DIR, else the user's cache folder; a folder that cannot be written falls back to the next. */
export function cacheDir(): string {
  const home = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  for (const root of [process.env["TESSERA_CACHE_DIR"], join(home, "tessera"), join(tmpdir(), "tessera-cache")]) {
    if (!root) continue;
    const dir = join(root, "kernels");
    try {
      mkdirSync(dir, { recursive: true });
      const probe = join(dir, `.probe-${process.pid}`);
      writeFileSync(probe, "");
      rmSync(probe);
      return dir;
    } catch {
      continue;
    }
  }
  throw new CompileError("kernel cache: expected a writable folder, set TESSERA_CACHE_DIR", { pass: "cache", target: "cpu" }); // prettier-ignore
}

export class LibraryCache {
  readonly dir: string;
  /** Path of the library that holds a kernel, by kernel key; read from the folder when first asked. */
  private index: Map<string, string> | undefined;
  /** Whether a file's bytes match its name; asked once per process, since a loaded library cannot be replaced. */
  private readonly intact = new Map<string, boolean>();
  private numFolders = 0;
  private readonly extension: string;

  constructor(dir: string, extension = ".so") {
    this.dir = dir;
    this.extension = extension;
  }

  /** Path of the library with this key, if it is there and whole. */
  find(key: string): string | undefined {
    const stamp = this.read(key);
    return stamp && this.checked(join(this.dir, stamp.file));
  }

  /** Path of a whole library that holds the kernel. */
  findKernel(key: string): string | undefined {
    this.index ??= this.readIndex();
    const known = this.index.get(key);
    const path = known && this.checked(known);
    if (path) return path;
    // Another process may have built it since the folder was listed.
    return this.find(libraryKey([key]));
  }

  /** Moves a freshly built library into the cache and returns its path. */
  add(key: string, built: string, kernels: readonly string[] = []): string {
    const file = `${key}.${hashOf(built)}${this.extension}`;
    const path = join(this.dir, file);
    renameSync(built, path);
    this.write(key, { file, kernels } satisfies Stamp);
    this.intact.set(path, true);
    this.index ??= this.readIndex();
    for (const kernel of kernels) this.index.set(kernel, path);
    return path;
  }

  /** Small facts beside the libraries, such as which kernels a model needs. */
  write(name: string, value: object): void {
    const temporary = join(this.dir, `.${name}-${process.pid}`);
    writeFileSync(temporary, JSON.stringify(value));
    renameSync(temporary, join(this.dir, `${name}.json`));
  }
  /** Undefined when absent or damaged. */
  readJson(name: string): unknown {
    try {
      return JSON.parse(readFileSync(join(this.dir, `${name}.json`), "utf8"));
    } catch {
      return undefined;
    }
  }

  /** A folder for one compilation; what a killed process left behind goes first. */
  openBuildFolder(): string {
    const folder = join(this.dir, `build-${process.pid}-${this.numFolders++}`);
    mkdirSync(folder, { recursive: true });
    for (const name of readdirSync(this.dir)) {
      const path = join(this.dir, name);
      if (name.startsWith("build-") && Date.now() - modifiedMs(path) > STALE_MS) rmSync(path, { recursive: true, force: true }); // prettier-ignore
    }
    return folder;
  }

  private read(key: string): Stamp | undefined {
    const stamp = this.readJson(key) as Stamp | undefined;
    return typeof stamp?.file === "string" && Array.isArray(stamp.kernels) ? stamp : undefined;
  }
  private readIndex(): Map<string, string> {
    const index = new Map<string, string>();
    for (const name of readdirSync(this.dir)) {
      const stamp = name.endsWith(".json") ? this.read(name.slice(0, -".json".length)) : undefined;
      if (stamp) for (const kernel of stamp.kernels) index.set(kernel, join(this.dir, stamp.file));
    }
    return index;
  }
  private checked(path: string): string | undefined {
    let whole = this.intact.get(path);
    if (whole === undefined) {
      whole = existsSync(path) && hashOf(path) === basename(path).split(".")[1];
      this.intact.set(path, whole);
    }
    return whole ? path : undefined;
  }
}

/** Key of a library of kernels: the same kernels, in whatever order, are the same library. */
export const libraryKey = (kernels: readonly string[]): string => sha256([...kernels].sort().join("\n")).slice(0, 32);

function modifiedMs(path: string): number {
  try {
    return statSync(path).mtimeMs;
  } catch {
    return Date.now();
  }
}
