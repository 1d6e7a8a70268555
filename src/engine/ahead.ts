/**
 * Kernels before the first prompt: the model of a folder runs once on a planning device (shapes, no numbers) through
 * every kind of step that answers take, and what it would have launched is compiled together. Shapes that were not
 * foreseen still compile when they come. Main functions: `prepareKernels`, `plannedPrograms`, `decodePrograms`.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { CpuDevice } from "../device/cpu/cpu-device.ts";
import type { DeviceProperties } from "../device/device.ts";
import { PlanningDevice } from "../device/planning.ts";
import { RecordingDevice } from "../device/recording.ts";
import type { TileProgram } from "../tile/ir.ts";
import { V4State } from "../model/state.ts";
import { SIDE_WIDTH } from "../model/visual-embedding.ts";
import * as t from "../tensor/ops.ts";
import { Tensor, zeros } from "../tensor/tensor.ts";
import { grammarOf } from "./chat-prompt.ts";
import { Decoder, PREFILL_CHUNK } from "./decoder.ts";
import { loadLlm, type LoadOptions } from "./load.ts";
import type { LocalLlm } from "./llm.ts";
import { draftsFor, MAX_DRAFTS } from "./speculate.ts";

/** Prompt lengths: one per tile height that products, attention and elementwise kernels choose from. */
const FIRST_CHUNKS = [1, 2, 3, 6, 12, 30, 40, 60, 100, 200, PREFILL_CHUNK];
/** Later chunks of a sequence that is old enough for compressed entries: single tokens, forced headers, more prompt. */
const LATER_CHUNKS = [1, 1, 1, 1, 2, 3, 6, 12, 30, 40, 60, 100, 200];

/** Compiles what answering needs; `onProgress` counts kernels. Quick when a former start did it. */
export async function prepareKernels(
  dir: string,
  device: CpuDevice,
  onProgress: (done: number, total: number) => void,
  options: Pick<LoadOptions, "codes"> = {},
): Promise<void> {
  const name = `${fingerprintOfSources()}\n${options.codes}\n${readFileSync(join(dir, "config.json"), "utf8")}`;
  await device.prepare(name, () => plannedPrograms(dir, device.properties, options), onProgress);
}

export function plannedPrograms(
  dir: string,
  properties: DeviceProperties,
  options: Pick<LoadOptions, "codes"> = {},
): TileProgram[] {
  const device = new PlanningDevice(properties);
  const llm = loadLlm(dir, device, { ...options, weights: "none" });
  // One sequence, and the pair that guidance makes of it.
  for (const batch of [1, 2]) {
    for (const tokens of FIRST_CHUNKS) step(llm, llm.parts.model.newState(batch), tokens);
    const state = llm.parts.model.newState(batch);
    for (let n = 0; n < 2; n++) step(llm, state, PREFILL_CHUNK);
    for (const tokens of LATER_CHUNKS) step(llm, state, tokens);
  }
  const state = llm.parts.model.newState();
  step(llm, state, PREFILL_CHUNK);
  V4State.stack([state, state]).pick(0);
  drafts(llm);
  pictures(llm);
  return device.programs;
}

/** What single tokens launch, young and old, alone and as the pair of guidance: what a chip may run as lists. */
export function decodePrograms(
  dir: string,
  properties: DeviceProperties,
  options: Pick<LoadOptions, "codes"> = {},
): readonly TileProgram[] {
  const device = new RecordingDevice(properties);
  const llm = loadLlm(dir, device, { ...options, weights: "none" });
  const launched = new Set<TileProgram>();
  for (const batch of [1, 2]) {
    const state = llm.parts.model.newState(batch);
    for (const tokens of [1, 1, 1, 1, PREFILL_CHUNK, PREFILL_CHUNK, 1, 1, 1, 1]) {
      device.events.length = 0;
      step(llm, state, tokens);
      if (tokens > 1) continue;
      for (const event of device.events) if (event.kind === "launch") launched.add(event.program);
    }
  }
  return [...launched];
}

/** A chunk of text, the same with tokens of pictures, and logits of both kinds. */
function step({ parts }: LocalLlm, state: V4State, tokens: number): void {
  const { model, vocabulary } = parts;
  const { startId, numCodes } = vocabulary.visual;
  const { batch } = state;
  const visual = new Int32Array(batch * tokens * SIDE_WIDTH);
  for (const options of [{ state }, { state, visual }]) {
    using _scope = t.tensorScope();
    const ids = Tensor.from(model.device, new Int32Array(batch * tokens), [batch, tokens]);
    const { hidden } = t.noGrad(() => model.forward(ids, options));
    const last = t.slice(hidden, 1, tokens - 1, tokens);
    for (const range of [
      { start: 0, end: startId },
      { start: startId, end: startId + numCodes },
    ])
      t.noGrad(() => model.logits(last, range).toArray());
  }
}

/** A prompt and tokens whose guesses stand or do not, over all numbers of guesses, where the network has a drafter. */
function drafts({ parts: { model, vocabulary } }: LocalLlm): void {
  for (let limit = 1; limit <= MAX_DRAFTS; limit++) {
    for (const prompt of [...FIRST_CHUNKS, 2 * PREFILL_CHUNK, 2 * PREFILL_CHUNK + 60]) {
      const guesses = draftsFor(model, limit);
      if (guesses === undefined) return;
      const decoder = new Decoder(model, grammarOf(vocabulary), guesses);
      const range = { start: 0, end: vocabulary.visual.startId };
      const choose = (): { id: number; chance: number } => ({ id: 0, chance: 1 });
      for (let n = 0; n < prompt; n++) decoder.push(0);
      // Ids 0 are the guesses; any other takes them back.
      for (const id of [...Array.from({ length: 2 * limit + 2 }, () => 0), 1, 1, 0, 1]) {
        decoder.logits(range, choose);
        decoder.push(id);
      }
      decoder.dispose();
    }
  }
}

/** The visual tokenizer both ways: one picture read, a picture and a clip written. */
function pictures({ parts, info }: LocalLlm): void {
  const { visual, vocabulary } = parts;
  using _scope = t.tensorScope();
  const size = info.imageSize;
  visual.encode(zeros(parts.model.device, [1, 1, size, size, 3]));
  for (const latents of [1, vocabulary.visual.numLatents])
    visual.decode(new Int32Array(latents * visual.tokensPerLatent), latents);
}

/** Changes when any source file does; cheap, since it only has to tell one working copy from its next state. */
function fingerprintOfSources(): string {
  const root = join(dirname(fileURLToPath(import.meta.url)), "..");
  const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".ts")).sort(); // prettier-ignore
  return files.map((f) => { const { size, mtimeMs } = statSync(join(root, f)); return `${f} ${size} ${mtimeMs}`; }).join("\n"); // prettier-ignore
}
