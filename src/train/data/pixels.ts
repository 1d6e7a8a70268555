/**
 * Pixels for the visual tokenizer and pictures for the mixture: the packed files that buildPictures, buildClips
 * and (where Debian's tools were) buildClipart wrote, plus procedural scenes and motions. Main function: `openPixels`.
 */
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { randomBits } from "../../base/prng.ts";
import { FormatError } from "../../base/errors.ts";
import type { PixelSource } from "../visual.ts";
import type { ClipartEntry } from "./clipart.ts";
import type { ClipEntry } from "./clips.ts";
import { drawMotion, makeMotion } from "./motions.ts";
import type { PictureEntry } from "./pictures.ts";
import { drawScene, makeScene } from "./scenes.ts";

/** Seeds of the procedural streams; held-out ones are another stream altogether. */
export const sceneSeeds = { train: 11, heldOut: 12 } as const;
export const motionSeeds = { train: 21, heldOut: 22 } as const;
export type Split = keyof typeof sceneSeeds;

/** Items of one packed file by index. */
class PackedFile {
  private readonly fd: number;
  private readonly itemBytes: number;
  constructor(path: string, itemBytes: number, count: number) {
    try {
      this.fd = openSync(path, "r");
    } catch (cause) {
      throw new FormatError(`${path}: cannot be read; run \`tessera data build\` first`, { file: path, cause });
    }
    const [expected, found] = [itemBytes * count, fstatSync(this.fd).size];
    if (found !== expected)
      throw new FormatError(`${path}: expected ${count} items of ${itemBytes} bytes (${expected}), found ${found} bytes; delete the folder and build it again`, { file: path }); // prettier-ignore
    this.itemBytes = itemBytes;
  }
  read(index: number): Uint8Array {
    const out = new Uint8Array(this.itemBytes);
    readSync(this.fd, out, 0, out.length, index * this.itemBytes);
    return out;
  }
  close(): void {
    closeSync(this.fd);
  }
}

export class Pixels implements PixelSource {
  readonly pictures: readonly PictureEntry[];
  readonly clips: readonly ClipEntry[];
  /** Empty when the data were built without. */
  readonly clipart: readonly ClipartEntry[];
  readonly size: number;
  readonly numFrames: number;
  /** Indices of `pictures`, `clips` and `clipart` by split. */
  readonly pictureSplit: Readonly<Record<Split, readonly number[]>>;
  readonly clipSplit: Readonly<Record<Split, readonly number[]>>;
  readonly clipartSplit: Readonly<Record<Split, readonly number[]>>;
  private readonly pictureFile: PackedFile;
  private readonly clipFile: PackedFile;
  private readonly clipartFile: PackedFile | undefined;

  constructor(dir: string, size: number, numFrames: number) {
    const frameBytes = size * size * 3;
    this.size = size;
    this.numFrames = numFrames;
    this.pictures = readList<PictureEntry>(join(dir, "images.json"));
    this.clips = readList<ClipEntry>(join(dir, "clips.json"));
    this.pictureFile = new PackedFile(join(dir, "images.bin"), frameBytes, this.pictures.length);
    this.clipFile = new PackedFile(join(dir, "clips.bin"), frameBytes * numFrames, this.clips.length);
    const hasClipart = existsSync(join(dir, "clipart.json"));
    this.clipart = hasClipart ? readList<ClipartEntry>(join(dir, "clipart.json")) : [];
    this.clipartFile = hasClipart ? new PackedFile(join(dir, "clipart.bin"), frameBytes, this.clipart.length) : undefined; // prettier-ignore
    const splitOf = (list: readonly { readonly isHeldOut: boolean }[]): Record<Split, number[]> => ({
      train: list.flatMap((e, i) => (e.isHeldOut ? [] : [i])),
      heldOut: list.flatMap((e, i) => (e.isHeldOut ? [i] : [])),
    });
    this.pictureSplit = splitOf(this.pictures);
    this.clipSplit = splitOf(this.clips);
    this.clipartSplit = splitOf(this.clipart);
  }

  picture(index: number): Uint8Array {
    return this.pictureFile.read(index);
  }
  clipartPicture(index: number): Uint8Array {
    return this.clipartFile!.read(index);
  }
  emojiClip(index: number): Uint8Array {
    return this.clipFile.read(index);
  }

  /**
   * Training: one of four a scene, one of eight clip art where there is any, the rest emoji; all but scenes mirrored and
   * shifted. Held out: emoji concepts only, as they are.
   */
  image(split: Split, index: number): Uint8Array {
    const list = this.pictureSplit[split];
    if (split === "heldOut") return this.picture(list[index % list.length]!);
    const bits = randomBits(71, index);
    if (bits % 4 === 0) return drawScene(makeScene(sceneSeeds.train, index), this.size);
    const isClipart = bits % 8 === 1 && this.clipart.length > 0;
    const clipart = this.clipartSplit.train;
    const picture = isClipart
      ? this.clipartPicture(clipart[(bits >>> 3) % clipart.length]!)
      : this.picture(list[(bits >>> 2) % list.length]!);
    return shifted(picture, this.size, 1, randomBits(72, index));
  }

  /** Training: half emoji animations, half motions. Held out: animations of held-out concepts. */
  clip(split: Split, index: number): Uint8Array {
    const list = this.clipSplit[split];
    if (split === "heldOut") return this.emojiClip(list[index % list.length]!);
    const bits = randomBits(73, index);
    if (bits % 2 === 0) return drawMotion(makeMotion(motionSeeds.train, index), this.size, this.numFrames);
    return shifted(this.emojiClip(list[(bits >>> 1) % list.length]!), this.size, this.numFrames, randomBits(74, index));
  }

  close(): void {
    this.pictureFile.close();
    this.clipFile.close();
    this.clipartFile?.close();
  }
}

function readList<T>(path: string): T[] {
  // prettier-ignore
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new FormatError(`${path}: expected readable JSON (${(cause as Error).message}); run \`tessera data build\``, { file: path, cause }); // prettier-ignore
  }
  if (!Array.isArray(json)) throw new FormatError(`${path}: expected a list, found ${typeof json}`, { file: path });
  return json as T[];
}

/** Moves all frames by up to 4 pixels, white coming in, and mirrors half of them. */
function shifted(frames: Uint8Array, size: number, numFrames: number, bits: number): Uint8Array {
  const [dx, dy, isMirrored] = [(bits % 9) - 4, ((bits >>> 8) % 9) - 4, ((bits >>> 16) & 1) === 1];
  const out = new Uint8Array(frames.length).fill(255);
  for (let f = 0; f < numFrames; f++)
    for (let y = 0; y < size; y++) {
      const fromY = y - dy;
      if (fromY < 0 || fromY >= size) continue;
      for (let x = 0; x < size; x++) {
        const shiftedX = x - dx;
        if (shiftedX < 0 || shiftedX >= size) continue;
        const fromX = isMirrored ? size - 1 - shiftedX : shiftedX;
        const [to, from] = [((f * size + y) * size + x) * 3, ((f * size + fromY) * size + fromX) * 3];
        for (let c = 0; c < 3; c++) out[to + c] = frames[from + c]!;
      }
    }
  return out;
}

export const openPixels = (dir: string, size: number, numFrames: number): Pixels => new Pixels(dir, size, numFrames);
