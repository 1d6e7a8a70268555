/** The official client, unchanged, against a real socket. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import OpenAI from "openai";
import { createApp } from "../../src/serve/app.ts";
import { listen, type Listening } from "../../src/serve/listen.ts";
import { fakeLlm } from "./fake-llm.ts";

let server: Listening;
let client: OpenAI;
before(async () => {
  server = await listen(createApp({ llm: fakeLlm }), { host: "127.0.0.1", port: 0 });
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none", maxRetries: 0 });
});
after(() => server.close());

const messages = [{ role: "user" as const, content: "hi" }];

test("chat, whole", async () => {
  const answer = await client.chat.completions.create({ model: "fake", messages });
  assert.equal(answer.choices[0]!.message.content, "Hello world!");
});

test("chat, streamed with usage", async () => {
  const stream = await client.chat.completions.create({
    model: "fake",
    messages,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let total = 0;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    total = chunk.usage?.total_tokens ?? total;
  }
  assert.equal(text, "Hello world!");
  assert.equal(total, 5);
});

const tools = [
  { type: "function" as const, function: { name: "first", parameters: { type: "object", properties: {} } } },
  { type: "function" as const, function: { name: "second" } },
];

test("tool calls, whole, and their results", async () => {
  const answer = await client.chat.completions.create({ model: "fake", messages, tools, tool_choice: "auto" });
  const { message, finish_reason } = answer.choices[0]!;
  assert.equal(finish_reason, "tool_calls");
  assert.equal(message.content, "Let me see.");
  assert.deepEqual(
    message.tool_calls!.map((c) => c.type === "function" && c.function.name),
    ["first", "second"],
  );
  const results = message.tool_calls!.map((c) => ({ role: "tool" as const, tool_call_id: c.id, content: "42" }));
  const last = await client.chat.completions.create({ model: "fake", messages: [...messages, message, ...results], tools }); // prettier-ignore
  assert.equal(last.choices[0]!.message.content, "Hello world!");
  assert.equal(last.choices[0]!.finish_reason, "stop");
});

test("tool calls, streamed and put together by the client", async () => {
  const runner = client.chat.completions.stream({ model: "fake", messages, tools });
  const { message, finish_reason } = (await runner.finalChatCompletion()).choices[0]!;
  assert.equal(finish_reason, "tool_calls");
  assert.equal(message.content, "Let me see.");
  const calls = message.tool_calls!.map((c) => (c.type === "function" ? c.function : undefined)!);
  assert.deepEqual(calls.map((c) => c.name), ["first", "second"]); // prettier-ignore
  assert.equal(new Set(message.tool_calls!.map((c) => c.id)).size, 2);
  assert.ok(JSON.parse(calls[0]!.arguments));
});

test("pictures, models, and a clip", async () => {
  const pictures = await client.images.generate({ model: "fake", prompt: "sun" });
  assert.ok(pictures.data![0]!.b64_json!.length > 50);
  assert.equal((await client.models.list()).data[0]!.id, "fake");
  let video = await client.videos.create({ model: "fake" as "sora-2", prompt: "a ball" });
  for (let i = 0; i < 200 && video.status !== "completed"; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    video = await client.videos.retrieve(video.id);
  }
  const content = await client.videos.downloadContent(video.id);
  assert.ok((await content.arrayBuffer()).byteLength > 200);
});

test("errors arrive as the client's own classes", async () => {
  await assert.rejects(client.chat.completions.create({ model: "other", messages }), OpenAI.NotFoundError);
  await assert.rejects(client.images.generate({ prompt: "x", size: "256x256" }), OpenAI.BadRequestError);
});

test("a port in use is said so", async () => {
  const port = Number(new URL(server.url).port);
  await assert.rejects(listen(createApp({ llm: fakeLlm }), { host: "127.0.0.1", port }), /expected a free port/);
});
