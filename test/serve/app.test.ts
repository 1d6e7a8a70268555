/** The wire's contract, without a socket. */
import assert from "node:assert/strict";
import { test } from "node:test";
import sharp from "sharp";
import { createApp } from "../../src/serve/app.ts";
import { fakeLlm } from "./fake-llm.ts";

const app = createApp({ llm: fakeLlm });
const post = (path: string, body: unknown): Promise<Response> =>
  Promise.resolve(
    app.request(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: typeof body === "string" ? body : JSON.stringify(body),
    }),
  );
const hello = { model: "fake", messages: [{ role: "user", content: "hi" }] };

interface ErrorJson {
  error: { message: string; param: string | null; code: string };
}
async function refused(response: Response, status: number): Promise<ErrorJson["error"]> {
  assert.equal(response.status, status);
  return ((await response.json()) as ErrorJson).error;
}

test("a whole answer has content, reasoning and usage", async () => {
  const response = await post("/v1/chat/completions", { ...hello, thinking: { type: "enabled" } });
  const json = (await response.json()) as {
    choices: { message: { content: string; reasoning_content: string }; finish_reason: string }[];
    usage: { prompt_tokens: number; total_tokens: number };
  };
  assert.equal(json.choices[0]!.message.content, "Hello world!");
  assert.equal(json.choices[0]!.message.reasoning_content, "first\nthen");
  assert.equal(json.choices[0]!.finish_reason, "stop");
  assert.deepEqual([json.usage.prompt_tokens, json.usage.total_tokens], [2, 5]);
});

test("an unknown field is named", async () => {
  const error = await refused(await post("/v1/chat/completions", { ...hello, temprature: 1 }), 400);
  assert.match(error.message, /unknown field "temprature"/);
  assert.equal(error.param, "temprature");
});

test("a wrong type is named with what was expected", async () => {
  const error = await refused(await post("/v1/chat/completions", { ...hello, temperature: "hot" }), 400);
  assert.match(error.message, /temperature.*expected number/);
});

test("bad JSON, unknown models, empty and over-long prompts are refused", async () => {
  assert.match((await refused(await post("/v1/chat/completions", "{"), 400)).message, /expected JSON/);
  assert.equal((await refused(await post("/v1/chat/completions", { ...hello, model: "gpt" }), 404)).param, "model");
  const say = (content: string) => ({ ...hello, messages: [{ role: "user", content }] });
  assert.match((await refused(await post("/v1/chat/completions", say(" ")), 400)).message, /got 0 characters/);
  const long = await refused(await post("/v1/chat/completions", { ...say("x".repeat(120)), stream: true }), 400);
  assert.match(long.message, /at most 100 tokens, got 120/);
});

test("a broken picture is refused, a remote one too", async () => {
  const look = (url: string) => ({
    ...hello,
    messages: [
      {
        role: "user",
        content: [
          { type: "image_url", image_url: { url } },
          { type: "text", text: "what?" },
        ],
      },
    ],
  });
  const broken = await refused(await post("/v1/chat/completions", look("data:image/png;base64,AAAA")), 400);
  assert.match(broken.message, /PNG, JPEG or WebP/);
  assert.equal(broken.param, "messages.0.content.0.image_url.url");
  assert.match((await refused(await post("/v1/chat/completions", look("http://x/y.png")), 400)).message, /data: URL/);
});

test("pictures follow their seeds and are PNG of the model's size", async () => {
  const response = await post("/v1/images/generations", { prompt: "sun", n: 2, seed: 7 });
  const { data } = (await response.json()) as { data: { b64_json: string }[] };
  const shades = await Promise.all(
    data.map(async ({ b64_json }) => {
      const { data: raw, info } = await sharp(Buffer.from(b64_json, "base64")).raw().toBuffer({ resolveWithObject: true }); // prettier-ignore
      assert.deepEqual([info.width, info.height], [16, 16]);
      return raw[0];
    }),
  );
  assert.deepEqual(shades, [7, 8]);
  assert.match((await refused(await post("/v1/images/generations", { prompt: "sun", size: "1024x1024" }), 400)).message, /"16x16"/); // prettier-ignore
});

test("a picture in a chat answer is Markdown with its data", async () => {
  const response = await post("/v1/chat/completions", { ...hello, modality: "image", seed: 1 });
  const json = (await response.json()) as { choices: { message: { content: string } }[] };
  assert.match(json.choices[0]!.message.content, /^!\[picture\]\(data:image\/png;base64,[\w+/=]+\)$/);
});

test("a clip is a job, then an MP4", async () => {
  const job = (await (await post("/v1/videos", { prompt: "a ball" })).json()) as { id: string; status: string };
  let status = job.status;
  for (let i = 0; i < 200 && status !== "completed"; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    status = ((await (await app.request(`/v1/videos/${job.id}`)).json()) as { status: string }).status;
  }
  assert.equal(status, "completed");
  const response = await app.request(`/v1/videos/${job.id}/content`);
  assert.equal(response.headers.get("content-type"), "video/mp4");
  const bytes = new Uint8Array(await response.arrayBuffer());
  assert.equal(new TextDecoder().decode(bytes.subarray(4, 8)), "ftyp");
  assert.equal((await app.request("/v1/videos/none")).status, 404);
});

test("health, models and metrics", async () => {
  assert.deepEqual(await (await app.request("/health")).json(), { status: "ok", queue: 0 });
  const models = (await (await app.request("/v1/models")).json()) as { data: { id: string }[] };
  assert.equal(models.data[0]!.id, "fake");
  assert.match(await (await app.request("/metrics")).text(), /tessera_images_total [1-9]/);
  assert.equal((await app.request("/nothing")).status, 404);
});

test("requests wait for one another and come out in order", async () => {
  const answers = await Promise.all([1, 2, 3].map(() => post("/v1/chat/completions", hello)));
  for (const answer of answers) assert.equal(answer.status, 200);
});
