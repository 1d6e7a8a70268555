/**
 * Local tensors of a core by name: one line each where the core begins; of a place with two halves one for both, and one
 * in the loop whose turns take them for the half that is this turn's. Main class: `Places`.
 */
import { dtypes, type DType } from "../../../base/dtype.ts";
import type { Placement } from "../../spaces.ts";
import { typeNames, type Buf } from "./buffers.ts";

export const slotOf = (loop: string): string => (loop === "grid" ? "slot" : `slot${loop}`);
export const turnOf = (loop: string): string => (loop === "grid" ? "turn" : `turn${loop}`);

export class Places {
  /** In order of use: name -> text. */
  readonly declarations = new Map<string, string>();
  private readonly turning = new Map<string, Map<string, string>>();

  declare(name: string, position: string, p: Placement, dtype: DType): Buf {
    const type = typeNames[dtype];
    const bytes = p.turns === undefined ? p.bytes : p.bytes / 2;
    // Masks are packed bits.
    const count = Math.floor(bytes / (dtype === "bool" ? 1 : dtypes[dtype].size));
    const buf: Buf = { text: name, dtype, memory: p.space, from: p.offset, to: p.offset + bytes };
    if (p.turns === undefined) {
      this.declarations.set(name, `LocalTensor<${type}> ${name}(TPosition::${position}, ${p.offset}, ${count});`);
      return buf;
    }
    const lines = this.turning.get(p.turns) ?? new Map<string, string>();
    this.declarations.set(turnOf(p.turns), `int32_t ${turnOf(p.turns)} = 0;`);
    this.declarations.set(name, `LocalTensor<${type}> ${name}_both(TPosition::${position}, ${p.offset}, ${2 * count});`); // prettier-ignore
    this.turning.set(p.turns, lines.set(name, `LocalTensor<${type}> ${name} = ${name}_both[${slotOf(p.turns)} * ${count}];`)); // prettier-ignore
    return { ...buf, slots: { loop: p.turns, base: p.offset, pitch: bytes } };
  }
  /** What a turn of a loop begins with; nothing where it takes no halves. */
  turnLines(loop: string): string[] {
    const lines = this.turning.get(loop);
    return lines ? [`const int32_t ${slotOf(loop)} = ${turnOf(loop)} & 1;`, ...lines.values()] : [];
  }
}
