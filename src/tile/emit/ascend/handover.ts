/**
 * Tiles between the cube and the vector core of a block, through slots of a workspace in device memory or, on 3510, by a
 * place of the cube core's L1 that the vector core copies to itself. A slot has a writer and a reader: the reader says
 * when it is free, the writer when it is ready; both run the same statements in the same order, so one ready flag serves
 * all slots of a direction whose reader waits on one pipe. Main class: `Handover`.
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
/** A place in the reader's memory; `places`: how many the writer may be ahead, with turns that take halves. */
export interface DirectSlot extends Pick<Slot, "name" | "ready" | "free" | "reader"> {
  readonly places: 1 | 2;
}
/** Flags that kernels may use: 0, 1 and, where there are direct ways, 9 and 10 say ready, the others free. */
const NUM_FLAGS = 11;
const READY = { cube: 0, vector: 1 } as const;
const DIRECT = {
  /** From UB to L1. */
  cube: { ready: 10, written: "MTE3", read: "MTE1" },
  /** From L0C to UB. */
  vector: { ready: 9, written: "FIX", read: "V" },
} as const;

export class Handover {
  private readonly plan: Plan;
  private readonly known = new Map<string, Slot>();
  private readonly direct = new Map<string, DirectSlot>();
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
    const free = this.nextFlag(dtype);
    const slot: Slot = { name, dtype, offset: this.workspaceBytes, ready: READY[reader], free, reader };
    // Whole lines of the cache.
    this.workspaceBytes += roundUp(count * dtypes[dtype].size, 512);
    this.known.set(name, slot);
    return slot;
  }

  private nextFlag(dtype: DType): number {
    const free = 2 + this.known.size + this.direct.size;
    const most = this.direct.size > 0 ? DIRECT.vector.ready : NUM_FLAGS;
    if (free >= most) this.plan.refuse("dot", dtype, `of more than ${most - 2} tiles between the cores`);
    return free;
  }
  /** The operand that the vector core copies to L1 itself; undefined for all others. */
  inL1(root: number): DirectSlot | undefined {
    return this.plan.homes.isHandedOver(root) ? this.place("cube", root, "operand") : undefined;
  }
  /** The product that the cube core copies to UB itself; undefined for all others. */
  inUB(id: number): DirectSlot | undefined {
    return this.plan.homes.isTakenOver(id) ? this.place("vector", id, "value") : undefined;
  }
  private place(reader: "cube" | "vector", id: number, part: string): DirectSlot {
    const name = `${this.plan.nameOf(id)} ${part}`;
    const found = this.direct.get(name);
    if (found) return found;
    const { homes } = this.plan;
    const { turns } = this.plan.placement(id, part);
    const places = turns !== undefined && homes.live.isInEachTurn(id, turns) ? 2 : 1;
    const slot: DirectSlot = { name, reader, ready: DIRECT[reader].ready, free: this.nextFlag(homes.tile(id).dtype), places }; // prettier-ignore
    this.direct.set(name, slot);
    return slot;
  }
  /**
   * The same for those places, on the pipe that copies there or reads them. With two places an answer is about the turn
   * before the last one, so it tells the core nothing of its own pipes (no crossing).
   */
  tell(steps: Steps, slot: DirectSlot, what: "ready" | "free"): void {
    const { written, read } = DIRECT[slot.reader];
    steps.lines([`CrossCoreSetFlag<0x2, PIPE_${what === "ready" ? written : read}>(${slot[what]});`], []);
  }
  await(steps: Steps, slot: DirectSlot, what: "ready" | "free"): void {
    const { written, read } = DIRECT[slot.reader];
    steps.lines([`CrossCoreWaitFlag<0x2, PIPE_${what === "ready" ? read : written}>(${slot[what]});`], []);
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
  open(core: "cube" | "vector", block: string): string[] {
    const views = this.slots.map((s) => {
      const type = core === "vector" && s.dtype === "bf16" ? "uint16_t" : typeNames[s.dtype];
      return [`GlobalTensor<${type}> ${s.name};`, `${s.name}.SetGlobalBuffer((__gm__ ${type}*)(workspace + ${block} * ${this.workspaceBytes} + ${s.offset}));`]; // prettier-ignore
    });
    const frees = this.perPlace((s) => s.reader === core, (s) => `CrossCoreSetFlag<0x2, PIPE_${DIRECT[s.reader].read}>(${s.free});`); // prettier-ignore
    return [...views.flat(), ...this.slots.filter((s) => s.reader === core).map((s) => `CrossCoreSetFlag<0x2, PIPE_MTE2>(${s.free});`), ...frees]; // prettier-ignore
  }
  /** The writer takes the last word of its readers, so that no flag is left. */
  close(core: "cube" | "vector"): string[] {
    const frees = this.perPlace((s) => s.reader !== core, (s) => `CrossCoreWaitFlag<0x2, PIPE_${DIRECT[s.reader].written}>(${s.free});`); // prettier-ignore
    return [...this.slots.filter((s) => s.reader !== core).map((s) => `CrossCoreWaitFlag(${s.free});`), ...frees];
  }
  private perPlace(isMine: (s: DirectSlot) => boolean, line: (s: DirectSlot) => string): string[] {
    return [...this.direct.values()].filter(isMine).flatMap((s) => Array.from({ length: s.places }, () => line(s)));
  }
}
