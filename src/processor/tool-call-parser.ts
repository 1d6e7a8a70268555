/**
 * Content as it streams -> content and tool calls. Text that could still become the start of a block is held back, and a
 * call is given out when its invoke is closed, so no part of a tag is ever shown and any chunking gives the same.
 * Tags are taken strictly; only white space between them is free. A block that breaks the grammar, or that the end cuts
 * off, is content from where it broke on, unchanged: what a model said is never lost.
 * Main class: `ToolCallParser`. Values of string="false" that are no JSON are passed on as strings.
 */
import { CALLS_CLOSE, CALLS_OPEN, DSML, INVOKE_CLOSE, PARAMETER_CLOSE } from "./dsml.ts";
import { parseJsonText } from "./json-text.ts";

export type ContentDelta =
  | { readonly kind: "content"; readonly text: string }
  | { readonly kind: "toolCall"; readonly name: string; readonly arguments: string };

/** The blank line before a block belongs to it. */
const starts = [`\n\n${CALLS_OPEN}`, `\n${CALLS_OPEN}`, CALLS_OPEN];
const invokeOpen = new RegExp(`^\\s*<${DSML}invoke name="([^"\\n]*)">`);
const parameterOpen = new RegExp(`^\\s*<${DSML}parameter name="([^"\\n]*)" string="(true|false)">`);
const callsClose = new RegExp(`^\\s*${CALLS_CLOSE}`);
const invokeClose = new RegExp(`^\\s*${INVOKE_CLOSE}`);

type State =
  | { readonly kind: "content" }
  | { readonly kind: "block" }
  | { readonly kind: "invoke"; readonly name: string; readonly args: Map<string, string> }
  | { readonly kind: "value"; readonly name: string; readonly args: Map<string, string>; readonly key: string; readonly isString: boolean }; // prettier-ignore

/** What a step over the buffer found: go on, wait for more text, or a broken block. */
type Step = "again" | "wait" | "broken";

export class ToolCallParser {
  private state: State = { kind: "content" };
  private buffer = "";
  /** Of the open block, what no call given out has used: content again if the block breaks. */
  private raw = "";

  push(text: string): ContentDelta[] {
    const out: ContentDelta[] = [];
    this.buffer += text;
    for (;;) {
      const step = this.steps[this.state.kind](out);
      if (step === "wait") return out;
      if (step === "broken") this.giveBack(out);
    }
  }

  /** The text is over: what was held back is content after all; a block without its last tag is as good as closed. */
  end(): ContentDelta[] {
    const out: ContentDelta[] = [];
    const isDone = this.state.kind === "block" && this.raw === "" && this.buffer.trim() === "";
    this.giveBack(out);
    if (!isDone) this.say(out, this.buffer);
    this.buffer = "";
    return out;
  }

  private readonly steps: Readonly<Record<State["kind"], (out: ContentDelta[]) => Step>> = {
    content: (out) => {
      const at = this.buffer.indexOf(CALLS_OPEN);
      if (at >= 0) {
        const start = starts.find((s) => this.buffer.startsWith(s, at + CALLS_OPEN.length - s.length))!;
        const from = at + CALLS_OPEN.length - start.length;
        this.say(out, this.buffer.slice(0, from));
        this.buffer = this.buffer.slice(from);
        this.use(start.length, { kind: "block" });
        return "again";
      }
      const keep = heldLength(this.buffer);
      this.say(out, this.buffer.slice(0, this.buffer.length - keep));
      this.buffer = this.buffer.slice(this.buffer.length - keep);
      return "wait";
    },
    block: () => {
      const open = invokeOpen.exec(this.buffer);
      if (open) return this.use(open[0].length, { kind: "invoke", name: open[1]!, args: new Map() });
      const close = callsClose.exec(this.buffer);
      if (!close) return this.mayBe([`<${DSML}invoke name="`, CALLS_CLOSE], '">');
      this.use(close[0].length, { kind: "content" });
      this.raw = "";
      return "again";
    },
    invoke: (out) => {
      const { name, args } = this.state as Extract<State, { kind: "invoke" }>;
      const open = parameterOpen.exec(this.buffer);
      if (open) {
        if (args.has(open[1]!)) return "broken";
        return this.use(open[0].length, { kind: "value", name, args, key: open[1]!, isString: open[2] === "true" });
      }
      const close = invokeClose.exec(this.buffer);
      if (!close) return this.mayBe([`<${DSML}parameter name="`, INVOKE_CLOSE], '">');
      const json = Array.from(args, ([key, value]) => `${JSON.stringify(key)}: ${value}`).join(", ");
      out.push({ kind: "toolCall", name, arguments: `{${json}}` });
      this.use(close[0].length, { kind: "block" });
      // Should the rest break, this call stands.
      this.raw = "";
      return "again";
    },
    value: () => {
      const { name, args, key, isString } = this.state as Extract<State, { kind: "value" }>;
      const at = this.buffer.indexOf(PARAMETER_CLOSE);
      if (at < 0) return "wait";
      const text = this.buffer.slice(0, at);
      args.set(key, isString || !isJson(text) ? JSON.stringify(text) : text);
      return this.use(at + PARAMETER_CLOSE.length, { kind: "invoke", name, args });
    },
  };

  /** Moves the beginning of the buffer into the block. */
  private use(length: number, state: State): "again" {
    this.raw += this.buffer.slice(0, length);
    this.buffer = this.buffer.slice(length);
    this.state = state;
    return "again";
  }

  /** Whether the buffer can still become one of `tags`; an opening tag runs to `end`. */
  private mayBe(tags: readonly string[], end: string): Step {
    const text = this.buffer.trimStart();
    if (tags.some((tag) => tag.startsWith(text))) return "wait";
    return text.startsWith(tags[0]!) && !text.includes(end) && !text.includes("\n") ? "wait" : "broken";
  }

  /** The block was none: its text is content, and what follows is read as content. */
  private giveBack(out: ContentDelta[]): void {
    this.say(out, this.raw);
    this.raw = "";
    this.state = { kind: "content" };
  }

  private say(out: ContentDelta[], text: string): void {
    if (text !== "") out.push({ kind: "content", text });
  }
}

function isJson(text: string): boolean {
  try {
    parseJsonText(text);
    return true;
  } catch {
    return false;
  }
}

/** Length of the longest end of `text` that begins a block without being all of its opening. */
function heldLength(text: string): number {
  for (let n = Math.min(starts[0]!.length - 1, text.length); n > 0; n--) {
    const end = text.slice(text.length - n);
    if (starts.some((start) => start.startsWith(end))) return n;
  }
  return 0;
}
