/**
 * Reads package archives file by file: .tgz of npm, and the plain tar that `dpkg-deb` unpacks a Debian package to.
 * Main functions: `readArchive`, `readTar`.
 */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { FormatError } from "../../base/errors.ts";

export interface ArchiveFile {
  /** Path without its first folder (`package/`, `./`). */
  readonly name: string;
  readonly data: Uint8Array;
}

/** The files of a .tgz whose path is wanted, in archive order. */
export function readArchive(path: string, wanted: (name: string) => boolean): Generator<ArchiveFile> {
  try {
    return readTar(gunzipSync(readFileSync(path)), wanted);
  } catch (cause) {
    throw new FormatError(`${path}: expected a gzipped tar (${(cause as Error).message}); delete it to download again`, { file: path, cause }); // prettier-ignore
  }
}

/** ustar, with long names as pax records (npm) or as GNU entries (dpkg). Links are left out. */
export function* readTar(tar: Uint8Array, wanted: (name: string) => boolean): Generator<ArchiveFile> {
  const text = new TextDecoder();
  const upToNul = (bytes: Uint8Array): string => text.decode(bytes).replace(/\0[\s\S]*$/, "");
  let longName: string | undefined;
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0;) {
    const field = (offset: number, length: number): string => upToNul(tar.subarray(at + offset, at + offset + length));
    const size = Number.parseInt(field(124, 12), 8);
    const type = String.fromCharCode(tar[at + 156]!);
    const isUstar = field(257, 6) === "ustar"; // GNU tar writes "ustar  " and no prefix
    const prefix = isUstar ? field(345, 155) : "";
    const data = tar.subarray(at + 512, at + 512 + size);
    const name: string = longName ?? (prefix ? `${prefix}/${field(0, 100)}` : field(0, 100));
    longName = undefined;
    if (type === "x") longName = /\d+ path=(.*)\n/.exec(text.decode(data))?.[1];
    else if (type === "L") longName = upToNul(data);
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
