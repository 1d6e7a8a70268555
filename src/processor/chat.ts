/**
 * The chat encoding of DeepSeek-V4: messages -> a list of segments (specials by name, plain text, pictures), which
 * `renderChat` shows as text and `encodeChat` turns into ids. Plain text stays plain: markup typed by a user is text,
 * never a special token.
 *   <BOS> [effort] system | <User> text | <Assistant> <think> reasoning </think> content calls <EOS> | ...
 * A turn whose reasoning is dropped or unwanted opens with </think>. A task ends a message with its own token instead.
 * Main function: `chatSegments`; before it chat-turns.ts, tool calls dsml.ts, sentences chat-texts.ts.
 * Source: the released encoding_dsv4.py.
 */
import { RequestError } from "../base/errors.ts";
import { fill, ownTexts, type ChatTexts, type Effort } from "./chat-texts.ts";
import { lastUserOf, toTurns, type ChatMessage, type ChatPart, type Turn } from "./chat-turns.ts";
import { DSML, writeToolCalls } from "./dsml.ts";
import { parseJsonText, toPythonJson } from "./json-text.ts";
import type { Tokenizer } from "./tokenizer.ts";
import type { SpecialToken, Style, Vocabulary } from "./vocabulary.ts";
import { writeSegment } from "./visual.ts";

export type { ChatMessage, ChatPart } from "./chat-turns.ts";

export type ChatSegment<Image> = { readonly kind: "special"; readonly token: SpecialToken } | ChatPart<Image>;

export interface ChatOptions {
  /** The answer to come thinks first. */
  readonly thinking: boolean;
  /** How hard, where the checkpoint knows levels; counts only when thinking. */
  readonly effort?: Effort | undefined;
  /** Drop the reasoning of turns before the last user turn (default); never done when tools are offered. */
  readonly dropThinking?: boolean;
  readonly texts?: ChatTexts | undefined;
}

/** Collects segments; texts that meet become one, for a tokenizer sees them as one. */
class Writer<Image> {
  readonly segments: ChatSegment<Image>[] = [];

  special(token: SpecialToken): void {
    this.segments.push({ kind: "special", token });
  }
  text(text: string): void {
    const last = this.segments.at(-1);
    if (text === "") return;
    if (last?.kind === "text") this.segments[this.segments.length - 1] = { kind: "text", text: last.text + text };
    else this.segments.push({ kind: "text", text });
  }
  /** Our own markup: `｜DSML｜` is its token. */
  markup(text: string): void {
    text.split(DSML).forEach((piece, i) => {
      if (i > 0) this.special(DSML);
      this.text(piece);
    });
  }
  parts(parts: readonly ChatPart<Image>[]): void {
    for (const part of parts)
      if (part.kind === "text") this.text(part.text);
      else this.segments.push(part);
  }
}

/** Messages in order -> segments in order. Throws RequestError on orders the encoding cannot express. */
export function chatSegments<Image>(
  messages: readonly ChatMessage<Image>[],
  options: ChatOptions,
): ChatSegment<Image>[] {
  const { thinking, effort = "low", dropThinking = true, texts = ownTexts } = options;
  const { turns, drops } = toTurns(messages, { thinking, dropThinking });
  const lastUser = lastUserOf(turns);
  const out = new Writer<Image>();
  out.special("<｜begin▁of▁sentence｜>");
  if (thinking && turns.length > 0) out.text(texts.effort[effort]);
  turns.forEach((turn, i) => {
    if (turn.role === "system" && turns.slice(0, i).some((earlier) => earlier.role !== "system"))
      throw new RequestError("chat: expected system messages before all others", `messages[${i}].role`);
    if (turn.role === "assistant") {
      const isTaskOutput = turns[i - 1]?.task !== undefined;
      const shows = thinking && !isTaskOutput && (!drops || i > lastUser);
      writeAnswer(out, turn, shows);
    } else writeQuestion(out, turn, texts);
    const next = turns[i + 1]?.role;
    if (next === undefined || next === "assistant" || next === "latest_reminder")
      writeTurnOver(out, turn, thinking && (!drops || i >= lastUser), thinking);
  });
  return out.segments;
}

/** `shows`: the turn was opened with <think>. */
function writeAnswer<Image>(out: Writer<Image>, turn: Turn<Image>, shows: boolean): void {
  if (shows) {
    out.text(turn.reasoning ?? "");
    out.special("</think>");
  }
  for (const block of turn.blocks) out.parts(block.parts);
  out.markup(writeToolCalls(turn.toolCalls ?? []));
  if (!turn.isPrefix) out.special("<｜end▁of▁sentence｜>");
}

const openers = {
  system: undefined,
  developer: "<｜User｜>",
  user: "<｜User｜>",
  latest_reminder: "<｜latest_reminder｜>",
} as const satisfies Partial<Record<Turn<never>["role"], SpecialToken | undefined>>;

function writeQuestion<Image>(out: Writer<Image>, turn: Turn<Image>, texts: ChatTexts): void {
  const opener = openers[turn.role as keyof typeof openers];
  if (opener !== undefined) out.special(opener);
  turn.blocks.forEach((block, i) => {
    if (i > 0) out.text("\n\n");
    out.parts(block.parts);
  });
  const pythonJson = (json: string): string => toPythonJson(parseJsonText(json));
  if (turn.tools && turn.tools.length > 0) {
    // The template is markup, the caller's schemas are text.
    const [before, after = ""] = texts.tools.split("{tool_schemas}");
    out.markup(`\n\n${fill(before!, {})}`);
    out.text(turn.tools.map(pythonJson).join("\n"));
    out.markup(fill(after, {}));
  }
  if (turn.responseFormat !== undefined)
    out.text(`\n\n${fill(texts.responseFormat, { schema: pythonJson(turn.responseFormat) })}`);
}

/** The answer's turn opens: after a user's or developer's message, or after a task's. */
function writeTurnOver<Image>(out: Writer<Image>, turn: Turn<Image>, opensThinking: boolean, thinking: boolean): void {
  const { task, role } = turn;
  const asks = role === "user" || role === "developer";
  if (task !== undefined && task !== "action") out.special(`<｜${task}｜>`);
  else if (task === "action" || asks) {
    out.special("<｜Assistant｜>");
    out.special((task === "action" ? thinking : opensThinking) ? "<think>" : "</think>");
    if (task === "action") out.special("<｜action｜>");
  }
}

/** The prompt as text; pictures and clips show as `<image>` and `<video>`. */
export function renderChat<Image>(segments: readonly ChatSegment<Image>[]): string {
  return segments.map((s) => (s.kind === "special" ? s.token : s.kind === "text" ? s.text : `<${s.kind}>`)).join("");
}

/** How the caller turns a picture or clip into row-major codes. */
export interface VisualEncoder<Image> {
  codes(kind: "image" | "video", image: Image): ArrayLike<number>;
  style(kind: "image" | "video", image: Image): Style;
}

/** Segments -> ids; visual segments are aligned to the absolute position, so `ids` starts at position 0. */
export function encodeChat<Image>(
  segments: readonly ChatSegment<Image>[],
  tokenizer: Tokenizer,
  vocabulary: Vocabulary,
  visual: VisualEncoder<Image>,
): number[] {
  const ids: number[] = [];
  for (const segment of segments) {
    if (segment.kind === "special") ids.push(vocabulary.id(segment.token));
    else if (segment.kind === "text") for (const id of tokenizer.encode(segment.text)) ids.push(id);
    else {
      const image = segment.kind === "image" ? segment.image : segment.video;
      const codes = visual.codes(segment.kind, image);
      writeSegment(vocabulary, ids, { kind: segment.kind, style: visual.style(segment.kind, image), codes });
    }
  }
  return ids;
}
