/**
 * What happens to messages before they are written: results of tools become parts of a user turn, in the order of their
 * calls; reasoning that is over is forgotten. Main function: `toTurns`.
 * Source: the released encoding_dsv4.py: reasoning before the last user or developer turn is dropped, and earlier
 * developer turns with it, unless any message carries tools. On one point it is not followed: where a user's message joins
 * the turn before it, there its task is lost; here the turn asks for it.
 */
import { RequestError } from "../base/errors.ts";
import type { ToolCall } from "./dsml.ts";

/** A message's content in order; `image` is any handle the caller can turn into codes. */
export type ChatPart<Image> =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "image"; readonly image: Image }
  | { readonly kind: "video"; readonly video: Image };

export const tasks = ["action", "query", "authority", "domain", "title", "read_url"] as const;
export type Task = (typeof tasks)[number];

export interface ChatMessage<Image> {
  readonly role: "system" | "developer" | "user" | "assistant" | "tool" | "latest_reminder";
  readonly content: string | readonly ChatPart<Image>[];
  /** Of an assistant turn; absent: a turn that did not think. */
  readonly reasoning?: string | undefined;
  /** Of an assistant turn. */
  readonly toolCalls?: readonly ToolCall[] | undefined;
  /** The assistant's turn is open: the answer goes on from here. */
  readonly isPrefix?: boolean | undefined;
  /** Of a tool: the call it answers. */
  readonly toolCallId?: string | undefined;
  /** Of a system or developer message: each function as JSON text. */
  readonly tools?: readonly string[] | undefined;
  /** Of a system or developer message: the schema of the answer, as JSON text. */
  readonly responseFormat?: string | undefined;
  /** Asks for a short classification instead of an answer. */
  readonly task?: Task | undefined;
}

/** A message whose content is parts; a user turn's parts are kept apart, for they are joined by blank lines. */
export interface Turn<Image> extends Omit<ChatMessage<Image>, "role" | "content"> {
  readonly role: Exclude<ChatMessage<Image>["role"], "tool">;
  readonly blocks: readonly Block<Image>[];
}
interface Block<Image> {
  readonly parts: readonly ChatPart<Image>[];
  /** Of a tool's result. */
  readonly callId?: string | undefined;
}

const partsOf = <Image>(content: ChatMessage<Image>["content"]): readonly ChatPart<Image>[] =>
  typeof content === "string" ? [{ kind: "text", text: content }] : content;

/** Results and the user's own words, up to the next turn of another role, are one user turn. */
function merged<Image>(messages: readonly ChatMessage<Image>[]): Turn<Image>[] {
  const out: Turn<Image>[] = [];
  for (const { role, content, ...rest } of messages) {
    const isResult = role === "tool";
    const parts = partsOf(content);
    const block: Block<Image> = isResult
      ? { parts: [{ kind: "text", text: "<tool_result>" }, ...parts, { kind: "text", text: "</tool_result>" }], callId: rest.toolCallId } // prettier-ignore
      : { parts };
    const before = out.at(-1);
    if ((isResult || role === "user") && before?.role === "user" && before.task === undefined)
      out[out.length - 1] = { ...before, ...(!isResult && rest), blocks: [...before.blocks, block] };
    else out.push({ ...rest, role: isResult ? "user" : role, blocks: [block] });
  }
  return out;
}

/** Puts the results of each user turn into the order of the calls they answer; what is between them stays. */
function inCallOrder<Image>(turns: readonly Turn<Image>[]): Turn<Image>[] {
  let order = new Map<string, number>();
  return turns.map((turn, i) => {
    if (turn.toolCalls && turn.toolCalls.length > 0)
      order = new Map(turn.toolCalls.flatMap((call, at) => (call.id === undefined ? [] : [[call.id, at]])));
    const results = turn.blocks.filter((b) => b.callId !== undefined);
    for (const { callId } of results)
      if (!order.has(callId!)) throw new RequestError(`chat: expected a call with id "${callId}" before its result, found none`, `messages[${i}].tool_call_id`); // prettier-ignore
    results.sort((a, b) => order.get(a.callId!)! - order.get(b.callId!)!);
    let next = 0;
    return { ...turn, blocks: turn.blocks.map((b) => (b.callId === undefined ? b : results[next++]!)) };
  });
}

export const lastUserOf = (turns: readonly { readonly role: string }[]): number =>
  turns.findLastIndex(({ role }) => role === "user" || role === "developer");

/** `drops`: reasoning before the last user turn is not shown. */
export function toTurns<Image>(
  messages: readonly ChatMessage<Image>[],
  options: { readonly thinking: boolean; readonly dropThinking: boolean },
): { readonly turns: readonly Turn<Image>[]; readonly drops: boolean } {
  const turns = inCallOrder(merged(messages));
  const drops = options.dropThinking && !messages.some((m) => (m.tools?.length ?? 0) > 0);
  if (!drops || !options.thinking) return { turns, drops };
  const lastUser = lastUserOf(turns);
  return { turns: turns.filter((turn, i) => i >= lastUser || turn.role !== "developer"), drops };
}
