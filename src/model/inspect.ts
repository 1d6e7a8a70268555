/**
 * What a checkpoint holds, held against its config: counts and bytes by dtype, and every tensor that is missing, extra,
 * misnamed, of another shape or dtype. Reads headers only. Main functions: `inspectPath`, `planOf`.
 */
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { ggufBytes, openGguf } from "../nn/gguf.ts";
import { bytesOf } from "../nn/safetensors.ts";
import { openTensors, type StoredTensor } from "../nn/tensor-set.ts";
import { ggufOf, openCheckpoint, problemsOf, strangersOf, type Checkpoint, type Layout } from "./open-checkpoint.ts";
import { released, type ReleasedName } from "./released.ts";
import { inventoryOf, parseStored, weightsOf, type TensorSpec } from "./storage.ts";
import { formOf, problemOf } from "./stored.ts";

export interface Totals {
  readonly numTensors: number;
  readonly sizeBytes: number;
  readonly dtypes: Readonly<Record<string, { readonly numTensors: number; readonly sizeBytes: number }>>;
}

export interface Plan extends Totals {
  readonly name: ReleasedName;
  readonly tensors: readonly TensorSpec[];
}

/** The official inventory of a released model, from its config alone. */
export function planOf(name: ReleasedName): Plan {
  const { config, storage } = parseStored(released[name], name);
  const tensors = inventoryOf(config, storage);
  return { name, ...totalsOf(tensors, bytesOf), tensors };
}

function totalsOf(tensors: Iterable<TensorSpec>, sizeOf: (t: TensorSpec) => number): Totals {
  const dtypes: Record<string, { numTensors: number; sizeBytes: number }> = {};
  const all = { numTensors: 0, sizeBytes: 0 };
  for (const t of tensors)
    for (const sum of [all, (dtypes[t.fileDType] ??= { numTensors: 0, sizeBytes: 0 })]) {
      sum.numTensors++;
      sum.sizeBytes += sizeOf(t);
    }
  return { ...all, dtypes };
}

export interface Finding {
  readonly kind: "missing" | "extra" | "misnamed" | "shape" | "dtype" | "scale";
  readonly tensor: string;
  readonly expected: string;
  readonly found: string;
}

export interface Inspected extends Totals {
  readonly path: string;
  /** Undefined where no config says what the tensors are. */
  readonly layout: Layout | undefined;
  readonly findings: readonly Finding[];
  /** Weights by how they are held, "role form"; without a config none. */
  readonly forms: Readonly<Record<string, number>>;
  /** As in the files. */
  readonly tensors: readonly TensorSpec[];
}

export function inspectPath(path: string): Inspected {
  const raw = rawTensors(path);
  const totals = totalsOf(raw.tensors, raw.sizeOf);
  const tensors = raw.tensors.map(({ name, fileDType, shape }) => ({ name, fileDType, shape }));
  if (!raw.hasConfig) return { path, layout: undefined, ...totals, findings: [], forms: {}, tensors };
  using checkpoint = openCheckpoint(path);
  return { path, layout: checkpoint.layout, ...totals, findings: findingsOf(checkpoint), forms: formsOf(checkpoint), tensors }; // prettier-ignore
}

function formsOf({ set, config, drafter }: Checkpoint): Record<string, number> {
  const forms: Record<string, number> = {};
  for (const weight of weightsOf(config, drafter)) {
    if (problemOf(set, { ...weight, isIds: weight.role === "ids" })) continue;
    const key = `${weight.role} ${formOf(set, weight.name)}`;
    forms[key] = (forms[key] ?? 0) + 1;
  }
  return forms;
}

function rawTensors(path: string): { tensors: StoredTensor[]; sizeOf: (t: TensorSpec) => number; hasConfig: boolean } {
  const gguf = ggufOf(path);
  if (gguf !== undefined) {
    using file = openGguf(gguf);
    return { tensors: [...file.tensors.values()], sizeOf: ggufBytes, hasConfig: true };
  }
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  using set = openTensors(path);
  const config = isFolder ? join(path, "config.json") : path.replace(/\.safetensors$/, ".json");
  return { tensors: [...set.tensors.values()], sizeOf: bytesOf, hasConfig: config !== path && existsSync(config) };
}

/** A missing tensor and an extra one of its shape are one misnamed tensor, the extra one whose name is nearest. */
export function findingsOf(checkpoint: Checkpoint): Finding[] {
  const { set } = checkpoint;
  const extras = new Set(strangersOf(checkpoint));
  const findings: Finding[] = [];
  for (const { kind, key, expected, found } of problemsOf(checkpoint)) {
    const nearest = kind === "missing" ? nearestOf(key, expected, extras, set.tensors) : undefined;
    if (nearest !== undefined) {
      extras.delete(nearest);
      findings.push({ kind: "misnamed", tensor: key, expected: key, found: nearest });
    } else findings.push({ kind, tensor: set.tensors.get(key)?.fileName ?? key, expected, found });
  }
  for (const name of extras) {
    const { fileDType, shape } = set.tensors.get(name)!;
    findings.push({ kind: "extra", tensor: name, expected: "no such tensor", found: `${fileDType} [${shape}]` });
  }
  return findings;
}

/** More extras than this are another checkpoint, not slips of the pen. */
const MAX_EXTRAS = 1000;

function nearestOf(
  name: string,
  shape: string,
  extras: ReadonlySet<string>,
  tensors: ReadonlyMap<string, StoredTensor>,
): string | undefined {
  // prettier-ignore
  if (extras.size > MAX_EXTRAS) return undefined;
  let best: { extra: string; steps: number } | undefined;
  for (const extra of extras) {
    if (`[${tensors.get(extra)!.shape}]` !== shape) continue;
    const steps = editSteps(name, extra);
    if (steps <= name.length / 2 && (best === undefined || steps < best.steps)) best = { extra, steps };
  }
  return best?.extra;
}

/** Letters to change, add or drop to make `a` into `b`. */
function editSteps(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
}
