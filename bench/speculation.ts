/**
 * What speculation does to generation: tokens a second with and without, and how many guesses stand. Random weights agree
 * with their drafter hardly more than by chance, so beside them the network drafts for itself: every guess stands, which
 * shows what the machinery costs and what verifying several tokens in one call gives.
 * Main function: `benchSpeculation`.
 */
import { drafterFor, SelfDrafter, type Drafter } from "../src/engine/drafters.ts";
import { speculate, type SpeculationCounts } from "../src/engine/speculate.ts";
import type { Device } from "../src/device/device.ts";
import { makeConfig } from "../src/model/config.ts";
import { V4 } from "../src/model/v4.ts";

export interface SpeculationRow {
  readonly drafter: "none" | "mtp" | "dspark" | "self";
  readonly draftLength: number;
  readonly tokensPerS: number;
  /** By the wall clock, over no drafter of the same network. */
  readonly speedUp: number;
  /** Guesses that stand, of all; and calls of the network a token. */
  readonly acceptance: number;
  readonly callsPerToken: number;
}

const VOCAB = 8192;
const shape = { vocab_size: VOCAB, max_position_embeddings: 512, num_nextn_predict_layers: 1 } as const;
const networks = {
  mtp: shape,
  dspark: { ...shape, dspark_block_size: 5, dspark_noise_token_id: VOCAB - 1, dspark_markov_rank: 64, dspark_target_layer_ids: [3, 4, 5] }, // prettier-ignore
};

export interface SpeculationReport {
  readonly weights: "random, nano";
  readonly tokens: number;
  readonly rows: readonly SpeculationRow[];
}

export function benchSpeculation(
  device: Device,
  options: { readonly tokens: number; readonly rounds: number },
): SpeculationReport {
  // prettier-ignore
  const prompt = Array.from({ length: 40 }, (_, i) => (i * 37 + 11) % VOCAB);
  const rows: SpeculationRow[] = [];
  const measure = (
    model: V4,
    make: () => Drafter | undefined,
    draftLength: number,
  ): { s: number; counts: SpeculationCounts; tokens: number } => {
    // prettier-ignore
    let best: { s: number; counts: SpeculationCounts; tokens: number } | undefined;
    // The first turn builds kernels.
    for (let i = 0; i <= options.rounds; i++) {
      const drafter = make();
      const params = { maxTokens: options.tokens, temperature: 0, topP: 1, topK: 0, seed: 0 };
      const run = speculate(model, drafter, { prompt, params, draftLength });
      run.next();
      const startedMs = performance.now();
      let tokens = 0;
      let next = run.next();
      for (; !next.done; next = run.next()) tokens++;
      drafter?.dispose();
      const s = (performance.now() - startedMs) / 1000;
      if (i > 0 && (best === undefined || s < best.s)) best = { s, counts: next.value, tokens };
    }
    return best!;
  };
  for (const [name, own] of Object.entries(networks)) {
    const model = new V4(device, makeConfig("nano", own), { seed: 1 });
    const plain = measure(model, () => undefined, 0);
    const add = (drafter: SpeculationRow["drafter"], draftLength: number, got: typeof plain): void =>
      void rows.push({
        drafter,
        draftLength,
        tokensPerS: got.tokens / got.s,
        speedUp: plain.s / plain.tokens / (got.s / got.tokens),
        acceptance: got.counts.drafted > 0 ? got.counts.accepted / got.counts.drafted : 0,
        callsPerToken: got.counts.rounds / got.tokens,
      });
    add("none", 0, plain);
    for (const draftLength of [1, 4]) add(name as "mtp" | "dspark", draftLength, measure(model, () => drafterFor(model), draftLength)); // prettier-ignore
    if (name === "mtp")
      add(
        "self",
        4,
        measure(model, () => new SelfDrafter(model, prompt), 4),
      );
  }
  return { weights: "random, nano", tokens: options.tokens, rows };
}
