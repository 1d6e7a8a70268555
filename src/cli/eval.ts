/** `tessera eval --suite smoke`: measures a model folder on held-out prompts. Figures on stdout, progress on stderr. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { RequestError } from "../base/errors.ts";
import { loadJudge } from "../model/picture-judge.ts";
import { isBuilt } from "../train/data/build.ts";
import { openPixels } from "../train/data/pixels.ts";
import { heldOutTexts } from "../train/eval/texts.ts";
import { evaluateSmoke, listFigures, measureNames, type SmokeResult } from "../train/evaluate.ts";
import { JUDGE_FILE } from "../train/judge.ts";
import { command, integerOf, modelArgs, oneOf, openModel } from "./common.ts";

export const evalCommand = command(
  { name: "eval", description: "Measure the model on held-out prompts" },
  {
    ...modelArgs,
    suite: { type: "string", description: "smoke", default: "smoke" },
    only: { type: "string", description: `Measures, comma between: ${measureNames.join(", ")}; by default all` },
    count: { type: "string", description: "Prompts per measure", default: "24" },
    seed: { type: "string", description: "Of pictures and clips", default: "1" },
    data: { type: "string", description: "Built data", default: "data/mini" },
    packages: { type: "string", description: "Downloaded packages", default: "data/packages" },
    shared: { type: "string", description: "Folder of extra text", default: "../shared/data" },
    json: { type: "boolean", description: "Print one JSON object", default: false },
  },
  async (args) => {
    if (args.suite !== "smoke") throw new RequestError(`--suite: expected smoke, got "${args.suite}"`, "suite");
    const [count, seed] = [integerOf("count", args.count, [1, 10_000])!, integerOf("seed", args.seed, [0, 2 ** 32])!];
    const only = args.only?.split(",").map((name) => oneOf("only", name, measureNames));
    const llm = await openModel(args);
    const { imageSize, numFrames } = llm.info;
    const judgePath = join(resolve(args.model), JUDGE_FILE);
    // Without the folder a measurement downloads nothing.
    const packages = existsSync(args.packages) ? args.packages : undefined;
    const result = await evaluateSmoke(
      llm,
      {
        texts: await heldOutTexts(packages, args.shared),
        pixels: (await isBuilt(args.data, { imageSize, numFrames })) ? openPixels(args.data, imageSize, numFrames) : undefined, // prettier-ignore
        judge: existsSync(judgePath) ? loadJudge(judgePath, llm.parts.model.device) : undefined,
      },
      { count, seed, ...(only && { only }), onProgress: progress },
    );
    if (args.json) process.stdout.write(`${JSON.stringify({ suite: args.suite, model: llm.info.id, ...result })}\n`);
    else process.stdout.write(`${linesOf(result).join("\n")}\n`);
  },
);

/** A line per measure; on a terminal it also counts. */
function progress(name: string, done: number, total: number): void {
  if (process.stderr.isTTY)
    process.stderr.write(`\r\x1b[K${name}${total > 0 ? ` ${done}/${total}` : ""}${done === total && total > 0 ? "\n" : ""}`); // prettier-ignore
  else if (total === 0) process.stderr.write(`${name}\n`);
}

function linesOf({ figures, targets, skipped, wallS }: SmokeResult): string[] {
  const checks = Object.entries(targets).map(([path, { value, atLeast, atMost, isMet }]) => {
    const bound = atLeast === undefined ? `<= ${atMost}` : `>= ${atLeast}`;
    return `${isMet ? "met" : "NOT MET"}  ${path}: ${value.toFixed(3)} (${bound})`;
  });
  const left = skipped.map((what) => `left out  ${what}`);
  return [...listFigures(figures), "", ...checks, ...left, `${wallS["all"]} s`];
}
