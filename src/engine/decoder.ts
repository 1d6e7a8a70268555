/**
 * The owner of one sequence's model state: takes token ids, gives next-token logits. Tokens wait until logits are
 * wanted, so forced tokens and prompts run as one chunk. Under guidance it also runs the sequence with its prompt
 * blanked out; of equal length (the usual case) the two are one batch of two.
 * Main functions: `push`, `logits`, `openGuidance`, `closeGuidance`, `dispose`.
 */
import type { V4 } from "../model/v4.ts";
import { V4State } from "../model/state.ts";
import * as t from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { ModalityTracker, type Grammar, type Side } from "./modality.ts";

/** Prompts run in chunks of this many tokens, which bounds the memory of one call. */
export const PREFILL_CHUNK = 256;

export interface IdRange {
  readonly start: number;
  readonly end: number;
}

interface Waiting {
  readonly id: number;
  readonly side: Side;
}

/** States that read the same new tokens: one, a batch of two, or two of different lengths. */
type Lanes =
  | { readonly kind: "plain"; readonly state: V4State }
  | { readonly kind: "paired"; readonly state: V4State }
  | { readonly kind: "apart"; readonly state: V4State; readonly blank: V4State };

export class Decoder {
  readonly tracker: ModalityTracker;
  private readonly model: V4;
  private readonly grammar: Grammar;
  private readonly ids: number[] = [];
  private waiting: Waiting[] = [];
  private lanes: Lanes;
  /** Index of the token that opened the current picture or clip. */
  private segmentStart = -1;

  constructor(model: V4, grammar: Grammar) {
    this.model = model;
    this.grammar = grammar;
    this.tracker = new ModalityTracker(grammar);
    this.lanes = { kind: "plain", state: model.newState() };
  }
  get numTokens(): number {
    return this.ids.length;
  }
  get isGuided(): boolean {
    return this.lanes.kind !== "plain";
  }

  push(id: number): void {
    const wasText = this.tracker.segment === undefined;
    const side = this.tracker.push(id);
    if (wasText && this.tracker.segment !== undefined) this.segmentStart = this.ids.length;
    this.ids.push(id);
    this.waiting.push({ id, side });
  }

  /** Logits of the ids in `range` after the last token; two rows under guidance, the blanked prompt's second. */
  logits(range: IdRange): Float32Array[] {
    const { lanes } = this;
    const waiting = this.waiting;
    this.waiting = [];
    if (lanes.kind !== "apart") return this.run(lanes.state, waiting, range);
    return [...this.run(lanes.state, waiting, range), ...this.run(lanes.blank, waiting, range)];
  }

  /**
   * Adds the blanked lane: `blank` maps all ids before the open picture or clip to their unconditional version;
   * the segment's own tokens so far are read by both.
   */
  openGuidance(blank: (ids: readonly number[]) => readonly number[]): void {
    if (this.lanes.kind !== "plain") return;
    const { state } = this.lanes;
    // The last token waits in both lanes, so that there is always a row to take logits from.
    const last = this.waiting.pop()!;
    if (this.waiting.length > 0) this.logits({ start: 0, end: 1 });
    this.waiting = [last];
    const before = blank(this.ids.slice(0, this.segmentStart));
    const all = [...before, ...this.ids.slice(this.segmentStart)];
    const tracker = new ModalityTracker(this.grammar);
    const rows = all.map((id): Waiting => ({ id, side: tracker.push(id) }));
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
  }

  /** Runs the rows through a state (each sequence of its batch reads the same ones); logits after the last. */
  private run(state: V4State, rows: readonly Waiting[], range: IdRange): Float32Array[] {
    const { batch } = state;
    if (rows.length === 0) return [];
    for (let at = 0; ; at += PREFILL_CHUNK) {
      const chunk = rows.slice(at, at + PREFILL_CHUNK);
      using _scope = t.tensorScope();
      const hidden = t.noGrad(() => this.model.forward(this.idsOf(chunk, batch), { state, visual: sidesOf(chunk, batch) }).hidden); // prettier-ignore
      if (at + PREFILL_CHUNK < rows.length) continue;
      const last = t.noGrad(() => this.model.logits(t.slice(hidden, 1, chunk.length - 1, chunk.length), range));
      const all = last.toArray() as Float32Array;
      const width = range.end - range.start;
      return Array.from({ length: batch }, (_, b) => all.slice(b * width, (b + 1) * width));
    }
  }

  private idsOf(rows: readonly Waiting[], batch: number): Tensor {
    const one = rows.map((r) => r.id);
    const all = Array.from({ length: batch }, () => one).flat();
    return Tensor.from(this.model.device, Int32Array.from(all), [batch, rows.length]);
  }
}

function sidesOf(rows: readonly Waiting[], batch: number): Int32Array | undefined {
  if (!rows.some((r) => r.side[0] >= 0)) return undefined;
  const one = rows.flatMap((r) => [...r.side]);
  return Int32Array.from(Array.from({ length: batch }, () => one).flat());
}
