/**
 * `tessera data build`: everything training reads, from packages, into one folder, with a manifest of what it was made
 * of. Finished parts are kept on a second run. Main functions: `buildData`, `readTables`.
 */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { writeWhole } from "../../base/files.ts";
import type { VisualGeometry } from "../../processor/vocabulary.ts";
import { ensurePackage, sha256OfFile, type PackageSource } from "./archive.ts";
import { buildClips, clipPackages } from "./clips.ts";
import type { MixtureTables } from "./mixture.ts";
import { buildPictures, picturePackages, readConcepts } from "./pictures.ts";
import { readDefinitions, readProse, readVerse, readWordProblems, wordnetPackage } from "./texts.ts";

export interface BuildOptions {
  readonly packagesDir: string;
  readonly outDir: string;
  readonly geometry: Pick<VisualGeometry, "imageSize" | "numFrames">;
  readonly onProgress?: (done: number, message: string) => void;
}

export const allPackages: readonly PackageSource[] = [...Object.values(picturePackages), ...clipPackages, wordnetPackage]; // prettier-ignore

interface Manifest {
  readonly imageSize: number;
  readonly numFrames: number;
  readonly packages: readonly (PackageSource & { readonly sha256: string })[];
  /** Output file -> sha256. */
  readonly files: Readonly<Record<string, string>>;
}

const outputs = ["images.bin", "images.json", "clips.bin", "clips.json"] as const;

/** True when the folder holds this build, whole. */
export function isBuilt(outDir: string, geometry: BuildOptions["geometry"]): boolean {
  const path = join(outDir, "manifest.json");
  if (!existsSync(path)) return false;
  const { imageSize, numFrames, files } = JSON.parse(readFileSync(path, "utf8")) as Manifest;
  if (imageSize !== geometry.imageSize || numFrames !== geometry.numFrames) return false;
  return outputs.every((name) => existsSync(join(outDir, name)) && files[name] === sha256OfFile(join(outDir, name)));
}

export async function buildData(options: BuildOptions): Promise<void> {
  const { packagesDir, outDir, geometry, onProgress } = options;
  if (isBuilt(outDir, geometry)) return;
  mkdirSync(outDir, { recursive: true });
  const part = { packagesDir, outDir, imageSize: geometry.imageSize, ...(onProgress && { onProgress }) };
  // The json of a part is written last, so its presence means the part is whole.
  if (!existsSync(join(outDir, "images.json"))) await buildPictures(part);
  if (!existsSync(join(outDir, "clips.json"))) await buildClips({ ...part, numFrames: geometry.numFrames });
  const packages: Manifest["packages"][number][] = [];
  for (const source of allPackages)
    packages.push({ ...source, sha256: sha256OfFile(await ensurePackage(packagesDir, source)) });
  const files = Object.fromEntries(outputs.map((name) => [name, sha256OfFile(join(outDir, name))]));
  const manifest: Manifest = { ...geometry, packages, files };
  writeWhole(join(outDir, "manifest.json"), `${JSON.stringify(manifest, null, 1)}\n`);
}

/** The text side, small enough to read from the packages each time. */
export async function readTables(packagesDir: string, sharedDir: string | undefined): Promise<MixtureTables> {
  return {
    definitions: (await readDefinitions(packagesDir)).train,
    concepts: [...(await readConcepts(packagesDir)).values()],
    prose: readProse(sharedDir, 900).train,
    verse: readVerse(sharedDir, 120).train,
    wordProblems: readWordProblems(sharedDir, 560),
  };
}
