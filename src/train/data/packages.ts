/**
 * npm packages on disk: each is fetched once from the registry, checked against the sum in catalog.ts whenever it is
 * opened, and fetched again when damaged. A download is a `.part` file until it is whole.
 * Main function: `ensurePackage`.
 */
import { createHash } from "node:crypto";
import { closeSync, createReadStream, existsSync, mkdirSync, openSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { TesseraError } from "../../base/errors.ts";
import { describeWriteError, writeAll } from "../../base/files.ts";
import type { PackageSource } from "./catalog.ts";
import { silent, type Report } from "./report.ts";

export const packageFileName = ({ name, version }: PackageSource): string =>
  `${name.replace(/^@/, "").replaceAll("/", "-")}-${version}.tgz`;

export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** Path of the package's archive in `dir`, whole. */
export async function ensurePackage(dir: string, source: PackageSource, report: Report = silent): Promise<string> {
  const path = join(dir, packageFileName(source));
  if (existsSync(path)) {
    const found = await sha256OfFile(path);
    if (found === source.sha256) return path;
    report.note(`${path}: damaged (expected SHA-256 ${source.sha256}, found ${found}); downloading it again`);
  }
  mkdirSync(dir, { recursive: true });
  const part = `${path}.part`;
  try {
    const found = await download(part, source, report);
    if (found !== source.sha256)
      throw new TesseraError("download", `${source.name} ${source.version}: expected SHA-256 ${source.sha256}, got ${found}; the registry serves another file`); // prettier-ignore
    renameSync(part, path);
  } finally {
    rmSync(part, { force: true });
  }
  return path;
}

/** Streams the archive into `part`; returns its SHA-256. */
async function download(part: string, source: PackageSource, report: Report): Promise<string> {
  const { name, version } = source;
  const registry = (process.env["npm_config_registry"] ?? "https://registry.npmjs.org").replace(/\/?$/, "/");
  const meta = await request(new URL(`${name}/${version}`, registry), source, part);
  const { dist } = (await meta.json()) as { dist: { tarball: string } };
  const response = await request(new URL(dist.tarball), source, part);
  const total = Number(response.headers.get("content-length") ?? 0);
  const megabytes = (bytes: number): number => Math.round(bytes / 1e6);
  report.phase(`download ${name} (MB)`, megabytes(total));
  const hash = createHash("sha256");
  const fd = openSync(part, "w");
  let at = 0;
  try {
    for await (const chunk of response.body!) {
      hash.update(chunk);
      writeAll(fd, chunk);
      at += chunk.length;
      report.progress(megabytes(at));
    }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).syscall === "write") throw describeWriteError(cause, part, total);
    throw new TesseraError("download", `${name} ${version}: expected ${total} bytes, got ${at} before the connection broke; run the same command again`, { cause }); // prettier-ignore
  } finally {
    closeSync(fd);
  }
  return hash.digest("hex");
}

async function request(url: URL, { name, version }: PackageSource, part: string): Promise<Response> {
  let reason: string;
  let cause: unknown;
  try {
    const response = await fetch(url);
    if (response.ok) return response;
    reason = `HTTP ${response.status}`;
  } catch (error) {
    cause = error;
    const inner = (error as Error).cause as NodeJS.ErrnoException | undefined;
    reason = inner?.code ?? (error as Error).message;
  }
  const path = part.replace(/\.part$/, "");
  throw new TesseraError("download", `${name} ${version}: expected it from ${url.origin}, got ${reason} (without a network: run \`npm pack ${name}@${version}\` where there is one and put the file to ${path}; DATA.md lists all packages)`, { cause }); // prettier-ignore
}
