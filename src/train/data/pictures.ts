/**
 * Emoji pictures with English and Chinese captions, as packed 8-bit RGB: three vector sets and one rendered set,
 * skin-tone variants left out. A concept is a code point sequence; one in twenty is held out in every style.
 * Main function: `buildPictures`. Files: images.bin [N,size,size,3] and images.json.
 */
import sharp from "sharp";
import type { Style } from "../../processor/vocabulary.ts";
import { readArchive, readJsonFromArchive } from "./archive.ts";
import { shippedCatalog, type Catalog } from "./catalog.ts";
import { inOrder } from "./in-order.ts";
import { PackedWriter } from "./packed.ts";
import { ensurePackage } from "./packages.ts";
import type { Report } from "./report.ts";

export interface Concept {
  /** Code points in hex, joined by "-", without variation selectors. */
  readonly code: string;
  readonly en: string;
  readonly zh: string;
  readonly tags: readonly string[];
  readonly isHeldOut: boolean;
}

export interface PictureEntry extends Concept {
  readonly style: Style;
}

interface EmojibaseEntry {
  readonly hexcode: string;
  readonly label: string;
  readonly tags?: readonly string[];
  readonly group?: number;
}

export const normalizeCode = (code: string): string =>
  code.toLowerCase().split("-").filter((part) => part !== "fe0f").join("-"); // prettier-ignore

const hasSkinTone = (code: string): boolean => /1f3f[b-f]/.test(code);

/** FNV-1a, so that the split never depends on order. */
export function hashText(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return h;
}

/** Labels by normalised code; single letters of flags (regional indicators) are left out. */
export async function readConcepts(
  packagesDir: string,
  { labels }: Pick<Catalog, "labels"> = shippedCatalog,
): Promise<Map<string, Concept>> {
  const path = await ensurePackage(packagesDir, labels);
  const english = readJsonFromArchive<EmojibaseEntry[]>(path, "en/data.json");
  const chinese = new Map(readJsonFromArchive<EmojibaseEntry[]>(path, "zh/data.json").map((e) => [e.hexcode, e.label]));
  const concepts = new Map<string, Concept>();
  for (const { hexcode, label, tags = [], group } of english) {
    if (group === undefined) continue;
    const code = normalizeCode(hexcode);
    concepts.set(code, {
      code,
      en: label.toLowerCase(),
      zh: chinese.get(hexcode) ?? "",
      tags,
      isHeldOut: hashText(code) % 20 === 0,
    });
  }
  return concepts;
}

interface IconSet {
  readonly icons: Record<string, { readonly body: string; readonly width?: number; readonly height?: number }>;
  readonly width?: number;
  readonly height?: number;
}

export const pictureStyles = ["noto", "flat", "twemoji", "3d"] as const satisfies readonly (Style & keyof Catalog)[];
type PictureStyle = (typeof pictureStyles)[number];

/** The sources of one style as (code, what sharp reads). */
function* sourcesOf(style: PictureStyle, path: string): Generator<[code: string, input: Buffer]> {
  if (style === "3d") {
    for (const { name, data } of readArchive(path, (n) => n.startsWith("assets/") && n.endsWith(".webp")))
      yield [normalizeCode(name.slice("assets/".length, -".webp".length)), Buffer.from(data)];
    return;
  }
  const set = readJsonFromArchive<IconSet>(path, "icons.json");
  const chars = readJsonFromArchive<Record<string, string>>(path, "chars.json");
  for (const [code, name] of Object.entries(chars)) {
    const icon = set.icons[name];
    if (!icon) continue;
    const width = icon.width ?? set.width ?? 16;
    const height = icon.height ?? set.height ?? 16;
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}">${icon.body}</svg>`; // prettier-ignore
    yield [normalizeCode(code), Buffer.from(svg)];
  }
}

/** 8-bit RGB [size,size,3] on white. */
export const renderPicture = (input: Buffer, size: number): Promise<Buffer> =>
  sharp(input, { density: 144 })
    .resize(size, size, { fit: "contain", background: "#ffffff" })
    .flatten({ background: "#ffffff" })
    .removeAlpha()
    .raw()
    .toBuffer();

export interface BuildPartOptions {
  readonly packagesDir: string;
  readonly outDir: string;
  readonly imageSize: number;
  readonly numFrames: number;
  readonly catalog: Catalog;
  readonly report: Report;
}

/** Items taken, by package name. */
export type Taken = Readonly<Record<string, number>>;

export async function buildPictures(options: BuildPartOptions): Promise<Taken> {
  const { packagesDir, outDir, imageSize, catalog, report } = options;
  const concepts = await readConcepts(packagesDir, catalog);
  const taken: Record<string, number> = { [catalog.labels.name]: concepts.size };
  using out = new PackedWriter<PictureEntry>(outDir, "images");
  for (const style of pictureStyles) {
    const source = catalog[style];
    const path = await ensurePackage(packagesDir, source, report);
    const inputs = new Map<string, Buffer>();
    for (const [code, input] of sourcesOf(style, path))
      if (concepts.has(code) && !hasSkinTone(code) && !inputs.has(code)) inputs.set(code, input);
    report.phase(`pictures: ${style}`, inputs.size);
    let done = 0;
    const render = async ([code, input]: [string, Buffer]) => ({ code, pixels: await renderPicture(input, imageSize) });
    for await (const { code, pixels } of inOrder(inputs, render)) {
      out.add({ ...concepts.get(code)!, style }, pixels);
      report.progress(++done);
    }
    taken[source.name] = inputs.size;
  }
  out.finish();
  return taken;
}
