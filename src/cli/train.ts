/** `tessera train visual | decoder | language | judge | pack`: the runs of train/recipes.ts and train/run-judge.ts. All can be stopped and resumed. */
import { join } from "node:path";
import { defineCommand, type ArgsDef } from "citty";
import { openDevice } from "../device/open.ts";
import { packRun, runDecoder, runLanguage, runVisual, type RecipeOptions } from "../train/recipes.ts";
import { runJudge } from "../train/run-judge.ts";
import { numberOf, packageDir } from "./common.ts";
import { fail } from "./main.ts";

const args = {
  data: { type: "string", description: "Built data", default: "data/mini" },
  packages: { type: "string", description: "Downloaded packages", default: "data/packages" },
  shared: { type: "string", description: "Folder of extra text, used where present", default: "../shared/data" },
  run: { type: "string", description: "Folder of the run", default: "runs/mini" },
  steps: { type: "string", description: "Steps in all", default: "1000" },
  init: { type: "string", description: "Model folder whose weights a new run starts from" },
  minutes: { type: "string", description: "Stop and save after so long; call again to go on" },
  device: { type: "string", description: "cpu, js or interpreter" },
} as const satisfies ArgsDef;

type Args = { readonly [K in keyof typeof args]?: string | undefined };

function optionsOf(a: Args): RecipeOptions {
  const minutes = numberOf("minutes", a.minutes, [0, 1e6]);
  return {
    dataDir: a.data!,
    packagesDir: a.packages!,
    sharedDir: a.shared!,
    runDir: a.run!,
    numSteps: numberOf("steps", a.steps, [1, 1e9])!,
    ...(a.init !== undefined && { initFrom: a.init }),
    ...(minutes !== undefined && { maxSeconds: minutes * 60 }),
  };
}

const guarded =
  (work: (a: Args) => Promise<void>) =>
  ({ args: a }: { args: Args }) =>
    work(a).catch(fail);

export const trainCommand = defineCommand({
  meta: {
    name: "train",
    description: "Train the visual tokenizer, the network or the judge, or pack a run into a model folder",
  },
  subCommands: {
    visual: defineCommand({
      meta: { name: "visual", description: "Pictures and clips -> visual tokenizer" },
      args,
      run: guarded(async (a) => {
        process.stdout.write(`${JSON.stringify(await runVisual(openDevice(a.device), optionsOf(a)))}\n`);
      }),
    }),
    decoder: defineCommand({
      meta: { name: "decoder", description: "The visual tokenizer's decoder alone, codes fixed -> sharper pictures" },
      args,
      run: guarded(async (a) => {
        process.stdout.write(`${JSON.stringify(await runDecoder(openDevice(a.device), optionsOf(a)))}\n`);
      }),
    }),
    language: defineCommand({
      meta: { name: "language", description: "Text, pictures and clips in one stream -> the V4 network" },
      args,
      run: guarded(async (a) => void (await runLanguage(openDevice(a.device), optionsOf(a)))),
    }),
    judge: defineCommand({
      meta: { name: "judge", description: "Pictures -> the judge that names what generated pictures show" },
      args: { ...args, init: { type: "string", description: "Model folder whose visual tokenizer is used; by default the run's own" } }, // prettier-ignore
      run: guarded(async (a) => {
        process.stdout.write(`${JSON.stringify(await runJudge(openDevice(a.device), optionsOf(a)))}\n`);
      }),
    }),
    pack: defineCommand({
      meta: { name: "pack", description: "Write the run's model folder" },
      args: { ...args, out: { type: "string", description: "Model folder", default: join(packageDir, "assets", "model") } }, // prettier-ignore
      run: ({ args: a }) => packRun(openDevice(a.device), optionsOf(a), a.out).catch(fail),
    }),
  },
});
