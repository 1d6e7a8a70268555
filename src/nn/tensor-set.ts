/**
 * Named tensors behind one interface, whether in one safetensors file or in shards with an index. Nothing is held in
 * memory: a read is a positioned read (pread) of the wanted range into fresh memory. Writing splits at a size.
 * Main functions: `openTensors`, `writeShards`.
 * Source: the hub's sharding convention (model-00001-of-0000N.safetensors, model.safetensors.index.json).
 */
import { existsSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { FormatError } from "../base/errors.ts";
import { writeWhole } from "../base/files.ts";
import { bytesOf, openSafetensors, writeRaw, type RawTensor, type SafetensorsFile, type TensorInfo } from "./safetensors.ts"; // prettier-ignore

export interface TensorSet {
  /** For messages: the file or the folder. */
  readonly path: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** All bytes of a tensor or bytes [begin, end) of it, in fresh memory. */
  readBytes(name: string, begin?: number, end?: number): Uint8Array;
  close(): void;
  [Symbol.dispose](): void;
}

export interface StoredTensor extends Pick<TensorInfo, "name" | "fileDType" | "shape"> {
  /** The name in the file where `name` is another layout's. */
  readonly fileName?: string;
}

const INDEX = ".index.json";
const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

/** A file, a file whose shards and index lie there instead, or a folder with `model.safetensors` in one of these forms. */
export function openTensors(path: string): TensorSet {
  const file = statSync(path, { throwIfNoEntry: false })?.isDirectory() ? join(path, "model.safetensors") : path;
  if (!existsSync(file) && existsSync(file + INDEX)) return openShards(file + INDEX);
  return openSafetensors(file);
}

function openShards(indexPath: string): TensorSet {
  const dir = dirname(indexPath);
  const fail = (message: string, key?: string): never => {
    throw new FormatError(`safetensors: ${indexPath}: ${message}`, { file: indexPath, ...(key !== undefined && { key }) }); // prettier-ignore
  };
  const map = readIndex(indexPath, fail);
  const files = new Map<string, SafetensorsFile>();
  const close = (): void => files.forEach((file) => file.close());
  try {
    const tensors = new Map<string, StoredTensor>();
    const owner = new Map<string, SafetensorsFile>();
    for (const [name, shard] of Object.entries(map)) {
      if (shard !== basename(shard) || !shard.endsWith(".safetensors"))
        fail(`tensor "${name}": expected the name of a .safetensors file in this folder, got "${shard}"`, name);
      const file = files.get(shard) ?? openSafetensors(join(dir, shard));
      files.set(shard, file);
      tensors.set(name, file.tensors.get(name) ?? fail(`tensor "${name}": expected it in ${shard}, found none`, name));
      owner.set(name, file);
    }
    for (const [shard, file] of files)
      for (const name of file.tensors.keys())
        if (owner.get(name) !== file) fail(`tensor "${name}": found in ${shard}, expected ${map[name] ?? "no such tensor"} by the index`, name); // prettier-ignore
    const ownerOf = (name: string): SafetensorsFile => owner.get(name) ?? fail(`expected tensor "${name}", found none`, name); // prettier-ignore
    return {
      path: dir,
      tensors,
      readBytes: (name, begin, end) => ownerOf(name).readBytes(name, begin, end),
      close,
      [Symbol.dispose]: close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

function readIndex(path: string, fail: (message: string) => never): Record<string, string> {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    return fail(`expected JSON (${(cause as Error).message})`);
  }
  const parsed = indexSchema.safeParse(json);
  return parsed.success ? parsed.data.weight_map : fail(`field "weight_map": ${parsed.error.issues[0]!.message}`);
}

export interface ShardOptions {
  /** A shard ends before the tensor that would pass this; one tensor may be larger. */
  readonly maxShardBytes?: number;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Writes `model.safetensors`, or shards and their index when there is more than one shard's worth. Returns the files. */
export function writeShards(dir: string, tensors: readonly RawTensor[], options: ShardOptions = {}): string[] {
  const { maxShardBytes = 5e9, metadata = { format: "pt" } } = options;
  mkdirSync(dir, { recursive: true });
  const shards: RawTensor[][] = [[]];
  let used = 0;
  let total = 0;
  for (const t of tensors) {
    const sizeBytes = bytesOf(t);
    if (used > 0 && used + sizeBytes > maxShardBytes) {
      shards.push([]);
      used = 0;
    }
    shards.at(-1)!.push(t);
    used += sizeBytes;
    total += sizeBytes;
  }
  if (shards.length === 1) {
    writeRaw(join(dir, "model.safetensors"), tensors, { metadata });
    return ["model.safetensors"];
  }
  const names = shardNames(shards.length);
  shards.forEach((shard, i) => writeRaw(join(dir, names[i]!), shard, { metadata }));
  // Last, so that a half-written folder has no index and is not taken for whole.
  writeIndex(dir, new Map(shards.map((shard, i) => [names[i]!, shard.map((t) => t.name)])), total);
  return [...names, INDEX_FILE];
}

export const INDEX_FILE = `model.safetensors${INDEX}`;
const five = (n: number): string => String(n).padStart(5, "0");
/** The hub's names of `count` files that are one checkpoint. */
export const shardNames = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => `model-${five(i + 1)}-of-${five(count)}.safetensors`);

/** Says which of the folder's files has which tensors; `total_size` in bytes. */
export function writeIndex(dir: string, shards: ReadonlyMap<string, readonly string[]>, total_size: number): void {
  const weight_map = Object.fromEntries([...shards].flatMap(([file, names]) => names.map((name) => [name, file])));
  writeWhole(join(dir, INDEX_FILE), `${JSON.stringify({ metadata: { total_size }, weight_map }, null, 2)}\n`);
}
