/**
 * Training checkpoints: one safetensors file per save with the parameters, the optimizer's state, the step
 * and whatever JSON the loop needs to go on (RNG, data cursor, config). A save is atomic and carries a
 * SHA-256 of its data and header, so a kill at any moment leaves the previous files whole; a damaged newest
 * file is passed over with a message. Resuming gives the same bits as never having stopped.
 * Main functions: `saveCheckpoint`, `loadCheckpoint`.
 */
import { createHash } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readSync, rmSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../base/errors.ts";
import type { HostTensor, Module, StateDict } from "./module.ts";
import type { Optimizer } from "./optim.ts";
import { openSafetensors, writeSafetensors, type SafetensorsFile } from "./safetensors.ts";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface Trained {
  readonly model: Module;
  readonly optimizer?: Optimizer;
}

export interface Resumed {
  readonly step: number;
  readonly extra: Json;
  readonly path: string;
}

const FORMAT = "tessera-checkpoint-1";
const PLACEHOLDER = "0".repeat(64);
const pattern = /^checkpoint-(\d{10})\.safetensors$/;

/** Saves `<dir>/checkpoint-<step>.safetensors` and removes all but the newest `keep` files. Returns the path. */
export function saveCheckpoint(
  dir: string,
  trained: Trained,
  state: { readonly step: number; readonly extra?: Json },
  options: { readonly keep?: number } = {},
): string {
  mkdirSync(dir, { recursive: true });
  const path = join(dir, `checkpoint-${String(state.step).padStart(10, "0")}.safetensors`);
  const sources = [
    ...prefixed("model", trained.model.stateDict()),
    ...prefixed("optimizer", trained.optimizer?.stateDict() ?? new Map()),
  ];
  const hash = createHash("sha256");
  const metadata = {
    format: FORMAT,
    step: String(state.step),
    extra: JSON.stringify(state.extra ?? null),
    sha256: PLACEHOLDER,
  };
  writeSafetensors(
    path,
    sources.map(([name, t]) => ({ name, ...t })),
    {
      metadata,
      seal: {
        key: "sha256",
        update: (bytes) => hash.update(bytes),
        digest: (header) => hash.update(header).digest("hex"),
      },
    },
  );
  for (const old of list(dir).slice(options.keep ?? 2)) rmSync(join(dir, old));
  return path;
}

/** Fills `trained` from the newest whole checkpoint of `dir`; undefined when there is none. A file of another shape is an error. */
export function loadCheckpoint(
  dir: string,
  trained: Trained,
  options: { readonly onMessage?: (message: string) => void } = {},
): Resumed | undefined {
  const { onMessage = (message) => void process.stderr.write(`${message}\n`) } = options;
  for (const name of list(dir)) {
    const path = join(dir, name);
    let file: SafetensorsFile;
    try {
      file = openSafetensors(path);
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
      onMessage(`checkpoint ${path} is damaged (${error.message}); trying the one before`);
      continue;
    }
    using open = file;
    if (checksum(open) !== open.metadata["sha256"]) {
      onMessage(`checkpoint ${path} is damaged (checksum does not match); trying the one before`);
      continue;
    }
    if (open.metadata["format"] !== FORMAT)
      throw new FormatError(
        `checkpoint: ${path}: expected format ${FORMAT}, found ${open.metadata["format"] ?? "none"}`,
        { file: path, key: "format" },
      );
    trained.model.loadStateDict(part(open, "model"));
    trained.optimizer?.loadStateDict(part(open, "optimizer"));
    return { step: Number(open.metadata["step"]), extra: JSON.parse(open.metadata["extra"] ?? "null") as Json, path };
  }
  return undefined;
}

/** Newest first. */
const list = (dir: string): string[] =>
  existsSync(dir)
    ? readdirSync(dir)
        .filter((name) => pattern.test(name))
        .sort()
        .reverse()
    : [];

const prefixed = (prefix: string, state: StateDict): [string, HostTensor][] =>
  [...state].map(([name, t]) => [`${prefix}.${name}`, t]);

/** The tensors whose name starts with `prefix`, without it, read on demand. */
function part(file: SafetensorsFile, prefix: string): Map<string, HostTensor> {
  const out = new Map<string, HostTensor>();
  for (const [name, info] of file.tensors)
    if (name.startsWith(`${prefix}.`))
      out.set(name.slice(prefix.length + 1), {
        dtype: file.dtype(name),
        shape: info.shape,
        data: () => file.read(name),
      });
  return out;
}

/** SHA-256 of the data, then of the header with its own checksum blanked. */
function checksum(file: SafetensorsFile): string {
  const hash = createHash("sha256");
  const fd = openSync(file.path, "r");
  try {
    const chunk = new Uint8Array(1 << 24);
    for (let at = file.dataOffset, n; (n = readSync(fd, chunk, 0, chunk.length, at)) > 0; at += n)
      hash.update(chunk.subarray(0, n));
    const header = new Uint8Array(file.dataOffset - 8);
    readSync(fd, header, 0, header.length, 8);
    const text = new TextDecoder().decode(header);
    hash.update(text.replace(`"sha256":"${file.metadata["sha256"] ?? ""}"`, `"sha256":"${PLACEHOLDER}"`));
    return hash.digest("hex");
  } finally {
    closeSync(fd);
  }
}

/** A weights file (as exported or shipped) as a state dict; keep the file open while it is used. */
export function stateOf(file: SafetensorsFile): Map<string, HostTensor> {
  const entries = [...file.tensors].map(([name, info]): [string, HostTensor] => [
    name,
    { dtype: file.dtype(name), shape: info.shape, data: () => file.read(name) },
  ]);
  return new Map(entries);
}

/** Writes a module's parameters alone, to ship or to export. */
export function saveWeights(path: string, model: Module, metadata: Readonly<Record<string, string>> = {}): void {
  writeSafetensors(
    path,
    [...model.stateDict()].map(([name, t]) => ({ name, ...t })),
    { metadata },
  );
}

/** Fills a module from a weights file; errors name the file, the tensor, and what was expected and found. */
export function loadWeights(path: string, model: Module, options: { readonly allowRounding?: boolean } = {}): void {
  using file = openSafetensors(path);
  try {
    model.loadStateDict(stateOf(file), options);
  } catch (cause) {
    throw new FormatError(`${path}: ${(cause as Error).message}`, { file: path, cause });
  }
}
