/**
 * Files that are written whole or not at all: into a temporary file beside the target, synced, then renamed over it, so
 * a full disk, a crash or a Ctrl-C leaves the old file as it was. The only I/O of this layer, because every layer writes.
 * Main functions: `writeWhole`, `replaceFile`.
 */
import { closeSync, fsyncSync, openSync, realpathSync, renameSync, statfsSync, statSync, unlinkSync, writeSync } from "node:fs"; // prettier-ignore
import { dirname } from "node:path";
import { CapacityError, TesseraError } from "./errors.ts";

/** One call moves at most this; Node refuses 2 GiB and more. */
const CHUNK_BYTES = 1 << 28;
const fullDiskCodes: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

/** The whole file from memory. */
export function writeWhole(path: string, data: string | Uint8Array): void {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  replaceFile(path, bytes.length, (fd) => void writeAll(fd, bytes));
}

/** `write` fills the new file; `sizeBytes` is what it takes, for the error when the disk is full. */
export function replaceFile(path: string, sizeBytes: number, write: (fd: number) => void): void {
  const old = statSync(path, { throwIfNoEntry: false });
  // A pipe or a device (/dev/stdout) has no old content to keep and must not be renamed over.
  const isDirect = old !== undefined && !old.isFile();
  const target = old === undefined ? path : realpathSync(path);
  const temporary = isDirect ? target : `${target}.${process.pid}.tmp`;
  let fd: number | undefined;
  try {
    fd = openSync(temporary, "w");
    write(fd);
    if (!isDirect) fsyncSync(fd);
    closeSync(fd);
    fd = undefined;
    if (isDirect) return;
    renameSync(temporary, target);
    syncFolder(dirname(target));
  } catch (error) {
    quietly(() => fd !== undefined && closeSync(fd));
    if (!isDirect) quietly(() => unlinkSync(temporary));
    throw describeWriteError(error, path, sizeBytes);
  }
}

/** Writes all bytes, at `position` or where the file stands; returns the position after them. */
export function writeAll(fd: number, bytes: Uint8Array, position?: number): number {
  let done = 0;
  while (done < bytes.length)
    done += writeSync(fd, bytes, done, Math.min(CHUNK_BYTES, bytes.length - done), position === undefined ? null : position + done); // prettier-ignore
  return (position ?? 0) + done;
}

/** What the system says, as an error that names the file; other errors pass through. */
export function describeWriteError(error: unknown, path: string, sizeBytes: number): unknown {
  const { code, message, syscall } = error as NodeJS.ErrnoException;
  if (syscall === undefined || code === undefined) return error;
  if (!fullDiskCodes.has(code)) return new TesseraError("file", `${path}: cannot be written (${message})`, { cause: error }); // prettier-ignore
  return new CapacityError(`${path}: expected room for ${sizeBytes} bytes, got a full disk (${code}${freeText(path)}); what was there before is untouched`); // prettier-ignore
}

function freeText(path: string): string {
  try {
    const { bavail, bsize } = statfsSync(dirname(path));
    return `, ${bavail * bsize} bytes free`;
  } catch {
    return "";
  }
}

/** Makes the rename itself durable; some file systems do not allow it, which is harmless. */
function syncFolder(path: string): void {
  quietly(() => {
    const fd = openSync(path, "r");
    fsyncSync(fd);
    closeSync(fd);
  });
}

/** For cleaning up, where a second error would hide the first. */
function quietly(work: () => void): void {
  try {
    work();
  } catch {
    // The first error is the one that is told.
  }
}
