/**
 * What is known to come before what on the pipes of a core: the code as lists of steps, the flags and barriers put into
 * them, and a walk that finds the accesses nothing orders. The state says of every access which pipes may still run ahead
 * of it; what may be reached on two ways is the union, and loops are walked until that is stable.
 * Instructions of one pipe are taken to overlap unless the pipe is in order. Main class: `Order`.
 */
import { DEVICE, type Access, type Crossing, type Node, type Pipe } from "./code.ts";

/** Steps that run one after the other; of a block they are its body. */
export interface List {
  readonly steps: readonly Step[];
  readonly owner: Step | undefined;
}
export interface Step {
  readonly node: Node;
  readonly list: List;
  readonly index: number;
  readonly body: List | undefined;
  /** Number of its first access; the others follow. */
  readonly first: number;
  /** Where it begins and ends in the text, counting beginnings and ends. */
  readonly begin: number;
  readonly end: number;
}

/**
 * A flag: `from` sets it after step `after` of a list, `to` waits for it before step `before`. Where the wait comes first,
 * it is for an earlier turn, and the flag is set once before everything. With a `loop` there are two, taken by its turns.
 */
export interface Edge {
  readonly from: Pipe;
  readonly to: Pipe;
  readonly list: List;
  readonly after: number;
  readonly before: number;
  readonly loop: string | undefined;
}
export const isBack = (e: Edge): boolean => e.before <= e.after;

const isSameEvent = (e: Edge, f: Edge): boolean => e.from === f.from && e.to === f.to;
/** A flag that is waited for in an earlier turn is always open. Each of the others is waited for where it was set. */
function areOpenTogether(e: Edge, f: Edge): boolean {
  if (isBack(e) || isBack(f)) return true;
  const [set, wait] = [(x: Edge) => x.list.steps[x.after]!.end, (x: Edge) => x.list.steps[x.before]!.begin];
  return set(e) < wait(f) && set(f) < wait(e);
}

/** All synchronisation of a core. */
export interface Sync {
  readonly edges: readonly Edge[];
  /** Barriers of a pipe before a step; undefined: a pipe is taken to order itself, barriers come later. */
  readonly barriers: ReadonlyMap<Step, readonly Pipe[]> | undefined;
  /** Steps before which all pipes meet. */
  readonly meetings: ReadonlySet<Step>;
}

/**
 * Something nothing orders: `step` on `pipe` touches what `source` on `from` may still be using, in a slot that turns of
 * `loop` take, if that is where they meet; or a flag that may be set before it was waited for.
 */
export type Finding =
  | { readonly kind: "access"; readonly step: Step; readonly pipe: Pipe; readonly source: Step; readonly from: Pipe; readonly loop: string | undefined } // prettier-ignore
  | { readonly kind: "flag"; readonly edge: Edge };

const pipeBits: Readonly<Record<Pipe, number>> = { S: 1, V: 2, M: 4, MTE1: 8, MTE2: 16, MTE3: 32, FIX: 64 };
const ALL = 127;
/** The scalar unit issues everything, so what it has waited for comes before all that follows. */
const learners = (pipe: Pipe): number => (pipe === "S" ? ALL : pipeBits[pipe]);

const overlap = (a: Access, b: Access, shift = 0): boolean => a.from < b.to + shift && b.from + shift < a.to;
const endOf = ({ to, slots }: Access): number => to + (slots?.pitch ?? 0);
/** Two slots of one place do not meet; for everything else such a place is both. */
function conflicts(a: Access, b: Access): "same turn" | "any" | undefined {
  if (a.memory !== b.memory || !(a.isWrite || b.isWrite) || a.from >= endOf(b) || b.from >= endOf(a)) return undefined;
  const [s, t] = [a.slots, b.slots];
  if (s && t && s.loop === t.loop && s.base === t.base) return overlap(a, b) ? "same turn" : undefined;
  const shifts = [0, ...(t ? [t.pitch] : [])].flatMap((x) => [x, ...(s ? [x - s.pitch] : [])]);
  return shifts.some((shift) => overlap(a, b, shift)) ? "any" : undefined;
}

/** Of every access, in its own turn's slot and in the other: bits of pipes that do not know it to be complete. */
class State {
  readonly unknown: Uint8Array;
  readonly stamps: Int32Array;
  /** Bits, per access, of the flags that once waited for leave it unknown. */
  readonly rows: Uint32Array;
  constructor(unknown: Uint8Array, stamps: Int32Array, rows: Uint32Array) {
    this.unknown = unknown;
    this.stamps = stamps;
    this.rows = rows;
  }
  copy(): State {
    return new State(this.unknown.slice(), this.stamps.slice(), this.rows.slice());
  }
  /** Takes what another way may bring; whether that is new. */
  join(other: State): boolean {
    let isNew = false;
    for (const key of ["unknown", "rows"] as const) {
      const [mine, its] = [this[key], other[key]];
      for (let i = 0; i < mine.length; i++) {
        const both = (mine[i]! | its[i]!) >>> 0;
        if (both === mine[i]) continue;
        mine[i] = both;
        isNew = true;
      }
    }
    for (let i = 0; i < this.stamps.length; i++) this.stamps[i] = Math.max(this.stamps[i]!, other.stamps[i]!);
    return isNew;
  }
}

export class Order {
  readonly top: List;
  readonly accesses: Access[] = [];
  /** Per access: its step. */
  readonly steps: Step[] = [];
  /** Per access: accesses that conflict with it, and whether only in the same slot. */
  readonly rivals: { readonly access: number; readonly isSameTurn: boolean }[][] = [];
  readonly inOrder: ReadonlySet<Pipe>;
  private place = 0;

  constructor(nodes: readonly Node[], inOrder: ReadonlySet<Pipe>) {
    this.inOrder = inOrder;
    this.top = this.list(nodes, undefined);
    for (const [i, a] of this.accesses.entries()) {
      const mine: { access: number; isSameTurn: boolean }[] = [];
      for (const [j, b] of this.accesses.entries()) {
        const kind = conflicts(a, b);
        if (kind) mine.push({ access: j, isSameTurn: kind === "same turn" });
      }
      this.rivals[i] = mine;
    }
  }

  private list(nodes: readonly Node[], owner: Step | undefined): List {
    const steps: Step[] = [];
    const list: List = { steps, owner };
    for (const [index, node] of nodes.entries()) {
      const step: { -readonly [K in keyof Step]: Step[K] } = { node, list, index, body: undefined, first: this.accesses.length, begin: this.place++, end: 0 }; // prettier-ignore
      steps.push(step);
      if (node.kind === "block") step.body = this.list(node.body, step);
      step.end = this.place++;
      if (node.kind !== "instr") continue;
      for (const access of node.accesses) {
        this.accesses.push(access);
        this.steps.push(step);
      }
    }
    return list;
  }

  /** What `sync` leaves open. */
  check(sync: Sync): Finding[] {
    return new Walk(this, sync, false).run();
  }
  /** Whether every access is ordered; flags may still be set too early. */
  isOrdered(sync: Sync): boolean {
    return new Walk(this, sync, true).run().length === 0;
  }
  /**
   * Of each flag, the others of its event that it may not share an id with: where both may be set and not waited for, in
   * the text, or where one is set and its pipe may not know yet that the other was waited for.
   */
  clashes(sync: Sync): ReadonlyMap<Edge, ReadonlySet<Edge>> {
    const walk = new Walk(this, sync, false);
    walk.run();
    const { edges } = sync;
    const meet = (i: number, j: number): boolean => areOpenTogether(edges[i]!, edges[j]!) || walk.isEarly(i, j) || walk.isEarly(j, i); // prettier-ignore
    return new Map(
      edges.map((e, i) => [e, new Set(edges.filter((f, j) => i !== j && isSameEvent(e, f) && meet(i, j)))]),
    );
  }
}

/** Thrown to end a walk at its first finding. */
class Found extends Error {}

class Walk {
  private readonly code: Order;
  private readonly sync: Sync;
  private readonly isFirst: boolean;
  private readonly findings: Finding[] = [];
  private readonly seen = new Set<string>();
  /** Keys: accesses, then waits of flags; each twice, for the two slots. */
  private readonly numKeys: number;
  private readonly pipeOf: Pipe[] = [];
  private readonly loopOf: (string | undefined)[] = [];
  private readonly crossings: readonly string[];
  private readonly sets = new Map<List, Map<number, number[]>>();
  private readonly waits = new Map<List, Map<number, number[]>>();
  /** Pairs of flags of one event: the first may be set when its pipe does not know yet that the second was waited for. */
  private readonly early: Uint8Array;
  private clock = 0;
  private numWords = 0;

  constructor(code: Order, sync: Sync, isFirst: boolean) {
    [this.code, this.sync, this.isFirst] = [code, sync, isFirst];
    for (const a of code.accesses) this.addKey(a.pipe, a.slots?.loop);
    for (const [i, e] of sync.edges.entries()) {
      this.addKey(e.to, e.loop);
      for (const [table, at] of [
        [this.sets, e.after],
        [this.waits, e.before],
      ] as const) {
        // prettier-ignore
        const here = table.get(e.list) ?? new Map<number, number[]>();
        table.set(e.list, here.set(at, [...(here.get(at) ?? []), i]));
      }
    }
    this.numKeys = this.pipeOf.length;
    this.early = new Uint8Array(sync.edges.length ** 2);
    this.crossings = [...new Set(code.steps.length ? crossingsOf(code.top) : [])];
  }
  private addKey(pipe: Pipe, loop: string | undefined): void {
    this.pipeOf.push(pipe, pipe);
    this.loopOf.push(loop, loop);
  }

  run(): Finding[] {
    const numRows = 2 * (this.sync.edges.length + this.crossings.length);
    this.numWords = Math.ceil(numRows / 32);
    const start = new State(new Uint8Array(this.numKeys), new Int32Array(this.numKeys), new Uint32Array(this.numWords * this.numKeys)); // prettier-ignore
    try {
      this.list(this.code.top, start);
    } catch (error) {
      if (!(error instanceof Found)) throw error;
    }
    return this.findings;
  }
  private report(key: string, finding: Finding): void {
    if (this.seen.has(key)) return;
    this.seen.add(key);
    if (this.isFirst && finding.kind === "flag") return;
    this.findings.push(finding);
    if (this.isFirst) throw new Found();
  }

  /** Runs a list from `state`, which becomes its end. */
  private list(list: List, state: State): void {
    const [sets, waits] = [this.sets.get(list), this.waits.get(list)];
    for (const step of list.steps) {
      for (const e of waits?.get(step.index) ?? []) this.wait(state, e);
      if (this.sync.meetings.has(step)) state.unknown.fill(0);
      for (const pipe of this.sync.barriers?.get(step) ?? []) this.settle(state, pipe);
      if (step.node.kind === "instr") this.instr(step, step.node, state);
      else if (step.node.kind === "block") this.block(step, step.node, state);
      for (const e of sets?.get(step.index) ?? []) this.set(state, e);
    }
  }

  private block(step: Step, node: Extract<Node, { kind: "block" }>, state: State): void {
    for (let isNew = true; isNew;) {
      const end = state.copy();
      this.list(step.body!, end);
      if (node.turns !== undefined) this.turn(end, node.turns);
      if (node.isGrid) this.code.accesses.forEach((a, i) => a.memory.startsWith(DEVICE) && end.unknown.fill(0, 2 * i, 2 * i + 2)); // prettier-ignore
      isNew = state.join(end) && node.repeats;
    }
  }

  private instr(step: Step, node: Extract<Node, { kind: "instr" }>, state: State): void {
    if (node.crossing) this.cross(node.crossing, state);
    node.accesses.forEach((a, i) => this.need(step, a, step.first + i, state));
    // Without lines it only waits.
    if (node.lines.length) node.accesses.forEach((a, i) => this.touch(state, 2 * (step.first + i), a));
    if (node.settles) this.settle(state, node.settles);
  }
  /** What must come before an access: of each pipe the latest that is not known to. */
  private need(step: Step, access: Access, number: number, state: State): void {
    const bit = pipeBits[access.pipe];
    const latest = new Map<Pipe, number>();
    const turning = new Set<number>();
    const isSelf = this.sync.barriers === undefined;
    for (const { access: rival, isSameTurn } of this.code.rivals[number]!)
      for (let key = 2 * rival; key < 2 * rival + (isSameTurn ? 1 : 2); key++) {
        if (!(state.unknown[key]! & bit) || (isSelf && this.pipeOf[key] === access.pipe)) continue;
        if (isSameTurn) turning.add(key);
        const known = latest.get(this.pipeOf[key]!);
        if (known === undefined || state.stamps[key]! > state.stamps[known]!) latest.set(this.pipeOf[key]!, key);
      }
    for (const [pipe, key] of latest) {
      const loop = turning.has(key) ? access.slots!.loop : undefined;
      this.report(`${number} ${key}`, { kind: "access", step, pipe: access.pipe, source: this.code.steps[key >> 1]!, from: pipe, loop }); // prettier-ignore
      const limit = state.stamps[key]!;
      for (let k = 0; k < this.numKeys; k++) if (this.pipeOf[k] === pipe && state.stamps[k]! <= limit) state.unknown[k]! &= ~bit; // prettier-ignore
    }
  }
  private touch(state: State, key: number, { pipe, isWrite }: Access): void {
    const known = pipe === "S" ? (isWrite ? pipeBits.S : ALL) : this.code.inOrder.has(pipe) ? pipeBits[pipe] : 0;
    this.issue(state, key, ALL & ~known);
  }
  private issue(state: State, key: number, unknown: number): void {
    state.unknown[key] = unknown;
    state.stamps[key] = ++this.clock;
    state.rows.fill(0xffffffff, key * this.numWords, (key + 1) * this.numWords);
  }
  private settle(state: State, pipe: Pipe): void {
    for (let k = 0; k < this.numKeys; k++) if (this.pipeOf[k] === pipe) state.unknown[k]! &= ~pipeBits[pipe];
  }

  // ---- flags ----
  private keyOf(edge: number): number {
    return 2 * (this.code.accesses.length + edge);
  }
  isEarly(edge: number, other: number): boolean {
    return this.early[edge * this.sync.edges.length + other] === 1;
  }
  private set(state: State, edge: number): void {
    const e = this.sync.edges[edge]!;
    const { edges } = this.sync;
    for (const [i, other] of edges.entries()) {
      if (!isSameEvent(e, other)) continue;
      const [key, isSameSlot] = [this.keyOf(i), e.loop === other.loop];
      const unknown = state.unknown[key]! | (isSameSlot ? 0 : state.unknown[key + 1]!);
      if (unknown & pipeBits[e.from]) this.early[edge * edges.length + i] = 1;
    }
    // Set again before the other pipe has waited for it, a flag would be lost.
    if (this.isEarly(edge, edge)) this.report(`flag ${edge}`, { kind: "flag", edge: e });
    this.tell(state, 2 * edge, e.from);
  }
  private tell(state: State, row: number, pipe: Pipe): void {
    const [mask, bit] = [1 << (row & 31), pipeBits[pipe]];
    for (let k = 0, at = row >> 5; k < this.numKeys; k++, at += this.numWords) {
      if (this.pipeOf[k] !== pipe && state.unknown[k]! & bit) state.rows[at]! |= mask;
      else state.rows[at]! &= ~mask;
    }
  }
  private learn(state: State, row: number, pipes: number): void {
    const mask = 1 << (row & 31);
    for (let k = 0, at = row >> 5; k < this.numKeys; k++, at += this.numWords) if (!(state.rows[at]! & mask)) state.unknown[k]! &= ~pipes; // prettier-ignore
  }
  private wait(state: State, edge: number): void {
    const e = this.sync.edges[edge]!;
    this.learn(state, 2 * edge, learners(e.to));
    this.issue(state, this.keyOf(edge), ALL & ~learners(e.to));
  }
  /** The other core answers in its turn: with its flag comes back all that this core had told it. */
  private cross(c: Crossing, state: State): void {
    const row = 2 * (this.sync.edges.length + this.crossings.indexOf(c.slot));
    if (c.kind === "set") this.tell(state, row, c.pipe);
    else this.learn(state, row, ALL);
  }

  /** After a turn each slot is the other one. */
  private turn(state: State, loop: string): void {
    const { unknown, stamps, rows } = state;
    for (let k = 0; k < this.numKeys; k += 2) {
      if (this.loopOf[k] !== loop) continue;
      [unknown[k], unknown[k + 1]] = [unknown[k + 1]!, unknown[k]!];
      [stamps[k], stamps[k + 1]] = [stamps[k + 1]!, stamps[k]!];
      for (let w = k * this.numWords; w < (k + 1) * this.numWords; w++) [rows[w], rows[w + this.numWords]] = [rows[w + this.numWords]!, rows[w]!]; // prettier-ignore
    }
    for (const [i, e] of this.sync.edges.entries()) {
      if (e.loop !== loop) continue;
      const [one, both] = [2 * i & 31, 3 << (2 * i & 31)]; // prettier-ignore
      for (let k = 0, at = (2 * i) >> 5; k < this.numKeys; k++, at += this.numWords) {
        const bits = (rows[at]! >>> one) & 3;
        if (bits === 1 || bits === 2) rows[at]! ^= both;
      }
    }
  }
}

const crossingsOf = (list: List): string[] =>
  list.steps.flatMap(({ node, body }) =>
    body ? crossingsOf(body) : node.kind === "instr" && node.crossing ? [node.crossing.slot] : [],
  );
