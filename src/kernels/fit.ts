/**
 * Static tile sizes that fit a chip: a kernel names the sizes it may shrink and how far, and gets the largest program
 * that the chip's passes accept. On a host there is nothing to fit. Main function: `fitted`.
 */
import { CompileError } from "../base/errors.ts";
import type { Chip } from "../tile/chips/types.ts";
import type { TileProgram } from "../tile/ir.ts";
import { lower } from "../tile/passes.ts";

export interface Fitted<P> {
  readonly program: TileProgram;
  /** The sizes it was built with. */
  readonly p: P;
}

type Sizes<P> = { [K in keyof P]: P[K] extends number ? K : never }[keyof P];
/** Smallest value of each size that may shrink, in the order in which they do. */
export type Smallest<P> = Readonly<Partial<Record<Sizes<P>, number>>>;

const refusals = new WeakMap<TileProgram, Map<Chip, CompileError | undefined>>();

/** Why a chip refuses a program, or undefined. */
function refusal(program: TileProgram, chip: Chip): CompileError | undefined {
  let known = refusals.get(program);
  if (!known) refusals.set(program, (known = new Map()));
  if (!known.has(chip)) {
    let found: CompileError | undefined;
    try {
      lower(program, chip);
    } catch (error) {
      if (!(error instanceof CompileError)) throw error;
      found = error;
    }
    known.set(chip, found);
  }
  return known.get(chip);
}

/** Halves the sizes in `smallest`, one after the other, until the chip takes the program; throws its refusal if none helps. */
export function fitted<P extends object>(
  chip: Chip | undefined,
  factory: (p: P) => TileProgram,
  start: P,
  smallest: Smallest<P>,
): Fitted<P> {
  if (!chip) return { program: factory(start), p: start };
  let p = start;
  const keys = Object.keys(smallest) as (Sizes<P> & string)[];
  for (;;) {
    const program = factory(p);
    const error = refusal(program, chip);
    if (!error) return { program, p };
    const key = keys.find((k) => (p[k] as number) > smallest[k]!);
    if (key === undefined || error.pass !== "checkCapacity") throw error;
    p = { ...p, [key]: Math.max(smallest[key]!, Math.floor((p[key] as number) / 2)) };
  }
}
