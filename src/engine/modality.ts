/**
 * The modality state machine of one sequence. It reads every token, prompt and answer alike, and knows: which ids
 * may come next, where a visual token stands (row, column, latent frame), and when a picture or clip is complete
 * (counted, never sampled). The same machine gives training its side information.
 *
 *   picture  <boi> [style] size vpad* code{rows*cols} <eoi>
 *   clip     <bov> [style] size frames vpad* code{rows*cols*frames} <eov>
 *
 * Codes go by pairs of rows, 2x2 quads left to right, and pads bring the first code to a multiple of 4, so that
 * one compressed entry is one quad. Main part: `ModalityTracker`.
 */
import { FormatError } from "../base/errors.ts";

export type VisualKind = "image" | "video";

export interface Grammar {
  readonly boi: number;
  readonly eoi: number;
  readonly bov: number;
  readonly eov: number;
  readonly vpad: number;
  /** Style ids by name; a picture or clip header may carry one. */
  readonly styles: ReadonlyMap<string, number>;
  /** Size ids -> grid. */
  readonly sizes: ReadonlyMap<number, { readonly rows: number; readonly cols: number }>;
  /** Frame-count ids -> latent frames. */
  readonly frames: ReadonlyMap<number, number>;
  readonly codes: { readonly start: number; readonly end: number };
}

/** What the next token may be. */
export type Legal =
  | { readonly kind: "text" }
  /** The grammar leaves no choice. */
  | { readonly kind: "forced"; readonly id: number }
  | { readonly kind: "oneOf"; readonly ids: readonly number[] }
  | { readonly kind: "code"; readonly start: number; readonly end: number };

type Phase =
  | { readonly kind: "text" }
  | { readonly kind: "header"; readonly modality: VisualKind; style?: number; size?: number; frames?: number }
  | { readonly kind: "codes"; readonly modality: VisualKind; readonly rows: number; readonly cols: number; readonly total: number; done: number }; // prettier-ignore

/** What generation writes into a header. */
export interface SegmentPlan {
  /** Absent: the model chooses. */
  readonly style?: number | undefined;
  readonly size: number;
  /** Clips only. */
  readonly frames: number;
  /** The first codes, given: a clip that starts from a picture. In sequence order, as ids. */
  readonly codes?: readonly number[] | undefined;
}

/** Row and column of code i of a latent frame. rows and cols are even. */
export function gridPosition(i: number, cols: number): { row: number; col: number } {
  const quad = i >> 2;
  const quadsAcross = cols >> 1;
  const [down, across] = [Math.floor(quad / quadsAcross), quad % quadsAcross];
  return { row: 2 * down + ((i >> 1) & 1), col: 2 * across + (i & 1) };
}

/** code, row, column, frame; -1 for tokens that are not codes. */
export type Side = readonly [code: number, row: number, col: number, frame: number];
const NO_SIDE: Side = [-1, -1, -1, -1];

export class ModalityTracker {
  private readonly grammar: Grammar;
  private phase: Phase = { kind: "text" };
  /** Tokens read. */
  position = 0;

  constructor(grammar: Grammar) {
    this.grammar = grammar;
  }
  /** The open picture or clip, if any. */
  get segment(): { modality: VisualKind; done: number; total: number } | undefined {
    const { phase } = this;
    if (phase.kind === "text") return undefined;
    return phase.kind === "header"
      ? { modality: phase.modality, done: 0, total: 0 }
      : { modality: phase.modality, done: phase.done, total: phase.total };
  }

  /** What may come next when this side writes. */
  legal(plan: SegmentPlan): Legal {
    const { grammar: g, phase } = this;
    if (phase.kind === "text") return { kind: "text" };
    if (phase.kind === "header") {
      if (g.styles.size > 0 && phase.style === undefined)
        return plan.style === undefined
          ? { kind: "oneOf", ids: [...g.styles.values()] }
          : { kind: "forced", id: plan.style };
      if (phase.size === undefined) return { kind: "forced", id: plan.size };
      if (phase.modality === "video" && phase.frames === undefined) return { kind: "forced", id: plan.frames };
      return this.position % 4 === 0 ? this.legalCode(0, plan) : { kind: "forced", id: g.vpad };
    }
    if (phase.done === phase.total) return { kind: "forced", id: phase.modality === "image" ? g.eoi : g.eov };
    return this.legalCode(phase.done, plan);
  }

  private legalCode(idx: number, plan: SegmentPlan): Legal {
    const given = plan.codes?.[idx];
    return given === undefined ? { kind: "code", ...this.grammar.codes } : { kind: "forced", id: given };
  }

  /** Reads one token, checks it against the grammar, and says where it stands. */
  push(id: number): Side {
    const side = this.read(id);
    this.position++;
    return side;
  }

  private read(id: number): Side {
    const { grammar: g, phase } = this;
    const isCode = id >= g.codes.start && id < g.codes.end;
    if (phase.kind === "text") {
      if (id === g.boi || id === g.bov) this.phase = { kind: "header", modality: id === g.boi ? "image" : "video" };
      else if (isCode || id === g.eoi || id === g.eov) this.fail("text", id);
      return NO_SIDE;
    }
    if (phase.kind === "header") {
      const isStyle = phase.style === undefined && [...g.styles.values()].includes(id);
      if (isStyle) phase.style = id;
      else if (g.sizes.has(id) && phase.size === undefined) phase.size = id;
      else if (g.frames.has(id) && phase.frames === undefined && phase.modality === "video") phase.frames = id;
      else if (isCode) return this.firstCode(id, phase);
      else if (id !== g.vpad) this.fail("a header field, a pad or a code", id);
      return NO_SIDE;
    }
    if (phase.done === phase.total) {
      if (id !== (phase.modality === "image" ? g.eoi : g.eov)) this.fail(`the end of the ${phase.modality}`, id);
      this.phase = { kind: "text" };
      return NO_SIDE;
    }
    if (!isCode) this.fail(`code ${phase.done + 1} of ${phase.total}`, id);
    return this.code(id, phase);
  }

  private firstCode(id: number, header: Extract<Phase, { kind: "header" }>): Side {
    const grid = header.size === undefined ? undefined : this.grammar.sizes.get(header.size);
    const frames = header.modality === "image" ? 1 : this.grammar.frames.get(header.frames ?? -1);
    if (grid === undefined || frames === undefined) return this.fail("size and frame count before the first code", id);
    const phase: Phase = {
      kind: "codes",
      modality: header.modality,
      ...grid,
      total: grid.rows * grid.cols * frames,
      done: 0,
    };
    this.phase = phase;
    return this.code(id, phase);
  }

  private code(id: number, phase: Extract<Phase, { kind: "codes" }>): Side {
    const perFrame = phase.rows * phase.cols;
    const { row, col } = gridPosition(phase.done % perFrame, phase.cols);
    const frame = Math.floor(phase.done / perFrame);
    phase.done++;
    return [id - this.grammar.codes.start, row, col, frame];
  }

  private fail(expected: string, id: number): never {
    const where = `token ${this.position}`;
    throw new FormatError(`visual segment: ${where}: expected ${expected}, got id ${id}`, { file: where });
  }
}

/** Side information of a whole sequence, i32 [T*4]; undefined for pure text. */
export function sideOf(
  ids: ArrayLike<number>,
  grammar: Grammar,
  tracker = new ModalityTracker(grammar),
): Int32Array | undefined {
  const out = new Int32Array(ids.length * 4);
  let any = false;
  for (let i = 0; i < ids.length; i++) {
    const side = tracker.push(ids[i]!);
    out.set(side, i * 4);
    any ||= side[0] >= 0;
  }
  return any ? out : undefined;
}
