/**
 * Tiles between the cube and the vector core of a block, through slots of a workspace in device memory. A slot has a
 * writer and a reader: the reader says when it is free, the writer when it is ready; both run the same statements in the
 * same order, so one ready flag serves all slots of a direction. Main class: `Handover`.
 */
import { dtypes, type DType } from "../../../base/dtype.ts";
import { roundUp } from "../../padding.ts";
import { typeNames } from "./buffers.ts";
import type { Pipe } from "./code.ts";
import type { Plan } from "./plan.ts";
import type { Steps } from "./steps.ts";

export interface Slot {
  readonly name: string;
  readonly dtype: DType;
  readonly offset: number;
  readonly ready: number;
  readonly free: number;
  readonly reader: "cube" | "vector";
}
/** Flags that kernels may use: 0 and 1 say ready, the others free. */
const NUM_FLAGS = 11;
const READY = { cube: 0, vector: 1 } as const;

export class Handover {
  private readonly plan: Plan;
  private readonly known = new Map<string, Slot>();
  /** Of one block. */
  workspaceBytes = 0;

  constructor(plan: Plan) {
    this.plan = plan;
  }
  get slots(): readonly Slot[] {
    return [...this.known.values()];
  }

  toCube = (id: number, rows: number, cols: number, dtype: DType): Slot => this.slot("cube", id, rows * cols, dtype);
  toVector = (id: number, rows: number, cols: number, dtype: DType): Slot =>
    this.slot("vector", id, rows * cols, dtype);
  private slot(reader: "cube" | "vector", id: number, count: number, dtype: DType): Slot {
    const name = `${this.plan.nameOf(id)}_${reader === "cube" ? "operand" : "product"}Ws`;
    const found = this.known.get(name);
    if (found) return found;
    const free = 2 + this.known.size;
    if (free >= NUM_FLAGS) this.plan.refuse("dot", dtype, `of more than ${NUM_FLAGS - 2} tiles between the cores`);
    const slot: Slot = { name, dtype, offset: this.workspaceBytes, ready: READY[reader], free, reader };
    // Whole lines of the cache.
    this.workspaceBytes += roundUp(count * dtypes[dtype].size, 512);
    this.known.set(name, slot);
    return slot;
  }

  set(steps: Steps, slot: Slot, what: "ready" | "free", pipe: Pipe): void {
    const lines = [`CrossCoreSetFlag<0x2, PIPE_${pipe}>(${slot[what]});`];
    steps.nodes.push({ kind: "instr", lines, accesses: [], crossing: { kind: "set", slot: slot.name, pipe } });
  }
  wait(steps: Steps, slot: Slot, what: "ready" | "free"): void {
    const lines = [`CrossCoreWaitFlag(${slot[what]});`];
    steps.nodes.push({ kind: "instr", lines, accesses: [], crossing: { kind: "wait", slot: slot.name } });
  }

  /** Slots as a core sees them; a reader says that its slots are free before anything is written. */
  open(core: "cube" | "vector"): string[] {
    const views = this.slots.map((s) => {
      const type = core === "vector" && s.dtype === "bf16" ? "uint16_t" : typeNames[s.dtype];
      return [`GlobalTensor<${type}> ${s.name};`, `${s.name}.SetGlobalBuffer((__gm__ ${type}*)(workspace + GetBlockIdx() * ${this.workspaceBytes} + ${s.offset}));`]; // prettier-ignore
    });
    return [...views.flat(), ...this.slots.filter((s) => s.reader === core).map((s) => `CrossCoreSetFlag<0x2, PIPE_MTE2>(${s.free});`)]; // prettier-ignore
  }
  /** The writer takes the last word of its readers, so that no flag is left. */
  close(core: "cube" | "vector"): string[] {
    return this.slots.filter((s) => s.reader !== core).map((s) => `CrossCoreWaitFlag(${s.free});`);
  }
}
