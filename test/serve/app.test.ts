/** The wire's contract, without a socket. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32, deflateSync } from "node:zlib";
import sharp from "sharp";
import type { ContentPart, GenerateRequest, Llm } from "../../src/engine/types.ts";
import { createApp } from "../../src/serve/app.ts";
import { fakeLlm } from "./fake-llm.ts";

/** What reached the model. */
const requests: GenerateRequest[] = [];
const llm: Llm = {
  info: fakeLlm.info,
  countTokens: (request) => fakeLlm.countTokens(request),
  generate: (request) => {
    requests.push(request);
    return fakeLlm.generate(request);
  },
};
const app = createApp({ llm });

/** A PNG that says it is enormous: signature, header chunk, an empty data chunk, end. */
function hugePng(side: number): Buffer {
  const chunk = (type: string, data: Buffer): Buffer => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const [length, crc] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    crc.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, crc]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([signature, chunk("IHDR", header), chunk("IDAT", deflateSync(Buffer.alloc(0))), chunk("IEND", Buffer.alloc(0))]); // prettier-ignore
}
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
  assert.equal(error.message, 'unknown field "temprature"');
  assert.equal(error.param, "temprature");
});

test("a wrong value is named with what was expected and what came", async () => {
  const part = (content: unknown) => ({ messages: [{ role: "user", content }] });
  const cases: readonly [own: object, param: string, message: RegExp][] = [
    [{ temperature: "hot" }, "temperature", /expected number, got string/],
    [{ temperature: 3 }, "temperature", /expected at most 2, got 3/],
    [{ top_p: 1.5 }, "top_p", /expected at most 1, got 1.5/],
    [{ top_k: -1 }, "top_k", /expected at least 0, got -1/],
    [{ seed: 1.5 }, "seed", /expected a whole number, got 1.5/],
    [{ max_tokens: 0 }, "max_tokens", /expected at least 1, got 0/],
    [{ stop: ["a", "b", "c", "d", "e"] }, "stop", /expected at most 4 items, got 5/],
    [{ stop: 5 }, "stop", /expected string or array, got number/],
    [{ n: 2 }, "n", /expected 1, got 2/],
    [{ frequency_penalty: 0.5 }, "frequency_penalty", /expected 0, got 0.5/],
    [{ response_format: { type: "json_object" } }, "response_format.type", /expected "text", got "json_object"/],
    [{ modality: "smell" }, "modality", /expected "auto" or "text" or "image" or "video", got "smell"/],
    [{ messages: "x" }, "messages", /expected array, got string/],
    [part(5), "messages.0.content", /expected string or array or null, got number/],
    [part([{ type: "audio" }]), "messages.0.content.0.type", /expected "text" or "image_url", got "audio"/],
    [part([{ type: "text" }]), "messages.0.content.0.text", /expected string, got nothing/],
    [{ messages: [{ role: "user", content: "x", foo: 1 }] }, "messages.0.foo", /messages.0: unknown field "foo"/],
  ];
  for (const [own, param, message] of cases) {
    const error = await refused(await post("/v1/chat/completions", { ...hello, ...own }), 400);
    assert.equal(error.param, param);
    assert.match(error.message, message);
  }
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

test("a text file, a truncated picture and a huge one are refused before they are decoded", async () => {
  const png = await sharp({ create: { width: 64, height: 64, channels: 3, background: "red", noise: { type: "gaussian", mean: 128, sigma: 30 } } }).png().toBuffer(); // prettier-ignore
  const cases: readonly [bytes: Uint8Array, message: RegExp][] = [
    [Buffer.from("just text"), /expected PNG, JPEG or WebP data, got something unreadable/],
    [png.subarray(0, png.length / 2), /expected whole png data, got a broken file/],
    [hugePng(50_000), /expected at most 40000000 pixels, got 50000x50000/],
    [Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'), /expected PNG, JPEG or WebP data, got svg/], // prettier-ignore
  ];
  for (const [bytes, message] of cases) {
    const url = `data:image/png;base64,${Buffer.from(bytes).toString("base64")}`;
    const content = [{ type: "image_url", image_url: { url } }];
    const error = await refused(await post("/v1/chat/completions", { ...hello, messages: [{ role: "user", content }] }), 400); // prettier-ignore
    assert.match(error.message, message);
    assert.equal(error.param, "messages.0.content.0.image_url.url");
    assert.match((await refused(await post("/v1/videos", { prompt: "x", input_reference: url }), 400)).message, message); // prettier-ignore
  }
});

test("a picture by data URI is seen, and a clip may start from one", async () => {
  const url = `data:image/png;base64,${(await sharp({ create: { width: 20, height: 10, channels: 3, background: "red" } }).png().toBuffer()).toString("base64")}`; // prettier-ignore
  const messages = [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }];
  const seen = (await (await post("/v1/chat/completions", { ...hello, messages })).json()) as { choices: { message: { content: string } }[] }; // prettier-ignore
  assert.equal(seen.choices[0]!.message.content, "I see 20x10");
  await post("/v1/chat/completions", { ...hello, messages, modality: "video" });
  const form = new FormData();
  form.set("prompt", "it moves");
  form.set("seed", "4");
  form.set("input_reference", new File([Buffer.from(url.split(",")[1]!, "base64")], "a.png"));
  await app.request("/v1/videos", { method: "POST", body: form });
  for (const request of requests.slice(-2)) {
    assert.equal(request.modality, "video");
    const content = request.messages[0]!.content as readonly ContentPart[];
    assert.equal(content.some((part) => part.kind === "image" && part.image.width === 20), true); // prettier-ignore
  }
  assert.equal(requests.at(-1)!.params.seed, 4);
});

test("sampling fields reach the model; pictures have defaults of their own", async () => {
  const given = { temperature: 0.5, top_p: 0.6, top_k: 7, seed: 8, stop: "x", guidance: 2 };
  await post("/v1/chat/completions", { ...hello, ...given, max_tokens: 9 });
  const codes = { temperature: 0.1, topK: 100 };
  const params = { temperature: 0.5, topP: 0.6, topK: 7, seed: 8, stop: ["x"], guidance: 2, maxTokens: 9, codes };
  assert.deepEqual(requests.at(-1)!.params, params);
  await post("/v1/chat/completions", { ...hello, ...given, max_tokens: 9, max_completion_tokens: 10, stop: null });
  assert.deepEqual(requests.at(-1)!.params, { ...params, maxTokens: 10, stop: [] });
  await post("/v1/chat/completions", { ...hello, modality: "image" });
  const drawn = requests.at(-1)!.params;
  await post("/v1/images/generations", { prompt: "sun" });
  assert.deepEqual({ ...requests.at(-1)!.params, seed: 0 }, { ...drawn, seed: 0 });
  assert.equal(drawn.topK, 100);
});

test("prompts of pictures and clips are refused under their own name", async () => {
  for (const path of ["/v1/images/generations", "/v1/videos"]) {
    const long = await refused(await post(path, { prompt: "x".repeat(120) }), 400);
    assert.deepEqual([long.param, long.message], ["prompt", "prompt: expected at most 100 tokens, got 120"]);
    assert.equal((await refused(await post(path, { prompt: "" }), 400)).param, "prompt");
    assert.equal((await refused(await post(path, { prompt: "x", foo: 1 }), 400)).param, "foo");
    assert.equal((await refused(await post(path, { prompt: "x", model: "other" }), 404)).param, "model");
  }
  assert.match((await refused(await post("/v1/videos", { prompt: "x", seconds: "8" }), 400)).message, /expected "0.5" or none, got "8"/); // prettier-ignore
});

test("a body over the limit is refused, with or without its length said", async () => {
  const chunks = Array.from({ length: 31 }, () => new Uint8Array(1_000_000).fill(0x20));
  const body = new Blob(chunks);
  const headers = { "content-length": String(body.size) };
  const send = (init: object) => app.request("/v1/chat/completions", { method: "POST", body, ...init });
  assert.match((await refused(await send({ headers }), 413)).message, /expected at most \d+ bytes/);
  const whole = await send({ body: body.stream(), duplex: "half" });
  assert.equal((await refused(whole, 413)).code, "too_large");
});

test("an error of ours says nothing of the inside to the caller, and all to the log", async (t) => {
  const logged = t.mock.method(console, "error", () => {});
  const broken: Llm = { ...llm, countTokens: () => 1, generate: () => { throw new Error("secret"); } }; // prettier-ignore
  const response = await createApp({ llm: broken }).request("/v1/chat/completions", { method: "POST", body: JSON.stringify(hello) }); // prettier-ignore
  const error = await refused(response, 500);
  assert.doesNotMatch(error.message, /secret/);
  assert.match(String(logged.mock.calls[0]!.arguments[0]), /secret/);
});

test("other pages may not use the server through the reader's browser, unless allowed", async () => {
  const guarded = createApp({ llm, guard: { origins: ["http://friend.test"], isLocal: true } });
  const get = (url: string, origin?: string, method = "GET") =>
    guarded.request(url, { method, headers: origin ? { origin } : {} });
  assert.equal((await get("http://localhost:8080/health")).status, 200);
  assert.equal((await get("http://127.0.0.1:8080/health", "http://127.0.0.1:8080")).status, 200);
  assert.equal((await refused(await get("http://localhost:8080/health", "http://evil.test"), 403)).code, "forbidden_origin"); // prettier-ignore
  assert.equal((await refused(await get("http://localhost:8080/health", "null"), 403)).code, "forbidden_origin");
  assert.equal((await refused(await get("http://rebound.test/health"), 403)).code, "forbidden_host");
  const friend = await get("http://localhost:8080/v1/models", "http://friend.test");
  assert.equal(friend.headers.get("access-control-allow-origin"), "http://friend.test");
  assert.equal((await get("http://localhost:8080/v1/models", "http://friend.test", "OPTIONS")).status, 204);
});

test("the page loads nothing from elsewhere", async () => {
  const page = await createApp({ llm, webDir: "src/web" }).request("/");
  assert.match(page.headers.get("content-security-policy")!, /default-src 'none'/);
  assert.doesNotMatch(await page.text(), /https?:\/\/(?!www\.w3\.org)/);
});

test("a clip that is deleted is not finished", async () => {
  const job = (await (await post("/v1/videos", { prompt: "a ball" })).json()) as { id: string };
  await app.request(`/v1/videos/${job.id}`, { method: "DELETE" });
  assert.equal(requests.at(-1)!.signal?.aborted, true);
  assert.equal((await app.request(`/v1/videos/${job.id}`)).status, 404);
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
  const metrics = await app.request("/metrics");
  assert.equal(metrics.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const lines = (await metrics.text()).trim().split("\n");
  for (const line of lines) assert.match(line, /^(# (HELP|TYPE) tessera_\w+ .+|tessera_\w+ \d+(\.\d+)?)$/);
  assert.ok(lines.some((line) => /^tessera_images_total [1-9]/.test(line)));
  assert.equal((await app.request("/nothing")).status, 404);
});

test("requests wait for one another and come out in order", async () => {
  const answers = await Promise.all([1, 2, 3].map(() => post("/v1/chat/completions", hello)));
  for (const answer of answers) assert.equal(answer.status, 200);
});

test("tools reach the model as they were written, and calls keep their text", async () => {
  const body = `{"model":"fake","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"10":1.0,"2":12345678901234567890}}}]}`; // prettier-ignore
  const response = await post("/v1/chat/completions", body);
  const written = '{"name": "f", "parameters": {"10": 1.0, "2": 12345678901234567890}}';
  assert.deepEqual(requests.at(-1)!.tools, [written]);
  const json = (await response.json()) as { choices: { message: { tool_calls: { function: { arguments: string } }[] } }[] }; // prettier-ignore
  assert.equal(json.choices[0]!.message.tool_calls[0]!.function.arguments, `{"given": ${written}}`);
  await post("/v1/chat/completions", { ...(JSON.parse(body) as object), tool_choice: "none" });
  assert.equal(requests.at(-1)!.tools, undefined);
});

test("messages of tools and calls of assistants reach the model; efforts become levels", async () => {
  const call = { id: "c1", type: "function", function: { name: "f", arguments: '{"a":1.0}' } };
  const messages = [
    { role: "user", content: "hi" },
    { role: "assistant", content: null, reasoning_content: "hm", tool_calls: [call] },
    { role: "tool", tool_call_id: "c1", content: "done" },
  ];
  await post("/v1/chat/completions", { model: "fake", messages, reasoning_effort: "max" });
  const sent = requests.at(-1)!;
  assert.deepEqual(sent.messages[1], { role: "assistant", content: "", reasoning: "hm", toolCalls: [{ id: "c1", name: "f", arguments: '{"a":1.0}' }] }); // prettier-ignore
  assert.deepEqual(sent.messages[2], { role: "tool", content: "done", toolCallId: "c1" });
  const levels = [["minimal", "low"], ["medium", "low"], ["high", "high"], ["xhigh", "high"], ["max", "max"]] as const; // prettier-ignore
  for (const [effort, level] of levels) {
    await post("/v1/chat/completions", { ...hello, reasoning_effort: effort });
    assert.deepEqual([requests.at(-1)!.thinking, requests.at(-1)!.effort], [true, level]);
  }
  await post("/v1/chat/completions", { ...hello, thinking: { type: "disabled" }, reasoning_effort: "high" });
  assert.deepEqual([requests.at(-1)!.thinking, requests.at(-1)!.effort], [false, undefined]);
});

test("fields of tools are checked", async () => {
  const say = (message: object) => ({ model: "fake", messages: [{ role: "user", content: "x" }, message] });
  const f = { type: "function", function: { name: "f" } };
  const cases: readonly [body: object, param: string][] = [
    [{ ...hello, tools: [{ type: "function", function: { name: "f", extra: 1 } }] }, "tools.0.function.extra"],
    [{ ...hello, tools: [{ type: "function", function: { name: "no spaces" } }] }, "tools.0.function.name"],
    [{ ...hello, tools: [f], tool_choice: "required" }, "tool_choice"],
    [say({ role: "tool", content: "x" }), "messages.1.tool_call_id"],
    [say({ role: "user", content: "x", tool_call_id: "y" }), "messages.1.tool_call_id"],
    [say({ role: "user", content: "x", tool_calls: [] }), "messages.1.tool_calls"],
    [say({ role: "user" }), "messages.1.content"],
  ];
  for (const [body, param] of cases) assert.equal((await refused(await post("/v1/chat/completions", body), 400)).param, param); // prettier-ignore
});
