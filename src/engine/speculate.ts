/**
 * Text generation with drafts: the drafter guesses a few tokens, the network reads them in one call, and those that stand
 * (acceptance.ts) are the answer. Greedy output is that of the network alone; sampled output has its distribution.
 * Main function: `speculate`, a generator of ids that ends with its counts. Plain text only: pictures, guidance and
 * grammars go through generate.ts.
 */
import { uniform } from "../base/prng.ts";
import type { V4State } from "../model/state.ts";
import type { ForwardOutput, V4 } from "../model/v4.ts";
import * as t from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { accept, draw, type Draft } from "./acceptance.ts";
import type { Drafter } from "./drafters.ts";
import { distribution } from "./sampler.ts";
import type { SamplingParams } from "./types.ts";

export interface SpeculationRequest {
  readonly prompt: readonly number[];
  readonly params: Pick<SamplingParams, "maxTokens" | "temperature" | "topP" | "topK" | "seed">;
  /** Most guesses a round; 0 is generation without drafts. */
  readonly draftLength: number;
  readonly isEnd?: (id: number) => boolean;
}

export interface SpeculationCounts {
  /** Calls of the network after the prompt. */
  readonly rounds: number;
  readonly drafted: number;
  readonly accepted: number;
}

/** The network's side: its state, and what it says of a chunk. */
class Target {
  private readonly state: V4State;
  private readonly model: V4;
  private readonly taps: readonly number[];

  constructor(model: V4, taps: readonly number[], draftLength: number) {
    this.model = model;
    this.taps = taps;
    this.state = model.newState(1, { maxDraft: draftLength + 1 });
  }
  get length(): number {
    return this.state.length;
  }

  /** Reads `ids`; the caller's scope owns what comes out. */
  read(ids: readonly number[]): ForwardOutput {
    const tensor = Tensor.from(this.model.device, Int32Array.from(ids), [1, ids.length]);
    return this.model.forward(tensor, { state: this.state, taps: this.taps });
  }

  /** Logits of every row from `start` on. */
  logits(out: ForwardOutput, start = 0): Float32Array[] {
    const rows = out.hidden.shape[1]! - start;
    const all = t.noGrad(() => this.model.logits(t.slice(out.hidden, 1, start))).toArray() as Float32Array;
    const width = all.length / rows;
    return Array.from({ length: rows }, (_, i) => all.slice(i * width, (i + 1) * width));
  }

  /** Reads drafts on trial: `keep(n)` leaves the first n of them in, as if the others had never come. */
  try(ids: readonly number[]): { readonly out: ForwardOutput; readonly keep: (count: number) => void } {
    const before = this.state.length;
    return { out: this.read(ids), keep: (count) => this.state.rollback(before + count) };
  }

  dispose(): void {
    this.state.dispose();
  }
}

export function* speculate(
  model: V4,
  drafter: Drafter | undefined,
  request: SpeculationRequest,
): Generator<number, SpeculationCounts> {
  // prettier-ignore
  const { prompt, params, draftLength, isEnd = () => false } = request;
  const { temperature, topP, topK, seed } = params;
  let counter = 0;
  const random = (): number => uniform(seed, counter++);
  const chances = (logits: Float32Array): Float64Array => distribution(logits, { temperature, topP, topK });
  const choose = (logits: Float32Array): { id: number; from: Float64Array } => {
    const from = chances(logits);
    return { id: draw(from, random()), from };
  };
  const target = new Target(model, drafter?.taps ?? [], draftLength);
  let [rounds, drafted, accepted] = [0, 0, 0];
  try {
    let next = first(target, drafter, prompt, choose);
    const room = Math.min(params.maxTokens, model.config.max_position_embeddings - prompt.length);
    for (let n = 0; n < room;) {
      // Of the tokens of a round the first is known; the rest of the room is for what stands and what follows it.
      if (isEnd(next)) break;
      yield next;
      if (++n === room) break;
      const count = Math.min(draftLength, room - n - 1);
      const draft = drafter && count > 0 ? drafter.draft(count, choose) : { ids: [], from: [] };
      const found = verify(target, drafter, next, draft, chances, random);
      rounds++;
      drafted += draft.ids.length;
      accepted += found.count;
      for (const id of draft.ids.slice(0, found.count)) {
        if (isEnd(id)) return { rounds, drafted, accepted };
        yield id;
        n++;
      }
      next = found.next;
    }
    return { rounds, drafted, accepted };
  } finally {
    target.dispose();
  }
}

/** Reads the prompt; the first token. */
function first(
  target: Target,
  drafter: Drafter | undefined,
  prompt: readonly number[],
  choose: (logits: Float32Array) => { id: number },
): number {
  // prettier-ignore
  using _scope = t.tensorScope();
  const out = target.read(prompt);
  const { id } = choose(target.logits(out, prompt.length - 1)[0]!);
  drafter?.observe(out, [...prompt.slice(1), id]);
  return id;
}

/** One call of the network over the known token and the drafts behind it. */
function verify(
  target: Target,
  drafter: Drafter | undefined,
  known: number,
  draft: Draft,
  chances: (logits: Float32Array) => Float64Array,
  random: () => number,
): { readonly count: number; readonly next: number } {
  using _scope = t.tensorScope();
  const { out, keep } = target.try([known, ...draft.ids]);
  const found = accept(draft, target.logits(out).map(chances), random);
  keep(1 + found.count);
  drafter?.observe(out, [...draft.ids.slice(0, found.count), found.next]);
  return found;
}
