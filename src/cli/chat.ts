/**
 * `tessera chat`: a conversation in the terminal. Ctrl-C stops an answer; at the prompt it leaves. A turn that fails is
 * said and taken back, and the conversation goes on.
 */
import { createInterface } from "node:readline";
import pc from "picocolors";
import { paramsFor } from "../engine/defaults.ts";
import type { Llm } from "../engine/types.ts";
import type { ContentPart, Message, Modality } from "../engine/types.ts";
import { command, modelArgs, openModel, readImage } from "./common.ts";
import { interruptible, show } from "./output.ts";

const HELP = `/text, /image or /video before a prompt chooses what to write
/look FILE prompt   shows a picture first
/clear              forgets the conversation
/quit               leaves; so does Ctrl-D
`;

export const chatCommand = command(
  { name: "chat", description: "Talk to the model in the terminal" },
  {
    ...modelArgs,
    thinking: {
      type: "boolean",
      description: "Think step by step first, or --no-thinking; by default as the model likes",
    },
  },
  async (args) => {
    const llm = await openModel(args);
    const terminal = createInterface({ input: process.stdin, output: process.stdout, prompt: pc.bold("> ") });
    process.stdout.write(pc.dim(`${llm.info.id}; /help says what there is, Ctrl-C stops an answer\n`));
    const messages: Message[] = [];
    let isAnswering = false;
    // Raw terminals hand Ctrl-C to readline, pipes to the process.
    const onInterrupt = (): void => {
      if (isAnswering) return;
      process.stdout.write("\n");
      process.exit(130);
    };
    terminal.on("SIGINT", () => (isAnswering ? process.kill(process.pid, "SIGINT") : onInterrupt()));
    process.on("SIGINT", onInterrupt);
    terminal.prompt();
    for await (const line of terminal) {
      const word = line.trim();
      if (word === "/quit") break;
      if (word === "/clear") messages.length = 0;
      else if (word === "/help") process.stdout.write(pc.dim(HELP));
      else if (word !== "") {
        isAnswering = true;
        await answer(llm, messages, word, args.thinking ?? "auto");
        isAnswering = false;
      }
      terminal.prompt();
    }
    process.off("SIGINT", onInterrupt);
    terminal.close();
  },
);

/** One turn; on an error `messages` is as it was. */
async function answer(llm: Llm, messages: Message[], line: string, thinking: boolean | "auto"): Promise<void> {
  try {
    const { modality, content } = await parseLine(line);
    const all: Message[] = [...(llm.info.talks ? messages : []), { role: "user", content }];
    const shown = await interruptible((signal) =>
      show(llm.generate({ messages: all, modality, thinking, params: paramsFor(modality, {}), signal }), {
        fileFor: (kind) => `tessera-${Date.now()}.${kind === "image" ? "png" : "mp4"}`,
      }),
    );
    if (shown.finishReason === "abort") process.stdout.write(pc.dim("stopped\n"));
    const said = [shown.text, ...shown.files.map((file) => `[${file}]`)].join("").trim();
    messages.splice(0, Infinity, ...all, { role: "assistant", content: said });
  } catch (error) {
    process.stderr.write(`${pc.red("error")}: ${(error as Error).message}\n`);
    if (messages.length > 0) process.stderr.write(pc.dim("(/clear forgets what was said before)\n"));
  }
}

async function parseLine(line: string): Promise<{ modality: Modality | "auto"; content: ContentPart[] }> {
  const look = /^\/look\s+(\S+)\s*([\s\S]*)$/.exec(line);
  const [, name, rest] = /^(?:\/(image|video|text)\s+)?([\s\S]*)$/.exec(look ? look[2]! : line)!;
  const content: ContentPart[] = look ? [{ kind: "image", image: await readImage(look[1]!, "look") }] : [];
  if (rest !== "") content.push({ kind: "text", text: rest! });
  return { modality: (name ?? "auto") as Modality | "auto", content };
}
