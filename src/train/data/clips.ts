/**
 * Animated emoji as packed clips: every second source frame (about 11 per second), two starts per animation.
 * Main function: `buildClips`. Files: clips.bin [N,frames,size,size,3] and clips.json.
 */
import sharp from "sharp";
import { readArchive, type ArchiveFile } from "./archive.ts";
import { inOrder } from "./in-order.ts";
import { PackedWriter } from "./packed.ts";
import { ensurePackage } from "./packages.ts";
import { normalizeCode, readConcepts, type BuildPartOptions, type Concept, type Taken } from "./pictures.ts";

const FRAME_STEP = 2;

export interface ClipEntry extends Concept {
  /** First source frame. */
  readonly start: number;
}

export async function buildClips(options: BuildPartOptions): Promise<Taken> {
  const { packagesDir, outDir, imageSize, numFrames, catalog, report } = options;
  const concepts = await readConcepts(packagesDir, catalog);
  const conceptOf = (name: string): Concept | undefined =>
    /^assets\/.*\.webp$/.test(name) ? concepts.get(normalizeCode(name.slice("assets/".length, -".webp".length))) : undefined; // prettier-ignore
  const taken: Record<string, number> = {};
  const span = (numFrames - 1) * FRAME_STEP + 1;
  using out = new PackedWriter<ClipEntry>(outDir, "clips");
  for (const source of catalog.clips) {
    const path = await ensurePackage(packagesDir, source, report);
    const before = out.entries.length;
    const files = [...readArchive(path, (name) => conceptOf(name) !== undefined)];
    report.phase(`clips: ${source.name}`, files.length);
    let done = 0;
    const cut = async ({ name, data }: ArchiveFile) => {
      const input = Buffer.from(data);
      const { pages = 1 } = await sharp(input, { animated: true }).metadata();
      const starts = pages < span ? [] : [...new Set([0, Math.floor((pages - span) / 2)])];
      const clips = starts.map((start) => readClip(input, { start, numFrames, imageSize }));
      return { concept: conceptOf(name)!, starts, clips: await Promise.all(clips) };
    };
    for await (const { concept, starts, clips } of inOrder(files, cut)) {
      report.progress(++done);
      const isRepeated = out.entries.at(-1)?.code === concept.code;
      starts.forEach((start, i) => {
        if (start > 0 || !isRepeated) out.add({ ...concept, start }, clips[i]!);
      });
    }
    taken[source.name] = out.entries.length - before;
  }
  out.finish();
  return taken;
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
