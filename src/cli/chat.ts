/** `tessera chat`: a conversation in the terminal. `/image`, `/video` and `/text` choose what comes next, `/quit` leaves. */
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import { defineCommand } from "citty";
import pc from "picocolors";
import type { Message, Modality } from "../engine/types.ts";
import { encodePng } from "../processor/image.ts";
import { encodeMp4 } from "../processor/video.ts";
import { modelArgs, openModel } from "./common.ts";
import { fail } from "./main.ts";

export const chatCommand = defineCommand({
  meta: { name: "chat", description: "Talk to the model in the terminal" },
  args: { ...modelArgs, thinking: { type: "boolean", description: "Think step by step first", default: false } },
  async run({ args }) {
    try {
      const llm = await openModel(args);
      const terminal = createInterface({ input: process.stdin, output: process.stdout });
      process.stdout.write(pc.dim("/image, /video or /text before a prompt chooses what to write; /quit leaves\n"));
      const messages: Message[] = [];
      for (;;) {
        const line = await terminal.question(pc.bold("> ")).catch(() => "/quit");
        if (line.trim() === "/quit") break;
        if (line.trim() === "") continue;
        const [, command, rest] = /^(?:\/(image|video|text)\s+)?([\s\S]*)$/.exec(line)!;
        messages.push({ role: "user", content: rest! });
        const abort = new AbortController();
        terminal.once("SIGINT", () => abort.abort());
        const isVisual = command === "image" || command === "video";
        const params = {
          maxTokens: 256,
          temperature: isVisual ? 1 : 0.8,
          topP: isVisual ? 1 : 0.95,
          topK: isVisual ? 300 : 0,
          seed: Math.floor(Math.random() * 2 ** 32),
          stop: [],
          guidance: 3,
        };
        const modality = (command ?? "auto") as Modality | "auto";
        let answer = "";
        for await (const delta of llm.generate({
          messages,
          modality,
          thinking: args.thinking,
          params,
          signal: abort.signal,
        })) {
          // prettier-ignore
          if (delta.kind === "reasoning") process.stdout.write(pc.dim(delta.text));
          else if (delta.kind === "content") process.stdout.write((answer += delta.text) && delta.text);
          else if (delta.kind === "image" || delta.kind === "video") {
            const path = `tessera-${Date.now()}.${delta.kind === "image" ? "png" : "mp4"}`;
            writeFileSync(path, delta.kind === "image" ? await encodePng(delta.image) : await encodeMp4(delta.frames, { fps: delta.fps })); // prettier-ignore
            answer += `[${path}]`;
            process.stdout.write(`wrote ${path}`);
          }
        }
        process.stdout.write("\n");
        messages.push({ role: "assistant", content: answer });
      }
      terminal.close();
    } catch (error) {
      fail(error);
    }
  },
});
