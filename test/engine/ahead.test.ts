/** What is compiled before the first prompt is what answers need: the same requests on a planning device build no more. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PlanningDevice } from "../../src/device/planning.ts";
import { plannedPrograms } from "../../src/engine/ahead.ts";
import { loadLlm } from "../../src/engine/load.ts";
import type { GenerateRequest, RgbImage } from "../../src/engine/types.ts";

const DIR = "assets/model";
const properties = { name: "cpu", target: "cpu", numThreads: 2, features: [] };
const planned = new Set(plannedPrograms(DIR, properties));
const device = new PlanningDevice(properties);
const llm = loadLlm(DIR, device, { weights: "none" });

const size = llm.info.imageSize;
const image: RgbImage = { width: size, height: size, data: new Uint8Array(size * size * 3) };
const params = { maxTokens: 12, temperature: 0, topP: 1, topK: 0, seed: 1, stop: [], guidance: 3 };
const ask = (content: string): GenerateRequest => ({ messages: [{ role: "user", content }], modality: "text", thinking: false, params }); // prettier-ignore
const withPicture = (text: string, modality: "text" | "video"): GenerateRequest => ({ ...ask(""), modality, messages: [{ role: "user", content: [{ kind: "image", image }, { kind: "text", text }] }] }); // prettier-ignore

const requests: Readonly<Record<string, GenerateRequest>> = {
  "a short prompt": ask("Hi"),
  "a prompt of a sentence": ask("Hello there, how are you today? What did you read?"),
  "a prompt of several chunks": ask("Tell me a story about a cat. ".repeat(60)),
  thinking: { ...ask("What is 347 + 85?"), thinking: true },
  "a picture": { ...ask("a red circle"), modality: "image" },
  "a picture without guidance": { ...ask("a red circle"), modality: "image", params: { ...params, guidance: 1 } },
  "a question about a picture": withPicture("What is this?", "text"),
  "a clip": { ...ask("a green square moves"), modality: "video" },
  "a clip from a picture": withPicture("it moves", "video"),
};

for (const [name, request] of Object.entries(requests))
  test(`ahead: ${name} needs no kernel that was not planned`, async () => {
    const before = device.programs.length;
    for await (const _delta of llm.generate(request));
    const missing = device.programs.slice(before).filter((p) => !planned.has(p));
    assert.deepEqual(
      missing.map((p) => p.name),
      [],
    );
  });

test("ahead: a planning device reads zeros and holds no memory", () => {
  const buffer = device.alloc(2 ** 40);
  assert.equal(buffer.bytes, undefined);
  const out = Float32Array.of(1, 2, 3);
  device.copyOut(buffer, 0, out);
  assert.deepEqual([...out], [0, 0, 0]);
});
