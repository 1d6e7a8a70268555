/** One small network through the whole engine on any device. Main function: `greedy`. */
import type { Device } from "../../src/device/device.ts";
import { generateTokens } from "../../src/engine/generate.ts";
import { V4 } from "../../src/model/v4.ts";
import { END, grammar, NULL, plan } from "../engine/grammar.ts";
import { someIds, tinyConfig } from "../model/tiny.ts";

/** Greedy tokens of the tiny network with weights large enough that layers matter: text, then a picture under guidance. */
export function greedy(device: Device): number[] {
  const model = new V4(device, tinyConfig(), { seed: 5 });
  for (const [name, p] of model.namedParameters())
    if (p.dtype === "f32" && p.ndim >= 2 && !name.includes("hc_"))
      p.copyFrom((p.toArray() as Float32Array).map((x) => x * 8));
  const ids: number[] = [];
  const run = generateTokens(model, grammar, {
    prompt: [...someIds(9, 40)],
    params: { maxTokens: 30, temperature: 0, topP: 1, topK: 0, seed: 0, guidance: 2 },
    plan,
    isTextLegal: (id) => id < 40,
    isEnd: (id) => id === END,
    blank: (list) => list.map((id) => (id < 40 ? NULL : id)),
    stopAfterSegment: true,
  });
  for (const event of run) ids.push(event.id);
  return ids;
}
