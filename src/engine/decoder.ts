/**
 * The owner of one sequence's model state: takes token ids, gives next-token logits. Tokens wait until logits are
 * wanted, so forced tokens and prompts run as one chunk. Under guidance it also runs the sequence with its prompt
 * blanked out; of equal length (the usual case) the two are one batch of two. With drafts (speculate.ts) a call reads
 * guesses as well: while the tokens that come are the guesses, their logits are there already; the first other one takes
 * the rest back.
 * Main functions: `push`, `logits`, `openGuidance`, `closeGuidance`, `dispose`.
 */
import type { V4 } from "../model/v4.ts";
import { V4State } from "../model/state.ts";
import * as t from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { sidesOf, type Choose, type IdRange, type Token } from "./drafters.ts";
import { ModalityTracker, type Grammar, type Side } from "./modality.ts";
import type { Drafts } from "./speculate.ts";

/** Prompts run in chunks of this many tokens, which bounds the memory of one call. */
export const PREFILL_CHUNK = 256;

/** A guess that was read, and the logits after it. */
interface Guess {
  readonly id: number;
  readonly logits: Float32Array;
}

const NO_SIDE: Side = [-1, -1, -1, -1];

/** States that read the same new tokens: one, a batch of two, or two of different lengths. */
type Lanes =
  | { readonly kind: "plain"; readonly state: V4State }
  | { readonly kind: "paired"; readonly state: V4State }
  | { readonly kind: "apart"; readonly state: V4State; readonly blank: V4State };

export class Decoder {
  readonly tracker: ModalityTracker;
  private readonly model: V4;
  private readonly grammar: Grammar;
  private readonly tokens: Token[] = [];
  /** How many of the tokens the network has not read. */
  private numWaiting = 0;
  private lanes: Lanes;
  private drafts: Drafts | undefined;
  private guesses: Guess[] = [];
  /** Logits after the last token, where it was guessed. */
  private ready: Float32Array | undefined;
  /** Index of the token that opened the current picture or clip. */
  private segmentStart = -1;

  constructor(model: V4, grammar: Grammar, drafts?: Drafts) {
    this.model = model;
    this.drafts = drafts;
    this.grammar = grammar;
    this.tracker = new ModalityTracker(grammar);
    this.lanes = { kind: "plain", state: model.newState() };
  }
  get numTokens(): number {
    return this.tokens.length;
  }
  get isGuided(): boolean {
    return this.lanes.kind !== "plain";
  }

  push(id: number): void {
    const wasText = this.tracker.segment === undefined;
    const side = this.tracker.push(id);
    if (wasText && this.tracker.segment !== undefined) this.segmentStart = this.tokens.length;
    const guess = this.guesses.shift();
    this.ready = guess?.id === id ? guess.logits : undefined;
    if (this.ready) this.drafts?.accept();
    else {
      if (guess) this.takeBack();
      this.numWaiting++;
    }
    this.tokens.push({ id, side });
  }

  /**
   * Logits of the ids in `range` after the last token; two rows under guidance, the blanked prompt's second. `choose`
   * draws guesses (of the same range), where drafts are to be made.
   */
  logits(range: IdRange, choose?: Choose): Float32Array[] {
    const { lanes, tokens } = this;
    if (this.ready) return [this.ready];
    const waiting = tokens.slice(tokens.length - this.numWaiting);
    this.numWaiting = 0;
    if (lanes.kind === "apart") return [...this.run(lanes.state, waiting, range), ...this.run(lanes.blank, waiting, range)]; // prettier-ignore
    // A drafter speaks about what follows one token that the network has yet to read.
    const canDraft = choose && lanes.kind === "plain" && waiting.length === 1 && tokens.length > 1;
    const ids = canDraft ? (this.drafts?.next({ sequence: tokens, range, choose }) ?? []) : [];
    if (ids.length === 0) return this.run(lanes.state, waiting, range);
    const rows = [...waiting, ...ids.map((id): Token => ({ id, side: NO_SIDE }))];
    const [first, ...after] = this.run(lanes.state, rows, range, rows.length);
    this.guesses = ids.map((id, i) => ({ id, logits: after[i]! }));
    return [first!];
  }

  /**
   * Adds the blanked lane: `blank` maps all ids before the open picture or clip to their unconditional version;
   * the segment's own tokens so far are read by both. Drafts end here: what follows is codes.
   */
  openGuidance(blank: (ids: readonly number[]) => readonly number[]): void {
    if (this.lanes.kind !== "plain") return;
    const { state } = this.lanes;
    this.drafts?.dispose();
    this.drafts = undefined;
    // The last token waits in both lanes, so that there is always a row to take logits from.
    const { numWaiting } = this;
    const last = this.tokens.pop()!;
    this.numWaiting = numWaiting - 1;
    if (this.numWaiting > 0) this.logits({ start: 0, end: 1 });
    const before = blank(this.tokens.slice(0, this.segmentStart).map((x) => x.id));
    this.tokens.push(last);
    this.numWaiting = 1;
    const all = [...before, ...this.tokens.slice(this.segmentStart).map((x) => x.id)];
    const tracker = new ModalityTracker(this.grammar);
    const rows = all.map((id): Token => ({ id, side: tracker.push(id) }));
    const other = this.model.newState();
    this.run(other, rows.slice(0, -1), { start: 0, end: 1 });
    if (other.length !== state.length) this.lanes = { kind: "apart", state, blank: other };
    else {
      this.lanes = { kind: "paired", state: V4State.stack([state, other]) };
      state.dispose();
      other.dispose();
    }
  }

  closeGuidance(): void {
    const { lanes } = this;
    if (lanes.kind === "plain") return;
    if (lanes.kind === "apart") lanes.blank.dispose();
    const state = lanes.kind === "paired" ? lanes.state.pick(0) : lanes.state;
    if (lanes.kind === "paired") lanes.state.dispose();
    this.lanes = { kind: "plain", state };
  }

  dispose(): void {
    this.lanes.state.dispose();
    if (this.lanes.kind === "apart") this.lanes.blank.dispose();
    this.drafts?.dispose();
  }

  /** The guesses that are left did not stand. */
  private takeBack(): void {
    this.guesses = [];
    this.lanes.state.rollback(this.tokens.length);
    this.drafts?.rollback(this.tokens.length);
  }

  /** Runs the rows through a state (each sequence of its batch reads the same ones); logits after the last `wanted`. */
  private run(state: V4State, rows: readonly Token[], range: IdRange, wanted = 1): Float32Array[] {
    const { batch } = state;
    const drafts = this.lanes.kind === "plain" && state === this.lanes.state ? this.drafts : undefined;
    if (rows.length === 0) return [];
    for (let at = 0; ; at += PREFILL_CHUNK) {
      const chunk = rows.slice(at, at + PREFILL_CHUNK);
      using _scope = t.tensorScope();
      const out = t.noGrad(() => this.model.forward(this.idsOf(chunk, batch), { state, visual: batched(sidesOf(chunk), batch), taps: drafts?.taps })); // prettier-ignore
      drafts?.read(out, this.tokens);
      if (at + PREFILL_CHUNK < rows.length) continue;
      const last = t.noGrad(() => this.model.logits(t.slice(out.hidden, 1, chunk.length - wanted, chunk.length), range)); // prettier-ignore
      const all = last.toArray() as Float32Array;
      const width = range.end - range.start;
      return Array.from({ length: batch * wanted }, (_, b) => all.slice(b * width, (b + 1) * width));
    }
  }

  private idsOf(rows: readonly Token[], batch: number): Tensor {
    const one = rows.map((r) => r.id);
    const all = Array.from({ length: batch }, () => one).flat();
    return Tensor.from(this.model.device, Int32Array.from(all), [batch, rows.length]);
  }
}

function batched(sides: Int32Array | undefined, batch: number): Int32Array | undefined {
  if (sides === undefined || batch === 1) return sides;
  const out = new Int32Array(batch * sides.length);
  for (let b = 0; b < batch; b++) out.set(sides, b * sides.length);
  return out;
}
