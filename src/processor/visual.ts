/**
 * How a picture or a clip is laid out in the token sequence.
 *   picture  <boi> <style> <size> <vpad>* codes <eoi>
 *   clip     <bov> <style> <size> <frames> <vpad>* codes of latent 0, 1, ... <eov>
 * Codes start at an absolute position that is a multiple of 4 and go in two-row zig-zag: 2x2 quads from left to
 * right, each quad top-left, top-right, bottom-left, bottom-right. One compressed-attention entry is one quad, and
 * the first codes of a clip are the codes of its first frame as a picture.
 * Main functions: `segmentSlots` (what every position of a segment holds), `writeSegment`, `readCodes`, `sideInputs`.
 */
import { ShapeError } from "../base/errors.ts";
import type { Style, Vocabulary } from "./vocabulary.ts";

export type SegmentKind = "image" | "video";

/** Codes start at multiples of this many positions. */
export const SEGMENT_ALIGN = 4;

/** Row, column and latent frame of a code. */
export interface Place {
  readonly r: number;
  readonly c: number;
  readonly t: number;
}

/** What a position of a segment may hold: one given id, any style, or any code at a place. */
export type Slot =
  | { readonly kind: "fixed"; readonly id: number }
  | { readonly kind: "style" }
  | ({ readonly kind: "code" } & Place);

/** zigzag[i] = row-major index of the i-th code in sequence order; `side` even. */
export function zigzagOrder(side: number): Int32Array {
  if (side % 2 !== 0) throw new ShapeError(`zigzagOrder: expected an even side, got ${side}`);
  const order = new Int32Array(side * side);
  let i = 0;
  for (let r = 0; r < side; r += 2) {
    for (let c = 0; c < side; c += 2) {
      order[i++] = r * side + c;
      order[i++] = r * side + c + 1;
      order[i++] = (r + 1) * side + c;
      order[i++] = (r + 1) * side + c + 1;
    }
  }
  return order;
}

export const numLatentsOf = (kind: SegmentKind, vocabulary: Vocabulary): number =>
  kind === "image" ? 1 : vocabulary.visual.numLatents;

export const numCodesOf = (kind: SegmentKind, vocabulary: Vocabulary): number =>
  numLatentsOf(kind, vocabulary) * vocabulary.visual.side ** 2;

/** Place of the i-th code of a segment. */
export function placeOf(i: number, side: number): Place {
  const perLatent = side * side;
  const t = Math.floor(i / perLatent);
  const inLatent = i % perLatent;
  const quad = inLatent >> 2;
  const r = 2 * Math.floor(quad / (side / 2)) + ((inLatent >> 1) & 1);
  const c = 2 * (quad % (side / 2)) + (inLatent & 1);
  return { r, c, t };
}

/** Every slot of a segment whose opening token stands at absolute `position`. No style: the model chooses it. */
export function segmentSlots(vocabulary: Vocabulary, kind: SegmentKind, position: number, style?: Style): Slot[] {
  const fixed = (id: number): Slot => ({ kind: "fixed", id });
  const slots: Slot[] = [
    fixed(vocabulary.id(kind === "image" ? "<boi>" : "<bov>")),
    style === undefined ? { kind: "style" } : fixed(vocabulary.styleId(style)),
    fixed(vocabulary.sizeId),
  ];
  if (kind === "video") slots.push(fixed(vocabulary.framesId));
  while ((position + slots.length) % SEGMENT_ALIGN !== 0) slots.push(fixed(vocabulary.id("<vpad>")));
  const total = numCodesOf(kind, vocabulary);
  for (let i = 0; i < total; i++) slots.push({ kind: "code", ...placeOf(i, vocabulary.visual.side) });
  slots.push(fixed(vocabulary.id(kind === "image" ? "<eoi>" : "<eov>")));
  return slots;
}

/** Row-major codes, latent after latent -> codes in sequence order. */
export function toSequenceOrder(codes: ArrayLike<number>, side: number): Int32Array {
  const order = zigzagOrder(side);
  const per = order.length;
  if (codes.length % per !== 0)
    throw new ShapeError(`visual: expected a multiple of ${per} codes, got ${codes.length}`);
  return Int32Array.from({ length: codes.length }, (_, i) => codes[i - (i % per) + order[i % per]!]!);
}

/** The inverse of `toSequenceOrder`. */
export function toRasterOrder(codes: ArrayLike<number>, side: number): Int32Array {
  const order = zigzagOrder(side);
  const per = order.length;
  if (codes.length % per !== 0)
    throw new ShapeError(`visual: expected a multiple of ${per} codes, got ${codes.length}`);
  const out = new Int32Array(codes.length);
  for (let i = 0; i < codes.length; i++) out[i - (i % per) + order[i % per]!] = codes[i]!;
  return out;
}

/** Appends a whole segment to `ids` (whose length is the position of the opening token). Codes are row-major, 0-based. */
export function writeSegment(
  vocabulary: Vocabulary,
  ids: number[],
  segment: { readonly kind: SegmentKind; readonly style: Style; readonly codes: ArrayLike<number> },
): void {
  const { startId, numCodes, side } = vocabulary.visual;
  const expected = numCodesOf(segment.kind, vocabulary);
  if (segment.codes.length !== expected)
    throw new ShapeError(`writeSegment: expected ${expected} codes of a ${segment.kind}, got ${segment.codes.length}`);
  const codes = toSequenceOrder(segment.codes, side);
  let next = 0;
  for (const slot of segmentSlots(vocabulary, segment.kind, ids.length, segment.style)) {
    if (slot.kind === "fixed") ids.push(slot.id);
    else {
      const code = codes[next++]!;
      if (!(code >= 0 && code < numCodes))
        throw new ShapeError(`writeSegment: expected codes in [0, ${numCodes}), got ${code}`);
      ids.push(startId + code);
    }
  }
}

/** The visual ids among `ids`, in order -> row-major 0-based codes (whole latents only; a partial last one is dropped). */
export function readCodes(vocabulary: Vocabulary, ids: Iterable<number>): Int32Array {
  const { startId, numCodes, side } = vocabulary.visual;
  const codes: number[] = [];
  for (const id of ids) if (id >= startId && id < startId + numCodes) codes.push(id - startId);
  codes.length -= codes.length % (side * side);
  return toRasterOrder(codes, side);
}

/**
 * The model's side input [T,4] of a whole sequence: code (0-based, -1 for other tokens), row, column, latent frame.
 * A token that is not a code ends the count of the segment it follows.
 */
export function sideInputs(vocabulary: Vocabulary, ids: ArrayLike<number>): Int32Array {
  const { startId, numCodes, side } = vocabulary.visual;
  const out = new Int32Array(ids.length * 4);
  let i = 0;
  for (let p = 0; p < ids.length; p++) {
    const code = ids[p]! - startId;
    if (code < 0 || code >= numCodes) {
      i = 0;
      out[4 * p] = -1;
      continue;
    }
    const { r, c, t } = placeOf(i++, side);
    out.set([code, r, c, t], 4 * p);
  }
  return out;
}
