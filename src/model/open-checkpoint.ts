/**
 * A checkpoint opened under the official names, whatever its layout: a folder or file in the official or in transformers'
 * layout, or a GGUF. Only headers are read. Main functions: `openCheckpoint`, `problemsOf`, `strangersOf`.
 */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { FormatError } from "../base/errors.ts";
import { openGguf } from "../nn/gguf.ts";
import { openTensors, type StoredTensor, type TensorSet } from "../nn/tensor-set.ts";
import { takenApart } from "./assembly.ts";
import type { V4Config } from "./config.ts";
import { narrowedIndex } from "./gguf-index.ts";
import { configFromGguf, ggufPlacement, storedIndexDim, unpackedMxfp4 } from "./gguf-layout.ts";
import { parseStored, weightsOf, type Drafter } from "./storage.ts";
import { partNames, problemOf, type Problem } from "./stored.ts";
import { fromTransformersConfig, transformersPlacement } from "./transformers-layout.ts";

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
export const EXTRA = "tessera-extra.safetensors";
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
    const narrow = narrowedIndex(set, config.index_head_dim, storedIndexDim(file));
    return withoutAbsentDrafter(path, "gguf", json, path, withExtra(narrow, dirname(path)));
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
const officialNames = (config: V4Config, drafter: Drafter): string[] => weightsOf(config, drafter).flatMap(({ name, role }) => (role === "linear" || role === "expert" ? partNames(name) : [name])); // prettier-ignore

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

export function readJson(file: string): Json {
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
