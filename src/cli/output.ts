/**
 * Deltas -> the terminal and files, for `generate` and `chat`: dim thinking, text as it comes, one line of progress,
 * pictures and clips into files. Ctrl-C stops the answer, a second one leaves.
 * Main functions: `show`, `interruptible`.
 */
import pc from "picocolors";
import { writeWhole } from "../base/files.ts";
import type { Delta } from "../engine/types.ts";
import { encodePng } from "../processor/image.ts";
import { encodeMp4 } from "../processor/video.ts";

export interface Shown {
  text: string;
  reasoning: string;
  readonly files: string[];
  usage: object;
  finishReason: string;
}

export interface ShowOptions {
  /** Where a picture or clip goes. */
  readonly fileFor: (kind: "image" | "video") => string;
  /** Print nothing but progress. */
  readonly quiet?: boolean;
}

/** Reads the answer to its end; what was there when it was stopped is kept. */
export async function show(deltas: AsyncIterable<Delta>, options: ShowOptions): Promise<Shown> {
  const shown: Shown = { text: "", reasoning: "", files: [], usage: {}, finishReason: "" };
  const print = (text: string): void => void (options.quiet || process.stdout.write(text));
  const clearLine = (): void => void (process.stderr.isTTY && process.stderr.write("\r\x1b[K"));
  const save = (kind: "image" | "video", bytes: Uint8Array): void => {
    const path = options.fileFor(kind);
    writeWhole(path, bytes);
    shown.files.push(path);
    clearLine();
    print(`${endsLine(shown) ? "" : "\n"}wrote ${path}\n`);
  };
  for await (const delta of deltas) {
    switch (delta.kind) {
      case "reasoning":
        shown.reasoning += delta.text;
        print(pc.dim(delta.text));
        break;
      case "content":
        if (shown.text === "" && shown.reasoning !== "") print(shown.reasoning.endsWith("\n") ? "\n" : "\n\n");
        shown.text += delta.text;
        print(delta.text);
        break;
      case "progress":
        if (process.stderr.isTTY) process.stderr.write(`\r${pc.dim(bar(delta.done, delta.total))}`);
        break;
      case "image":
        save("image", await encodePng(delta.image));
        break;
      case "video":
        save("video", await encodeMp4(delta.frames, { fps: delta.fps }));
        break;
      case "done":
        shown.usage = delta.usage;
        shown.finishReason = delta.finishReason;
    }
  }
  clearLine();
  if (!endsLine(shown)) print("\n");
  return shown;
}

/** True when nothing stands on the current line: before the first word, or after a file's. */
const endsLine = ({ text, reasoning, files }: Shown): boolean => files.length > 0 || text + reasoning === "" || (text || reasoning).endsWith("\n"); // prettier-ignore

const bar = (done: number, total: number): string => {
  const width = 24;
  const full = Math.round((width * done) / total);
  return `${"■".repeat(full)}${"·".repeat(width - full)} ${done}/${total} tiles`;
};

/** Ctrl-C (or TERM) stops `work` at its next token; a second one ends the process. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  const onSignal = (): void => {
    if (abort.signal.aborted) process.exit(130);
    abort.abort();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  try {
    return await work(abort.signal);
  } finally {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  }
}
