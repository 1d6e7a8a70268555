import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs"; // prettier-ignore
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { CapacityError, FormatError, RequestError } from "../../src/base/errors.ts";
import { loadLlm, saveLlm } from "../../src/engine/load.ts";
import { LocalLlm } from "../../src/engine/llm.ts";
import type { Delta, GenerateRequest, RgbImage } from "../../src/engine/types.ts";
import { VisualTokenizer } from "../../src/model/visual-tokenizer.ts";
import { ownTexts } from "../../src/processor/chat-texts.ts";
import { openTestDevice } from "../tensor/device.ts";
import { byte, chain, scripted, scriptedParts } from "./scripted.ts";

const device = openTestDevice();
const root = mkdtempSync(join(tmpdir(), "tessera-llm-"));
after(() => rmSync(root, { recursive: true, force: true }));

const EOS = "<｜end▁of▁sentence｜>";
const params = { maxTokens: 40, temperature: 0, topP: 1, topK: 0, seed: 0, stop: [], guidance: 1 };
const request = (own: Partial<GenerateRequest>): GenerateRequest => ({
  messages: [{ role: "user", content: "?" }],
  modality: "text",
  thinking: false,
  params,
  ...own,
});

async function collect(llm: LocalLlm, r: GenerateRequest): Promise<Delta[]> {
  const out: Delta[] = [];
  for await (const delta of llm.generate(r)) out.push(delta);
  return out;
}
const textOf = (deltas: readonly Delta[], kind: "content" | "reasoning"): string =>
  deltas.map((d) => (d.kind === kind ? d.text : "")).join("");
const doneOf = (deltas: readonly Delta[]): Extract<Delta, { kind: "done" }> => {
  const last = deltas.at(-1)!;
  assert.equal(last.kind, "done");
  return last as Extract<Delta, { kind: "done" }>;
};
const picture: RgbImage = { width: 16, height: 16, data: Uint8Array.from({ length: 768 }, (_, i) => (i * 37) % 256) };

test("thinking comes apart from content, and characters stay whole", async () => {
  const cat = [...new TextEncoder().encode("猫")];
  const llm = scripted(device, chain("<think>", byte("a"), byte("b"), "</think>", ...cat, byte("c"), EOS));
  const deltas = await collect(llm, request({ thinking: true }));
  assert.equal(textOf(deltas, "reasoning"), "ab");
  assert.equal(textOf(deltas, "content"), "猫c");
  const pieces = deltas.flatMap((d) => (d.kind === "content" ? [d.text] : []));
  assert.deepEqual(pieces, ["猫", "c"]);
  const done = doneOf(deltas);
  assert.equal(done.finishReason, "stop");
  assert.deepEqual(done.usage, {
    promptTokens: 5,
    completionTokens: 7,
    reasoningTokens: 3,
    acceptedDrafts: 0,
    rejectedDrafts: 0,
  });
});

test("left to itself, a model that has learned to opens or closes thinking", async () => {
  const thinks = chain("<｜Assistant｜>", "<think>", byte("a"), "</think>", byte("b"), EOS);
  const answers = chain("<｜Assistant｜>", "</think>", byte("b"), EOS);
  for (const [script, reasoning] of [
    [thinks, "a"],
    [answers, ""],
  ] as const) {
    const llm = new LocalLlm({ ...scriptedParts(device, script), choosesThinking: true });
    // The stop string counts in the answer only, where it stands last.
    const deltas = await collect(llm, request({ thinking: "auto", params: { ...params, stop: ["a", "<"] } }));
    assert.equal(textOf(deltas, "reasoning"), reasoning);
    assert.equal(textOf(deltas, "content"), "b");
    assert.equal(doneOf(deltas).usage.promptTokens, 4);
  }
  // One that has not is asked to answer.
  const deltas = await collect(scripted(device, thinks), request({ thinking: "auto" }));
  assert.deepEqual([textOf(deltas, "reasoning"), textOf(deltas, "content")], ["", "b"]);
});

test("a stop string ends the answer and is not shown, wherever it is cut", async () => {
  const llm = scripted(device, chain("</think>", byte("x"), byte("E"), byte("N"), byte("D"), byte("y"), EOS));
  const deltas = await collect(llm, request({ params: { ...params, stop: ["END"] } }));
  assert.equal(textOf(deltas, "content"), "x");
  assert.equal(doneOf(deltas).finishReason, "stop");
  const whole = await collect(llm, request({ params: { ...params, stop: ["ENDE"] } }));
  assert.equal(textOf(whole, "content"), "xENDy");
});

test("the token limit ends the answer with what was held back", async () => {
  const llm = scripted(device, chain("</think>", byte("x"), byte("E"), byte("N"), byte("D"), EOS));
  const deltas = await collect(llm, request({ params: { ...params, maxTokens: 2, stop: ["END"] } }));
  assert.equal(textOf(deltas, "content"), "xE");
  assert.equal(doneOf(deltas).finishReason, "length");
});

test("a picture that was asked for is written whole, with progress", async () => {
  const llm = scripted(device, chain("</think>", byte("x"), EOS));
  const deltas = await collect(llm, request({ modality: "image", params: { ...params, maxTokens: 1, guidance: 3 } }));
  const kinds = deltas.map((d) => d.kind);
  assert.deepEqual(kinds, [...Array<string>(16).fill("progress"), "image", "done"]);
  assert.deepEqual(deltas[15], { kind: "progress", done: 16, total: 16 });
  const image = (deltas[16] as Extract<Delta, { kind: "image" }>).image;
  assert.deepEqual([image.width, image.height, image.data.length], [32, 32, 3072]);
  assert.equal(doneOf(deltas).finishReason, "stop");
});

test("in one answer, words, a picture, and words again", async () => {
  const llm = scripted(device, [...chain("</think>", byte("a"), "<boi>"), ...chain("<eoi>", byte("b"), EOS)]);
  const deltas = await collect(llm, request({ modality: "auto" }));
  const shown = deltas.flatMap((d) => (d.kind === "content" ? [d.text] : d.kind === "image" ? ["<image>"] : []));
  assert.deepEqual(shown, ["a", "<image>", "b"]);
  // Without room for a whole picture none is opened, and as text only it never is.
  for (const own of [{ modality: "auto", params: { ...params, maxTokens: 5 } }, { modality: "text" }] as const) {
    const other = await collect(llm, request(own));
    assert.ok(other.every((d) => d.kind !== "image" && d.kind !== "progress"));
  }
});

test("a clip goes on from a given picture", async () => {
  const llm = scripted(device, chain("</think>", EOS));
  const content = [
    { kind: "text", text: "go" },
    { kind: "image", image: picture },
  ] as const;
  const deltas = await collect(llm, request({ messages: [{ role: "user", content }], modality: "video" }));
  const clip = deltas.find((d) => d.kind === "video") as Extract<Delta, { kind: "video" }>;
  assert.equal(clip.frames.length, 5);
  assert.equal(clip.fps, 11);
  // The first frame is the tokenizer's own view of the picture: asked to read it back, it has the same codes.
  const again = [
    { kind: "text", text: "go" },
    { kind: "image", image: clip.frames[0]! },
  ] as const;
  const second = await collect(llm, request({ messages: [{ role: "user", content: again }], modality: "video" }));
  assert.equal((second.find((d) => d.kind === "video") as typeof clip).frames.length, 5);
  // The picture is the first frame, not a part of the prompt.
  // bos, user, 2 letters, assistant, </think>
  assert.equal(doneOf(deltas).usage.promptTokens, 6);
});

test("a picture in the prompt counts as its tokens", async () => {
  const llm = scripted(device, chain("</think>", byte("x"), EOS));
  const content = [
    { kind: "image", image: { ...picture, width: 32, height: 8 } },
    { kind: "text", text: "what?" },
  ] as const;
  const r = request({ messages: [{ role: "user", content }] });
  const done = doneOf(await collect(llm, r));
  assert.equal(done.usage.promptTokens, llm.countTokens(r));
  // bos, user, boi, style, size, 3 pads, 16 codes, eoi, 5 letters, assistant, </think>
  assert.equal(llm.countTokens(r), 2 + 3 + 3 + 16 + 1 + 5 + 2);
});

test("requests that cannot be answered are refused with the counts", async () => {
  const llm = scripted(device, chain("</think>", EOS));
  const bad: [Partial<GenerateRequest>, RegExp][] = [
    [{ messages: [] }, /expected at least one message, got 0/],
    [{ messages: [{ role: "user", content: "  " }] }, /got 0 characters/],
    [{ messages: [{ role: "assistant", content: "x" }] }, /expected the last message from the user/],
    [{ messages: [{ role: "user", content: "x".repeat(200) }] }, /expected at most 127 tokens before the answer, got 204 \(context 128\)/],
    [{ messages: [{ role: "user", content: "x".repeat(116) }], modality: "video" }, /expected at most \d\d tokens/],
  ]; // prettier-ignore
  for (const [own, message] of bad)
    await assert.rejects(
      collect(llm, request(own)),
      (e) => e instanceof RequestError && e.param === "messages" && message.test(e.message),
      String(message),
    );
});

test("an abort ends the stream", async () => {
  const llm = scripted(device, [
    [byte("x"), byte("x")],
    ["</think>", byte("x")],
  ]);
  const controller = new AbortController();
  const deltas: Delta[] = [];
  for await (const delta of llm.generate(request({ signal: controller.signal }))) {
    deltas.push(delta);
    if (deltas.length === 3) controller.abort();
  }
  assert.equal(doneOf(deltas).finishReason, "abort");
  assert.equal(textOf(deltas, "content"), "xxx");
});

test("answers side by side do not disturb each other", async () => {
  const llm = scripted(device, chain("</think>", byte("a"), byte("b"), byte("c"), EOS));
  const runs = await Promise.all([1, 2, 3].map((seed) => collect(llm, request({ params: { ...params, seed } }))));
  for (const run of runs) assert.equal(textOf(run, "content"), "abc");
});

test("a saved folder answers the same, and broken folders say what is wrong", async () => {
  const parts = scriptedParts(device, chain("</think>", byte("h"), byte("i"), EOS));
  const dir = join(root, "model");
  saveLlm(dir, parts, { format: "bf16" });
  const llm = loadLlm(dir, device);
  assert.equal(textOf(await collect(llm, request({})), "content"), "hi");
  assert.equal(llm.info.id, "scripted");
  assert.equal(llm.info.numFrames, 5);

  const refused = (file: string, change: (path: string) => void, message: RegExp): void => {
    const path = join(dir, file);
    const before = readFileSync(path);
    change(path);
    assert.throws(
      () => loadLlm(dir, device),
      (e) => e instanceof FormatError && e.file === path && message.test(e.message),
      `${file} ${message}`,
    );
    writeFileSync(path, before);
  };
  const edit =
    (change: (json: Record<string, unknown>) => void) =>
    (path: string): void => {
      const json = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
      change(json);
      writeFileSync(path, JSON.stringify(json));
    };
  refused("config.json", (path) => truncateSync(path, 100), /expected JSON/);
  refused("config.json", (path) => rmSync(path), /cannot be read/);
  refused("config.json", edit((j) => void (j["vocab_size"] = 9999)), /field "vocab_size": expected 384, found 9999/); // prettier-ignore
  refused(
    "config.json",
    edit((j) => void delete j["tessera"]),
    /field "tessera/,
  );
  refused(
    "model.safetensors",
    (path) => truncateSync(path, 5000),
    /model\.safetensors: expected a header of at most 4992 bytes, got length \d+/,
  );
  refused(
    "model.safetensors",
    (path) => truncateSync(path, statSync(path).size - 1),
    /tensor "[\w.]+": offsets [\d.]+ lie outside the \d+ bytes of data \(truncated\?\)/,
  );
  refused("model.safetensors", (path) => writeFileSync(path, readFileSync(join(dir, "visual.safetensors"))), /tensor "embed\.weight": expected \[384,32\], found none/); // prettier-ignore
  const other = { ...parts, visual: new VisualTokenizer(device, { ...parts.visual.config, channels: [4, 8] }, 3) };
  saveLlm(join(root, "other"), other, { format: "bf16" });
  refused(
    "visual.safetensors",
    (path) => writeFileSync(path, readFileSync(join(root, "other", "visual.safetensors"))),
    /visual\.safetensors: tensor "[\w.]+": expected \[[\d,]+\], found BF16 \[[\d,]+\]/,
  );
  refused("visual.safetensors", (path) => rmSync(path), /cannot be opened \(ENOENT/);
  refused("tokenizer.json", (path) => writeFileSync(path, "{}"), /tokenizer/);
  refused("tokenizer.json", (path) => rmSync(path), /tokenizer\.json: expected a readable JSON file \(ENOENT/);
  assert.doesNotThrow(() => loadLlm(dir, device));
});

test(
  "a model that does not fit on the disk leaves the folder as it was",
  { skip: existsSync("/dev/full") ? false : "no /dev/full" },
  () => {
    const parts = scriptedParts(device, chain("</think>", byte("h"), EOS));
    const dir = join(root, "full");
    saveLlm(dir, parts, { format: "bf16" });
    const read = (): Buffer[] =>
      readdirSync(dir)
        .sort()
        .map((name) => readFileSync(join(dir, name)));
    const before = read();
    const staging = `${dir}.${process.pid}.tmp`;
    mkdirSync(staging);
    symlinkSync("/dev/full", join(staging, `visual.safetensors.${process.pid}.tmp`));
    assert.throws(() => saveLlm(dir, { ...parts, id: "new" }, { format: "bf16" }), (e) => e instanceof CapacityError && /visual\.safetensors: expected room for \d+ bytes/.test(e.message)); // prettier-ignore
    assert.deepEqual(read(), before);
    assert.equal(existsSync(staging), false);
  },
);

test("a call of a tool is a delta of its own, and only where tools are offered", async () => {
  const parts = scriptedParts(device, chain("</think>", byte("x"), byte("<"), "｜DSML｜", byte("y"), EOS));
  const llm = new LocalLlm({ ...parts, texts: { ...ownTexts, tools: "T{tool_schemas}" } });
  const tools = ['{"name":"f"}'];
  const [offered, without] = [await collect(llm, request({ tools })), await collect(llm, request({}))];
  // No call, so its beginning was text after all.
  assert.equal(textOf(offered, "content"), "x<｜DSML｜y");
  assert.ok(!textOf(without, "content").includes("DSML"));
  const written = '\n\nT{"name": "f"}'.length;
  assert.equal(llm.countTokens(request({ tools })), llm.countTokens(request({})) + written);
});
