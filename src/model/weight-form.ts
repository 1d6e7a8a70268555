/** In which form a network's large matrices are in memory. Main function: `packedIn`. */
import { INT4_GROUP, intMixes } from "./int-format.ts";
import { packedOf, type Packed, type Storage } from "./storage.ts";

export const weightForms = ["bf16", "w8a8", "w4a8", "native"] as const;
/** `native`: as the checkpoint has them, e4m3 and e2m1 with their scales where it does. */
export type WeightForm = (typeof weightForms)[number];

/** Matrices that are codes in this form; undefined: none. */
export function packedIn(form: WeightForm, storage: Storage): Packed | undefined {
  if (form === "bf16") return undefined;
  return form === "native" ? packedOf(storage) : { ...intMixes[form], group: INT4_GROUP };
}
