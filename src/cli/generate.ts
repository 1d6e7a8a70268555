/**
 * `tessera generate`: one prompt, one answer; text to the terminal, a picture or clip to a file. Everything that can be
 * wrong with the flags is said before the model is loaded.
 */
import { accessSync, constants, statSync } from "node:fs";
import { dirname, extname } from "node:path";
import { RequestError } from "../base/errors.ts";
import { writeWhole } from "../base/files.ts";
import { paramsFor } from "../engine/defaults.ts";
import { MAX_DRAFT } from "../model/state.ts";
import type { ContentPart, GenerateRequest } from "../engine/types.ts";
import { command, integerOf, modelArgs, numberOf, openModel, readImage, samplingArgs, oneOf } from "./common.ts";
import { interruptible, show } from "./output.ts";

type Modality = GenerateRequest["modality"];
const modalities = ["auto", "text", "image", "video"] as const satisfies readonly Modality[];
const endings = { image: ".png", video: ".mp4" } as const;
const fallbacks = { image: "picture.png", video: "clip.mp4" } as const;

export const generateCommand = command(
  { name: "generate", description: "Answer one prompt with text, a picture or a clip" },
  {
    ...modelArgs,
    ...samplingArgs,
    prompt: { type: "string", description: "What to answer", required: true },
    modality: { type: "string", description: `${modalities.join(", ")}; by default what --out ends with, or auto` },
    image: { type: "string", description: "A picture to look at, or a clip's first frame" },
    thinking: {
      type: "boolean",
      description: "Think step by step first, or --no-thinking; by default as the model likes",
    },
    drafts: { type: "string", description: "Most guesses ahead a step, where the model has a drafter; 0 is none" },
    out: { type: "string", description: "File of the picture (.png), the clip (.mp4) or the text" },
    json: { type: "boolean", description: "Print one JSON object", default: false },
  },
  async (args) => {
    const modality = modalityOf(args.modality, args.out);
    if (args.out !== undefined) checkWritable(args.out);
    const params = paramsFor(modality, {
      maxTokens: integerOf("max-tokens", args["max-tokens"], [1, 1e6]),
      temperature: numberOf("temperature", args.temperature, [0, 2]),
      topP: numberOf("top-p", args["top-p"], [0, 1]),
      topK: integerOf("top-k", args["top-k"], [0, 1e6]),
      seed: integerOf("seed", args.seed, [0, 0xffffffff]),
      guidance: numberOf("guidance", args.guidance, [0, 20]),
    });
    const drafts = integerOf("drafts", args.drafts, [0, MAX_DRAFT - 1]);
    const content: ContentPart[] = [{ kind: "text", text: args.prompt }];
    if (args.image !== undefined) content.push({ kind: "image", image: await readImage(args.image) });
    const llm = await openModel(args);
    const shown = await interruptible((signal) =>
      show(
        llm.generate({
          messages: [{ role: "user", content }],
          modality,
          thinking: args.thinking ?? "auto",
          params,
          drafts,
          signal,
        }),
        {
          fileFor: (kind) => (modality === kind ? args.out : undefined) ?? fallbacks[kind],
          quiet: args.json,
        },
      ),
    );
    const isStopped = shown.finishReason === "abort";
    if (args.out !== undefined && modality === "text" && !isStopped) {
      writeWhole(args.out, `${shown.text}\n`);
      shown.files.push(args.out);
    }
    if (args.json) process.stdout.write(`${JSON.stringify({ ...shown, seed: params.seed })}\n`);
    else if (shown.files.length > 0) process.stdout.write(`seed ${params.seed}\n`);
    if (isStopped) {
      process.stderr.write("stopped\n");
      process.exitCode = 130;
    }
  },
);

/** What is asked for, by --modality or by the ending of --out; the two must agree. */
function modalityOf(name: string | undefined, out: string | undefined): Modality {
  const asked = name === undefined ? undefined : oneOf("modality", name, modalities);
  if (out === undefined) return asked ?? "auto";
  const ending = extname(out).toLowerCase();
  const told = ending === ".png" ? "image" : ending === ".mp4" ? "video" : "text";
  if (name === undefined || name === "auto" || name === told) return told;
  // A device or pipe (/dev/stdout) has no ending to go by.
  if (statSync(out, { throwIfNoEntry: false })?.isFile() === false && ending === "") return name as Modality;
  const expected = name === "text" ? "neither .png nor .mp4" : endings[name as "image" | "video"];
  throw new RequestError(`--out: expected a file ending in ${expected} for --modality ${name}, got "${out}"`, "out");
}

/** Found out now, not after the work. */
function checkWritable(path: string): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory()) throw new RequestError(`--out: expected a file, got the folder ${path}`, "out");
  const folder = dirname(path);
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw new RequestError(`--out: expected an existing folder, found none at ${folder}`, "out");
  try {
    accessSync(stat ? path : folder, constants.W_OK);
  } catch {
    throw new RequestError(`--out: expected a place that may be written, got ${path}`, "out");
  }
}
