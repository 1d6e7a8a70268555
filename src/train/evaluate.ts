/**
 * The smoke suite: what a model folder can do, measured on held-out prompts, with the targets it is held to. What
 * needs data that is not there is left out by name, never guessed.
 * Main function: `evaluateSmoke`; the measures are in eval/.
 */
import type { LocalLlm } from "../engine/llm.ts";
import { addition, captions } from "./eval/answers.ts";
import { drawings, motionClips, sceneDrawings } from "./eval/drawing.ts";
import { reconstruction } from "./eval/reconstruction.ts";
import { Suite, type Figures, type Measured, type SmokeData } from "./eval/suite.ts";
import { textCost } from "./eval/texts.ts";

const measures = {
  text: textCost,
  reconstruction,
  drawings,
  scenes: sceneDrawings,
  motions: motionClips,
  captions,
  addition,
} as const satisfies Record<string, (suite: Suite) => Measured | Promise<Measured>>;
export type MeasureName = keyof typeof measures;
export const measureNames = Object.keys(measures) as MeasureName[];

interface Bound {
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** By path in the figures. */
export const targets: Readonly<Record<string, Bound>> = {
  "text.prose.bitsPerByte": { atMost: 2 },
  "drawings.top5OfReal": { atLeast: 0.3 },
  "scenes.colorAndObject": { atLeast: 0.6 },
  "motions.directions.right": { atLeast: 0.6 },
  "addition.exactMatch": { atLeast: 0.9 },
};

export interface TargetResult extends Bound {
  readonly value: number;
  readonly isMet: boolean;
}

export interface SmokeResult {
  readonly seed: number;
  readonly count: number;
  readonly figures: Figures;
  /** Those whose figure was measured. */
  readonly targets: Readonly<Record<string, TargetResult>>;
  readonly skipped: readonly string[];
  /** Seconds of each measure, and of all. */
  readonly wallS: Readonly<Record<string, number>>;
}

export interface SmokeOptions {
  readonly count: number;
  readonly seed: number;
  /** By default all. */
  readonly only?: readonly MeasureName[];
  readonly onProgress?: (name: MeasureName, done: number, total: number) => void;
}

export async function evaluateSmoke(llm: LocalLlm, data: SmokeData, options: SmokeOptions): Promise<SmokeResult> {
  const figures: Record<string, Figures> = {};
  const skipped: string[] = [];
  const wallS: Record<string, number> = {};
  const seconds = (sinceMs: number): number => Math.round((performance.now() - sinceMs) / 100) / 10;
  const startMs = performance.now();
  for (const name of measureNames.filter((m) => options.only?.includes(m) ?? true)) {
    const measureMs = performance.now();
    const show = (done: number, total: number): void => options.onProgress?.(name, done, total);
    show(0, 0);
    const measured = await measures[name](new Suite(llm, data, options, show));
    if (measured.figures) figures[name] = measured.figures;
    skipped.push(...(measured.skipped ?? []));
    wallS[name] = seconds(measureMs);
  }
  wallS["all"] = seconds(startMs);
  const { seed, count } = options;
  return { seed, count, figures, targets: checkTargets(figures), skipped, wallS };
}

export function checkTargets(figures: Figures): Record<string, TargetResult> {
  const out: Record<string, TargetResult> = {};
  for (const [path, bound] of Object.entries(targets)) {
    const value = figureAt(figures, path);
    if (value === undefined) continue;
    const isMet = value >= (bound.atLeast ?? -Infinity) && value <= (bound.atMost ?? Infinity);
    out[path] = { value, ...bound, isMet };
  }
  return out;
}

function figureAt(figures: Figures, path: string): number | undefined {
  let at: Figures[string] | undefined = figures;
  for (const key of path.split(".")) at = typeof at === "object" ? at[key] : undefined;
  return typeof at === "number" ? at : undefined;
}

/** One line per figure, for people. */
export function listFigures(figures: Figures, prefix = ""): string[] {
  return Object.entries(figures).flatMap(([name, value]) =>
    typeof value === "number"
      ? [`${prefix}${name}: ${Number.isInteger(value) ? value : value.toFixed(3)}`]
      : listFigures(value, `${prefix}${name}.`),
  );
}
