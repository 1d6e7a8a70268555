/** One small network through the whole engine on any device. Main functions: `greedy`, `programsOf` (its kernels ahead). */
import type { Device } from "../../src/device/device.ts";
import { generateTokens } from "../../src/engine/generate.ts";
import { V4State } from "../../src/model/state.ts";
import { V4 } from "../../src/model/v4.ts";
import type { DeviceProperties } from "../../src/device/device.ts";
import { PlanningDevice } from "../../src/device/planning.ts";
import { SIDE_WIDTH } from "../../src/model/visual-embedding.ts";
import * as t from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import type { TileProgram } from "../../src/tile/ir.ts";
import { END, grammar, NULL, plan } from "../engine/grammar.ts";
import { someIds, tinyConfig } from "../model/tiny.ts";

/** The tiny network with weights large enough that layers matter. */
export function loudModel(device: Device, config = tinyConfig()): V4 {
  const model = new V4(device, config, { seed: 5 });
  for (const [name, p] of model.namedParameters())
    if (p.dtype === "f32" && p.ndim >= 2 && !name.includes("hc_"))
      p.copyFrom((p.toArray() as Float32Array).map((x) => x * 8));
  return model;
}

/** Greedy tokens: text, then a picture under guidance. */
export function greedy(device: Device, model = loudModel(device)): number[] {
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

/** Most of what `greedy` launches on a device with these properties, so that it is built together. */
export function programsOf(properties: DeviceProperties, create = loudModel): readonly TileProgram[] {
  const device = new PlanningDevice(properties);
  const model = create(device);
  const { start_id: startId } = model.config.visual!;
  for (const batch of [1, 2]) {
    const state = model.newState(batch);
    for (const tokens of [9, 1, 1, 1, 1, 2, 3, 4, 8, 16]) {
      using _scope = t.tensorScope();
      const ids = Tensor.from(device, new Int32Array(batch * tokens), [batch, tokens]);
      for (const visual of [undefined, new Int32Array(batch * tokens * SIDE_WIDTH)]) {
        const { hidden } = t.noGrad(() => model.forward(ids, { state, ...(visual && { visual }) }));
        const last = t.slice(hidden, 1, tokens - 1, tokens);
        for (const range of [
          { start: 0, end: startId },
          { start: startId, end: model.config.vocab_size },
        ])
          t.noGrad(() => model.logits(last, range).toArray());
      }
    }
  }
  const state = model.newState();
  t.noGrad(() => model.forward(Tensor.from(device, new Int32Array(20), [1, 20]), { state }));
  V4State.stack([state, state]).pick(0);
  return device.programs;
}
