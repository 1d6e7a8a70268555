/**
 * POST /v1/chat/completions, whole or streamed. Pictures and clips that the model writes are Markdown images in the
 * content (`data:` URLs), so that any client of the API shows or stores them; progress of a picture is an extra field
 * of the delta, which clients ignore.
 */
import { randomUUID } from "node:crypto";
import type { Context as HonoContext } from "hono";
import { streamSSE } from "hono/streaming";
import { paramsFor } from "../engine/defaults.ts";
import type { ContentPart, Delta, GenerateRequest, Message, Usage } from "../engine/types.ts";
import { encodePng } from "../processor/image.ts";
import { encodeMp4 } from "../processor/video.ts";
import { base64, checkModel, generate, imageFromUrl, type Context } from "./context.ts";
import { describeError } from "./errors.ts";
import { chatSchema, parseBody, type ChatBody } from "./schemas.ts";

async function toMessage(message: ChatBody["messages"][number], at: number): Promise<Message> {
  const role = message.role === "developer" ? "system" : message.role;
  const reasoning = message.reasoning_content ? { reasoning: message.reasoning_content } : {};
  const { content } = message;
  if (content === null || typeof content === "string") return { role, content: content ?? "", ...reasoning };
  const parts = await Promise.all(
    content.map(async (part, i): Promise<ContentPart> => {
      if (part.type === "text") return { kind: "text", text: part.text };
      const image = await imageFromUrl(part.image_url.url, `messages.${at}.content.${i}.image_url.url`);
      return { kind: "image", image };
    }),
  );
  return { role, content: parts, ...reasoning };
}

async function toRequest(body: ChatBody, signal: AbortSignal): Promise<GenerateRequest> {
  const modality = body.modality ?? "auto";
  const isThinking = body.thinking?.type === "enabled" || (body.reasoning_effort ?? "none") !== "none";
  return {
    messages: await Promise.all(body.messages.map(toMessage)),
    modality,
    thinking: isThinking,
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
  completion_tokens_details: { reasoning_tokens: usage.reasoningTokens },
});
const finishOf = (reason: string): string => (reason === "abort" ? "stop" : reason);

export async function chatCompletions(context: Context, c: HonoContext): Promise<Response> {
  const body = parseBody(chatSchema, await c.req.json());
  checkModel(context, body.model);
  const abort = new AbortController();
  c.req.raw.signal.addEventListener("abort", () => abort.abort());
  const deltas = generate(context, await toRequest(body, abort.signal));
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
      await part({ role: "assistant", content: "" });
      for await (const delta of all) {
        if (delta.kind === "reasoning") await part({ reasoning_content: delta.text });
        else if (delta.kind === "content") await part({ content: delta.text });
        else if (delta.kind === "progress") await part({ progress: { done: delta.done, total: delta.total } });
        else if (delta.kind === "done") {
          await part({}, finishOf(delta.finishReason));
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
  let done: Extract<Delta, { kind: "done" }> | undefined;
  for await (const delta of deltas) {
    if (delta.kind === "reasoning") reasoning += delta.text;
    else if (delta.kind === "content") content += delta.text;
    else if (delta.kind === "image" || delta.kind === "video") content += await toMarkdown(delta);
    else if (delta.kind === "done") done = delta;
  }
  const message = { role: "assistant", content, refusal: null, ...(reasoning !== "" && { reasoning_content: reasoning }) }; // prettier-ignore
  return {
    ...head,
    object: "chat.completion",
    choices: [{ index: 0, message, logprobs: null, finish_reason: finishOf(done?.finishReason ?? "stop") }],
    ...(done && { usage: usageOf(done.usage) }),
  };
}
