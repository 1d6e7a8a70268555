/**
 * Splits a model's text, as it streams, into reasoning, content and tool calls. Tags may arrive cut anywhere: text that
 * could still become a tag is held back, so no half tag is ever shown, and joining the deltas gives the same answer for
 * every chunking. Main class: `OutputParser`; tool calls are tool-call-parser.ts.
 */
import { ToolCallParser, type ContentDelta } from "./tool-call-parser.ts";
import type { SpecialToken } from "./vocabulary.ts";

export type OutputDelta = { readonly kind: "reasoning"; readonly text: string } | ContentDelta;

type TagAction = "think" | "answer" | "stop" | "drop";

/** What each tag does; unknown specials pass through as text. */
const tagActions: Partial<Record<SpecialToken, TagAction>> = {
  "<think>": "think",
  "</think>": "answer",
  "<｜end▁of▁sentence｜>": "stop",
  "<｜User｜>": "stop",
  "<｜Assistant｜>": "drop",
  "<｜▁pad▁｜>": "drop",
  "<｜begin▁of▁sentence｜>": "drop",
};

const tags = Object.entries(tagActions) as [SpecialToken, TagAction][];

/** Length of the longest end of `text` that begins a tag without completing it. */
function heldLength(text: string): number {
  const longest = Math.max(...tags.map(([tag]) => tag.length)) - 1;
  for (let n = Math.min(longest, text.length); n > 0; n--) {
    const end = text.slice(text.length - n);
    if (tags.some(([tag]) => tag.startsWith(end))) return n;
  }
  return 0;
}

export class OutputParser {
  private state: "reasoning" | "content" | "stopped";
  private held = "";
  private readonly calls = new ToolCallParser();

  /** `thinking`: the prompt ended with an open <think>. */
  constructor(options: { readonly thinking: boolean }) {
    this.state = options.thinking ? "reasoning" : "content";
  }

  /** True after the end of the turn; later text is ignored. */
  get isStopped(): boolean {
    return this.state === "stopped";
  }

  push(text: string): OutputDelta[] {
    const out: OutputDelta[] = [];
    let rest = this.held + text;
    this.held = "";
    while (this.state !== "stopped") {
      let first: { at: number; tag: SpecialToken; action: TagAction } | undefined;
      for (const [tag, action] of tags) {
        const at = rest.indexOf(tag);
        if (at >= 0 && (first === undefined || at < first.at)) first = { at, tag, action };
      }
      if (first === undefined) break;
      this.emit(out, rest.slice(0, first.at));
      rest = rest.slice(first.at + first.tag.length);
      // What content held back cannot go on behind the tag.
      if (first.action !== "drop" && this.state === "content") out.push(...this.calls.end());
      if (first.action === "think") this.state = "reasoning";
      else if (first.action === "answer") this.state = "content";
      else if (first.action === "stop") this.state = "stopped";
    }
    if (this.state === "stopped") return out;
    const keep = heldLength(rest);
    this.emit(out, rest.slice(0, rest.length - keep));
    this.held = rest.slice(rest.length - keep);
    return out;
  }

  /** The text is over: what looked like a tag was text after all. */
  end(): OutputDelta[] {
    const out: OutputDelta[] = [];
    this.emit(out, this.held);
    this.held = "";
    if (this.state === "content") out.push(...this.calls.end());
    return out;
  }

  private emit(out: OutputDelta[], text: string): void {
    if (text === "" || this.state === "stopped") return;
    if (this.state === "content") out.push(...this.calls.push(text));
    else out.push({ kind: "reasoning", text });
  }
}
