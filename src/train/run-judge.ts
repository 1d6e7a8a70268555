/**
 * The run that makes a judge: the built pictures and a visual tokenizer (the run's own, or that of the model folder
 * it starts from) -> `<run>/judge/judge.safetensors`, which pack puts beside the model. Main function: `runJudge`.
 */
import type { Device } from "../device/device.ts";
import { saveJudge } from "../model/picture-judge.ts";
import { judgeSplit } from "./data/judge-data.ts";
import type { Pixels } from "./data/pixels.ts";
import { judgeDir, judgeFile, measureJudge, trainJudge, type JudgeMetrics, type JudgeSource } from "./judge.ts";
import { pixelsOf, trainedVisual, type RecipeOptions } from "./recipes.ts";

export function judgeSource(pixels: Pixels): JudgeSource {
  const split = judgeSplit(pixels.pictures);
  const rows = new Map(split.concepts.map((code, i) => [code, i]));
  return {
    ...split,
    size: pixels.size,
    picture: (index) => pixels.picture(index),
    labelOf: (index) => rows.get(pixels.pictures[index]!.code)!,
  };
}

export async function runJudge(device: Device, options: RecipeOptions): Promise<JudgeMetrics> {
  const source = judgeSource(pixelsOf(options));
  const visual = trainedVisual(device, options);
  const judge = await trainJudge(device, source, visual, {
    ...options,
    dir: judgeDir(options.runDir),
    seed: 1,
    config: { channels: [48, 96, 128], width: 160 },
    picturesPerStep: 128,
    roundTripShare: 0.25,
    peakLr: 4e-3,
    saveEvery: 100,
  });
  saveJudge(judgeFile(options.runDir), judge);
  return measureJudge(judge, source, visual);
}
