/**
 * Debian packages as an optional source: fetched with `apt-get download`, unpacked with `dpkg-deb`. Where a tool, the
 * package lists or the network are absent, the answer is a reason instead of a path, and the build goes on without.
 * Main functions: `ensureDebian`, `readDebian`.
 */
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../../base/errors.ts";
import { readTar, type ArchiveFile } from "./archive.ts";
import type { PackageSource } from "./catalog.ts";
import { sha256OfFile } from "./packages.ts";
import type { Report } from "./report.ts";

export type DebianPackage =
  | { readonly kind: "found"; readonly path: string; readonly version: string; readonly sha256: string }
  | { readonly kind: "absent"; readonly reason: string };

interface Output {
  /** undefined: the program is not installed. */
  readonly status: number | undefined;
  readonly stdout: Buffer;
  readonly stderr: string;
}

function runTool(command: string, args: readonly string[], cwd: string): Promise<Output> {
  return new Promise((done, reject) => {
    const child = spawn(command, args, {
      cwd,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, LC_ALL: "C" },
    });
    const chunks: Buffer[] = [];
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    child.on("error", (error: NodeJS.ErrnoException) =>
      error.code === "ENOENT" ? done({ status: undefined, stdout: Buffer.alloc(0), stderr: "" }) : reject(error),
    );
    child.on("close", (status) => done({ status: status ?? 1, stdout: Buffer.concat(chunks), stderr }));
  });
}

interface AptEntry {
  readonly version: string;
  readonly sha256: string;
}

/** What apt would download: `'URI' name_version_arch.deb size SHA256:sum`. */
async function askApt(dir: string, name: string): Promise<AptEntry | string> {
  const { status, stdout, stderr } = await runTool("apt-get", ["download", "--print-uris", name], dir);
  if (status === undefined) return "apt-get is not installed";
  const match = /'\S+' (\S+)_(\S+)_\w+\.deb \d+ SHA256:([0-9a-f]{64})/.exec(stdout.toString());
  if (!match) return `apt-get does not know it (${stderr.trim().split("\n").at(-1) || "no package lists: run `apt-get update`"})`; // prettier-ignore
  return { version: decodeURIComponent(match[2]!), sha256: match[3]! };
}

/** The whole .deb in `dir`, whose sum is the catalog's or the one apt knows. */
export async function ensureDebian(dir: string, source: PackageSource, report: Report): Promise<DebianPackage> {
  if ((await runTool("dpkg-deb", ["--version"], ".")).status !== 0)
    return { kind: "absent", reason: "dpkg-deb is not installed" };
  mkdirSync(dir, { recursive: true });
  const apt = await askApt(dir, source.name);
  const known: readonly AptEntry[] = typeof apt === "string" ? [source] : [apt, source];
  const find = async (): Promise<DebianPackage | undefined> => {
    for (const file of readdirSync(dir).filter((n) => n.startsWith(`${source.name}_`) && n.endsWith(".deb"))) {
      const path = join(dir, file);
      const sha256 = await sha256OfFile(path);
      const entry = known.find((k) => k.sha256 === sha256);
      if (entry) return { kind: "found", path, version: entry.version, sha256 };
      report.note(`${path}: damaged or of an unknown version (SHA-256 ${sha256}); not used`);
      if (typeof apt !== "string") rmSync(path);
    }
    return undefined;
  };
  const present = await find();
  if (present) return present;
  if (typeof apt === "string") return { kind: "absent", reason: apt };
  report.phase(`download ${source.name} (with apt-get)`, 0);
  const { status, stderr } = await runTool("apt-get", ["download", source.name], dir);
  if (status !== 0) return { kind: "absent", reason: `apt-get download failed (${stderr.trim().split("\n").at(-1)})` };
  return (await find()) ?? { kind: "absent", reason: "apt-get downloaded a file with another checksum than it lists" };
}

/** The files of a .deb whose path is wanted. */
export async function readDebian(path: string, wanted: (name: string) => boolean): Promise<ArchiveFile[]> {
  const { status, stdout, stderr } = await runTool("dpkg-deb", ["--fsys-tarfile", path], ".");
  if (status !== 0) throw new FormatError(`${path}: expected a Debian package, got one dpkg-deb refuses (${stderr.trim()})`, { file: path }); // prettier-ignore
  return [...readTar(stdout, wanted)];
}
