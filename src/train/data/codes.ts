/**
 * Visual codes of everything the mixture may show, made once by a trained visual tokenizer: pictures, a pool of
 * procedural scenes, clips, a pool of motions, clip art. One file per encoder and data set, named by their hash.
 * Main functions: `buildCodes`, `CodeBook`.
 */
import { createHash } from "node:crypto";
import { readFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../../base/errors.ts";
import { writeWhole } from "../../base/files.ts";
import { isDecoderParameter, type VisualTokenizer } from "../../model/visual-tokenizer.ts";
import { toUnitPixels } from "../visual.ts";
import * as t from "../../tensor/ops.ts";
import { drawMotion, makeMotion } from "./motions.ts";
import { motionSeeds, sceneSeeds, type Pixels } from "./pixels.ts";
import { drawScene, makeScene } from "./scenes.ts";

export interface PoolSizes {
  readonly scenes: number;
  readonly motions: number;
}

/** Codes by item, row-major, latent after latent. */
export class CodeBook {
  readonly counts: { readonly pictures: number; readonly clips: number; readonly clipart: number } & PoolSizes;
  private readonly data: Uint16Array;
  private readonly perPicture: number;
  private readonly perClip: number;

  constructor(data: Uint16Array, counts: CodeBook["counts"], perPicture: number, perClip: number) {
    const expected = numCodes(counts, perPicture, perClip);
    if (data.length !== expected) throw new FormatError(`codes: expected ${expected} codes, found ${data.length}`, { file: "codes" }); // prettier-ignore
    this.data = data;
    this.counts = counts;
    this.perPicture = perPicture;
    this.perClip = perClip;
  }
  picture = (i: number): Uint16Array => this.at(i * this.perPicture, this.perPicture);
  scene = (i: number): Uint16Array => this.at((this.counts.pictures + i) * this.perPicture, this.perPicture);
  clip = (i: number): Uint16Array => this.at(this.clipStart + i * this.perClip, this.perClip);
  motion = (i: number): Uint16Array => this.at(this.clipStart + (this.counts.clips + i) * this.perClip, this.perClip);
  clipart = (i: number): Uint16Array =>
    this.at(this.clipStart + (this.counts.clips + this.counts.motions) * this.perClip + i * this.perPicture, this.perPicture); // prettier-ignore
  private get clipStart(): number {
    return (this.counts.pictures + this.counts.scenes) * this.perPicture;
  }
  private at(start: number, length: number): Uint16Array {
    return this.data.subarray(start, start + length);
  }
}

const numCodes = (counts: CodeBook["counts"], perPicture: number, perClip: number): number =>
  (counts.pictures + counts.scenes + counts.clipart) * perPicture + (counts.clips + counts.motions) * perClip;

/** Of everything that codes depend on: the encoder's weights, the pools, the data. */
function hashOf(visual: VisualTokenizer, pixels: Pixels, pools: PoolSizes): string {
  const hash = createHash("sha256");
  hash.update(JSON.stringify([visual.config, pools, pixels.numFrames, pixels.pictures, pixels.clips]));
  if (pixels.clipart.length > 0) hash.update(JSON.stringify(pixels.clipart));
  for (const [name, p] of visual.namedParameters()) if (!isDecoderParameter(name)) hash.update(p.toRaw());
  return hash.digest("hex").slice(0, 16);
}

/** Reads them from `dir` when they are there, else encodes everything and writes it. */
export function buildCodes(
  dir: string,
  visual: VisualTokenizer,
  pixels: Pixels,
  pools: PoolSizes,
  onProgress?: (done: number, total: number) => void,
): CodeBook {
  const counts = { pictures: pixels.pictures.length, clips: pixels.clips.length, clipart: pixels.clipart.length, ...pools }; // prettier-ignore
  const perPicture = visual.tokensPerLatent;
  const perClip = perPicture * (1 + (pixels.numFrames - 1) / 4);
  const path = join(dir, `codes-${hashOf(visual, pixels, pools)}.bin`);
  if (existsSync(path)) {
    const bytes = readFileSync(path);
    const expected = 2 * numCodes(counts, perPicture, perClip);
    if (bytes.length !== expected)
      throw new FormatError(`codes: ${path}: expected ${expected} bytes for this data, found ${bytes.length}; delete it to make it again`, { file: path }); // prettier-ignore
    const data = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
    return new CodeBook(data, counts, perPicture, perClip);
  }
  const { size, numFrames } = pixels;
  const total = counts.pictures + counts.scenes + counts.clips + counts.motions + counts.clipart;
  const data = new Uint16Array(numCodes(counts, perPicture, perClip));
  let at = 0;
  let done = 0;
  const encode = (count: number, frames: number, batch: number, read: (i: number) => Uint8Array): void => {
    for (let i = 0; i < count; i += batch) {
      using _scope = t.tensorScope();
      const items = Array.from({ length: Math.min(batch, count - i) }, (_, j) => read(i + j));
      const ids = visual.encode(toUnitPixels(visual.device, items, [frames, size, size, 3]));
      data.set(ids, at);
      at += ids.length;
      done += items.length;
      onProgress?.(done, total);
    }
  };
  encode(counts.pictures, 1, 64, (i) => pixels.picture(i));
  encode(counts.scenes, 1, 64, (i) => drawScene(makeScene(sceneSeeds.train, i), size));
  encode(counts.clips, numFrames, 8, (i) => pixels.emojiClip(i));
  encode(counts.motions, numFrames, 8, (i) => drawMotion(makeMotion(motionSeeds.train, i), size, numFrames));
  encode(counts.clipart, 1, 64, (i) => pixels.clipartPicture(i));
  writeWhole(path, new Uint8Array(data.buffer));
  return new CodeBook(data, counts, perPicture, perClip);
}
