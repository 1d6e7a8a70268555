/**
 * The code of one core before synchronisation: instructions with the pipe and the bytes they touch, in blocks.
 * Owns the types and small builders; sync.ts orders the pipes and writes the text. Source of the pipe model: the public
 * Ascend C programming guide.
 */

/** S: scalar, V: vector, M: cube, MTE1: L1 to L0, MTE2: into the core, MTE3: out of the vector core, FIX: out of L0C. */
export type Pipe = "S" | "V" | "M" | "MTE1" | "MTE2" | "MTE3" | "FIX";

/** Of a place with two slots: the loop whose turns take them by turns, where the first begins and how far the next is. */
export interface Slots {
  readonly loop: string;
  readonly base: number;
  readonly pitch: number;
}
/** Bytes [from, to) of a memory of the core (in the first slot, where there are two), or a whole buffer of device memory. */
export interface Access {
  readonly pipe: Pipe;
  readonly isWrite: boolean;
  readonly memory: string;
  readonly from: number;
  readonly to: number;
  readonly slots?: Slots | undefined;
}

/** A flag between the cores about a slot of the workspace: it tells what `pipe` has done, or all that it told last. */
export type Crossing = { readonly kind: "set"; readonly slot: string; readonly pipe: Pipe } | { readonly kind: "wait"; readonly slot: string }; // prettier-ignore

export type Node =
  /** Lines that are issued as they stand; what they touch among themselves is ordered by their author. */
  | {
      readonly kind: "instr";
      readonly lines: readonly string[];
      readonly accesses: readonly Access[];
      /** What this pipe was given until here is complete before what comes next on it. */
      readonly settles?: Pipe | undefined;
      readonly crossing?: Crossing;
    }
  | { readonly kind: "comment"; readonly text: string }
  /** `head {` body `}`: a loop (`repeats`) or a condition. */
  | {
      readonly kind: "block";
      readonly head: string;
      readonly body: readonly Node[];
      readonly repeats: boolean;
      /** The loop's name, if places with two slots go from one to the other after each turn. */
      readonly turns?: string | undefined;
      /** Turns are independent in device memory: programs of the grid. */
      readonly isGrid?: boolean;
    };

/** Device memory carries this prefix before the buffer's name. */
export const DEVICE = "GM ";

/** Whether a core does more than compute positions and sizes. */
export const hasWork = (nodes: readonly Node[]): boolean =>
  nodes.some((n) =>
    n.kind === "instr" ? n.accesses.some((a) => a.pipe !== "S") : n.kind === "block" && hasWork(n.body),
  );
