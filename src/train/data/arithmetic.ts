/**
 * Arithmetic as conversations that think: a problem is split into columns or steps, each is solved, then concluded.
 * Every example is a pure function of (seed, index). Main functions: `additionExample`, `wordProblemExample`.
 * Source of the format: columns from the units with the carry written out (arXiv:2307.03381 on why that helps).
 */
import { Prng, randomBits } from "../../base/prng.ts";

export interface ChatExample {
  readonly prompt: string;
  readonly reasoning?: string;
  readonly answer: string;
}

const randomOf = (seed: number, index: number): Prng => new Prng(randomBits(seed, index));

/** Digits of `n` from the units up, padded with zeros: what a column problem reads from left to right. */
const unitsFirst = (n: number, width: number): string => [...String(n).padStart(width, "0")].reverse().join("");

/**
 * Both numbers with their units first, then one line per column; every line repeats the result so far, so that the
 * conclusion is a copy and no digit has to be looked for far back.
 */
function columnSteps(a: number, b: number, column: (x: number, y: number, carry: number) => Column): string {
  const width = Math.max(String(a).length, String(b).length);
  const [top, bottom] = [unitsFirst(a, width), unitsFirst(b, width)];
  const lines = [`units first: ${top}, ${bottom}`];
  let carry = 0;
  let soFar = "";
  for (let i = 0; i < width; i++) {
    const step = column(Number(top[i]), Number(bottom[i]), carry);
    soFar = `${step.digit}${soFar}`;
    carry = step.carry;
    lines.push(`${step.sum}, carry ${carry}, so far ${soFar}`);
  }
  if (carry) lines.push(`carry in front: ${carry}${soFar}`);
  return lines.join("\n");
}

interface Column {
  /** The column's own little problem, as text. */
  readonly sum: string;
  readonly digit: number;
  readonly carry: number;
}

export const additionSteps = (a: number, b: number): string =>
  columnSteps(a, b, (x, y, carry) => {
    const sum = x + y + carry;
    return { sum: `${x}+${y}+${carry}=${sum}`, digit: sum % 10, carry: Math.floor(sum / 10) };
  });

/** a >= b; what is carried is a ten borrowed from the next column. */
export const subtractionSteps = (a: number, b: number): string =>
  columnSteps(a, b, (x, y, borrowed) => {
    const carry = x - y - borrowed < 0 ? 1 : 0;
    const top = x + 10 * carry;
    return { sum: `${top}-${y}-${borrowed}=${top - y - borrowed}`, digit: top - y - borrowed, carry };
  });

/** A number of 1 to 3 digits, each length as likely. */
const operand = (random: Prng): number => random.int(10 ** (1 + random.int(3)));

/** Held-out problems: one in ten pairs, whichever way round. */
export const isHeldOutPair = (a: number, b: number): boolean =>
  randomBits(77, Math.min(a, b) * 1000 + Math.max(a, b)) % 10 === 0;

export function additionProblem(seed: number, index: number, heldOut: boolean): readonly [number, number] {
  const random = randomOf(seed, index);
  for (;;) {
    const [a, b] = [operand(random), operand(random)];
    if (isHeldOutPair(a, b) === heldOut) return [a, b];
  }
}

export function additionExample(seed: number, index: number): ChatExample {
  const [a, b] = additionProblem(seed, index, false);
  const ask = [`What is ${a} + ${b}?`, `${a} + ${b} = ?`, `${a}加${b}等于多少？`];
  const prompt = ask[randomBits(seed ^ 0x51, index) % ask.length]!;
  return { prompt, reasoning: additionSteps(a, b), answer: `${a} + ${b} = ${a + b}` };
}

export function subtractionExample(seed: number, index: number): ChatExample {
  const [x, y] = additionProblem(seed, index, false);
  const [a, b] = [Math.max(x, y), Math.min(x, y)];
  const ask = [`What is ${a} - ${b}?`, `${a} - ${b} = ?`, `${a}减${b}等于多少？`];
  const prompt = ask[randomBits(seed ^ 0x52, index) % ask.length]!;
  return { prompt, reasoning: subtractionSteps(a, b), answer: `${a} - ${b} = ${a - b}` };
}

const people = ["Tom", "Anna", "Ben", "Lily", "Mia", "Sam", "Leo", "Nora"];
const things = ["apples", "books", "shells", "stamps", "marbles", "cookies", "pencils", "cards"];

/** One or two steps, each an equation on its own line. */
export function wordProblemExample(seed: number, index: number): ChatExample {
  const random = randomOf(seed ^ 0x99, index);
  const pick = <T>(list: readonly T[]): T => list[random.int(list.length)]!;
  const [who, thing] = [pick(people), pick(things)];
  const [a, b, c] = [2 + random.int(40), 1 + random.int(30), 1 + random.int(20)];
  const kind = random.int(4);
  if (kind === 0)
    return {
      prompt: `${who} has ${a} ${thing} and gets ${b} more. How many ${thing} does ${who} have now?`,
      reasoning: `start with ${a}\nadd ${b}: ${a}+${b}=${a + b}`,
      answer: `${who} has ${a + b} ${thing}.`,
    };
  if (kind === 1) {
    const total = a + b;
    return {
      prompt: `${who} has ${total} ${thing} and gives away ${b}. How many ${thing} are left?`,
      reasoning: `start with ${total}\ntake away ${b}: ${total}-${b}=${a}`,
      answer: `${who} has ${a} ${thing} left.`,
    };
  }
  if (kind === 2) {
    const [boxes, each] = [2 + random.int(8), 2 + random.int(8)];
    return {
      prompt: `${who} has ${boxes} boxes with ${each} ${thing} in each. How many ${thing} are there in all?`,
      reasoning: `${boxes} boxes of ${each}\n${boxes}*${each}=${boxes * each}`,
      answer: `There are ${boxes * each} ${thing} in all.`,
    };
  }
  return {
    prompt: `${who} has ${a} ${thing}, finds ${b} more and then loses ${Math.min(c, a + b)}. How many ${thing} does ${who} have?`,
    reasoning: `first find: ${a}+${b}=${a + b}\nthen lose: ${a + b}-${Math.min(c, a + b)}=${a + b - Math.min(c, a + b)}`,
    answer: `${who} has ${a + b - Math.min(c, a + b)} ${thing}.`,
  };
}
