/**
 * Whether written answers are right: captions by the words they share with the wanted one, sums by their result.
 * Main functions: `captions`, `addition`, `wordF1`.
 */
import { additionProblem } from "../data/arithmetic.ts";
import { judgeSplit } from "../data/judge-data.ts";
import { sceneSeeds } from "../data/pixels.ts";
import { captionScene, drawScene, makeScene } from "../data/scenes.ts";
import { meanOf, sharesOf, spread, type Figures, type Measured, type Suite } from "./suite.ts";

interface Captioned {
  /** 8-bit RGB [size,size,3]. */
  readonly picture: Uint8Array;
  readonly caption: string;
}

export async function captions(suite: Suite): Promise<Measured> {
  const { size, count } = suite;
  const { pixels } = suite.data;
  const measure = async (items: readonly Captioned[]): Promise<Figures> => {
    const scores = await suite.each(items, async ({ picture, caption }) => {
      const image = { width: size, height: size, data: picture };
      const prompt = [{ kind: "image", image }, { kind: "text", text: "What is this?" }] as const; // prettier-ignore
      return wordF1(await suite.answer(prompt, { thinking: false }), caption);
    });
    return { wordF1: meanOf(scores), ...sharesOf(scores, { exact: (f1) => f1 === 1 }) };
  };
  const scenes = Array.from({ length: count }, (_, i) => {
    const scene = makeScene(sceneSeeds.heldOut, i);
    return { picture: drawScene(scene, size), caption: captionScene(scene, "en") };
  });
  const heldOutScenes = await measure(scenes);
  if (!pixels)
    return { figures: { heldOutScenes }, skipped: ["captions of pictures: the built pictures are not here"] };
  const read = (list: readonly number[]): Captioned[] =>
    spread(list, count).map((i) => ({ picture: pixels.picture(i), caption: pixels.pictures[i]!.en }));
  const seen = judgeSplit(pixels.pictures).heldOut.filter((i) => !pixels.pictures[i]!.isHeldOut);
  return {
    figures: {
      seenPictures: await measure(read(seen)),
      heldOutConcepts: await measure(read(pixels.pictureSplit.heldOut)),
      heldOutScenes,
    },
  };
}

/** Held-out pairs of which the longer number has so many digits; each problem once. Few exist of one digit. */
function problemsOf(digits: number, count: number): (readonly [number, number])[] {
  const found = new Map<string, readonly [number, number]>();
  const tries = 400 * count;
  for (let i = 0; i < tries && found.size < count; i++) {
    const [a, b] = additionProblem(501, i, true);
    if (String(Math.max(a, b)).length === digits) found.set(`${a} ${b}`, [a, b]);
  }
  return [...found.values()];
}

/** The answer's last number is its result. */
export const resultOf = (answer: string): number => Number(answer.match(/\d+/g)?.at(-1) ?? Number.NaN);

export async function addition(suite: Suite): Promise<Measured> {
  const problems = [1, 2, 3].flatMap((digits) => problemsOf(digits, suite.count).map((pair) => ({ digits, pair })));
  const isRight = await suite.each(problems, async ({ pair: [a, b] }) => {
    const answer = await suite.answer(`What is ${a} + ${b}?`, { thinking: true });
    return resultOf(answer) === a + b;
  });
  const figuresFor = (digits: readonly number[]): Figures => {
    const list = isRight.filter((_, i) => digits.includes(problems[i]!.digits));
    return sharesOf(list, { exactMatch: (right) => right });
  };
  return {
    figures: { ...figuresFor([1, 2, 3]), oneDigit: figuresFor([1]), twoDigits: figuresFor([2]), threeDigits: figuresFor([3]) }, // prettier-ignore
  };
}

/** Harmonic mean of word precision and recall. */
export function wordF1(got: string, want: string): number {
  const words = (s: string): string[] => s.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  const [a, b] = [words(got), words(want)];
  const rest = [...b];
  let both = 0;
  for (const word of a) {
    const at = rest.indexOf(word);
    if (at < 0) continue;
    rest.splice(at, 1);
    both++;
  }
  return both === 0 ? 0 : (2 * both) / (a.length + b.length);
}
