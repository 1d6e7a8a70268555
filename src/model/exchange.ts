/**
 * Checkpoints in and out: one that is open under the official names (open-checkpoint.ts) is checked against its config and
 * written in any of three layouts. Codes and scales pass as bytes, so a round trip keeps every bit. What another layout has
 * no place for (MTP stages, visual tables) goes into a file of its own beside it.
 * Main functions: `exportCheckpoint`, `importCheckpoint`.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { FormatError, RequestError } from "../base/errors.ts";
import { writeWhole } from "../base/files.ts";
import { writeGguf } from "../nn/gguf-writer.ts";
import { bytesOf, type RawTensor } from "../nn/safetensors.ts";
import { writeShards, type TensorSet } from "../nn/tensor-set.ts";
import { assembled } from "./assembly.ts";
import { readmeOf } from "./exchange-readme.ts";
import { ggufIndexDim, widenedIndex } from "./gguf-index.ts";
import { ggufPlacement, toGgufMetadata, toMxfp4 } from "./gguf-layout.ts";
import { ggufTokenizer } from "./gguf-tokenizer.ts";
import { EXTRA, problemsOf, readJson, strangersOf, type Checkpoint, type Json, type Layout } from "./open-checkpoint.ts"; // prettier-ignore
import { intConfig, intMixes, type IntMix } from "./int-format.ts";
import { FP8_BLOCK, weightsOf, type Weight } from "./storage.ts";
import { encoded, fitsBf16, formOf, notFinite, type Form } from "./stored.ts";
import { expertStackShape, toTransformersConfig, transformersPlacement } from "./transformers-layout.ts";

/** Files of a model folder that pass through as they are. */
const COMPANIONS = ["tokenizer.json", "visual.safetensors"] as const;

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

export const exportDTypes = ["keep", "f32", "bf16", "fp8", "fp4", "w8a8", "w4a8"] as const;
/** `fp8` and `fp4` are the released mixes: e4m3 matrices, and experts in e4m3 or e2m1; the last two are of int-format.ts. */
export type ExportDType = (typeof exportDTypes)[number];

const isMix = (dtype: ExportDType): dtype is IntMix => Object.hasOwn(intMixes, dtype);

function formFor({ role }: Weight, from: Form, dtype: ExportDType): Form {
  if (role === "ids") return "ids";
  if (role === "wide") return "f32";
  if (dtype === "keep") return from;
  if (dtype === "f32" || dtype === "bf16") return dtype;
  if (role === "half") return "bf16";
  if (isMix(dtype)) return intMixes[dtype][role];
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
  /** What the layout made of the model, if anything. */
  readonly note?: string | undefined;
}

/** A model folder (or any checkpoint) into a new folder in the wanted layout. */
export function exportCheckpoint(source: Checkpoint, out: string, options: ExportOptions): Exported {
  const { layout, dtype = "keep", maxShardBytes } = options;
  const { set, config } = source;
  const tensors = checked(source).map((w) => encoded(set, w, formFor(w, formOf(set, w.name), dtype)).map((t) => finite(t, source.path))); // prettier-ignore
  const isInt = tensors.flat().some((t) => t.name.endsWith(".weight_scale"));
  if (isInt && layout !== "official") throw new RequestError(`export: expected the official layout for integer weights, got ${layout} (--dtype bf16 widens them)`, "layout"); // prettier-ignore
  const json = { ...plainConfig(source.json), ...storageFields(tensors.flat()), ...(isInt && { quantization_config: isMix(dtype) ? intConfig(dtype) : source.json["quantization_config"] }) }; // prettier-ignore
  return intoNewFolder(out, (dir) => {
    const write = { official: writeOfficial, transformers: writeTransformers, gguf: writeGgufFolder }[layout];
    const { left, files, numTensors, sizeBytes, note } = write(dir, tensors, json, source, maxShardBytes);
    if (left.length > 0) writeShardsAs(dir, EXTRA, left);
    for (const file of companionsOf(source)) if (existsSync(file.from)) copyFileSync(file.from, join(dir, file.name));
    writeWhole(
      join(dir, "README.md"),
      readmeOf({ layout, json: source.json, left: left.map((t) => t.name), config, note }),
    );
    return { files, numTensors, sizeBytes, left: left.map((t) => t.name), ...(note !== undefined && { note }) };
  });
}

type Write = (dir: string, tensors: readonly RawTensor[][], json: Json, source: Checkpoint, maxShardBytes: number | undefined) => { readonly left: readonly RawTensor[]; readonly files: readonly string[]; readonly numTensors: number; readonly sizeBytes: number; readonly note?: string | undefined }; // prettier-ignore

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
  const width = config.index_head_dim;
  const all = tensors.flatMap((parts) => forGguf(parts, set)).map((t) => widenedIndex(t, width));
  const { placed, left } = assembled(all, ggufPlacement(config), expertStackShape(config));
  const tokenizer = tokenizerFileOf(source);
  const name = String((source.json["tessera"] as { id?: unknown } | undefined)?.id ?? "model");
  const vocabulary = ggufTokenizer(existsSync(tokenizer) ? readJson(tokenizer) : undefined, source.json, config, tokenizer); // prettier-ignore
  writeGguf(join(dir, `${name}.gguf`), toGgufMetadata(config, json, name, vocabulary), placed);
  const note = ggufIndexDim(width) === width ? undefined : `index heads of ${width} stand as ${ggufIndexDim(width)} for llama.cpp, with zeros; scores are the same, and import takes it back`; // prettier-ignore
  return { left, note, files: [`${name}.gguf`], numTensors: placed.length, sizeBytes: statSync(join(dir, `${name}.gguf`)).size }; // prettier-ignore
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
  const experts = has("I8") && has("F8_E8M0") ? "fp4" : tensors.some((t) => t.fileDType === "F8_E4M3" && t.name.includes(".ffn.experts.")) ? "fp8" : undefined; // prettier-ignore
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
