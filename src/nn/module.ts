/**
 * Module: a network part whose fields are its weights and its parts. A field's name is its name in the
 * checkpoint (`layers.0.attn.wq_a.weight`), so there is no registration. Parameters with
 * `requiresGrad: false` are persistent buffers: saved and loaded, never trained.
 * Main functions: `namedParameters`, `stateDict`, `loadStateDict`.
 */
import { bf16ToF32, f32ToBf16 } from "../base/bf16.ts";
import type { DType, TypedArray } from "../base/dtype.ts";
import { TesseraError } from "../base/errors.ts";
import { Parameter } from "../tensor/tensor.ts";

/** A named array on its way to or from a file; `data` is called when the bytes are wanted. */
export interface HostTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: () => TypedArray;
}
export type StateDict = ReadonlyMap<string, HostTensor>;

export interface LoadOptions {
  /** Lets f32 weights fill bf16 parameters, rounded to nearest even. Widening is always allowed. */
  readonly allowRounding?: boolean;
  /** Names that may be absent from the file or unknown to the module; both are errors otherwise. */
  readonly ignore?: (name: string) => boolean;
}

export abstract class Module {
  /** Every parameter once, in field order; a shared one under its first name. */
  namedParameters(): [string, Parameter][] {
    const out: [string, Parameter][] = [];
    const seen = new Set<object>();
    const visit = (value: unknown, name: string): void => {
      if (typeof value !== "object" || value === null || seen.has(value)) return;
      if (value instanceof Parameter) {
        seen.add(value);
        out.push([name, value]);
      } else if (value instanceof Module) {
        seen.add(value);
        for (const [key, child] of Object.entries(value)) visit(child, name === "" ? key : `${name}.${key}`);
      } else if (Array.isArray(value)) value.forEach((child, i) => visit(child, `${name}.${i}`));
    };
    visit(this, "");
    return out;
  }
  /** The trained ones. */
  parameters(): Parameter[] {
    return this.namedParameters().flatMap(([, p]) => (p.requiresGrad ? [p] : []));
  }
  get numParams(): number {
    return this.namedParameters().reduce((sum, [, p]) => sum + p.size, 0);
  }
  zeroGrad(): void {
    for (const [, p] of this.namedParameters()) {
      p.grad?.dispose();
      p.grad = undefined;
    }
  }
  stateDict(): Map<string, HostTensor> {
    return new Map(
      this.namedParameters().map(([name, p]) => [name, { dtype: p.dtype, shape: p.shape, data: () => p.toRaw() }]),
    );
  }
  loadStateDict(state: StateDict, options: LoadOptions = {}): void {
    loadInto(new Map(this.namedParameters()), state, "state dict", options);
  }
}

/** Fills `targets` from `state`, checking every name, shape and dtype before the first byte is written. */
export function loadInto(
  targets: ReadonlyMap<string, Parameter>,
  state: StateDict,
  what: string,
  options: LoadOptions = {},
): void {
  const { ignore = () => false, allowRounding = false } = options;
  const missing = [...targets.keys()].filter((name) => !state.has(name) && !ignore(name));
  const unexpected = [...state.keys()].filter((name) => !targets.has(name) && !ignore(name));
  if (missing.length + unexpected.length > 0)
    throw new TesseraError(
      "format",
      `${what}: ${listed("missing", missing)}${missing.length && unexpected.length ? "; " : ""}${listed("unexpected", unexpected)}`,
    );
  for (const [name, p] of targets) {
    const found = state.get(name);
    if (found === undefined) continue;
    const sameShape = found.shape.length === p.shape.length && found.shape.every((n, i) => n === p.shape[i]);
    const fits =
      found.dtype === p.dtype ||
      (found.dtype === "bf16" && p.dtype === "f32") ||
      (allowRounding && found.dtype === "f32" && p.dtype === "bf16");
    if (!sameShape || !fits)
      throw new TesseraError(
        "format",
        `${what}: tensor "${name}": expected ${p.dtype} [${p.shape}], found ${found.dtype} [${found.shape}]`,
      );
  }
  for (const [name, p] of targets) {
    const found = state.get(name);
    if (found !== undefined) p.copyFrom(converted(found.data(), found.dtype, p.dtype));
  }
}

function converted(data: TypedArray, from: DType, to: DType): TypedArray {
  if (from === to) return data;
  return from === "bf16" ? bf16ToF32(data as Uint16Array) : f32ToBf16(data as Float32Array);
}

const listed = (what: string, names: readonly string[]): string =>
  names.length === 0
    ? ""
    : `${what} ${names.slice(0, 5).join(", ")}${names.length > 5 ? ` and ${names.length - 5} more` : ""}`;
