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
