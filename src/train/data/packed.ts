/**
 * Packed parts of the training set: NAME.bin holds items of one size, NAME.json an entry per item. The .bin grows as a
 * `.part` file and is renamed when whole, the .json comes last, so a stopped build leaves nothing that looks finished.
 * Main class: `PackedWriter`.
 */
import { closeSync, openSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describeWriteError, writeAll, writeWhole } from "../../base/files.ts";

export class PackedWriter<Entry> {
  readonly entries: Entry[] = [];
  private readonly path: string;
  private fd: number | undefined;
  private numBytes = 0;

  constructor(dir: string, name: string) {
    this.path = join(dir, name);
    this.fd = openSync(this.partPath, "w");
  }

  private get partPath(): string {
    return `${this.path}.bin.part`;
  }

  add(entry: Entry, item: Uint8Array): void {
    this.numBytes += item.length;
    try {
      writeAll(this.fd!, item);
    } catch (error) {
      throw describeWriteError(error, `${this.path}.bin`, this.numBytes);
    }
    this.entries.push(entry);
  }

  /** Makes both files visible. */
  finish(): void {
    this.close();
    rmSync(`${this.path}.json`, { force: true });
    renameSync(this.partPath, `${this.path}.bin`);
    writeWhole(`${this.path}.json`, JSON.stringify(this.entries));
  }

  /** Without `finish`, what was written goes. */
  [Symbol.dispose](): void {
    if (this.fd === undefined) return;
    this.close();
    rmSync(this.partPath, { force: true });
  }

  private close(): void {
    if (this.fd !== undefined) closeSync(this.fd);
    this.fd = undefined;
  }
}
