/**
 * bf16 against the reference where layers choose. Rounding turns near ties, so the network runs with the reference's
 * choices, and what it would have chosen itself is examined beside: its scores, and for every entry or expert that it would
 * have taken instead of another, how far apart the reference has the two.
 * Main function: `runChosen`. The reference's side is tools/reference/hf_golden.py.
 */
import type { Device } from "../device/device.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Choose } from "./choose.ts";
import { CSA_RATIO } from "./config.ts";
import { overSequences, type Golden, type RandomCase } from "./golden-run.ts";
import { checkExperts } from "./moe.ts";
import type { V4 } from "./v4.ts";

/** The largest of the reference's draws of rounding, per compared number. */
export interface HfRounding {
  /** Of the largest logit. */
  readonly f32: number;
  /** Root mean square of the logits' error. */
  readonly bf16: number;
  /** Largest error of a score, by "entry.<layer>" and "expert.<layer>". */
  readonly scores: Readonly<Record<string, number>>;
}

export interface ChosenRun {
  /** Root mean square error of the logits over that of the reference's worst draw. */
  readonly logits: number;
  /** Largest error of a score, likewise. */
  readonly scores: number;
  readonly numChoices: number;
  readonly numOther: number;
  /** Of the choices that differ, the widest gap between what was left and what was taken, over the score's error. */
  readonly widestGap: number;
}

export function runChosen(device: Device, path: string, c: RandomCase<HfRounding>): ChosenRun {
  let [squares, total, scores, numChoices, numOther, widestGap] = [0, 0, 0, 0, 0, 0];
  overSequences(device, path, c, { dtype: "bf16" }, (model, ids, golden) => {
    const examine = (key: string, ours: Scores): Int32Array => {
      const [exact, chosen] = [golden(key.replace(".", "_scores.")), golden(key)];
      const found = examineScores(ours, exact, chosen);
      const size = c.rounding.scores[key]!;
      scores = Math.max(scores, found.error / size);
      widestGap = Math.max(widestGap, found.widestGap / size);
      numChoices += found.numChoices;
      numOther += found.numOther;
      return chosen.data as Int32Array;
    };
    const { hidden } = model.forward(Tensor.from(device, ids, [1, ids.length], "i32"), {
      choose: (layer) => chooseAs(model, layer, examine),
    });
    const [got, exact] = [model.logits(hidden).toArray(), golden("f32").data];
    for (let i = 0; i < exact.length; i++) squares += (got[i]! - exact[i]!) ** 2;
    total += exact.length;
  });
  return { logits: Math.sqrt(squares / total) / c.rounding.bf16, scores, numChoices, numOther, widestGap };
}

/** Scores [rows, width]; row r may choose among the first `visible(r)`. */
interface Scores {
  readonly data: Float32Array;
  readonly width: number;
  readonly visible: (row: number) => number;
}

function chooseAs(model: V4, layer: number, examine: (key: string, ours: Scores) => Int32Array): Choose {
  return {
    entries: (scores) => {
      const [, tokens, width] = scores.shape as [number, number, number];
      const visible = (row: number): number => Math.floor((row + 1) / CSA_RATIO);
      const chosen = examine(`entry.${layer}`, { data: scores.toArray() as Float32Array, width, visible });
      const [mask, k] = [new Uint8Array(tokens * width), chosen.length / tokens];
      chosen.forEach((entry, i) => {
        if (entry >= 0) mask[Math.floor(i / k) * width + entry] = 1;
      });
      return Tensor.from(scores.device, mask, scores.shape, "u8");
    },
    experts: (logits) => {
      const [rows, width] = logits.shape as [number, number];
      const bias = model.layers[layer]!.ffn.gate.bias!.toArray();
      const data = (logits.toArray() as Float32Array).map((x, i) => Math.sqrt(Math.log1p(Math.exp(x))) + bias[i % width]!); // prettier-ignore
      const chosen = examine(`expert.${layer}`, { data, width, visible: () => width });
      checkExperts(chosen, width);
      return Tensor.from(logits.device, chosen, [rows, chosen.length / rows], "i32");
    },
  };
}

function examineScores(
  ours: Scores,
  exact: Golden,
  chosen: Golden,
): { error: number; numChoices: number; numOther: number; widestGap: number } {
  // prettier-ignore
  const { data, width, visible } = ours;
  const found = { error: 0, numChoices: 0, numOther: 0, widestGap: 0 };
  for (let row = 0; row * width < data.length; row++) {
    const numVisible = visible(row);
    const [mine, theirs] = [data.subarray(row * width, row * width + numVisible), exact.data.subarray(row * width, row * width + numVisible)]; // prettier-ignore
    const taken = Array.from(chosen.data.subarray(row * chosen.width, (row + 1) * chosen.width)).filter((i) => i >= 0);
    const own = Array.from(mine.keys()).sort((a, b) => mine[b]! - mine[a]! || a - b).slice(0, taken.length); // prettier-ignore
    for (let i = 0; i < numVisible; i++) found.error = Math.max(found.error, Math.abs(mine[i]! - theirs[i]!));
    const [left, other] = [taken.filter((i) => !own.includes(i)), own.filter((i) => !taken.includes(i))];
    for (const i of left) for (const j of other) found.widestGap = Math.max(found.widestGap, theirs[i]! - theirs[j]!);
    found.numChoices += taken.length;
    found.numOther += other.length;
  }
  return found;
}
