/**
 * From a request's messages to prompt ids, and the ids the engine needs by name: the grammar of pictures and
 * clips, the tags that split an answer, and the blanked prompt of guidance.
 * Main functions: `grammarOf`, `markersOf`, `encodePrompt`.
 */
import { RequestError } from "../base/errors.ts";
import { chatSegments, encodeChat, type ChatMessage, type ChatPart } from "../processor/chat.ts";
import type { ChatTexts } from "../processor/chat-texts.ts";
import { DSML } from "../processor/dsml.ts";
import type { Tokenizer } from "../processor/tokenizer.ts";
import { styles, type Vocabulary } from "../processor/vocabulary.ts";
import type { Grammar } from "./modality.ts";
import type { GenerateRequest, Message, PromptOf, RgbImage } from "./types.ts";

export function grammarOf(vocabulary: Vocabulary): Grammar {
  const { startId, numCodes, side, numLatents } = vocabulary.visual;
  return {
    boi: vocabulary.id("<boi>"),
    eoi: vocabulary.id("<eoi>"),
    bov: vocabulary.id("<bov>"),
    eov: vocabulary.id("<eov>"),
    vpad: vocabulary.id("<vpad>"),
    styles: new Map(styles.map((style) => [style, vocabulary.styleId(style)])),
    sizes: new Map([[vocabulary.sizeId, { rows: side, cols: side }]]),
    frames: new Map([[vocabulary.framesId, numLatents]]),
    codes: { start: startId, end: startId + numCodes },
  };
}

/** Ids that structure an answer. */
export interface Markers {
  readonly endOfSentence: number;
  readonly startOfThinking: number;
  readonly endOfThinking: number;
  /** Within the tags of tool calls. */
  readonly dsml: number;
  /** Guidance compares with a prompt in which every token but the chat's own markup is `<null>`, one for one. */
  readonly blank: (ids: readonly number[]) => number[];
}

const markup = [
  "<｜begin▁of▁sentence｜>",
  "<｜end▁of▁sentence｜>",
  "<｜User｜>",
  "<｜Assistant｜>",
  "<think>",
  "</think>",
] as const;

export function markersOf(vocabulary: Vocabulary): Markers {
  const kept = new Set(markup.map((token) => vocabulary.id(token)));
  const blankId = vocabulary.id("<null>");
  return {
    endOfSentence: vocabulary.id("<｜end▁of▁sentence｜>"),
    startOfThinking: vocabulary.id("<think>"),
    endOfThinking: vocabulary.id("</think>"),
    dsml: vocabulary.id(DSML),
    blank: (ids) => ids.map((id) => (kept.has(id) ? id : blankId)),
  };
}

/** The picture a clip starts from: the last one of the last user message, taken out of the prompt. */
export function firstFrameOf(request: Pick<GenerateRequest, "messages" | "modality">): {
  readonly messages: readonly Message[];
  readonly image: RgbImage | undefined;
} {
  const { messages, modality } = request;
  const at = messages.findLastIndex((m) => m.role === "user");
  const content = messages[at]?.content;
  if (modality !== "video" || content === undefined || typeof content === "string")
    return { messages, image: undefined };
  const last = content.findLast((part) => part.kind === "image");
  if (last === undefined) return { messages, image: undefined };
  const rest = content.filter((part) => part !== last);
  return { messages: messages.map((m, i) => (i === at ? { ...m, content: rest } : m)), image: last.image };
}

/** Every picture of the messages, in order. */
export const picturesOf = (messages: readonly Message[]): RgbImage[] =>
  messages.flatMap((m) => (typeof m.content === "string" ? [] : m.content.flatMap((p) => (p.kind === "image" ? [p.image] : [])))); // prettier-ignore

/**
 * `messages` are the request's, less a clip's first frame; `codesOf` gives a picture's row-major codes. The last id opens
 * or closes thinking; with "auto" it is left to the model.
 */
export function encodePrompt(
  messages: readonly Message[],
  options: Omit<PromptOf, "messages" | "modality"> & { readonly hasFirstFrame: boolean; readonly texts: ChatTexts | undefined }, // prettier-ignore
  tokenizer: Tokenizer,
  vocabulary: Vocabulary,
  codesOf: (image: RgbImage) => ArrayLike<number>,
): number[] {
  checkNotEmpty(messages, options.hasFirstFrame);
  const chat = withTools(messages, options.tools).map((m): ChatMessage<RgbImage> => ({ ...m, content: partsOf(m) }));
  const segments = chatSegments(chat, { ...options, thinking: options.thinking !== false });
  const ids = encodeChat(segments, tokenizer, vocabulary, { codes: (_kind, image) => codesOf(image), style: () => "any" }); // prettier-ignore
  return options.thinking === "auto" ? ids.slice(0, -1) : ids;
}

/** Tools belong to the first system message; without one they have their own. */
function withTools(
  messages: readonly Message[],
  tools: readonly string[] = [],
): readonly (Message & { readonly tools?: readonly string[] })[] {
  // prettier-ignore
  if (tools.length === 0) return messages;
  const [first, ...rest] = messages;
  return first?.role === "system" ? [{ ...first, tools }, ...rest] : [{ role: "system", content: "", tools }, ...messages]; // prettier-ignore
}

const partsOf = (message: Message): readonly ChatPart<RgbImage>[] =>
  typeof message.content === "string" ? [{ kind: "text", text: message.content }] : message.content;

function checkNotEmpty(messages: readonly Message[], hasFirstFrame: boolean): void {
  const last = messages.at(-1);
  if (last === undefined) throw new RequestError("messages: expected at least one message, got 0", "messages");
  if (last.role !== "user" && last.role !== "tool")
    throw new RequestError(`messages: expected the last message from the user or a tool, got one from the ${last.role}`, "messages"); // prettier-ignore
  const isEmpty = (m: Message): boolean =>
    typeof m.content === "string" ? m.content.trim() === "" : m.content.every((p) => p.kind === "text" && p.text.trim() === ""); // prettier-ignore
  if (last.role === "user" && isEmpty(last) && !hasFirstFrame)
    throw new RequestError("messages: expected text or a picture in the last message, got 0 characters", "messages");
}
