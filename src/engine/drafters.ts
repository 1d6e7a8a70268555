/**
 * Who guesses the next tokens: the MTP module, DSpark, or the network itself (which always agrees and saves nothing; it
 * shows what the machinery costs). A drafter sees every kept position of the network once, in order, with the token after
 * it; what it guessed beyond leaves no trace.
 * Main parts: `Drafter`, `drafterFor`.
 */
import { RequestError } from "../base/errors.ts";
import { DSpark } from "../model/dspark.ts";
import { MtpModule } from "../model/mtp.ts";
import type { V4State } from "../model/state.ts";
import type { ForwardOutput, V4 } from "../model/v4.ts";
import { cloneTensor } from "../tensor/ops-elementwise.ts";
import * as t from "../tensor/ops.ts";
import { untrack } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Draft } from "./acceptance.ts";

/** Chooses a token from logits; says what it was drawn from. */
export type Choose = (logits: Float32Array) => { readonly id: number; readonly from: Float64Array };

export interface Drafter {
  /** Layers whose features it reads. */
  readonly taps: readonly number[];
  /** `out` of the network at the next `nextIds.length` positions; nextIds[i] stands behind the i-th. */
  observe(out: ForwardOutput, nextIds: readonly number[]): void;
  /** Up to `count` guesses after the last of `nextIds`. */
  draft(count: number, choose: Choose): Draft;
  dispose(): void;
}

const idsOf = (model: V4, ids: readonly number[]): Tensor => Tensor.from(model.device, Int32Array.from(ids), [1, ids.length]); // prettier-ignore

/** A tensor that outlives scopes. */
function own(x: Tensor): Tensor {
  const copy = cloneTensor(x);
  untrack(copy.data);
  return copy;
}

/** Reads its own streams for every guess after the first. */
export class MtpDrafter implements Drafter {
  readonly taps = [];
  private readonly model: V4;
  private readonly state: V4State;
  /** After the last observed position: streams [1,n,D] and logits of the next guess. */
  private last: { readonly streams: Tensor; readonly logits: Float32Array } | undefined;

  constructor(model: V4) {
    this.model = model;
    this.state = model.newMtpState();
  }

  observe(out: ForwardOutput, nextIds: readonly number[]): void {
    using _scope = t.tensorScope();
    const last = this.step(t.slice(out.streams, 0, 0, nextIds.length), nextIds, this.state);
    this.last?.streams.dispose();
    this.last = { ...last, streams: own(last.streams) };
  }

  draft(count: number, choose: Choose): Draft {
    const draft = { ids: [] as number[], from: [] as Float64Array[] };
    using _scope = t.tensorScope();
    // Guesses read guesses, in a state that is thrown away.
    const state = count > 1 ? this.state.clone() : undefined;
    try {
      for (let i = 0, at = this.last!; i < count; i++) {
        const { id, from } = choose(at.logits);
        draft.ids.push(id);
        draft.from.push(from);
        if (i + 1 < count) at = this.step(at.streams, [id], state!);
      }
    } finally {
      state?.dispose();
    }
    return draft;
  }

  dispose(): void {
    this.last?.streams.dispose();
    this.state.dispose();
  }

  private step(streams: Tensor, nextIds: readonly number[], state: V4State): { streams: Tensor; logits: Float32Array } {
    const { model } = this;
    const out = model.mtpStep(streams, idsOf(model, nextIds), state);
    const end = nextIds.length;
    const logits = t.noGrad(() => model.logits(t.slice(out.hidden, 1, end - 1, end))).toArray() as Float32Array;
    return { streams: t.slice(out.streams, 0, end - 1, end), logits };
  }
}

/** A whole block at once; it ends before the first guess that the network will rather not take. */
export class DSparkDrafter implements Drafter {
  readonly taps: readonly number[];
  private readonly dspark: DSpark;
  private readonly minConfidence: number;
  private token = 0;

  constructor(model: V4, options: { readonly minConfidence?: number } = {}) {
    this.dspark = new DSpark(model);
    this.taps = this.dspark.taps;
    this.minConfidence = options.minConfidence ?? 0;
  }
  observe(out: ForwardOutput, nextIds: readonly number[]): void {
    using _scope = t.tensorScope();
    this.dspark.observe(t.slice(out.tapped!, 1, 0, nextIds.length));
    this.token = nextIds.at(-1)!;
  }
  draft(count: number, choose: Choose): Draft {
    const draft = { ids: [] as number[], from: [] as Float64Array[] };
    const block = this.dspark.draft(this.token);
    for (let i = 0, before = this.token; i < Math.min(count, block.size); i++) {
      if (this.minConfidence > 0 && block.confidence(i, before) < this.minConfidence) break;
      const { id, from } = choose(block.logits(i, before));
      draft.ids.push(id);
      draft.from.push(from);
      before = id;
    }
    return draft;
  }
  dispose(): void {
    this.dspark.dispose();
  }
}

/** The network drafts for itself, token by token. */
export class SelfDrafter implements Drafter {
  readonly taps = [];
  private readonly model: V4;
  private readonly state: V4State;
  private token = 0;

  /** `prompt`: what the network reads first. */
  constructor(model: V4, prompt: readonly number[]) {
    this.model = model;
    this.state = model.newState();
    this.run(prompt, this.state);
    this.token = -1;
  }
  observe(_out: ForwardOutput, nextIds: readonly number[]): void {
    // The first time the prompt was observed, which is read already; its last token is the one to come.
    if (this.token >= 0) this.run([this.token, ...nextIds.slice(0, -1)], this.state);
    this.token = nextIds.at(-1)!;
  }
  draft(count: number, choose: Choose): Draft {
    const draft = { ids: [] as number[], from: [] as Float64Array[] };
    const state = this.state.clone();
    for (let i = 0, before = this.token; i < count; i++) {
      const { id, from } = choose(this.run([before], state));
      draft.ids.push(id);
      draft.from.push(from);
      before = id;
    }
    state.dispose();
    return draft;
  }
  dispose(): void {
    this.state.dispose();
  }
  private run(ids: readonly number[], state: V4State): Float32Array {
    using _scope = t.tensorScope();
    const { hidden } = this.model.forward(idsOf(this.model, ids), { state });
    return t.noGrad(() => this.model.logits(t.slice(hidden, 1, ids.length - 1, ids.length))).toArray() as Float32Array;
  }
}

/** The drafter that a checkpoint brings. */
export function drafterFor(model: V4): Drafter {
  const [first] = model.mtp;
  if (first === undefined) throw new RequestError("speculation: expected a network with an MTP module or DSpark stages, got none"); // prettier-ignore
  return first instanceof MtpModule ? new MtpDrafter(model) : new DSparkDrafter(model);
}
