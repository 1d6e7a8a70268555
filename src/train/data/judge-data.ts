/**
 * What the picture judge learns from and is measured on: every concept of the built pictures, all styles, except
 * one style of one concept in eight, which it never sees (of concepts that at least two other styles show).
 * Main functions: `judgeSplit`, `augmented`.
 */
import { Prng } from "../../base/prng.ts";
import { hashText, type PictureEntry } from "./pictures.ts";

export interface JudgeSplit {
  /** Codes in the order of the judge's logits. */
  readonly concepts: readonly string[];
  /** Indices of pictures. */
  readonly train: readonly number[];
  readonly heldOut: readonly number[];
}

const HELD_OUT_EVERY = 8;

/** Depends on codes and styles only, not on the order of the pictures. */
export function judgeSplit(pictures: readonly Pick<PictureEntry, "code" | "style">[]): JudgeSplit {
  const byConcept = new Map<string, number[]>();
  pictures.forEach(({ code }, i) => byConcept.set(code, [...(byConcept.get(code) ?? []), i]));
  const heldOut = new Set<number>();
  for (const [code, indices] of byConcept) {
    const hash = hashText(`judge ${code}`);
    if (indices.length < 3 || hash % HELD_OUT_EVERY !== 0) continue;
    const sorted = indices.toSorted((a, b) => (pictures[a]!.style < pictures[b]!.style ? -1 : 1));
    heldOut.add(sorted[Math.floor(hash / HELD_OUT_EVERY) % sorted.length]!);
  }
  const all = pictures.map((_, i) => i);
  return {
    concepts: [...byConcept.keys()].sort(),
    train: all.filter((i) => !heldOut.has(i)),
    heldOut: all.filter((i) => heldOut.has(i)),
  };
}

/**
 * 8-bit RGB [size,size,3] -> another view of it: moved by up to an eighth, scaled by 0.75 to 1.2, turned by up to
 * 12 degrees, one in four mirrored (not half: arrows and letters must keep a usual side), each channel's light and
 * the contrast changed. White comes in at the edges. Bilinear.
 */
export function augmented(picture: Uint8Array, size: number, random: Prng): Uint8Array {
  const between = (low: number, high: number): number => low + (high - low) * random.uniform();
  const scale = 1 / between(0.75, 1.2);
  const mirror = random.uniform() < 0.25 ? -1 : 1;
  const turn = between(-0.21, 0.21);
  const [dx, dy] = [between(-size / 8, size / 8), between(-size / 8, size / 8)];
  const contrast = between(0.8, 1.2);
  const light = between(0.85, 1.15);
  const gains = [0, 1, 2].map(() => light * between(0.92, 1.08));
  const [cos, sin] = [Math.cos(turn) * scale, Math.sin(turn) * scale];
  const middle = (size - 1) / 2;
  const out = new Uint8Array(picture.length);
  const at = (x: number, y: number, c: number): number =>
    x < 0 || y < 0 || x >= size || y >= size ? 255 : picture[(y * size + x) * 3 + c]!;
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      const [u, v] = [x - middle - dx, y - middle - dy];
      const fromX = (u * cos - v * sin) * mirror + middle;
      const fromY = u * sin + v * cos + middle;
      const [x0, y0] = [Math.floor(fromX), Math.floor(fromY)];
      const [fx, fy] = [fromX - x0, fromY - y0];
      for (let c = 0; c < 3; c++) {
        const top = at(x0, y0, c) * (1 - fx) + at(x0 + 1, y0, c) * fx;
        const bottom = at(x0, y0 + 1, c) * (1 - fx) + at(x0 + 1, y0 + 1, c) * fx;
        const value = ((top * (1 - fy) + bottom * fy - 128) * contrast + 128) * gains[c]!;
        out[(y * size + x) * 3 + c] = Math.max(0, Math.min(255, Math.round(value)));
      }
    }
  return out;
}
