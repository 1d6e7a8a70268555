/** How an answer is sampled when the caller does not say: one table for the command line and the server. */
import type { GenerateRequest, SamplingParams } from "./types.ts";

const text = { maxTokens: 256, temperature: 0.8, topP: 0.95, topK: 0, stop: [], guidance: 1.5 } as const;
/** Codes are drawn nearly greedily: a model this small knows one drawing of a concept, and a code off it spoils the rest.
 * Stronger guidance helps scenes and costs drawings of concepts (LOG.md has both). */
const visual = { ...text, temperature: 0.1, topP: 1, topK: 100 } as const;

const defaults: Record<GenerateRequest["modality"], Omit<SamplingParams, "seed">> = {
  // Whether it becomes text, a picture or a clip is not known yet; a clip takes 263 tokens.
  auto: { ...text, maxTokens: 512, codes: { temperature: visual.temperature, topK: visual.topK } },
  text,
  image: visual,
  video: visual,
};

/** A seed of its own for a request that names none. */
export const randomSeed = (): number => Math.floor(Math.random() * 0x1_0000_0000);

/** `given` wins where it says something. */
export function paramsFor(
  modality: GenerateRequest["modality"],
  given: { readonly [K in keyof SamplingParams]?: SamplingParams[K] | null | undefined },
): SamplingParams {
  const said = Object.entries(given).filter(([, value]) => value !== null && value !== undefined);
  return { ...defaults[modality], seed: randomSeed(), ...Object.fromEntries(said) };
}
