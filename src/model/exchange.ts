/**
 * Checkpoints in and out: a folder or file in the official layout, in transformers' or as GGUF is opened under the official
 * names, checked against its config, and written in any of the three. Codes and scales pass as bytes, so a round trip keeps
 * every bit. What another layout has no place for (MTP stages, visual tables) goes into a file of its own beside it.
 * Main functions: `openCheckpoint`, `exportCheckpoint`, `importCheckpoint`.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { FormatError, RequestError } from "../base/errors.ts";
import { writeWhole } from "../base/files.ts";
import { openGguf, writeGguf } from "../nn/gguf.ts";
import { bytesOf, type RawTensor } from "../nn/safetensors.ts";
import { openTensors, writeShards, type StoredTensor, type TensorSet } from "../nn/tensor-set.ts";
import { assembled, takenApart } from "./assembly.ts";
import type { V4Config } from "./config.ts";
import { ggufTokenizer } from "./gguf-tokenizer.ts";
import { configFromGguf, ggufPlacement, toGgufMetadata, toMxfp4, unpackedMxfp4 } from "./gguf-layout.ts";
import { FP8_BLOCK, parseStored, scaleName, weightsOf, type Drafter, type Weight } from "./storage.ts";
import { encoded, fitsBf16, formOf, notFinite, problemOf, type Form, type Problem } from "./stored.ts";
import { expertStackShape, fromTransformersConfig, toTransformersConfig, transformersPlacement } from "./transformers-layout.ts"; // prettier-ignore
import { readmeOf } from "./exchange-readme.ts";

export const layouts = ["official", "transformers", "gguf"] as const;
export type Layout = (typeof layouts)[number];
export type Json = Readonly<Record<string, unknown>>;

/** A checkpoint under the official names. */
export interface Checkpoint {
  readonly path: string;
  readonly layout: Layout;
  /** config.json with the hub's fields. */
  readonly json: Json;
  readonly config: V4Config;
  readonly drafter: Drafter;
  readonly set: TensorSet;
  [Symbol.dispose](): void;
}

/** Beside the other layouts' files: what they have no place for, under the official names. */
const EXTRA = "tessera-extra.safetensors";
/** Files of a model folder that pass through as they are. */
const COMPANIONS = ["tokenizer.json", "visual.safetensors"] as const;

export function openCheckpoint(path: string): Checkpoint {
  const gguf = ggufOf(path);
  return gguf === undefined ? openFolder(path) : openGgufCheckpoint(gguf);
}

/** The GGUF that a path is or holds. */
export function ggufOf(path: string): string | undefined {
  if (path.endsWith(".gguf")) return path;
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return undefined;
  return readdirSync(path).filter((name) => name.endsWith(".gguf")).map((name) => join(path, name))[0]; // prettier-ignore
}

function openFolder(path: string): Checkpoint {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const file = isFolder ? join(path, "config.json") : path.replace(/\.safetensors$/, ".json");
  const json = fromTransformersConfig(readJson(file), file);
  const set = openTensors(path);
  const layout = [...set.tensors.keys()].some((name) => name.startsWith("model.") || name === "lm_head.weight") ? "transformers" : "official"; // prettier-ignore
  return closingOnError(set, () => {
    const { config, storage } = parseStored(json, file);
    if (layout === "official") return checkpoint(path, layout, json, config, storage.drafter, set);
    const official = officialNames(config, storage.drafter);
    return withoutAbsentDrafter(path, layout, json, file, withExtra(takenApart(set, official, transformersPlacement(config)), path)); // prettier-ignore
  });
}

function openGgufCheckpoint(path: string): Checkpoint {
  const file = openGguf(path);
  return closingOnError(file, () => {
    const json = configFromGguf(file);
    const { config, storage } = parseStored(json, path);
    const set = takenApart(unpackedMxfp4(file), officialNames(config, storage.drafter), ggufPlacement(config));
    return withoutAbsentDrafter(path, "gguf", json, path, withExtra(set, dirname(path)));
  });
}

function closingOnError<T>(set: TensorSet, work: () => T): T {
  try {
    return work();
  } catch (error) {
    set.close();
    throw error;
  }
}

const checkpoint = (path: string, layout: Layout, json: Json, config: V4Config, drafter: Drafter, set: TensorSet): Checkpoint => ({ path, layout, json, config, drafter, set, [Symbol.dispose]: () => set.close() }); // prettier-ignore

/** Names of all tensors that may hold the network: each weight's, and its scale's. */
const officialNames = (config: V4Config, drafter: Drafter): string[] => weightsOf(config, drafter).flatMap(({ name, role }) => (role === "linear" || role === "expert" ? [name, scaleName(name)] : [name])); // prettier-ignore

/** transformers and llama.cpp leave drafters out: then the config says so too. */
function withoutAbsentDrafter(path: string, layout: Layout, json: Json, file: string, set: TensorSet): Checkpoint {
  const { config, storage } = parseStored(json, file);
  if ([...set.tensors.keys()].some((name) => name.startsWith("mtp."))) return checkpoint(path, layout, json, config, storage.drafter, set); // prettier-ignore
  const { compress_ratios, num_hidden_layers } = config;
  const kept = Object.fromEntries(Object.entries(json).filter(([key]) => !key.startsWith("dspark_")));
  const without = { ...kept, num_nextn_predict_layers: 0, compress_ratios: compress_ratios.slice(0, num_hidden_layers) }; // prettier-ignore
  return checkpoint(path, layout, without, parseStored(without, file).config, { kind: "none" }, set);
}

function withExtra(set: TensorSet, dir: string): TensorSet {
  const path = join(dir, EXTRA);
  if (!existsSync(path)) return set;
  const extra = openTensors(path);
  const tensors = new Map<string, StoredTensor>([...set.tensors, ...extra.tensors]);
  const close = (): void => {
    set.close();
    extra.close();
  };
  return {
    path: set.path,
    tensors,
    readBytes: (name, begin, end) => (extra.tensors.has(name) ? extra : set).readBytes(name, begin, end),
    close,
    [Symbol.dispose]: close,
  };
}

function readJson(file: string): Json {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new FormatError(`config: ${file}: expected a readable JSON file (${(cause as Error).message})`, { file, cause }); // prettier-ignore
  }
  if (typeof json === "object" && json !== null && !Array.isArray(json)) return json as Json;
  throw new FormatError(`config: ${file}: expected a JSON object`, { file });
}

/** Every weight that the tensors do not hold as the config says. */
export const problemsOf = ({ set, config, drafter }: Checkpoint): Problem[] => weightsOf(config, drafter).flatMap((w) => problemOf(set, { ...w, isIds: w.role === "ids" }) ?? []); // prettier-ignore

/** Tensors that no weight asks for. */
export function strangersOf({ set, config, drafter }: Checkpoint): string[] {
  const known = new Set(officialNames(config, drafter));
  return [...set.tensors.keys()].filter((name) => !known.has(name));
}

function checked(source: Checkpoint): readonly Weight[] {
  const fail = (key: string, message: string): never => {
    throw new FormatError(`${source.path}: tensor "${key}": ${message}`, { file: source.path, key });
  };
  const [problem] = problemsOf(source);
  if (problem) fail(problem.key, `expected ${problem.expected}, found ${problem.found}`);
  const [stranger] = strangersOf(source);
  if (stranger !== undefined) fail(stranger, "expected no such tensor for this config");
  return weightsOf(source.config, source.drafter);
}

/** Refuses what is not a number, wherever bytes pass. */
function finite(t: RawTensor, path: string): RawTensor {
  const chunks = function* (): Iterable<Uint8Array> {
    let done = 0;
    for (const bytes of t.chunks()) {
      const at = notFinite(t.fileDType, bytes);
      if (at !== undefined) throw new FormatError(`${path}: tensor "${t.name}": expected finite numbers, found one that is not at element ${at + (done * t.shape.reduce((p, n) => p * n, 1)) / bytesOf(t)}`, { file: path, key: t.name }); // prettier-ignore
      done += bytes.length;
      yield bytes;
    }
  };
  return { ...t, chunks };
}

export const exportDTypes = ["keep", "f32", "bf16", "fp8", "fp4"] as const;
/** `fp8` and `fp4` are the released mixes: e4m3 matrices, and experts in e4m3 or e2m1. */
export type ExportDType = (typeof exportDTypes)[number];

function formFor(role: Weight["role"], from: Form, dtype: ExportDType): Form {
  if (role === "ids") return "ids";
  if (role === "wide") return "f32";
  if (dtype === "keep") return from;
  if (dtype === "f32" || dtype === "bf16") return dtype;
  if (role === "half") return "bf16";
  return role === "expert" ? dtype : "fp8";
}

export interface ExportOptions {
  readonly layout: Layout;
  /** Of the matrices; `keep` changes nothing. */
  readonly dtype?: ExportDType;
  readonly maxShardBytes?: number;
}

export interface Exported {
  readonly files: readonly string[];
  readonly numTensors: number;
  readonly sizeBytes: number;
  /** What the layout has no place for and went into a file of its own. */
  readonly left: readonly string[];
}

/** A model folder (or any checkpoint) into a new folder in the wanted layout. */
export function exportCheckpoint(source: Checkpoint, out: string, options: ExportOptions): Exported {
  const { layout, dtype = "keep", maxShardBytes } = options;
  const { set, config } = source;
  const tensors = checked(source).map((w) => encoded(set, w, formFor(w.role, formOf(set, w.name), dtype)).map((t) => finite(t, source.path))); // prettier-ignore
  const json = { ...plainConfig(source.json), ...storageFields(tensors.flat()) };
  return intoNewFolder(out, (dir) => {
    const write = { official: writeOfficial, transformers: writeTransformers, gguf: writeGgufFolder }[layout];
    const { left, files, numTensors, sizeBytes } = write(dir, tensors, json, source, maxShardBytes);
    if (left.length > 0) writeShardsAs(dir, EXTRA, left);
    for (const file of companionsOf(source)) if (existsSync(file.from)) copyFileSync(file.from, join(dir, file.name));
    writeWhole(join(dir, "README.md"), readmeOf({ layout, json: source.json, left: left.map((t) => t.name), config }));
    return { files, numTensors, sizeBytes, left: left.map((t) => t.name) };
  });
}

type Write = (dir: string, tensors: readonly RawTensor[][], json: Json, source: Checkpoint, maxShardBytes: number | undefined) => { readonly left: readonly RawTensor[]; readonly files: readonly string[]; readonly numTensors: number; readonly sizeBytes: number }; // prettier-ignore

const total = (tensors: readonly RawTensor[]): number => tensors.reduce((sum, t) => sum + bytesOf(t), 0);

function writeShardsAs(dir: string, file: string, tensors: readonly RawTensor[], maxShardBytes?: number): string[] {
  if (file === "model.safetensors") return writeShards(dir, tensors, { ...(maxShardBytes !== undefined && { maxShardBytes }) }); // prettier-ignore
  const staging = join(dir, "staging");
  writeShards(staging, tensors, { maxShardBytes: Number.POSITIVE_INFINITY });
  renameSync(join(staging, "model.safetensors"), join(dir, file));
  rmSync(staging, { recursive: true });
  return [file];
}

const writeOfficial: Write = (dir, tensors, json, _source, maxShardBytes) => {
  const all = tensors.flat();
  writeWhole(join(dir, "config.json"), `${JSON.stringify(json, null, 1)}\n`);
  const files = writeShardsAs(dir, "model.safetensors", all, maxShardBytes);
  return { left: [], files, numTensors: all.length, sizeBytes: total(all) };
};

const writeTransformers: Write = (dir, tensors, json, { config, path }, maxShardBytes) => {
  const all = tensors.flat();
  if (config.moe_intermediate_size % FP8_BLOCK !== 0 && all.some((t) => t.fileDType === "F8_E4M3" && t.name.includes(".experts."))) // prettier-ignore
    throw new FormatError(`${path}: export: expected moe_intermediate_size in steps of ${FP8_BLOCK} for stacked fp8 experts, got ${config.moe_intermediate_size}`, { file: path, key: "moe_intermediate_size" }); // prettier-ignore
  const { placed, left } = assembled(all, transformersPlacement(config), expertStackShape(config));
  writeWhole(join(dir, "config.json"), withFloats(JSON.stringify(toTransformersConfig(json, config, path), null, 1)));
  const files = writeShardsAs(dir, "model.safetensors", placed, maxShardBytes);
  return { left, files, numTensors: placed.length, sizeBytes: total(placed) };
};

/** Fields that transformers wants as floats; JSON.stringify writes 10 for 10.0. */
const withFloats = (text: string): string => `${text.replace(/"(swiglu_limit|routed_scaling_factor|hc_eps|rms_norm_eps|partial_rotary_factor|attention_factor|factor)": (-?\d+)(?=[,\s])/g, '"$1": $2.0')}\n`; // prettier-ignore

const writeGgufFolder: Write = (dir, tensors, json, source) => {
  const { config, set } = source;
  const all = tensors.map((parts) => forGguf(parts, set)).flat();
  const { placed, left } = assembled(all, ggufPlacement(config), expertStackShape(config));
  const tokenizer = tokenizerFileOf(source);
  const name = String((source.json["tessera"] as { id?: unknown } | undefined)?.id ?? "model");
  const vocabulary = ggufTokenizer(existsSync(tokenizer) ? readJson(tokenizer) : undefined, source.json, config, tokenizer); // prettier-ignore
  writeGguf(join(dir, `${name}.gguf`), toGgufMetadata(config, json, name, vocabulary), placed);
  return { left, files: [`${name}.gguf`], numTensors: placed.length, sizeBytes: statSync(join(dir, `${name}.gguf`)).size }; // prettier-ignore
};

/** What GGUF holds of a weight: e2m1 as MXFP4, e4m3 (which it lacks) as the bf16 of equal value, vectors as F32, ids as I32. */
function forGguf(parts: readonly RawTensor[], set: TensorSet): RawTensor[] {
  const [first, scale] = parts as [RawTensor, RawTensor | undefined];
  const { name, shape, fileDType } = first;
  if (name.startsWith("mtp.") || name.startsWith("embed_visual.")) return [...parts];
  if (fileDType === "I8") return [toMxfp4(first, scale!)];
  if (fileDType === "I64") return [{ ...first, fileDType: "I32", chunks: () => narrowed(first.chunks()) }];
  if (fileDType === "F8_E4M3") {
    if (formOf(set, name) !== "fp8") throw new RequestError(`export: expected --dtype keep, bf16, f32 or fp4 experts for gguf, got fp8 ("${name}")`, "dtype"); // prettier-ignore
    return encoded(set, { name, shape }, "bf16");
  }
  return shape.length === 1 && fileDType === "BF16" ? encoded(set, { name, shape }, "f32") : [first];
}

function* narrowed(chunks: Iterable<Uint8Array>): Iterable<Uint8Array> {
  for (const b of chunks) yield new Uint8Array(Int32Array.from(new BigInt64Array(b.buffer as ArrayBuffer, b.byteOffset, b.byteLength / 8), Number).buffer); // prettier-ignore
}

const folderOf = ({ path }: Checkpoint): string => (statSync(path).isDirectory() ? path : dirname(path));
const tokenizerFileOf = (source: Checkpoint): string => join(folderOf(source), COMPANIONS[0]);
const companionsOf = (source: Checkpoint): { name: string; from: string }[] => COMPANIONS.map((name) => ({ name, from: join(folderOf(source), name) })); // prettier-ignore

/** Without the fields that say how weights are stored; `storageFields` says it anew. */
function plainConfig(json: Json): Json {
  const { expert_dtype: _e, quantization_config: _q, torch_dtype: _t, dtype: _d, ...rest } = json;
  return rest;
}

function storageFields(tensors: readonly RawTensor[]): Json {
  const has = (fileDType: string): boolean => tensors.some((t) => t.fileDType === fileDType);
  const experts = has("I8") ? "fp4" : tensors.some((t) => t.fileDType === "F8_E4M3" && t.name.includes(".ffn.experts.")) ? "fp8" : undefined; // prettier-ignore
  const isWide = tensors.some((t) => t.name === "embed.weight" && t.fileDType === "F32");
  return {
    torch_dtype: isWide ? "float32" : "bfloat16",
    ...(experts && { expert_dtype: experts }),
    ...(has("F8_E4M3") && {
      quantization_config: { quant_method: "fp8", fmt: "e4m3", scale_fmt: "ue8m0", activation_scheme: "dynamic", weight_block_size: [FP8_BLOCK, FP8_BLOCK] }, // prettier-ignore
    }),
  };
}

export interface Imported {
  readonly files: readonly string[];
  readonly numTensors: number;
  readonly sizeBytes: number;
}

/** Any checkpoint into a new model folder: official names, codes and scales as they are, integers as i32. */
export function importCheckpoint(
  source: Checkpoint,
  out: string,
  options: { readonly maxShardBytes?: number } = {},
): Imported {
  // prettier-ignore
  const tensors = checked(source).flatMap((w) => imported(source, w)).map((t) => finite(t, source.path)); // prettier-ignore
  return intoNewFolder(out, (dir) => {
    writeWhole(join(dir, "config.json"), `${JSON.stringify(source.json, null, 1)}\n`);
    const files = writeShardsAs(dir, "model.safetensors", tensors, options.maxShardBytes);
    for (const { name, from } of companionsOf(source)) if (existsSync(from)) copyFileSync(from, join(dir, name));
    return { files, numTensors: tensors.length, sizeBytes: total(tensors) };
  });
}

function imported({ set, layout }: Checkpoint, w: Weight): RawTensor[] {
  if (w.role === "ids") return encoded(set, w, "ids").map((t) => ({ ...t, fileDType: "I32", chunks: () => narrowed(t.chunks()) })); // prettier-ignore
  const from = formOf(set, w.name);
  // GGUF widens vectors; they come back as the bf16 that they were.
  const form = layout === "gguf" && from === "f32" && w.role !== "wide" && fitsBf16(set, w) ? "bf16" : from;
  return encoded(set, w, form);
}

/** Everything is written beside the folder and moved in at the end; a folder with files in it is refused. */
function intoNewFolder<T>(out: string, write: (dir: string) => T): T {
  const dir = resolve(out);
  if (existsSync(dir) && readdirSync(dir).length > 0) throw new RequestError(`--out: expected a new or empty folder, got ${dir}`, "out"); // prettier-ignore
  const staging = `${dir}.${process.pid}.tmp`;
  mkdirSync(staging, { recursive: true });
  try {
    const result = write(staging);
    if (existsSync(dir)) rmSync(dir, { recursive: true });
    renameSync(staging, dir);
    return result;
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}
