/**
 * The golden suites: this network against outputs that reference implementations wrote (tools/reference), case by case,
 * each suite with one bound and its reason. `tessera verify` and test/model/golden.test.ts run the same list.
 *
 * Bounds come from the reference alone. It is run many times with its roundings (hf-*) or its orders of summation (official)
 * drawn at random; another implementation that rounds as often is a further draw.
 * - hf-*: errors are linear in many small roundings, so they are Gaussian to first order, and a norm of a Gaussian vector
 *   varies most when it has one component. So a further draw exceeds `margin` times the largest of n with a chance below
 *   `alarm`; for n = 32 and 1e-4 the margin is 2.08 (random_rounding.py solves it; hf.json holds it).
 * - official: a rounding that turns is no small error, so nothing is assumed but that a further order is like the others:
 *   it exceeds the largest of 999 with a chance of 1 in 1,000.
 * Main functions: `goldenSuites`, `runSuite`. Files: test/golden/v4.
 */
import { join } from "node:path";
import { z } from "zod";
import type { Device } from "../device/device.ts";
import { openSafetensors } from "../nn/safetensors.ts";
import { Tensor } from "../tensor/tensor.ts";
import { parseConfig } from "./config.ts";
import { chunked, compare, distance, overSequences, readCases, readJson, whole, withModel, worstOf, type GoldenCase, type RandomCase, type Run } from "./golden-run.ts"; // prettier-ignore
import type { Numerics } from "./numerics.ts";
import { runChosen, type HfRounding } from "./verify-choices.ts";
import { loadOfficial } from "./weights.ts";

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
  /** How the bound arises. */
  readonly why: string;
  /** "case: what is wrong"; empty when all is well. */
  readonly failures: readonly string[];
  /** "case: what is worth knowing". */
  readonly notes: readonly string[];
}

const hfRounding = z.object({ f32: z.number(), bf16: z.number(), scores: z.record(z.string(), z.number()) });

export function goldenSuites(dir: string): readonly GoldenSuite[] {
  const { cases, head } = readCases(join(dir, "hf.json"), hfRounding, { draws: z.number(), alarm: z.number(), margin: z.number() }); // prettier-ignore
  const hf = join(dir, "hf.safetensors");
  const { draws, alarm, margin } = head;
  const why = `a further draw exceeds the largest of ${draws} by this factor with a chance of ${alarm}`;
  const { cases: official, orders } = officialCases(dir);
  const f32 = { unit: `largest distance among ${draws} runs of the reference with random f32 roundings`, bound: margin, why }; // prettier-ignore
  return [
    {
      name: "stored",
      unit: "largest logit of the sequence",
      bound: F32_LIMIT,
      why: "both sides are f32 with other summation orders; differences of architecture are of order 1",
      cases: ["all-kinds", "ratio-128", "window-mtp"].map((name) => storedCase(dir, name)),
    },
    { name: "hf-f32", ...f32, cases: cases.map((c) => f32Case(hf, c, whole)) },
    { name: "hf-f32-chunked", ...f32, cases: cases.map((c) => f32Case(hf, c, chunked)) },
    {
      name: "hf-bf16",
      unit: `largest distance from f32 (root mean square) among ${draws} runs of the reference with random bf16 roundings, all with the choices of f32`,
      bound: margin,
      why,
      cases: cases.map((c) => ({ name: c.name, run: (device) => ({ error: runChosen(device, hf, c).logits }) })),
    },
    {
      name: "hf-bf16-choices",
      unit: `largest error of a score among ${draws} runs of the reference with random bf16 roundings`,
      bound: margin,
      why: `${why}; and where our choice is another, the reference has the two within twice that of a tie`,
      cases: cases.filter((c) => Object.keys(c.rounding.scores).length > 0).map((c) => choiceCase(hf, c, margin)),
    },
    {
      name: "official",
      unit: `largest distance, and most tokens moved, among ${orders} random orders of the reference's sums`,
      bound: 1,
      why: `a further order exceeds all of them with a chance of 1 in ${orders + 1}`,
      cases: official,
    },
  ];
}

/** Runs a suite's cases; `onCase` sees each as it ends. */
export function runSuite(suite: GoldenSuite, device: Device, onCase: (name: string) => void = () => {}): SuiteResult {
  let worst = 0;
  const [failures, notes]: [string[], string[]] = [[], []];
  for (const c of suite.cases) {
    const { error, failure, note } = c.run(device);
    worst = Math.max(worst, error);
    const over = error <= suite.bound ? undefined : `error ${error} exceeds ${suite.bound}`;
    if (failure ?? over) failures.push(`${c.name}: ${failure ?? over}`);
    if (note) notes.push(`${c.name}: ${note}`);
    onCase(c.name);
  }
  const { name, bound, unit, why, cases } = suite;
  return { suite: name, cases: cases.length, worst, bound, unit, why, failures, notes };
}

/** Whatever roundings would allow: what is promised of f32 logits, as a fraction of the largest. */
const F32_LIMIT = 1e-4;
const f32Case = (path: string, c: RandomCase<HfRounding>, run: Run): GoldenCase => ({
  name: c.name,
  run: (device) => {
    const { error, failure } = worstOf(
      overSequences(device, path, c, { dtype: "f32" }, (model, ids, golden) =>
        compare(run(model, ids), golden("f32").data, model.config.vocab_size),
      ),
    );
    const far = error > F32_LIMIT ? `${error} of the largest logit from the reference, expected at most ${F32_LIMIT}` : undefined; // prettier-ignore
    return { error: error / c.rounding.f32, failure: failure ?? far };
  },
});

const choiceCase = (path: string, c: RandomCase<HfRounding>, margin: number): GoldenCase => ({
  name: c.name,
  run: (device) => {
    const { scores, numChoices, numOther, widestGap } = runChosen(device, path, c);
    const text = `${numOther} of ${numChoices} choices differ, where the reference has up to ${widestGap.toFixed(2)} between the two`; // prettier-ignore
    return {
      error: scores,
      failure: widestGap > 2 * margin ? text : undefined,
      note: numOther > 0 ? text : undefined,
    };
  },
});

const officialRounding = z.object({
  /** What two orders of the last product alone can make, as a fraction of a token's largest logit. */
  sums: z.number(),
  worst: z.number(),
  moved: z.number(),
});
type OfficialRounding = z.infer<typeof officialRounding>;

/** The official cases, or what they become without some of their switches. */
export function officialCases(
  dir: string,
  changed: Partial<Numerics> = {},
): { readonly cases: readonly GoldenCase[]; readonly orders: number } {
  const path = join(dir, "official.safetensors");
  const { cases: read, head } = readCases(join(dir, "official.json"), officialRounding, { orders: z.number() });
  const all = read.map((c) => ({ ...c, config: { ...c.config, numerics: { ...c.config.numerics, ...changed } } }));
  const cases = all.flatMap((c) => [
    officialCase(path, c, whole),
    ...(c.name === "all-kinds" ? [{ ...officialCase(path, c, chunked), name: `${c.name} in chunks` }] : []),
  ]);
  return { cases, orders: head.orders };
}

/** FP8, FP4 and bf16 roundings simulated. A sum that differs in its last bit now and then rounds to another number. */
const officialCase = (path: string, c: RandomCase<OfficialRounding>, run: Run): GoldenCase => ({
  name: c.name,
  run: (device) => {
    const { vocab_size: vocab } = c.config;
    const rows = overSequences(device, path, c, { dtype: "bf16" }, (model, ids, golden) => {
      const [got, expected] = [run(model, ids), golden("official").data];
      const row = (x: Float32Array | Int32Array, i: number): ArrayLike<number> =>
        x.subarray(i * vocab, (i + 1) * vocab);
      return Array.from(ids, (_, i) => distance(row(got, i), row(expected, i)));
    }).flat();
    const moved = rows.filter((d) => d > c.rounding.sums);
    if (moved.length === 0) return { error: 0 };
    const [farther, more] = [Math.max(...moved) / c.rounding.worst, moved.length / c.rounding.moved];
    return { error: Math.max(farther, more), note: `${moved.length} of ${rows.length} tokens moved, of at most ${c.rounding.moved}` }; // prettier-ignore
  },
});

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
      const floats = (key: string): Float32Array => file.read(key) as Float32Array;
      const { hidden, streams } = model.forward(ids("golden.ids"));
      const results = [compare(model.logits(hidden).toArray() as Float32Array, floats("golden.logits"), config.vocab_size)]; // prettier-ignore
      if (config.num_nextn_predict_layers > 0) {
        const mtp = model.logits(model.mtpHidden(streams, ids("golden.next_ids")));
        results.push(compare(mtp.toArray() as Float32Array, floats("golden.mtp_logits"), config.vocab_size));
      }
      return worstOf(results);
    });
  },
});
