/** `tessera generate`: one prompt, one answer; text to the terminal, a picture or clip to a file. */
import { readFileSync, writeFileSync } from "node:fs";
import { defineCommand } from "citty";
import pc from "picocolors";
import { RequestError } from "../base/errors.ts";
import type { ContentPart, Modality, RgbImage } from "../engine/types.ts";
import { decodeImage, encodePng } from "../processor/image.ts";
import { encodeMp4 } from "../processor/video.ts";
import { modelArgs, numberOf, openModel, samplingArgs } from "./common.ts";
import { fail } from "./main.ts";

const modalities = ["auto", "text", "image", "video"] as const;

export const generateCommand = defineCommand({
  meta: { name: "generate", description: "Answer one prompt with text, a picture or a clip" },
  args: {
    ...modelArgs,
    ...samplingArgs,
    prompt: { type: "string", description: "What to answer", required: true },
    modality: { type: "string", description: modalities.join(", "), default: "auto" },
    image: { type: "string", description: "A picture to look at, or a clip's first frame" },
    thinking: { type: "boolean", description: "Think step by step first", default: false },
    out: { type: "string", description: "File of the picture (.png) or clip (.mp4)" },
    json: { type: "boolean", description: "Print one JSON object", default: false },
  },
  async run({ args }) {
    try {
      if (!(modalities as readonly string[]).includes(args.modality))
        throw new RequestError(
          `--modality: expected one of ${modalities.join(", ")}, got "${args.modality}"`,
          "modality",
        );
      const isVisual = args.modality === "image" || args.modality === "video";
      const params = {
        maxTokens: numberOf("max-tokens", args["max-tokens"], [1, 1e6]) ?? 256,
        temperature: numberOf("temperature", args.temperature, [0, 2]) ?? (isVisual ? 1 : 0.8),
        topP: numberOf("top-p", args["top-p"], [0, 1]) ?? (isVisual ? 1 : 0.95),
        topK: numberOf("top-k", args["top-k"], [0, 1e6]) ?? (isVisual ? 300 : 0),
        seed: numberOf("seed", args.seed, [0, 0xffffffff]) ?? Math.floor(Math.random() * 2 ** 32),
        guidance: numberOf("guidance", args.guidance, [0, 20]) ?? 3,
        stop: [],
      };
      const content: ContentPart[] = [{ kind: "text", text: args.prompt }];
      if (args.image) content.push({ kind: "image", image: await readImage(args.image) });
      const llm = await openModel(args);
      const show = (text: string): void => void (args.json || process.stdout.write(text));
      const result = { text: "", reasoning: "", files: [] as string[], seed: params.seed, usage: {}, finishReason: "" };
      const messages = [{ role: "user", content }] as const;
      const modality = args.modality as Modality | "auto";
      for await (const delta of llm.generate({ messages, modality, thinking: args.thinking, params })) {
        switch (delta.kind) {
          case "reasoning":
            result.reasoning += delta.text;
            show(pc.dim(delta.text));
            break;
          case "content":
            if (result.text === "" && result.reasoning !== "") show("\n");
            result.text += delta.text;
            show(delta.text);
            break;
          case "progress":
            if (process.stderr.isTTY) process.stderr.write(`\r${delta.done}/${delta.total} codes `);
            break;
          case "image":
            result.files.push(save(args.out, "picture.png", await encodePng(delta.image)));
            break;
          case "video":
            result.files.push(save(args.out, "clip.mp4", await encodeMp4(delta.frames, { fps: delta.fps })));
            break;
          case "done":
            result.usage = delta.usage;
            result.finishReason = delta.finishReason;
        }
      }
      if (args.json) process.stdout.write(`${JSON.stringify(result)}\n`);
      else for (const file of result.files) process.stdout.write(`\nwrote ${file} (seed ${params.seed})`);
      if (!args.json) process.stdout.write("\n");
    } catch (error) {
      fail(error);
    }
  },
});

async function readImage(path: string): Promise<RgbImage> {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new RequestError(`--image: cannot read ${path} (${(cause as Error).message})`, "image");
  }
  return decodeImage(bytes, { param: "image" });
}

function save(out: string | undefined, fallback: string, bytes: Uint8Array): string {
  const path = out ?? fallback;
  writeFileSync(path, bytes);
  return path;
}
