/**
 * What the golden cases share: reading them, a network with the weights that both sides compute, and distances.
 * Main functions: `readCases`, `overSequences`, `whole`, `chunked`. The suites are in verify.ts. Files: test/golden/v4.
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import { bf16ToF32 } from "../base/bf16.ts";
import { FormatError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { openSafetensors, type SafetensorsFile } from "../nn/safetensors.ts";
import * as t from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { parseConfig, type V4Config } from "./config.ts";
import { fillWeights, goldenIds } from "./golden-weights.ts";
import { V4, type V4Options } from "./v4.ts";

/** A case's error in the suite's unit; `failure` says what no bound allows, `note` what is worth knowing. */
export interface CaseResult {
  readonly error: number;
  readonly failure?: string | undefined;
  readonly note?: string | undefined;
}
export interface GoldenCase {
  readonly name: string;
  run(device: Device): CaseResult;
}

/** A case whose weights and ids follow from its seed. R is what the reference measured of its own rounding. */
export interface RandomCase<R> {
  readonly name: string;
  readonly seed: number;
  readonly sharp: number;
  readonly lengths: readonly number[];
  readonly rounding: R;
  readonly config: V4Config;
}

export function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new FormatError(`verify: expected golden cases at ${path}, got ${(cause as Error).message}`, { file: path, cause }); // prettier-ignore
  }
}

/** The cases of a file, and the other fields of it that `head` names. */
export function readCases<R extends z.ZodType, H extends z.ZodRawShape>(
  path: string,
  rounding: R,
  head: H,
): { readonly cases: readonly RandomCase<z.output<R>>[]; readonly head: z.output<z.ZodObject<H>> } {
  const one = z.object({
    name: z.string(),
    seed: z.number(),
    sharp: z.number(),
    lengths: z.array(z.number()),
    rounding,
    config: z.unknown(),
  });
  const parse = <S extends z.ZodType>(schema: S): z.output<S> => {
    const parsed = schema.safeParse(readJson(path));
    if (!parsed.success) throw new FormatError(`verify: ${path}: ${parsed.error.issues[0]!.message}`, { file: path });
    return parsed.data;
  };
  const { cases } = parse(z.object({ cases: z.array(one) }));
  return {
    cases: cases.map((c) => ({ ...c, config: parseConfig(c.config, path) }) as RandomCase<z.output<R>>),
    head: parse(z.object(head)),
  };
}

/** Logits [T,V] of one sequence. */
export type Run = (model: V4, ids: Int32Array) => Float32Array;

export const whole: Run = (model, ids) => {
  const { hidden } = model.forward(Tensor.from(model.device, ids, [1, ids.length], "i32"));
  return model.logits(hidden).toArray() as Float32Array;
};

/** Sizes that cut groups and windows everywhere; one token at a time among them. */
const CHUNKS = [1, 3, 1, 1, 7, 2, 13, 5];

export const chunked: Run = (model, ids) => {
  const out = new Float32Array(ids.length * model.config.vocab_size);
  const state = model.newState();
  for (let at = 0, turn = 0; at < ids.length; turn++) {
    const chunk = ids.subarray(at, at + CHUNKS[turn % CHUNKS.length]!);
    const { hidden } = model.forward(Tensor.from(model.device, chunk.slice(), [1, chunk.length], "i32"), { state });
    out.set(model.logits(hidden).toArray() as Float32Array, at * model.config.vocab_size);
    at += chunk.length;
  }
  state.dispose();
  return out;
};

/** A model for the length of `use`; everything it allocated is freed. */
export function withModel<T>(device: Device, config: V4Config, options: V4Options, use: (model: V4) => T): T {
  const model = new V4(device, config, { init: "zeros", ...options });
  try {
    using _scope = t.tensorScope();
    return t.noGrad(() => use(model));
  } finally {
    for (const [, p] of model.namedParameters()) p.dispose();
  }
}

/** The case's network on each of its sequences; `golden` reads what the reference gave for that one. */
export function overSequences<T>(
  device: Device,
  path: string,
  c: RandomCase<unknown>,
  options: V4Options,
  one: (model: V4, ids: Int32Array, golden: (key: string) => Golden) => T,
): T[] {
  using file = openSafetensors(path);
  return withModel(device, c.config, options, (model) => {
    fillWeights(model, { seed: c.seed, sharp: c.sharp, numExperts: c.config.n_routed_experts });
    return c.lengths.map((length, s) =>
      one(model, goldenIds(c.seed, s, length, c.config.vocab_size), (key) => read(file, `${c.name}.${s}.${key}`)),
    );
  });
}

export interface Golden {
  readonly data: Float32Array | Int32Array;
  readonly width: number;
}

function read(file: SafetensorsFile, key: string): Golden {
  const width = file.tensors.get(key)?.shape.at(-1) ?? 0;
  const data = file.read(key);
  return { data: data instanceof Uint16Array ? bf16ToF32(data) : (data as Float32Array | Int32Array), width };
}

export const worstOf = (results: readonly CaseResult[]): CaseResult => ({
  error: Math.max(...results.map((r) => r.error)),
  failure: results.find((r) => r.failure !== undefined)?.failure,
});

/** Largest difference as a fraction of the largest expected number; infinite where a number is not finite. */
export function distance(got: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [size, worst] = [0, 0];
  for (let i = 0; i < got.length; i++) {
    if (!Number.isFinite(got[i]!)) return Infinity;
    size = Math.max(size, Math.abs(expected[i]!));
    worst = Math.max(worst, Math.abs(got[i]! - expected[i]!));
  }
  return worst / size;
}

/** `distance`, and the first row whose best token differs. */
export function compare(got: Float32Array, expected: ArrayLike<number>, vocab: number): CaseResult {
  if (got.length !== expected.length) return { error: Infinity, failure: `expected ${expected.length} logits, got ${got.length}` }; // prettier-ignore
  const wanted = Float32Array.from(expected);
  const error = distance(got, wanted);
  for (let row = 0; row < got.length; row += vocab) {
    const [ours, theirs] = [argmax(got.subarray(row, row + vocab)), argmax(wanted.subarray(row, row + vocab))];
    if (ours !== theirs) return { error, failure: `row ${row / vocab}: best token ${ours}, expected ${theirs}` };
  }
  return { error };
}

const argmax = (x: Float32Array): number => x.reduce((best, v, i) => (v > x[best]! ? i : best), 0);
