/** `tessera train visual | decoder | language | draft | judge | pack`: the runs of train/recipes.ts and train/run-judge.ts. All can be stopped and resumed. */
import { join } from "node:path";
import { defineCommand, type ArgsDef } from "citty";
import { openDevice } from "../device/open.ts";
import { packRun, runDecoder, runLanguage, runVisual, type RecipeOptions } from "../train/recipes.ts";
import { mixtures, type MixtureName } from "../train/data/mixture.ts";
import { runDraft } from "../train/run-draft.ts";
import { runJudge } from "../train/run-judge.ts";
import { command, integerOf, numberOf, oneOf, packageDir } from "./common.ts";

const args = {
  data: { type: "string", description: "Built data", default: "data/mini" },
  packages: { type: "string", description: "Downloaded packages", default: "data/packages" },
  shared: { type: "string", description: "Folder of extra text, used where present", default: "../shared/data" },
  run: { type: "string", description: "Folder of the run", default: "runs/mini" },
  steps: { type: "string", description: "Steps in all", default: "1000" },
  init: {
    type: "string",
    description: "Model folder that a new run starts from, for whatever the run does not have yet",
  },
  minutes: { type: "string", description: "Stop and save after so long; call again to go on" },
  device: { type: "string", description: "cpu, js or interpreter" },
} as const satisfies ArgsDef;

const languageArgs = {
  ...args,
  mixture: { type: "string", description: "What it sees: whole, or pictures to go on from a model", default: "whole" },
  lr: { type: "string", description: "Peak learning rate of Muon; AdamW gets a third", default: "0.004" },
} as const satisfies ArgsDef;

type Args = { readonly [K in keyof typeof args]?: string | undefined };

function optionsOf(a: Args): RecipeOptions {
  const minutes = numberOf("minutes", a.minutes, [0, 1e6]);
  return {
    dataDir: a.data!,
    packagesDir: a.packages!,
    sharedDir: a.shared!,
    runDir: a.run!,
    numSteps: integerOf("steps", a.steps, [1, 1e9])!,
    // Saved, but not done: what follows in a script should not run.
    onInterrupt: () => void (process.exitCode = 130),
    ...(a.init !== undefined && { initFrom: a.init }),
    ...(minutes !== undefined && { maxSeconds: minutes * 60 }),
  };
}

export const trainCommand = defineCommand({
  meta: {
    name: "train",
    description: "Train the visual tokenizer, the network or the judge, or pack a run into a model folder",
  },
  subCommands: {
    visual: command({ name: "visual", description: "Pictures and clips -> visual tokenizer" }, args, async (a) => {
      const options = optionsOf(a);
      const metrics = await runVisual(openDevice(a.device), options);
      if (metrics) process.stdout.write(`${JSON.stringify(metrics)}\n`);
    }),
    language: command(
      { name: "language", description: "Text, pictures and clips in one stream -> the V4 network" },
      languageArgs,
      async (a) => {
        const mixture = oneOf("mixture", a.mixture!, Object.keys(mixtures) as MixtureName[]);
        const peakLr = numberOf("lr", a.lr, [0, 1])!;
        await runLanguage(openDevice(a.device), { ...optionsOf(a), mixture, peakLr });
      },
    ),
    draft: command(
      { name: "draft", description: "A finished model folder -> the same with an MTP module, which drafts its text" },
      {
        ...languageArgs,
        lr: { ...languageArgs.lr, default: "0.002" },
        model: { type: "string", description: "Model folder", default: join(packageDir, "assets", "model") },
      },
      async (a) => {
        const mixture = oneOf("mixture", a.mixture!, Object.keys(mixtures) as MixtureName[]);
        const peakLr = numberOf("lr", a.lr, [0, 1])!;
        const metrics = await runDraft(openDevice(a.device), { ...optionsOf(a), mixture, peakLr, modelDir: a.model! });
        if (metrics) process.stdout.write(`${JSON.stringify(metrics)}\n`);
      },
    ),
    decoder: command(
      { name: "decoder", description: "The visual tokenizer's decoder alone, codes fixed -> sharper pictures" },
      args,
      async (a) => {
        const metrics = await runDecoder(openDevice(a.device), optionsOf(a));
        if (metrics) process.stdout.write(`${JSON.stringify(metrics)}\n`);
      },
    ),
    judge: command(
      { name: "judge", description: "Pictures -> the judge that names what generated pictures show" },
      args,
      async (a) => void process.stdout.write(`${JSON.stringify(await runJudge(openDevice(a.device), optionsOf(a)))}\n`),
    ),
    pack: command(
      { name: "pack", description: "Write the run's model folder, and teach it when to think" },
      { ...args, out: { type: "string", description: "Model folder", default: join(packageDir, "assets", "model") } },
      async (a) => {
        const choosesThinking = await packRun(openDevice(a.device), optionsOf(a), a.out);
        process.stdout.write(`${JSON.stringify({ choosesThinking })}\n`);
      },
    ),
  },
});
