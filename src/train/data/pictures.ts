/**
 * Emoji pictures with English and Chinese captions, as packed 8-bit RGB: three vector sets and one rendered set,
 * skin-tone variants left out. A concept is a code point sequence; one in twenty is held out in every style.
 * Main function: `buildPictures`. Files: images.bin [N,size,size,3] and images.json, written last.
 */
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { describeWriteError, writeAll, writeWhole } from "../../base/files.ts";
import type { Style } from "../../processor/vocabulary.ts";
import { ensurePackage, readArchive, readJsonFromArchive, type PackageSource } from "./archive.ts";

export const picturePackages = {
  labels: { name: "emojibase-data", version: "17.0.0", license: "MIT" },
  noto: { name: "@iconify-json/noto", version: "1.2.9", license: "Apache-2.0" },
  flat: { name: "@iconify-json/fluent-emoji-flat", version: "1.2.6", license: "MIT" },
  twemoji: { name: "@iconify-json/twemoji", version: "1.2.5", license: "CC-BY-4.0" },
  "3d": { name: "@lobehub/fluent-emoji-3d", version: "1.1.0", license: "MIT" },
} as const satisfies Record<string, PackageSource>;

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
export async function readConcepts(packagesDir: string): Promise<Map<string, Concept>> {
  const path = await ensurePackage(packagesDir, picturePackages.labels);
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

/** The sources of one style as (code, what sharp reads). */
function* sourcesOf(style: keyof typeof picturePackages, path: string): Generator<[code: string, input: Buffer]> {
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
  readonly onProgress?: (done: number, message: string) => void;
}

export async function buildPictures(options: BuildPartOptions): Promise<PictureEntry[]> {
  const { packagesDir, outDir, imageSize, onProgress } = options;
  const concepts = await readConcepts(packagesDir);
  const entries: PictureEntry[] = [];
  const binPath = join(outDir, "images.bin");
  const out = openSync(binPath, "w");
  let numBytes = 0;
  try {
    for (const style of ["noto", "flat", "twemoji", "3d"] as const) {
      const path = await ensurePackage(packagesDir, picturePackages[style]);
      const seen = new Set<string>();
      for (const [code, input] of sourcesOf(style, path)) {
        const concept = concepts.get(code);
        if (!concept || hasSkinTone(code) || seen.has(code)) continue;
        seen.add(code);
        numBytes = writeAll(out, await renderPicture(input, imageSize), numBytes);
        entries.push({ ...concept, style });
        if (entries.length % 100 === 0) onProgress?.(entries.length, `${style} pictures`);
      }
    }
  } catch (error) {
    throw describeWriteError(error, binPath, numBytes);
  } finally {
    closeSync(out);
  }
  writeWhole(join(outDir, "images.json"), JSON.stringify(entries));
  return entries;
}
