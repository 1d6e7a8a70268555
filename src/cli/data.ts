/** `tessera data build`: makes the training set from packages. */
import { join } from "node:path";
import { defineCommand } from "citty";
import { RequestError } from "../base/errors.ts";
import { geometries } from "../processor/vocabulary.ts";
import { allPackages, buildData, isBuilt } from "../train/data/build.ts";
import { command } from "./common.ts";

const build = command(
  { name: "build", description: "Download (once) and prepare pictures, clips and text" },
  {
    packages: { type: "string", description: "Folder of downloaded packages", default: "data/packages" },
    out: { type: "string", description: "Where to write", default: join("data", "mini") },
    size: { type: "string", description: "nano (32 pixels) or mini (64 pixels)", default: "mini" },
  },
  async (args) => {
    const geometry = geometries[args.size as keyof typeof geometries];
    if (!geometry) throw new RequestError(`--size: expected nano or mini, got "${args.size}"`, "size");
    const { imageSize, numFrames } = geometry;
    if (isBuilt(args.out, geometry)) return void process.stdout.write(`${args.out} is complete\n`);
    const show = (done: number, message: string): void =>
      void process.stderr.write(process.stderr.isTTY ? `\r${done} ${message}   ` : `${done} ${message}\n`);
    await buildData({ packagesDir: args.packages, outDir: args.out, geometry: { imageSize, numFrames }, onProgress: show }); // prettier-ignore
    process.stdout.write(`built ${args.out} from ${allPackages.length} packages; see ${join(args.out, "manifest.json")}\n`); // prettier-ignore
  },
);

export const dataCommand = defineCommand({
  meta: { name: "data", description: "Build the training set" },
  subCommands: { build },
});
