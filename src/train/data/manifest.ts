/**
 * manifest.json of a built folder: what it was made of, what it did without, and the sum of every file in it.
 * Main functions: `readManifest`, `withPackages`.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { VisualGeometry } from "../../processor/vocabulary.ts";
import type { PackageSource } from "./catalog.ts";
import type { TextInput } from "./texts.ts";

export type Geometry = Pick<VisualGeometry, "imageSize" | "numFrames">;

export interface Manifest extends Geometry {
  /** `taken` counts items: pictures, clips, concepts, definitions. */
  readonly packages: readonly (PackageSource & { readonly taken?: number })[];
  /** Extra text where a folder of it was given. */
  readonly texts: readonly TextInput[];
  /** Optional sources this folder does without -> why. */
  readonly absent: Readonly<Record<string, string>>;
  /** Output file -> SHA-256. */
  readonly files: Readonly<Record<string, string>>;
}

export const manifestPath = (outDir: string): string => join(outDir, "manifest.json");

/** The folder's manifest; an empty one when there is none that can be read, or one of another geometry. */
export function readManifest(outDir: string, { imageSize, numFrames }: Geometry): Manifest {
  const empty: Manifest = { imageSize, numFrames, packages: [], texts: [], absent: {}, files: {} };
  if (!existsSync(manifestPath(outDir))) return empty;
  try {
    const found = JSON.parse(readFileSync(manifestPath(outDir), "utf8")) as Partial<Manifest>;
    return found.imageSize === imageSize && found.numFrames === numFrames ? { ...empty, ...found } : empty;
  } catch {
    return empty;
  }
}

/** `packages` with the given ones added, or exchanged where the name is there. */
export function withPackages(
  packages: Manifest["packages"],
  sources: readonly PackageSource[],
  taken: Readonly<Record<string, number>>,
): Manifest["packages"] {
  const names = new Set(sources.map((s) => s.name));
  return [...packages.filter((p) => !names.has(p.name)), ...sources.map((s) => ({ ...s, taken: taken[s.name] ?? 0 }))];
}
