/**
 * POST /v1/chat/completions, whole or streamed. Pictures and clips that the model writes are Markdown images in the
 * content (`data:` URLs), so that any client of the API shows or stores them; progress of a picture is an extra field
 * of the delta, which clients ignore. Arguments of tool calls are passed on as text, both ways, so nothing is lost.
 */
import { randomUUID } from "node:crypto";
import type { Context as HonoContext } from "hono";
import { streamSSE } from "hono/streaming";
import { paramsFor } from "../engine/defaults.ts";
import type { ContentPart, Delta, GenerateRequest, Message, Usage } from "../engine/types.ts";
import type { Effort } from "../processor/chat-texts.ts";
import { encodePng } from "../processor/image.ts";
import { jsonAt, parseJsonText, toPythonJson } from "../processor/json-text.ts";
import { encodeMp4 } from "../processor/video.ts";
import { base64, checkModel, generate, imageFromUrl, type Context } from "./context.ts";
import { describeError, HttpError } from "./errors.ts";
import { chatSchema, parseBody, type ChatBody } from "./schemas.ts";

async function toMessage(message: ChatBody["messages"][number], at: number): Promise<Message> {
  const role = message.role === "developer" ? "system" : message.role;
  const reasoning = message.reasoning_content ? { reasoning: message.reasoning_content } : {};
  const { content, tool_calls: calls, tool_call_id: callId } = message;
  checkRole(message, at);
  const own = {
    ...reasoning,
    ...(calls && { toolCalls: calls.map((call) => ({ id: call.id, ...call.function })) }),
    ...(callId && { toolCallId: callId }),
  };
  if (content === null || content === undefined || typeof content === "string")
    return { role, content: content ?? "", ...own };
  const parts = await Promise.all(
    content.map(async (part, i): Promise<ContentPart> => {
      if (part.type === "text") return { kind: "text", text: part.text };
      const image = await imageFromUrl(part.image_url.url, `messages.${at}.content.${i}.image_url.url`);
      return { kind: "image", image };
    }),
  );
  return { role, content: parts, ...own };
}

/** Fields that only some roles have. */
function checkRole(message: ChatBody["messages"][number], at: number): void {
  const fail = (field: string, expected: string): never => {
    const param = `messages.${at}.${field}`;
    throw new HttpError(400, "invalid_value", `${param}: expected ${expected} in a message of the role "${message.role}"`, param); // prettier-ignore
  };
  const { role, content, tool_calls: calls, tool_call_id: callId } = message;
  if (calls && role !== "assistant") fail("tool_calls", "nothing");
  if (role === "tool" ? !callId : callId) fail("tool_call_id", role === "tool" ? "the id of a call" : "nothing");
  if (content === undefined && !(role === "assistant" && calls && calls.length > 0))
    fail("content", "text or a list of parts");
}

/** Names of other APIs for the three levels of a checkpoint; none does not think. */
const effortOf: Readonly<Record<Exclude<NonNullable<ChatBody["reasoning_effort"]>, "none">, Effort>> = {
  minimal: "low",
  low: "low",
  medium: "low",
  high: "high",
  xhigh: "high",
  max: "max",
};

/** The functions as they were written: what JavaScript would change (1.0, big numbers, the order of keys) stays. */
function toolsOf(body: ChatBody, text: string): readonly string[] {
  if (!body.tools || body.tools.length === 0 || body.tool_choice === "none") return [];
  const root = parseJsonText(text);
  return body.tools.map((_, i) => toPythonJson(jsonAt(root, ["tools", i, "function"])!));
}

/** What the request says; one that says nothing leaves it to the model. */
function thinkingOf({ thinking, reasoning_effort: level }: ChatBody): GenerateRequest["thinking"] {
  if (thinking) return thinking.type === "enabled";
  return level ? level !== "none" : "auto";
}

async function toRequest(body: ChatBody, text: string, signal: AbortSignal): Promise<GenerateRequest> {
  const modality = body.modality ?? "auto";
  const level = body.reasoning_effort ?? "none";
  const thinking = thinkingOf(body);
  const tools = toolsOf(body, text);
  return {
    ...(thinking === true && level !== "none" && { effort: effortOf[level] }),
    ...(tools.length > 0 && { tools }),
    messages: await Promise.all(body.messages.map(toMessage)),
    modality,
    thinking,
    params: paramsFor(modality, {
      maxTokens: body.max_completion_tokens ?? body.max_tokens,
      temperature: body.temperature,
      topP: body.top_p,
      topK: body.top_k,
      seed: body.seed,
      guidance: body.guidance,
      stop: typeof body.stop === "string" ? [body.stop] : body.stop,
    }),
    signal,
  };
}

/** A picture or clip as Markdown. */
async function toMarkdown(delta: Extract<Delta, { kind: "image" | "video" }>): Promise<string> {
  if (delta.kind === "image") return `![picture](data:image/png;base64,${base64(await encodePng(delta.image))})`;
  return `![clip](data:video/mp4;base64,${base64(await encodeMp4(delta.frames, { fps: delta.fps }))})`;
}

const usageOf = (usage: Usage): object => ({
  prompt_tokens: usage.promptTokens,
  completion_tokens: usage.completionTokens,
  total_tokens: usage.promptTokens + usage.completionTokens,
  completion_tokens_details: {
    reasoning_tokens: usage.reasoningTokens,
    accepted_prediction_tokens: usage.acceptedDrafts,
    rejected_prediction_tokens: usage.rejectedDrafts,
  },
});
/** An answer that stopped with calls waits for their results. */
const finishOf = (reason: string, numCalls: number): string =>
  reason === "length" ? "length" : numCalls > 0 ? "tool_calls" : "stop";
const callOf = (delta: Extract<Delta, { kind: "toolCall" }>): object => ({
  id: `call_${randomUUID().replaceAll("-", "")}`,
  type: "function",
  function: { name: delta.name, arguments: delta.arguments },
});

export async function chatCompletions(context: Context, c: HonoContext): Promise<Response> {
  const text = await c.req.text();
  const body = parseBody(chatSchema, JSON.parse(text));
  checkModel(context, body.model);
  const abort = new AbortController();
  c.req.raw.signal.addEventListener("abort", () => abort.abort());
  const deltas = generate(context, await toRequest(body, text, abort.signal));
  const head = { id: `chatcmpl-${randomUUID()}`, created: Math.floor(Date.now() / 1000), model: context.llm.info.id };
  // The first delta is drawn here, so that a bad request is a status and not a broken stream.
  const first = await deltas.next();
  const all = (async function* (): AsyncGenerator<Delta> {
    if (!first.done) yield first.value;
    yield* deltas;
  })();
  if (!body.stream) return Response.json(await whole(all, head));
  return streamSSE(c, async (stream) => {
    stream.onAbort(() => abort.abort());
    const send = (choices: object[], extra: object = {}): Promise<void> =>
      stream.writeSSE({ data: JSON.stringify({ ...head, object: "chat.completion.chunk", choices, ...extra }) });
    const part = (delta: object, finish: string | null = null): Promise<void> =>
      send([{ index: 0, delta, logprobs: null, finish_reason: finish }]);
    try {
      let numCalls = 0;
      await part({ role: "assistant", content: "" });
      for await (const delta of all) {
        if (delta.kind === "reasoning") await part({ reasoning_content: delta.text });
        else if (delta.kind === "content") await part({ content: delta.text });
        else if (delta.kind === "toolCall") await part({ tool_calls: [{ index: numCalls++, ...callOf(delta) }] });
        else if (delta.kind === "progress") await part({ progress: { done: delta.done, total: delta.total } });
        else if (delta.kind === "done") {
          await part({}, finishOf(delta.finishReason, numCalls));
          if (body.stream_options?.include_usage) await send([], { usage: usageOf(delta.usage) });
        } else await part({ content: await toMarkdown(delta) });
      }
      await stream.writeSSE({ data: "[DONE]" });
    } catch (error) {
      context.report(error);
      await stream.writeSSE({ data: JSON.stringify(describeError(error).body) });
    }
  });
}

async function whole(deltas: AsyncGenerator<Delta>, head: object): Promise<object> {
  let content = "";
  let reasoning = "";
  const calls: object[] = [];
  let done: Extract<Delta, { kind: "done" }> | undefined;
  for await (const delta of deltas) {
    if (delta.kind === "reasoning") reasoning += delta.text;
    else if (delta.kind === "content") content += delta.text;
    else if (delta.kind === "toolCall") calls.push(callOf(delta));
    else if (delta.kind === "image" || delta.kind === "video") content += await toMarkdown(delta);
    else if (delta.kind === "done") done = delta;
  }
  const message = {
    role: "assistant",
    content: content === "" && calls.length > 0 ? null : content,
    refusal: null,
    ...(reasoning !== "" && { reasoning_content: reasoning }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
  return {
    ...head,
    object: "chat.completion",
    choices: [
      { index: 0, message, logprobs: null, finish_reason: finishOf(done?.finishReason ?? "stop", calls.length) },
    ],
    ...(done && { usage: usageOf(done.usage) }),
  };
}
