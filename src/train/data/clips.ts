/**
 * Animated emoji as packed clips: every second source frame (about 11 per second), two starts per animation.
 * Main function: `buildClips`. Files: clips.bin [N,frames,size,size,3] and clips.json, written last.
 */
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { describeWriteError, writeAll, writeWhole } from "../../base/files.ts";
import { ensurePackage, readArchive, type PackageSource } from "./archive.ts";
import { normalizeCode, readConcepts, type BuildPartOptions, type Concept } from "./pictures.ts";

export const clipPackages: readonly PackageSource[] = [1, 2, 3, 4].map((part) => ({
  name: `@lobehub/fluent-emoji-anim-${part}`,
  version: "1.0.0",
  license: "MIT",
}));

const FRAME_STEP = 2;

export interface ClipEntry extends Concept {
  /** First source frame. */
  readonly start: number;
}

export async function buildClips(options: BuildPartOptions & { readonly numFrames: number }): Promise<ClipEntry[]> {
  const { packagesDir, outDir, imageSize, numFrames, onProgress } = options;
  const concepts = await readConcepts(packagesDir);
  const entries: ClipEntry[] = [];
  const binPath = join(outDir, "clips.bin");
  const out = openSync(binPath, "w");
  let numBytes = 0;
  try {
    for (const source of clipPackages) {
      const path = await ensurePackage(packagesDir, source);
      for (const { name, data } of readArchive(path, (n) => n.startsWith("assets/") && n.endsWith(".webp"))) {
        const concept = concepts.get(normalizeCode(name.slice("assets/".length, -".webp".length)));
        if (!concept) continue;
        const input = Buffer.from(data);
        const { pages = 1 } = await sharp(input, { animated: true }).metadata();
        const span = (numFrames - 1) * FRAME_STEP + 1;
        if (pages < span) continue;
        for (const start of [0, Math.floor((pages - span) / 2)]) {
          if (start === 0 && entries.at(-1)?.code === concept.code) continue;
          numBytes = writeAll(out, await readClip(input, { start, numFrames, imageSize }), numBytes);
          entries.push({ ...concept, start });
        }
        if (entries.length % 20 === 0) onProgress?.(entries.length, "clips");
      }
    }
  } catch (error) {
    throw describeWriteError(error, binPath, numBytes);
  } finally {
    closeSync(out);
  }
  writeWhole(join(outDir, "clips.json"), JSON.stringify(entries));
  return entries;
}

/** 8-bit RGB [frames,size,size,3] on white. */
async function readClip(
  input: Buffer,
  { start, numFrames, imageSize }: { start: number; numFrames: number; imageSize: number },
): Promise<Buffer> {
  const pages = (numFrames - 1) * FRAME_STEP + 1;
  const { data, info } = await sharp(input, { page: start, pages })
    .flatten({ background: "#ffffff" })
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const height = Math.round(info.height / pages);
  const frameBytes = info.width * height * 3;
  const frames: Buffer[] = [];
  for (let f = 0; f < pages; f += FRAME_STEP)
    frames.push(
      await sharp(data.subarray(f * frameBytes, (f + 1) * frameBytes), {
        raw: { width: info.width, height, channels: 3 },
      })
        .resize(imageSize, imageSize)
        .raw()
        .toBuffer(),
    );
  return Buffer.concat(frames);
}
