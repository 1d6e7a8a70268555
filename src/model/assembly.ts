/**
 * What another layout's files are made of: each of their tensors is some official tensors laid end to end (all experts of
 * a layer in one stack, for instance), so a change of layout only renames and concatenates bytes. The same table is read
 * both ways: `assembled` makes the other layout's tensors, `takenApart` shows its files under the official names.
 */
import { FormatError } from "../base/errors.ts";
import { bytesOf, type RawTensor } from "../nn/safetensors.ts";
import type { StoredTensor, TensorSet } from "../nn/tensor-set.ts";

/** Where an official tensor lies in the other layout. */
export interface Place {
  readonly name: string;
  /** Of a stack: which of its `count` equal parts along the first axes this is. */
  readonly part?: { readonly index: number; readonly count: number };
}

/** The other layout's place of an official tensor; undefined when it has none. */
export type Placement = (official: string) => Place | undefined;

/** Official tensors as the other layout's, and those that it has no place for. */
export function assembled(
  tensors: readonly RawTensor[],
  placement: Placement,
  stackShape: (name: string, parts: readonly RawTensor[]) => readonly number[],
): { readonly placed: RawTensor[]; readonly left: RawTensor[] } {
  // prettier-ignore
  const stacks = new Map<string, (RawTensor | undefined)[]>();
  const placed: (RawTensor | string)[] = [];
  const left: RawTensor[] = [];
  for (const t of tensors) {
    const place = placement(t.name);
    if (place === undefined) left.push(t);
    else if (place.part === undefined) placed.push({ ...t, name: place.name });
    else {
      if (!stacks.has(place.name)) {
        stacks.set(place.name, Array.from({ length: place.part.count }));
        placed.push(place.name);
      }
      stacks.get(place.name)![place.part.index] = t;
    }
  }
  return { placed: placed.map((t) => (typeof t === "string" ? stackOf(t, stacks.get(t)!) : t)), left };

  function stackOf(name: string, slots: readonly (RawTensor | undefined)[]): RawTensor {
    const parts = slots.map((part, i) => {
      if (part !== undefined) return part;
      throw new FormatError(`tensor "${name}": expected ${slots.length} parts, found none for ${i}`, { file: name, key: name }); // prettier-ignore
    });
    const [first] = parts as [RawTensor];
    const other = parts.find((p) => p.fileDType !== first.fileDType);
    if (other) throw new FormatError(`tensor "${name}": expected all parts ${first.fileDType}, found ${other.fileDType} in "${other.name}"`, { file: name, key: other.name }); // prettier-ignore
    const chunks = function* (): Iterable<Uint8Array> {
      for (const part of parts) yield* part.chunks();
    };
    return { name, fileDType: first.fileDType, shape: stackShape(name, parts), chunks };
  }
}

/** The files of the other layout under the official names of `wanted`; the rest keeps its own name. */
export function takenApart(set: TensorSet, wanted: Iterable<string>, placement: Placement): TensorSet {
  const tensors = new Map<string, StoredTensor>();
  const source = new Map<string, { readonly name: string; readonly offset: number; readonly sizeBytes: number }>();
  const used = new Set<string>();
  for (const official of wanted) {
    const place = placement(official);
    const found = place && set.tensors.get(place.name);
    if (place === undefined || found === undefined) continue;
    const { fileDType } = found;
    const shape = place.part ? partShape(found.shape, place.part.count) : found.shape;
    if (shape === undefined) continue;
    used.add(place.name);
    const sizeBytes = bytesOf({ fileDType, shape });
    tensors.set(official, { name: official, fileDType, shape, fileName: place.name });
    source.set(official, { name: place.name, offset: (place.part?.index ?? 0) * sizeBytes, sizeBytes });
  }
  for (const [name, t] of set.tensors) if (!used.has(name)) tensors.set(name, t);
  return {
    ...set,
    tensors,
    readBytes: (name, begin = 0, end) => {
      const from = source.get(name);
      if (from === undefined) return set.readBytes(name, begin, end);
      return set.readBytes(from.name, from.offset + begin, from.offset + (end ?? from.sizeBytes));
    },
  };
}

/** [E, k*I, D] in k*E parts -> [I, D]; undefined when it cannot be cut so. */
function partShape([stack, rows, ...rest]: readonly number[], count: number): number[] | undefined {
  if (stack === undefined || rows === undefined || stack === 0 || count % stack !== 0) return undefined;
  const perExpert = count / stack;
  return rows % perExpert === 0 ? [rows / perExpert, ...rest] : undefined;
}
