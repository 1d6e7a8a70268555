/**
 * Static tile sizes that fit a chip: a kernel names the sizes it may shrink and how far, and gets the largest program
 * that the chip's passes accept. On a host there is nothing to fit. Kernels of inference choose by cost instead
 * (tile-choice.ts). Main function: `fitted`.
 */
import { CompileError } from "../base/errors.ts";
import type { Chip } from "../tile/chips/types.ts";
import { loweringOf } from "../tile/cost.ts";
import type { TileProgram } from "../tile/ir.ts";

export interface Fitted<P> {
  readonly program: TileProgram;
  /** The sizes it was built with. */
  readonly p: P;
}

/** Names of its sizes. */
export type SizeOf<P> = { [K in keyof P]: P[K] extends number ? K : never }[keyof P];
/** Smallest value of each size that may shrink, in the order in which they do. */
export type Smallest<P> = Readonly<Partial<Record<SizeOf<P>, number>>>;

/** Why a chip refuses a program, or whether its loops have room to load ahead. */
type Answer = { readonly error: CompileError } | { readonly error: undefined; readonly hasRoom: boolean };
const answers = new WeakMap<TileProgram, Map<Chip, Answer>>();

function answerOf(program: TileProgram, chip: Chip): Answer {
  let known = answers.get(program);
  if (!known) answers.set(program, (known = new Map()));
  let answer = known.get(chip);
  if (!answer) {
    try {
      answer = { error: undefined, hasRoom: loweringOf(program, chip).overlap.hasRoom };
    } catch (error) {
      if (!(error instanceof CompileError)) throw error;
      answer = { error };
    }
    known.set(chip, answer);
  }
  return answer;
}

/** Why a chip does not take a program; undefined if it does. */
export const refusalOf = (program: TileProgram, chip: Chip): CompileError | undefined => answerOf(program, chip).error;

/**
 * Halves the sizes in `smallest`, one after the other, until the chip takes the program; throws its refusal if none helps.
 * The first of them, which costs least, also makes room for loads that run ahead, down to an eighth.
 */
export function fitted<P extends object>(
  chip: Chip | undefined,
  factory: (p: P) => TileProgram,
  start: P,
  smallest: Smallest<P>,
): Fitted<P> {
  if (!chip) return { program: factory(start), p: start };
  let p = start;
  const keys = Object.keys(smallest) as (SizeOf<P> & string)[];
  const halved = (from: P, key: SizeOf<P>): P => ({ ...from, [key]: Math.max(smallest[key]!, Math.floor((from[key] as number) / 2)) }); // prettier-ignore
  const roomier = (fit: P): Fitted<P> | undefined => {
    const [first] = keys;
    for (let q = fit, i = 0; first !== undefined && i < 4; q = halved(q, first), i++) {
      const program = factory(q);
      const answer = answerOf(program, chip);
      if (answer.error) return undefined;
      if (answer.hasRoom) return { program, p: q };
    }
    return undefined;
  };
  for (;;) {
    const program = factory(p);
    const { error } = answerOf(program, chip);
    if (!error) return roomier(p) ?? { program, p };
    const key = keys.find((k) => (p[k] as number) > smallest[k]!);
    if (key === undefined || error.pass !== "checkCapacity") throw error;
    p = halved(p, key);
  }
}
