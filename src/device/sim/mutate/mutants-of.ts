/** The mutants of a kernel by the language of its chip. Main function: `mutantsOf`; a new language adds its mutators. */
import type { Chip, ChipName } from "../../../tile/chips/types.ts";
import { ascendMutants } from "./ascend.ts";
import { mluMutants } from "./mlu.ts";
import type { Mutant } from "./mutant.ts";

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
export const mutantsOf = (source: string, chip: Chip): Mutant[] => mutators[chip.name](source, chip);
