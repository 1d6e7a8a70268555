/**
 * Whether what is drawn shows what was asked for. Concepts are named by the judge, beside its own accuracy on real
 * pictures; scenes and motions are read back from pixels.
 * Main functions: `drawings`, `sceneDrawings`, `motionClips`.
 */
import type { PictureJudge } from "../../model/picture-judge.ts";
import { judgeSplit } from "../data/judge-data.ts";
import { captionMotion, makeMotion, motionNames, readMotion } from "../data/motions.ts";
import { motionSeeds, sceneSeeds, type Pixels } from "../data/pixels.ts";
import { captionScene, checkScene, makeScene } from "../data/scenes.ts";
import { accuracyOf, ranksOf, type JudgeAccuracy } from "../judge.ts";
import { roundTrip } from "../visual.ts";
import { sharesOf, spread, type Figures, type Measured, type Suite } from "./suite.ts";

const figuresOf = ({ n, top1, top5 }: JudgeAccuracy): Figures => (n === 0 ? { n } : { n, top1, top5 });

/** Places of the right concepts in the judge's order. */
function judged(
  judge: PictureJudge,
  pixels: Pixels,
  list: readonly number[],
  pictures: readonly Uint8Array[],
): JudgeAccuracy {
  // prettier-ignore
  const rows = new Map(judge.config.concepts.map((code, i) => [code, i]));
  const labels = list.map((i) => rows.get(pixels.pictures[i]!.code)!);
  return accuracyOf(ranksOf(judge, pictures, pixels.size, labels));
}

/**
 * Seen concepts are asked for by name; they are those of which the judge has not seen one style, so that the real
 * pictures beside them, in that style, are as new to it as the drawn ones.
 */
export async function drawings(suite: Suite): Promise<Measured> {
  const { judge, pixels } = suite.data;
  if (!pixels) return { skipped: ["drawings: the built pictures are not here"] };
  if (!judge) return { skipped: ["drawings: the model folder has no judge"] };
  const known = new Set(judge.config.concepts);
  const isKnown = (i: number): boolean => known.has(pixels.pictures[i]!.code);
  const unseenByJudge = judgeSplit(pixels.pictures).heldOut.filter((i) => isKnown(i) && !pixels.pictures[i]!.isHeldOut);
  const seen = spread(unseenByJudge, 2 * suite.count);
  const heldOut = spread(oncePerConcept(pixels, pixels.pictureSplit.heldOut.filter(isKnown)), suite.count);
  const prompts = [...seen, ...heldOut];
  const drawn = await suite.each(prompts, (i, at) => suite.picture(pixels.pictures[i]!.en, at));
  const real = unseenByJudge.map((i) => pixels.picture(i));
  const realFigures = judged(judge, pixels, unseenByJudge, real);
  const seenFigures = judged(judge, pixels, seen, drawn.slice(0, seen.length));
  return {
    figures: {
      seenConcepts: figuresOf(seenFigures),
      heldOutConcepts: figuresOf(judged(judge, pixels, heldOut, drawn.slice(seen.length))),
      realPictures: figuresOf(realFigures),
      realRoundTrips: figuresOf(judged(judge, pixels, unseenByJudge, roundTrip(suite.llm.parts.visual, real, 1).pixels)), // prettier-ignore
      // A judge that knows nothing measures nothing.
      ...(realFigures.top5 > 0 && { top5OfReal: seenFigures.top5 / realFigures.top5 }),
    },
  };
}

/** The first picture of each concept. */
function oncePerConcept(pixels: Pixels, list: readonly number[]): number[] {
  const first = new Map<string, number>();
  for (const i of list) if (!first.has(pixels.pictures[i]!.code)) first.set(pixels.pictures[i]!.code, i);
  return [...first.values()];
}

export async function sceneDrawings(suite: Suite): Promise<Measured> {
  const scenes = Array.from({ length: 2 * suite.count }, (_, i) => makeScene(sceneSeeds.heldOut, i));
  const checks = await suite.each(scenes, async (scene, i) =>
    checkScene(await suite.picture(captionScene(scene, "en"), i), suite.size, scene),
  );
  const figuresFor = (list: typeof checks): Figures =>
    sharesOf(list, {
      color: (c) => c.isColorRight,
      colorAndObject: (c) => c.isShapeRight,
      all: (c) => c.isShapeRight && c.isRelationRight,
    });
  const ofObjects = (n: number): typeof checks => checks.filter((_, i) => scenes[i]!.objects.length === n);
  return { figures: { ...figuresFor(checks), oneObject: figuresFor(ofObjects(1)), twoObjects: figuresFor(ofObjects(2)) } }; // prettier-ignore
}

export async function motionClips(suite: Suite): Promise<Measured> {
  const { size, numFrames } = suite;
  const motions = Array.from({ length: suite.count }, (_, i) => makeMotion(motionSeeds.heldOut, i));
  const isRight = await suite.each(
    motions,
    async (motion, i) => readMotion(await suite.clip(captionMotion(motion, "en"), i), size, numFrames) === motion.kind,
  );
  const figuresFor = (kinds: readonly string[]): Figures => {
    const list = isRight.filter((_, i) => kinds.includes(motions[i]!.kind));
    return sharesOf(list, { right: (right) => right });
  };
  const sizes = ["grow", "shrink"];
  return {
    figures: {
      ...figuresFor(motionNames),
      directions: figuresFor(motionNames.filter((kind) => !sizes.includes(kind))),
      sizes: figuresFor(sizes),
    },
  };
}
