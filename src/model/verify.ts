/**
 * The golden suites: this network against outputs that reference implementations wrote (tools/reference), case by case,
 * each suite with one bound and its reason. `tessera verify` and test/model/golden.test.ts run the same list.
 * Main functions: `goldenSuites`, `runSuite`. Files: test/golden/v4.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { FormatError } from "../base/errors.ts";
import type { Device } from "../device/device.ts";
import { openSafetensors, type SafetensorsFile } from "../nn/safetensors.ts";
import { bf16ToF32 } from "../base/bf16.ts";
import * as t from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { parseConfig, type V4Config } from "./config.ts";
import { fillWeights, goldenIds } from "./golden-weights.ts";
import type { Numerics } from "./numerics.ts";
import { V4, type V4Options } from "./v4.ts";
import { loadOfficial } from "./weights.ts";

/** A case's error in the suite's unit; `failure` says what no bound allows. */
export interface CaseResult {
  readonly error: number;
  readonly failure?: string | undefined;
}
export interface GoldenCase {
  readonly name: string;
  run(device: Device): CaseResult;
}
export interface GoldenSuite {
  readonly name: string;
  /** What the error is a fraction or multiple of. */
  readonly unit: string;
  readonly bound: number;
  readonly why: string;
  readonly cases: readonly GoldenCase[];
}
export interface SuiteResult {
  readonly suite: string;
  readonly cases: number;
  readonly worst: number;
  readonly bound: number;
  readonly unit: string;
  /** "case: what is wrong"; empty when all is well. */
  readonly failures: readonly string[];
}

export function goldenSuites(dir: string): readonly GoldenSuite[] {
  const random = readCases(join(dir, "hf.json"));
  const hf = join(dir, "hf.safetensors");
  return [
    {
      name: "stored",
      ...f32Bound,
      cases: ["all-kinds", "ratio-128", "window-mtp"].map((name) => storedCase(dir, name)),
    },
    { name: "hf-f32", ...f32Bound, cases: random.map((c) => f32Case(hf, c, whole)) },
    { name: "hf-f32-chunked", ...f32Bound, cases: random.map((c) => f32Case(hf, c, chunked)) },
    {
      name: "hf-bf16",
      unit: "distance of transformers' own bf16 logits from its f32 logits (root mean square)",
      bound: 2,
      why: "two runs that are each no farther from the truth than the reference's bf16 run is are at most twice that apart",
      cases: random.map((c) => bf16Case(hf, c)),
    },
    {
      name: "official",
      unit: "largest distance between two evaluations of the reference that differ in summation only",
      bound: 2,
      why: `each side is at most that far from exact sums; and at most ${MOST_MOVED} of a case's tokens may differ by more than f32 sums do, where between the reference's own evaluations 0.03 do`,
      cases: officialCases(dir),
    },
  ];
}

/** The official cases, or what they become without some of their switches. */
export function officialCases(dir: string, changed: Partial<Numerics> = {}): readonly GoldenCase[] {
  const path = join(dir, "official.safetensors");
  const all = readCases(join(dir, "official.json")).map((c) => ({ ...c, config: { ...c.config, numerics: { ...c.config.numerics, ...changed } } })); // prettier-ignore
  return all.flatMap((c) => [
    officialCase(path, c, whole),
    ...(c.name === "all-kinds" ? [{ ...officialCase(path, c, chunked), name: `${c.name} in chunks` }] : []),
  ]);
}

/** Runs a suite's cases; `onCase` sees each as it ends. */
export function runSuite(suite: GoldenSuite, device: Device, onCase: (name: string) => void = () => {}): SuiteResult {
  let worst = 0;
  const failures: string[] = [];
  for (const c of suite.cases) {
    const { error, failure } = c.run(device);
    worst = Math.max(worst, error);
    const over = error <= suite.bound ? undefined : `error ${error} exceeds ${suite.bound}`;
    if (failure ?? over) failures.push(`${c.name}: ${failure ?? over}`);
    onCase(c.name);
  }
  return { suite: suite.name, cases: suite.cases.length, worst, bound: suite.bound, unit: suite.unit, failures };
}

const f32Bound = {
  unit: "largest logit of the sequence",
  bound: 1e-4,
  why: "both sides are f32 with other summation orders (transformers' f32 is up to 2e-6 from its own f64); differences of architecture are of order 1",
} as const;

const casesSchema = z.object({
  cases: z.array(
    z.object({
      name: z.string(),
      seed: z.number(),
      sharp: z.number(),
      lengths: z.array(z.number()),
      config: z.unknown(),
    }),
  ),
});
interface RandomCase {
  readonly name: string;
  readonly seed: number;
  readonly sharp: number;
  readonly lengths: readonly number[];
  readonly config: V4Config;
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new FormatError(`verify: expected golden cases at ${path}, got ${(cause as Error).message}`, { file: path, cause }); // prettier-ignore
  }
}

function readCases(path: string): RandomCase[] {
  const parsed = casesSchema.safeParse(readJson(path));
  if (!parsed.success) throw new FormatError(`verify: ${path}: ${parsed.error.issues[0]!.message}`, { file: path });
  return parsed.data.cases.map((c) => ({ ...c, config: parseConfig(c.config, path) }));
}

/** Logits [T,V] of one sequence. */
type Run = (model: V4, ids: Int32Array) => Float32Array;

const whole: Run = (model, ids) => {
  const { hidden } = model.forward(Tensor.from(model.device, ids, [1, ids.length], "i32"));
  return model.logits(hidden).toArray() as Float32Array;
};

/** Sizes that cut groups and windows everywhere; one token at a time among them. */
const CHUNKS = [1, 3, 1, 1, 7, 2, 13, 5];

const chunked: Run = (model, ids) => {
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
function withModel<R>(device: Device, config: V4Config, options: V4Options, use: (model: V4) => R): R {
  const model = new V4(device, config, { init: "zeros", ...options });
  try {
    using _scope = t.tensorScope();
    return t.noGrad(() => use(model));
  } finally {
    for (const [, p] of model.namedParameters()) p.dispose();
  }
}

function overSequences(
  device: Device,
  path: string,
  c: RandomCase,
  options: V4Options,
  one: (model: V4, ids: Int32Array, golden: (key: string) => Float32Array) => CaseResult,
): CaseResult {
  using file = openSafetensors(path);
  return withModel(device, c.config, options, (model) => {
    fillWeights(model, { seed: c.seed, sharp: c.sharp, numExperts: c.config.n_routed_experts });
    const results = c.lengths.map((length, s) => {
      const result = one(model, goldenIds(c.seed, s, length, c.config.vocab_size), (key) => floats(file, `${c.name}.${s}.${key}`)); // prettier-ignore
      return { ...result, failure: result.failure && `sequence of ${length}: ${result.failure}` };
    });
    return worstOf(results);
  });
}

const worstOf = (results: readonly CaseResult[]): CaseResult => ({
  error: Math.max(...results.map((r) => r.error)),
  failure: results.find((r) => r.failure !== undefined)?.failure,
});

const floats = (file: SafetensorsFile, key: string): Float32Array => {
  const data = file.read(key);
  return data instanceof Uint16Array ? bf16ToF32(data) : (data as Float32Array);
};

const f32Case = (path: string, c: RandomCase, run: Run): GoldenCase => ({
  name: c.name,
  run: (device) =>
    overSequences(device, path, c, { dtype: "f32" }, (model, ids, golden) =>
      compare(run(model, ids), golden("f32"), model.config.vocab_size),
    ),
});

/** In bf16, rounding decides near ties, so no choice is left: every entry is attended to, experts come from tables. */
const withoutChoices = (config: V4Config): V4Config => ({
  ...config,
  index_topk: config.max_position_embeddings,
  num_hash_layers: config.num_hidden_layers,
});

const bf16Case = (path: string, c: RandomCase): GoldenCase => ({
  name: c.name,
  run: (device) => {
    let [ours, reference] = [0, 0];
    overSequences(device, path, { ...c, config: withoutChoices(c.config) }, { dtype: "bf16" }, (model, ids, golden) => {
      const [got, exact, half] = [whole(model, ids), golden("smooth_f32"), golden("smooth_bf16")];
      for (let i = 0; i < got.length; i++) {
        ours += (got[i]! - half[i]!) ** 2;
        reference += (half[i]! - exact[i]!) ** 2;
      }
      return { error: 0 };
    });
    return { error: Math.sqrt(ours / reference) };
  },
});

/** Differences below this fraction of the largest logit come from f32 sums; above it some rounding went the other way. */
const SUMS = 1e-5;
/** Four times the reference's own share, since a case has few tokens. */
const MOST_MOVED = 1 / 8;

/** FP8, FP4 and bf16 roundings simulated. A sum that differs in its last bit now and then rounds to another number. */
const officialCase = (path: string, c: RandomCase, run: Run): GoldenCase => ({
  name: c.name,
  run: (device) => {
    const vocab = c.config.vocab_size;
    let [numTokens, numMoved, worst] = [0, 0, 0];
    const { failure } = overSequences(device, path, c, { dtype: "bf16" }, (model, ids, golden) => {
      const [got, expected] = [run(model, ids), golden("official")];
      for (let row = 0; row < got.length; row += vocab) {
        const error = distance(got.subarray(row, row + vocab), expected.subarray(row, row + vocab));
        worst = Math.max(worst, error);
        numTokens++;
        if (error > SUMS) numMoved++;
      }
      return { error: 0 };
    });
    using file = openSafetensors(path);
    return {
      error: worst / spreadOf(file, vocab),
      failure: failure ?? (numMoved > MOST_MOVED * numTokens ? `${numMoved} of ${numTokens} tokens differ by more than sums do` : undefined), // prettier-ignore
    };
  },
});

/** The largest distance of a token's logits between the two evaluations, over the whole file. */
function spreadOf(file: SafetensorsFile, vocab: number): number {
  let spread = 0;
  for (const name of file.tensors.keys()) {
    if (!name.endsWith(".official")) continue;
    const [a, b] = [floats(file, name), floats(file, name.replace(/official$/, "other"))];
    for (let row = 0; row < a.length; row += vocab)
      spread = Math.max(spread, distance(a.subarray(row, row + vocab), b.subarray(row, row + vocab)));
  }
  return spread;
}

/** A case whose weights are stored beside its outputs, under the official names: loading is part of what it shows. */
const storedCase = (dir: string, name: string): GoldenCase => ({
  name,
  run: (device) => {
    const [path, jsonPath] = [join(dir, `${name}.safetensors`), join(dir, `${name}.json`)];
    const config = parseConfig(readJson(jsonPath), jsonPath);
    using file = openSafetensors(path);
    return withModel(device, config, {}, (model) => {
      loadOfficial(path, model, { ignore: (key) => key.startsWith("golden.") });
      const ids = (key: string): Tensor => Tensor.from(device, file.read(key) as Int32Array, file.tensors.get(key)!.shape, "i32"); // prettier-ignore
      const { hidden, streams } = model.forward(ids("golden.ids"));
      const results = [compare(model.logits(hidden).toArray() as Float32Array, floats(file, "golden.logits"), config.vocab_size)]; // prettier-ignore
      if (config.num_nextn_predict_layers > 0) {
        const mtp = model.logits(model.mtpHidden(streams, ids("golden.next_ids")));
        results.push(compare(mtp.toArray() as Float32Array, floats(file, "golden.mtp_logits"), config.vocab_size));
      }
      return worstOf(results);
    });
  },
});

/** Largest difference as a fraction of the largest logit; infinite where a number is not finite. */
function distance(got: Float32Array, expected: Float32Array): number {
  let [size, worst] = [0, 0];
  for (let i = 0; i < got.length; i++) {
    if (!Number.isFinite(got[i]!)) return Infinity;
    size = Math.max(size, Math.abs(expected[i]!));
    worst = Math.max(worst, Math.abs(got[i]! - expected[i]!));
  }
  return worst / size;
}

/** `distance`, and the first row whose best token differs. */
function compare(got: Float32Array, expected: Float32Array, vocab: number): CaseResult {
  if (got.length !== expected.length) return { error: Infinity, failure: `expected ${expected.length} logits, got ${got.length}` }; // prettier-ignore
  const error = distance(got, expected);
  for (let row = 0; row < got.length; row += vocab) {
    const [ours, theirs] = [argmax(got.subarray(row, row + vocab)), argmax(expected.subarray(row, row + vocab))];
    if (ours !== theirs) return { error, failure: `row ${row / vocab}: best token ${ours}, expected ${theirs}` }; // prettier-ignore
  }
  return { error };
}

const argmax = (x: Float32Array): number => x.reduce((best, v, i) => (v > x[best]! ? i : best), 0);
