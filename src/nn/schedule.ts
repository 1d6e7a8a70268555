/**
 * Learning-rate schedules as pure functions of the step: linear warm-up, hold, then a cosine or linear
 * decay. Steps count from 0; step `totalSteps` and later get `final`.
 */
import { TesseraError } from "../base/errors.ts";

export interface ScheduleOptions {
  readonly peak: number;
  readonly final: number;
  readonly warmupSteps: number;
  /** First step of the decay. */
  readonly decayStart: number;
  readonly totalSteps: number;
  readonly decay: "cosine" | "linear";
}

export function learningRate(step: number, options: ScheduleOptions): number {
  const { peak, final, warmupSteps, decayStart, totalSteps, decay } = options;
  if (!(warmupSteps <= decayStart && decayStart <= totalSteps))
    throw new TesseraError(
      "schedule",
      `schedule: expected warmupSteps <= decayStart <= totalSteps, got ${warmupSteps}, ${decayStart}, ${totalSteps}`,
    );
  if (step < warmupSteps) return (peak * (step + 1)) / warmupSteps;
  if (step < decayStart) return peak;
  if (step >= totalSteps) return final;
  const done = (step - decayStart) / (totalSteps - decayStart);
  const left = decay === "linear" ? 1 - done : (1 + Math.cos(Math.PI * done)) / 2;
  return final + (peak - final) * left;
}

/** The plan of all our runs: up, flat, then down in a line from a share of the steps on. Shares are of `peak` and of the steps. */
export const planOf = (
  totalSteps: number,
  { peak, final, warmup, decayFrom }: { readonly peak: number; readonly final: number; readonly warmup: number; readonly decayFrom: number },
): ScheduleOptions => ({
  peak,
  final: peak * final,
  warmupSteps: Math.min(warmup, Math.floor(totalSteps / 10)),
  decayStart: Math.floor(totalSteps * decayFrom),
  totalSteps,
  decay: "linear",
}); // prettier-ignore
