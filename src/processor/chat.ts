/**
 * The chat encoding of DeepSeek-V4 without tools: messages -> a list of segments (specials by name, plain text,
 * pictures), which `renderChat` shows as text and `encodeChat` turns into ids. Plain text stays plain: markup typed
 * by a user is text, never a special token.
 *   <BOS> system | <User> text | <Assistant> <think> reasoning </think> content <EOS> | ...
 * A turn whose reasoning is dropped or unwanted opens with </think>. Reasoning before the last user turn is dropped.
 * Main function: `chatSegments`. Source: spec of the released encoding_dsv4.py.
 */
import { RequestError } from "../base/errors.ts";
import type { Tokenizer } from "./tokenizer.ts";
import type { SpecialToken, Style, Vocabulary } from "./vocabulary.ts";
import { writeSegment } from "./visual.ts";

/** A message's content in order; `image` is any handle the caller can turn into codes. */
export type ChatPart<Image> =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "image"; readonly image: Image }
  | { readonly kind: "video"; readonly video: Image };

export interface ChatMessage<Image> {
  readonly role: "system" | "user" | "assistant";
  readonly content: string | readonly ChatPart<Image>[];
  /** Of an assistant turn; absent: a turn that did not think. */
  readonly reasoning?: string;
}

export type ChatSegment<Image> = { readonly kind: "special"; readonly token: SpecialToken } | ChatPart<Image>;

export interface ChatOptions {
  /** The answer to come thinks first. */
  readonly thinking: boolean;
  /** Open the answer's turn (default), or end after the last message. */
  readonly addGenerationPrompt?: boolean;
  /** Drop the reasoning of turns before the last user turn (default). */
  readonly dropThinking?: boolean;
}

const special = (token: SpecialToken): { kind: "special"; token: SpecialToken } => ({ kind: "special", token });

function contentParts<Image>(content: ChatMessage<Image>["content"]): readonly ChatPart<Image>[] {
  return typeof content === "string" ? [{ kind: "text", text: content }] : content;
}

/** Messages in order -> segments in order. Throws RequestError on orders the encoding cannot express. */
export function chatSegments<Image>(
  messages: readonly ChatMessage<Image>[],
  options: ChatOptions,
): ChatSegment<Image>[] {
  const out: ChatSegment<Image>[] = [special("<｜begin▁of▁sentence｜>")];
  const add = (parts: readonly ChatPart<Image>[]): void => {
    for (const part of parts) if (part.kind !== "text" || part.text !== "") out.push(part);
  };
  const lastUser = messages.findLastIndex((message) => message.role === "user");
  messages.forEach((message, i) => {
    if (message.role === "system") {
      if (messages.slice(0, i).some((earlier) => earlier.role !== "system"))
        throw new RequestError("chat: expected system messages before all others", `messages[${i}].role`);
      if (i > 0) add([{ kind: "text", text: "\n\n" }]);
      add(contentParts(message.content));
    } else if (message.role === "user") {
      out.push(special("<｜User｜>"));
      add(contentParts(message.content));
    } else {
      const keeps = options.dropThinking === false || i > lastUser;
      out.push(special("<｜Assistant｜>"));
      if (message.reasoning !== undefined && keeps) {
        out.push(special("<think>"));
        add([{ kind: "text", text: message.reasoning }]);
      }
      out.push(special("</think>"));
      add(contentParts(message.content));
      out.push(special("<｜end▁of▁sentence｜>"));
    }
  });
  if (options.addGenerationPrompt ?? true)
    out.push(special("<｜Assistant｜>"), special(options.thinking ? "<think>" : "</think>"));
  return out;
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
