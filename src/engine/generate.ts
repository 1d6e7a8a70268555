/**
 * Tokens in, tokens out: the loop of one request. The tracker says what is legal, the decoder gives logits, the
 * sampler draws. Inside a picture or clip only the codes' part of the head is computed, and guidance compares
 * with the blanked prompt; outside of it runs one sequence. No strings here.
 * Main function: `generateTokens`, a generator that ends with the reason it stopped.
 */
import type { V4 } from "../model/v4.ts";
import { Decoder } from "./decoder.ts";
import type { Choose, IdRange } from "./drafters.ts";
import type { Grammar, Legal, SegmentPlan, VisualKind } from "./modality.ts";
import { draw, guide, type SampleOptions } from "./sampler.ts";
import type { Drafts } from "./speculate.ts";
import type { FinishReason, SamplingParams } from "./types.ts";

export interface TokenRequest {
  readonly prompt: readonly number[];
  readonly params: Omit<SamplingParams, "stop">;
  /** Header of pictures and clips that this side writes. */
  readonly plan: SegmentPlan;
  /** Ids that may follow in text. */
  readonly isTextLegal: (id: number) => boolean;
  /** Ids that end the answer. */
  readonly isEnd: (id: number) => boolean;
  /** The unconditional version of everything before a picture or clip. */
  readonly blank: (ids: readonly number[]) => readonly number[];
  /** Stop after the first whole picture or clip. */
  readonly stopAfterSegment: boolean;
  /** Guesses text ahead; the tokens are the same without. Disposed of at the end. */
  readonly drafts?: Drafts | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface TokenEvent {
  readonly id: number;
  /** The picture or clip the token belongs to, after it was read; undefined in text. */
  readonly segment: { readonly modality: VisualKind; readonly done: number; readonly total: number } | undefined;
}

export function* generateTokens(
  model: V4,
  grammar: Grammar,
  request: TokenRequest,
): Generator<TokenEvent, FinishReason> {
  const { prompt, params, plan, isEnd, blank, signal, stopAfterSegment } = request;
  const decoder = new Decoder(model, grammar, request.drafts);
  try {
    for (const id of prompt) decoder.push(id);
    // The context may end a segment early, never silently: the caller sees "length".
    const budget = Math.min(params.maxTokens, model.config.max_position_embeddings - prompt.length);
    for (let n = 0; n < budget; n++) {
      if (signal?.aborted) return "abort";
      const wasVisual = decoder.tracker.segment !== undefined;
      if (!wasVisual) decoder.closeGuidance();
      else if (params.guidance !== 1) decoder.openGuidance(blank);
      const id = nextId(decoder, decoder.tracker.legal(plan), grammar, request, n);
      if (isEnd(id)) return "stop";
      decoder.push(id);
      const { segment } = decoder.tracker;
      yield { id, segment };
      if (wasVisual && segment === undefined && stopAfterSegment) return "stop";
    }
    return "length";
  } finally {
    decoder.dispose();
  }
}

function nextId(decoder: Decoder, legal: Legal, grammar: Grammar, request: TokenRequest, counter: number): number {
  const { params, isTextLegal, isEnd } = request;
  if (legal.kind === "forced") return legal.id;
  const range = rangeOf(legal, grammar);
  const { seed } = params;
  const { temperature, topK } = legal.kind === "code" ? (params.codes ?? params) : params;
  const isLegal = legal.kind === "oneOf" ? (id: number): boolean => legal.ids.includes(id) : isTextLegal;
  const options: SampleOptions =
    legal.kind === "code"
      ? { temperature, seed, counter, topP: 1, topK }
      : { temperature, seed, counter, topP: params.topP, topK, isLegal };
  // A guess is what the sampler would draw at its place; an end or the start of a picture is left to the network.
  const choose: Choose = (logits, i) => {
    const found = draw(logits, { ...options, counter: counter + 1 + i }, range.start);
    return isEnd(found.id) || found.id === grammar.boi || found.id === grammar.bov ? undefined : found;
  };
  const [conditional, unconditional] = decoder.logits(range, legal.kind === "text" ? choose : undefined);
  const logits = unconditional ? guide(conditional!, unconditional, params.guidance) : conditional!;
  return draw(logits, options, range.start).id;
}

/** Codes and unused rows come after all text ids, so text needs the head's beginning only. */
const rangeOf = (legal: Legal, grammar: Grammar): IdRange =>
  legal.kind === "code" ? { start: legal.start, end: legal.end } : { start: 0, end: grammar.codes.start };
