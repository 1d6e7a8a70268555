/** The mutants of a kernel by the language of its chip. Main functions: `mutantsOf`, `mutantsOfList`; a new language adds its mutators. */
import type { Chip, ChipName } from "../../../tile/chips/types.ts";
import { ascendMutants } from "./ascend.ts";
import { mluMutants } from "./mlu.ts";
import { listMutants } from "./list.ts";
import { rangesOfFunctions, type Mutant, type MutationKind } from "./mutant.ts";

type Mutator = (source: string, chip: Chip) => Mutant[];
const mutators: Readonly<Record<ChipName, Mutator>> = {
  "ascend-910b": ascendMutants,
  "ascend-910c": ascendMutants,
  "ascend-950": ascendMutants,
  "mlu-370": mluMutants,
  "mlu-590": mluMutants,
};
/** Whose simulator counts turns of loops: cores whose pipes run beside each other, ordered by flags. */
export const countsTurns = ({ name }: Chip): boolean => mutators[name] === ascendMutants;
/** Whose cores must not write into one line of device memory: a kernel asks where its buffers begin. */
export const sharesLines = ({ name }: Chip): boolean => mutators[name] === mluMutants;
export const mutantsOf = (source: string, chip: Chip): Mutant[] => mutators[chip.name](source, chip);

/** Kinds that lists have because their programs share cores and memories: such a mutant changes all of them at once. */
const shared: ReadonlySet<MutationKind> = new Set(["one core missing or extra", "shrink or overlap a buffer"]);
/** The mutants of what a list adds to its programs. What lies within one program is tried in that program's own kernel. */
export function mutantsOfList(source: string, chip: Chip): Mutant[] {
  const functions = rangesOfFunctions(source);
  const isOwn = ({ kind, edits }: Mutant): boolean => {
    const within = edits.map((e) => functions.findIndex((f) => f.start <= e.start && e.end <= f.end));
    return within.includes(-1) || (shared.has(kind) && new Set(within).size > 1);
  };
  return [...mutantsOf(source, chip), ...listMutants(source)].filter(isOwn);
}
