/**
 * Clip art of the Open Clip Art Library, as Debian packages it: public domain, English captions from its metadata. Left
 * out are computer themes, generated shapes and patterns, live text (its look depends on the machine's fonts), pictures
 * without a caption, and junk by measure. One caption, one picture; held out are one caption in twenty and what emoji hold out.
 * Main function: `buildClipart`. Files: clipart.bin [N,size,size,3] and clipart.json.
 */
import sharp from "sharp";
import type { ArchiveFile } from "./archive.ts";
import { captionOf, readClipartMetadata, tagsOf, type ClipartMetadata } from "./clipart-captions.ts";
import { readDebian } from "./debian.ts";
import { inOrder } from "./in-order.ts";
import { PackedWriter } from "./packed.ts";
import { hashText, readConcepts, type BuildPartOptions, type Concept, type Taken } from "./pictures.ts";
import { readEnglishWords } from "./texts.ts";

export interface ClipartEntry {
  /** Path in the library, without the ending. */
  readonly code: string;
  readonly en: string;
  readonly tags: readonly string[];
  readonly isHeldOut: boolean;
}

const ROOT = "usr/share/openclipart/svg/";
const leftOut =
  /^(computer|special|logos|buttons)\/|^shapes\/(stars|jigsaw|flowchart|callouts)\/|^signs_and_symbols\/led\/|^unsorted\/duplicates\//;
/** A title on more files than this names a series, not a picture. */
const MAX_SHARED_TITLE = 4;

interface Candidate {
  readonly path: string;
  readonly svg: Uint8Array;
  readonly metadata: ClipartMetadata;
}

/** Public domain, of a wanted folder, drawn without fonts or pictures from outside. */
function candidatesOf(files: readonly ArchiveFile[]): Candidate[] {
  const candidates: Candidate[] = [];
  for (const { name, data } of files) {
    const path = name.slice(ROOT.length);
    if (leftOut.test(path)) continue;
    const text = new TextDecoder().decode(data);
    const metadata = readClipartMetadata(text);
    if (metadata.isPublicDomain && !/<(text|image)[\s>]/.test(text)) candidates.push({ path, svg: data, metadata });
  }
  return candidates.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Pictures by the caption they would have, and how many have none. */
function groupByCaption(candidates: readonly Candidate[], english: ReadonlySet<string>) {
  const shared = new Map<string, number>();
  for (const { metadata } of candidates) shared.set(metadata.title, (shared.get(metadata.title) ?? 0) + 1);
  const byCaption = new Map<string, Candidate[]>();
  let uncaptioned = 0;
  for (const candidate of candidates) {
    const isSeriesTitle = shared.get(candidate.metadata.title)! > MAX_SHARED_TITLE;
    const caption = captionOf(candidate.path, candidate.metadata, { english, isSeriesTitle });
    if (caption === undefined) uncaptioned++;
    else byCaption.set(caption, [...(byCaption.get(caption) ?? []), candidate]);
  }
  return { byCaption, uncaptioned };
}

/** One caption in twenty, and every caption that names an emoji concept held out in all styles. */
export function heldOutTest(concepts: Iterable<Concept>): (caption: string) => boolean {
  const labels = [...concepts].filter((c) => c.isHeldOut).map((c) => ` ${c.en.replace(/^flag: /, "flag of ")} `);
  return (caption) => hashText(caption) % 20 === 0 || labels.some((label) => ` ${caption} `.includes(label));
}

export async function buildClipart(options: BuildPartOptions & { readonly debPath: string }): Promise<Taken> {
  const { packagesDir, outDir, imageSize, catalog, report, debPath } = options;
  const english = await readEnglishWords(packagesDir, catalog);
  const isHeldOut = heldOutTest((await readConcepts(packagesDir, catalog)).values());
  report.phase("clip art: unpack", 0);
  const candidates = candidatesOf(await readDebian(debPath, (name) => name.startsWith(ROOT) && name.endsWith(".svg")));
  const { byCaption, uncaptioned } = groupByCaption(candidates, english);
  const count = { repeated: 0, junk: 0, broken: 0 };
  /** The first of a caption's pictures that is fit. */
  const draw = async ([en, list]: [string, Candidate[]]) => {
    for (const [i, { path, svg, metadata }] of list.entries()) {
      const pixels = await renderClipart(Buffer.from(svg), imageSize).catch((error: Error) => error);
      if (pixels instanceof Error) {
        count.broken++;
        report.note(`clip art ${path}: cannot be drawn (${pixels.message.split("\n")[0]}); left out`);
      } else if (pixels === undefined || isJunk(pixels, imageSize)) count.junk++;
      else {
        count.repeated += list.length - 1 - i;
        const tags = tagsOf(path, metadata, { english, caption: en });
        return { entry: { code: path.replace(/\.svg$/, ""), en, tags, isHeldOut: isHeldOut(en) }, pixels };
      }
    }
    return undefined;
  };
  using out = new PackedWriter<ClipartEntry>(outDir, "clipart");
  report.phase("clip art", byCaption.size);
  let done = 0;
  for await (const drawn of inOrder(byCaption, draw)) {
    if (drawn) out.add(drawn.entry, drawn.pixels);
    report.progress(++done);
  }
  out.finish();
  report.note(`clip art: took ${out.entries.length} of ${candidates.length} pictures; left out ${uncaptioned} without a caption, ${count.repeated} that repeat a caption, ${count.junk} that are junk by measure, ${count.broken} that cannot be drawn`); // prettier-ignore
  return { [catalog.clipart.name]: out.entries.length };
}

/** Larger than a packed picture, so that the empty page around a drawing can be cut off before the last reduction. */
const RENDER_SIZE = 4;
const WHITE = "#ffffff";

/**
 * 8-bit RGB [size,size,3] on white: the drawing without its page's margins, two pixels from the edge. Undefined when it
 * is so small on its page that it would be blurred.
 */
export async function renderClipart(svg: Buffer, size: number): Promise<Buffer | undefined> {
  const large = size * RENDER_SIZE;
  const { data, info } = await sharp(svg, { density: 144 })
    .resize(large, large, { fit: "contain", background: WHITE })
    .flatten({ background: WHITE })
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const raw = { width: info.width, height: info.height, channels: 3 } as const;
  const trimmed = await sharp(data, { raw })
    .trim({ background: WHITE, threshold: 12 })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const { width, height } = trimmed.info;
  if (Math.max(width, height) < size) return undefined;
  return sharp(trimmed.data, { raw: { width, height, channels: 3 } })
    .resize(size - 4, size - 4, { fit: "contain", background: WHITE })
    .extend({ top: 2, bottom: 2, left: 2, right: 2, background: WHITE })
    .raw()
    .toBuffer();
}

/** Less ink than a twentieth of the square, or thinner than a sixth of its side. Ink is what is visibly not white. */
export function isJunk(pixels: Uint8Array, size: number): boolean {
  let ink = 0;
  const [rows, columns] = [new Uint8Array(size), new Uint8Array(size)];
  for (let i = 0; i < size * size; i++) {
    if (Math.min(pixels[i * 3]!, pixels[i * 3 + 1]!, pixels[i * 3 + 2]!) > 224) continue;
    ink++;
    rows[Math.floor(i / size)] = columns[i % size] = 1;
  }
  const count = (flags: Uint8Array): number => flags.reduce((sum, flag) => sum + flag, 0);
  return ink < (size * size) / 20 || Math.min(count(rows), count(columns)) < size / 6;
}
