/** `tessera eval --suite smoke`: measures a model folder on held-out prompts. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { RequestError } from "../base/errors.ts";
import { evaluateSmoke } from "../train/evaluate.ts";
import { openPixels } from "../train/data/pixels.ts";
import { readProse } from "../train/data/texts.ts";
import { command, integerOf, modelArgs, openModel } from "./common.ts";

export const evalCommand = command(
  { name: "eval", description: "Measure the model on held-out prompts" },
  {
    ...modelArgs,
    suite: { type: "string", description: "smoke", default: "smoke" },
    count: { type: "string", description: "Prompts per measure", default: "24" },
    data: { type: "string", description: "Built data", default: "data/mini" },
    shared: { type: "string", description: "Folder of extra text", default: "../shared/data" },
    json: { type: "boolean", description: "Print one JSON object", default: false },
  },
  async (args) => {
    if (args.suite !== "smoke") throw new RequestError(`--suite: expected smoke, got "${args.suite}"`, "suite");
    const count = integerOf("count", args.count, [1, 10_000])!;
    const llm = openModel(args);
    const { imageSize, numFrames } = llm.info;
    const hasPixels = existsSync(join(args.data, "clips.json"));
    const result = await evaluateSmoke(
      llm.parts.model.device,
      llm,
      llm.parts,
      {
        prose: readProse(args.shared, 900).heldOut,
        pixels: hasPixels ? openPixels(args.data, imageSize, numFrames) : undefined,
      },
      { count, onProgress: (name) => process.stderr.write(`${name}\n`) },
    );
    if (args.json) process.stdout.write(`${JSON.stringify({ model: llm.info.id, ...result })}\n`);
    else for (const [name, value] of Object.entries(result)) process.stdout.write(`${name}: ${typeof value === "number" ? value.toFixed(3) : value.join("; ")}\n`); // prettier-ignore
  },
);
