/**
 * What drafts do to a model folder's text: tokens a second with and without, and how many guesses stand, for kinds of
 * answers that differ in how well they can be guessed. Both are measured in turns within one run; the tokens are compared.
 * Main function: `benchSpeculation`.
 */
import { assert } from "../src/base/errors.ts";
import { paramsFor } from "../src/engine/defaults.ts";
import type { LocalLlm } from "../src/engine/llm.ts";
import type { Usage } from "../src/engine/types.ts";

export interface SpeculationRow {
  readonly kind: string;
  readonly sampling: "greedy" | "sampled";
  /** Most guesses a call. */
  readonly drafts: number;
  readonly tokensPerS: number;
  /** Median over rounds of the time without drafts over that with. */
  readonly speedUp: number;
  /** Guesses that stand, of all. */
  readonly acceptance: number;
  /** Of the answers' tokens, those that were guessed. */
  readonly guessed: number;
}

export interface SpeculationReport {
  readonly model: string;
  readonly tokens: number;
  readonly rows: readonly SpeculationRow[];
}

const kinds: Readonly<Record<string, { readonly thinking: boolean; readonly prompts: readonly string[] }>> = {
  sums: { thinking: true, prompts: ["What is 47 + 85?", "What is 912 - 348?", "What is 305 + 96?", "Tom has 12 apples and buys 9 more. How many apples does he have?"] }, // prettier-ignore
  stories: { thinking: false, prompts: ["Tell me a story.", "Tell me a story about a dog.", "Tell me a story about a girl."] }, // prettier-ignore
  words: { thinking: false, prompts: ["What is butter?", "What is a river?", "Hello!", "What is music?"] },
};

export async function benchSpeculation(
  llm: LocalLlm,
  options: { readonly tokens: number; readonly rounds: number; readonly limits: readonly number[] },
): Promise<SpeculationReport> {
  const rows: SpeculationRow[] = [];
  for (const [kind, { thinking, prompts }] of Object.entries(kinds))
    for (const sampling of ["greedy", "sampled"] as const) {
      const runs = new Map<number, { ms: number[]; usages: Usage[] }>();
      const answer = async (drafts: number): Promise<{ text: string; usages: Usage[] }> => {
        let text = "";
        const usages: Usage[] = [];
        for (const [i, content] of prompts.entries()) {
          const params = paramsFor("text", { seed: i, maxTokens: options.tokens, ...(sampling === "greedy" && { temperature: 0 }) }); // prettier-ignore
          for await (const delta of llm.generate({
            messages: [{ role: "user", content }],
            modality: "text",
            thinking,
            params,
            drafts,
          }))
            // prettier-ignore
            if (delta.kind === "content" || delta.kind === "reasoning") text += delta.text;
            else if (delta.kind === "done") usages.push(delta.usage);
        }
        return { text, usages };
      };
      let plain: string | undefined;
      // The first turn builds kernels.
      for (let round = 0; round <= options.rounds; round++)
        for (const drafts of [0, ...options.limits]) {
          const startedMs = performance.now();
          const { text, usages } = await answer(drafts);
          const ms = performance.now() - startedMs;
          assert(text === (plain ??= text), `${kind}: drafts changed the answer: "${text}" instead of "${plain}"`);
          const run = runs.get(drafts) ?? { ms: [], usages };
          runs.set(drafts, run);
          if (round > 0) run.ms.push(ms);
        }
      for (const [drafts, { ms, usages }] of runs) {
        const total = (of: (u: Usage) => number): number => usages.reduce((n, u) => n + of(u), 0);
        const tokens = total((u) => u.completionTokens);
        const accepted = total((u) => u.acceptedDrafts);
        rows.push({
          kind,
          sampling,
          drafts,
          tokensPerS: (1000 * tokens) / median(ms),
          speedUp: median(runs.get(0)!.ms.map((base, i) => base / ms[i]!)),
          acceptance: accepted / Math.max(1, accepted + total((u) => u.rejectedDrafts)),
          guessed: accepted / tokens,
        });
      }
    }
  return { model: llm.info.id, tokens: options.tokens, rows };
}

const median = (xs: readonly number[]): number => xs.toSorted((a, b) => a - b)[Math.floor(xs.length / 2)]!;
