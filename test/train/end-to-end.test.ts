/**
 * The whole life of a nano model in small: train a visual tokenizer and a network on scenes, motions and sums, resume
 * to the same bits, write the model folder, load it, and answer with text, a picture and a clip.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import type { LocalLlm } from "../../src/engine/llm.ts";
import { loadLlm, saveLlm } from "../../src/engine/load.ts";
import type { Delta, Modality } from "../../src/engine/types.ts";
import { configFor } from "../../src/model/config.ts";
import type { V4 } from "../../src/model/v4.ts";
import { chatSegments, encodeChat, type ChatPart } from "../../src/processor/chat.ts";
import { Tokenizer } from "../../src/processor/tokenizer.ts";
import { geometries, makeVocabulary, specialTokens } from "../../src/processor/vocabulary.ts";
import type { TokenSample } from "../../src/train/batching.ts";
import { additionExample } from "../../src/train/data/arithmetic.ts";
import { captionMotion, drawMotion, makeMotion } from "../../src/train/data/motions.ts";
import { captionScene, drawScene, makeScene } from "../../src/train/data/scenes.ts";
import { trainDraft, withMtp } from "../../src/train/draft.ts";
import { trainLanguage } from "../../src/train/language.ts";
import { measureVisual, toUnitPixels, trainVisual } from "../../src/train/visual.ts";

const device = openCpu();
const skip = device ? false : "no C++ compiler: too slow on the interpreter";
const root = mkdtempSync(join(tmpdir(), "tessera-train-"));
after(() => rmSync(root, { recursive: true, force: true }));

const { imageSize: size, numFrames } = geometries.nano;
const source = {
  numFrames,
  image: (split: string, i: number) => drawScene(makeScene(split === "train" ? 1 : 2, i), size),
  clip: (split: string, i: number) => drawMotion(makeMotion(split === "train" ? 3 : 4, i), size, numFrames),
};
const tokenizer = new Tokenizer({ merges: [], specials: specialTokens });
const vocabulary = makeVocabulary(geometries.nano, tokenizer.numText);
const config = configFor("nano", vocabulary, { num_hidden_layers: 3, compress_ratios: [0, 4, 32], hidden_size: 64 });

test("nano is trained, resumed, saved, loaded, and answers in every modality", { skip }, async () => {
  const visual = await trainVisual(device!, source, {
    part: "all",
    dir: join(root, "visual"),
    config: "nano",
    seed: 1,
    imagesPerStep: 16,
    clipEvery: 3,
    clipsPerStep: 4,
    peakLr: 5e-3,
    saveEvery: 1000,
    numSteps: 60,
    quiet: true,
  });
  const metrics = measureVisual(visual, source, { images: 16, clips: 4 });
  // A white picture, the best answer that knows nothing, scores about 11 dB on these scenes.
  assert.ok(metrics.imagePsnr > 13, `expected more than 13 dB, got ${metrics.imagePsnr}`);

  type Drawn = { readonly codes: Int32Array };
  const turn = (question: string, answer: ChatPart<Drawn>, reasoning?: string): TokenSample => {
    const segments = chatSegments<Drawn>(
      [
        { role: "user", content: question },
        { role: "assistant", content: [answer], ...(reasoning && { reasoning }) },
      ],
      { thinking: reasoning !== undefined },
    );
    const ids = encodeChat(segments, tokenizer, vocabulary, { codes: (_k, v) => v.codes, style: () => "scene" });
    return { ids: Int32Array.from(ids), isTarget: new Uint8Array(ids.length).fill(1), source: "test" };
  };
  const codesOf = (pixels: Uint8Array, frames: number): Drawn => ({
    codes: visual.encode(toUnitPixels(device!, [pixels], [frames, size, size, 3])),
  });
  const sample = (i: number): TokenSample => {
    if (i % 3 === 0) {
      const { prompt, answer, reasoning } = additionExample(1, i);
      return turn(prompt, { kind: "text", text: answer }, reasoning);
    }
    if (i % 3 === 1) return turn(captionScene(makeScene(1, i), "en"), { kind: "image", image: codesOf(source.image("train", i), 1) }); // prettier-ignore
    return turn(captionMotion(makeMotion(3, i), "en"), { kind: "video", video: codesOf(source.clip("train", i), numFrames) }); // prettier-ignore
  };
  const train = (dir: string, numSteps: number, stopAfter = numSteps): Promise<V4> =>
    trainLanguage(device!, {
      dir: join(root, dir),
      config,
      vocabulary,
      sample,
      seed: 1,
      tokensPerStep: 1024,
      tokensPerMicroBatch: 512,
      maxLength: 384,
      peakLr: 5e-3,
      saveEvery: 5,
      numSteps,
      quiet: true,
      ...(stopAfter < numSteps && { sampleEvery: stopAfter, onSample: () => void process.emit("SIGTERM") }),
    });
  const model = await train("straight", 20);
  const losses = readFileSync(join(root, "straight", "log.jsonl"), "utf8").trim().split("\n").map((line) => (JSON.parse(line) as { loss: number }).loss); // prettier-ignore
  assert.ok(losses[1]! < 0.85 * losses[0]!, `expected the loss to fall, got ${losses.join(", ")}`);

  await train("resumed", 20, 7);
  const resumed = await train("resumed", 20);
  for (const [name, p] of model.namedParameters()) {
    const other = resumed.namedParameters().find(([n]) => n === name)![1];
    assert.deepEqual(other.toArray(), p.toArray(), `${name}: a resumed run has the same bits`);
  }

  const folder = join(root, "model");
  saveLlm(folder, { id: "nano-test", createdUnixS: 1, fps: 11, model, visual, tokenizer, vocabulary }, { format: "bf16" }); // prettier-ignore
  const llm = loadLlm(folder, device!);
  const answer = async (modality: Modality): Promise<Delta[]> => {
    const params = { maxTokens: 12, temperature: 1, topP: 1, topK: 50, seed: 3, stop: [], guidance: modality === "text" ? 1 : 2 }; // prettier-ignore
    const deltas: Delta[] = [];
    const messages = [{ role: "user", content: "a red circle" }] as const;
    for await (const d of llm.generate({ messages, modality, thinking: false, params })) deltas.push(d);
    return deltas;
  };
  const text = await answer("text");
  assert.equal(text.at(-1)!.kind, "done");
  const picture = (await answer("image")).find((d) => d.kind === "image")!;
  assert.deepEqual([picture.image.width, picture.image.height], [size, size]);
  const again = (await answer("image")).find((d) => d.kind === "image")!;
  assert.deepEqual(again.image.data, picture.image.data, "same seed, same picture");
  const clip = (await answer("video")).find((d) => d.kind === "video")!;
  assert.equal(clip.frames.length, numFrames);

  // Drafts: only the module learns, in a shard of its own, and no answer changes.
  const drafting = withMtp(llm.parts.model);
  const before = new Map(drafting.namedParameters().map(([name, p]) => [name, p.toArray()]));
  const { agreement, isDone } = await trainDraft(drafting, {
    dir: join(root, "draft"),
    vocabulary,
    sample,
    tokensPerStep: 1024,
    tokensPerMicroBatch: 512,
    maxLength: 384,
    peakLr: 5e-3,
    saveEvery: 10,
    numSteps: 20,
    quiet: true,
  });
  assert.ok(isDone);
  const drafted = readFileSync(join(root, "draft", "log.jsonl"), "utf8").trim().split("\n").map((line) => (JSON.parse(line) as { loss: number }).loss); // prettier-ignore
  assert.ok(drafted[1]! < drafted[0]!, `expected the loss to fall, got ${drafted.join(", ")}`);
  assert.ok(agreement.every((a) => a > 0 && a <= 1));
  for (const [name, p] of drafting.namedParameters())
    if (!name.startsWith("mtp.")) assert.deepEqual(p.toArray(), before.get(name), name);
  saveLlm(folder, { ...llm.parts, model: drafting }, { format: "bf16" });
  const weights = (): string[] => readdirSync(folder).filter((file) => file.startsWith("model")).sort(); // prettier-ignore
  assert.deepEqual(weights(), ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]); // prettier-ignore
  const faster = loadLlm(folder, device!);
  assert.equal(faster.parts.model.mtp.length, 1);
  const textOf = async (own: LocalLlm): Promise<string> => {
    let out = "";
    const params = { maxTokens: 24, temperature: 1, topP: 1, topK: 0, seed: 3, stop: [], guidance: 1 };
    for await (const d of own.generate({ messages: [{ role: "user", content: "a red circle" }], modality: "text", thinking: false, params })) if (d.kind === "content") out += d.text; // prettier-ignore
    return out;
  };
  assert.equal(await textOf(faster), await textOf(llm));
  saveLlm(folder, llm.parts, { format: "bf16" });
  assert.deepEqual(weights(), ["model.safetensors"]);
});
