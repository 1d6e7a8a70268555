/**
 * BANG C kernels that others wrote, as sources for the simulator. A memory qualifier on a variable becomes a section of
 * the host compiler; on what is pointed to (casts, parameters, local pointers) it says nothing there and is taken out.
 * A static inside a function template is put nowhere by g++ 12: its address belongs to no memory and is reported so.
 * Main function: `bangKernel`.
 */
import { foreignKernel } from "../foreign.ts";
import type { SimSource } from "../sim-device.ts";

const qualifier = "__(?:nram|wram|mlu_shared|ldram|gdram)__";
/** In `(q T*)x`, `f(q T* x)` and `q T* p`: whatever the qualifier is before a type with a star. */
const pointed = new RegExp(
  `\\b${qualifier}\\s+(?=(?:const\\s+)?[\\w:]+(?:\\s*<[^<>;(){}]*>)?(?:\\s+const)?\\s*[*&])`,
  "g",
);
const afterType = new RegExp(`\\b${qualifier}\\s*(?=\\*)`, "g");

export const stripPointed = (source: string): string => source.replace(pointed, "").replace(afterType, "");

/** kind: block, union1, union2, union4. */
export function bangKernel(source: string, entry: string, args: readonly string[], kind: string): SimSource {
  return { ...foreignKernel(stripPointed(source), entry, args, kind), source };
}
