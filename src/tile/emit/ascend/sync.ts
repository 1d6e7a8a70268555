/**
 * Orders the pipes of a core: before an instruction that touches bytes another one may still be using, a flag from
 * that pipe to this one (`SetFlag` right after the one, `WaitFlag` right before the other), or a barrier where both are on
 * one pipe. A flag for an earlier turn of a loop is set once before everything and waited for once at the end; where turns
 * take two slots there are two such flags. What others imply is left out: each is dropped on trial, see order.ts.
 * Main function: `synchronise`. Rules: the public Ascend C programming guide (events and barriers).
 */
import { assert } from "../../../base/errors.ts";
import { LineWriter } from "../c-like/line-writer.ts";
import type { Node, Pipe } from "./code.ts";
import { isBack, Order, type Edge, type Finding, type List, type Step, type Sync } from "./order.ts";
import { slotOf } from "./places.ts";

/** Ids that programs may use of each event; 6 and 7 are the tool chain's. */
const NUM_EVENTS = 6;
const events: ReadonlySet<string> = new Set([
  "S_V", "S_MTE2", "S_MTE3", "V_S", "MTE2_S", "MTE3_S", "V_MTE2", "V_MTE3", "MTE2_V", "MTE3_V", "MTE2_MTE3", "MTE3_MTE2",
  "M_MTE1", "M_MTE2", "M_FIX", "MTE1_M", "MTE1_MTE2", "MTE2_M", "MTE2_MTE1", "FIX_M", "FIX_MTE1",
]); // prettier-ignore
const eventOf = (e: Edge): string => `${e.from}_${e.to}`;
const idsOf = (e: Edge): number => (e.loop === undefined ? 1 : 2);

const pathOf = (step: Step): Step[] => [...(step.list.owner ? pathOf(step.list.owner) : []), step];
/** The flag that orders two steps, in the innermost list that holds both. */
function edgeOf({ source, step, from, pipe, loop }: Extract<Finding, { kind: "access" }>): Edge {
  const [a, b] = [pathOf(source), pathOf(step)];
  let depth = 0;
  while (depth < Math.min(a.length, b.length) - 1 && a[depth] === b[depth]) depth++;
  const [after, before] = [a[depth]!.index, b[depth]!.index];
  return { from, to: pipe, list: a[depth]!.list, after, before, loop: before <= after ? loop : undefined };
}
/** The innermost loop around a list whose turns take slots. */
function turnsAround(list: List): string | undefined {
  const { owner } = list;
  if (!owner || owner.node.kind !== "block") return undefined;
  return owner.node.turns ?? turnsAround(owner.list);
}
const isSame = (a: Edge, b: Edge): boolean => a.list === b.list && eventOf(a) === eventOf(b) && a.after === b.after && a.before === b.before && a.loop === b.loop; // prettier-ignore

class Synchroniser {
  private readonly order: Order;
  private edges: Edge[] = [];
  private readonly barriers = new Map<Step, Pipe[]>();
  private readonly meetings = new Set<Step>();

  constructor(order: Order) {
    this.order = order;
  }

  run(out: LineWriter): void {
    this.insert();
    this.edges = merged(this.edges, (e) => !isBack(e) || e.loop !== undefined);
    this.prune();
    this.separate();
    const ids = this.number();
    this.addBarriers();
    new Writer(this, ids, out).run(this.order.top, this.edges);
  }
  barriersAt = (step: Step): readonly Pipe[] => this.barriers.get(step) ?? [];
  meetsAt = (step: Step): boolean => this.meetings.has(step);
  private get flags(): Sync {
    return { edges: this.edges, meetings: this.meetings, barriers: undefined };
  }

  /** Flags that are missing, until none is. */
  private insert(): void {
    for (let isMissing = true; isMissing;) {
      isMissing = false;
      for (const f of this.order.check(this.flags)) {
        if (f.kind === "flag") continue;
        isMissing = true;
        const edge = edgeOf(f);
        if (!events.has(eventOf(edge))) this.meetings.add(f.step);
        else if (!this.edges.some((e) => isSame(e, edge))) this.edges.push(edge);
      }
    }
  }
  /** Drops what the rest implies. */
  private prune(): void {
    const meetings = [...this.meetings];
    for (const step of meetings) {
      this.meetings.delete(step);
      if (!this.order.isOrdered(this.flags)) this.meetings.add(step);
    }
    for (const edge of this.edges.toReversed()) {
      const all = this.edges;
      this.edges = all.filter((e) => e !== edge);
      if (!this.order.isOrdered(this.flags)) this.edges = all;
    }
  }
  /** Barriers where flags did not order two accesses of one pipe already. */
  private addBarriers(): void {
    for (let isMissing = true; isMissing;) {
      isMissing = false;
      for (const f of this.order.check({ ...this.flags, barriers: this.barriers })) {
        assert(f.kind === "access" && f.from === f.pipe, "synchronise: expected barriers to be all that is missing");
        isMissing = true;
        const known = this.barriersAt(f.step);
        if (!known.includes(f.pipe)) this.barriers.set(f.step, [...known, f.pipe]);
      }
    }
  }

  /** A flag that may be set again before it was waited for becomes one of two; where that is not enough, all pipes meet. */
  private separate(): void {
    for (;;) {
      const found = this.order.check(this.flags).find((f) => f.kind === "flag");
      if (!found || found.kind !== "flag") return;
      const { edge } = found;
      const loop = turnsAround(edge.list);
      const isTurning = !isBack(edge) && edge.loop === undefined && loop !== undefined;
      this.edges = this.edges.flatMap((e) => (e !== edge ? [e] : isTurning ? [{ ...e, loop }] : []));
      if (!isTurning) this.meet(edge);
    }
  }
  private meet(edge: Edge): void {
    this.meetings.add(edge.list.steps[edge.before]!);
  }

  /** First ids of the flags. Where an event has too few, flags of a list join, then those that cannot meet share one. */
  private number(): Map<Edge, number> {
    const crowded = new Set([...used(this.edges)].filter(([, n]) => n > NUM_EVENTS).map(([event]) => event));
    this.edges = merged(this.edges, (e) => crowded.has(eventOf(e)));
    this.separate();
    const ids = new Map<Edge, number>();
    const clashes = this.order.clashes(this.flags);
    for (const [event, n] of used(this.edges)) {
      const mine = this.edges.filter((e) => eventOf(e) === event);
      for (const [e, id] of n > NUM_EVENTS ? this.share(mine, clashes) : apart(mine)) ids.set(e, id);
    }
    return ids;
  }
  /** Ids for the flags of an event, those that cannot share first; a flag for which none is free is a meeting. */
  private share(flags: readonly Edge[], clashes: ReadonlyMap<Edge, ReadonlySet<Edge>>): Map<Edge, number> {
    const place = (e: Edge): number => e.list.steps[e.after]!.end;
    const ordered = flags.toSorted((a, b) => Number(isBack(b)) - Number(isBack(a)) || idsOf(b) - idsOf(a) || place(a) - place(b)); // prettier-ignore
    const ids = new Map<Edge, number>();
    let numIds = 0;
    /** Ids with the flags that have them, least recently taken first. */
    let names: { readonly id: number; readonly flags: readonly Edge[] }[] = [];
    for (const e of ordered) {
      const isNew = numIds + idsOf(e) <= NUM_EVENTS;
      const known = isNew ? undefined : names.find((n) => n.flags.every((f) => idsOf(f) === idsOf(e) && !clashes.get(e)!.has(f))); // prettier-ignore
      if (!isNew && !known) {
        this.edges = this.edges.filter((x) => x !== e);
        this.meet(e);
        continue;
      }
      const name = known ? { id: known.id, flags: [...known.flags, e] } : { id: numIds, flags: [e] };
      if (isNew) numIds += idsOf(e);
      names = [...names.filter((n) => n !== known), name];
      ids.set(e, name.id);
    }
    return ids;
  }
}

/** An id for every flag. */
function apart(flags: readonly Edge[]): Map<Edge, number> {
  let next = 0;
  return new Map(flags.map((e) => [e, (next += idsOf(e)) - idsOf(e)]));
}
const used = (edges: readonly Edge[]): Map<string, number> => edges.reduce((sum, e) => sum.set(eventOf(e), (sum.get(eventOf(e)) ?? 0) + idsOf(e)), new Map<string, number>()); // prettier-ignore

/** One flag for several of one kind in a list: set after the last is due, waited for before the first is needed. */
function merged(edges: readonly Edge[], isMergeable: (e: Edge) => boolean): Edge[] {
  const out: Edge[] = [];
  for (const e of edges.toSorted((a, b) => a.before - b.before)) {
    const i = out.findIndex((o) => isMergeable(e) && isMergeable(o) && o.list === e.list && eventOf(o) === eventOf(e) && o.loop === e.loop && isBack(o) === isBack(e) && (isBack(e) || Math.max(o.after, e.after) < Math.min(o.before, e.before))); // prettier-ignore
    if (i < 0) out.push(e);
    else out[i] = { ...e, after: Math.max(out[i]!.after, e.after), before: Math.min(out[i]!.before, e.before) };
  }
  return out;
}

const flag = (verb: "Set" | "Wait", e: Edge, id: string): string => `${verb}Flag<HardEvent::${eventOf(e)}>(${id});`;

class Writer {
  private readonly sync: Synchroniser;
  private readonly ids: ReadonlyMap<Edge, number>;
  private readonly out: LineWriter;
  constructor(sync: Synchroniser, ids: ReadonlyMap<Edge, number>, out: LineWriter) {
    [this.sync, this.ids, this.out] = [sync, ids, out];
  }

  run(top: List, edges: readonly Edge[]): void {
    const back = edges.filter(isBack);
    const each = (verb: "Set" | "Wait"): void => {
      for (const e of back) for (let i = 0; i < idsOf(e); i++) this.out.add(flag(verb, e, `EVENT_ID${this.ids.get(e)! + i}`)); // prettier-ignore
    };
    if (back.length) this.out.add("// Every place is free at first.");
    each("Set");
    this.list(top, edges);
    if (back.length) this.out.add("// And at the end.");
    each("Wait");
  }
  private id(e: Edge): string {
    const first = this.ids.get(e)!;
    if (e.loop === undefined) return `EVENT_ID${first}`;
    return first === 0 ? slotOf(e.loop) : `${first} + ${slotOf(e.loop)}`;
  }
  private list(list: List, edges: readonly Edge[]): void {
    const here = edges.filter((e) => e.list === list);
    for (const step of list.steps) {
      const { node, index } = step;
      for (const e of here) if (e.before === index) this.out.add(flag("Wait", e, this.id(e)));
      if (this.sync.meetsAt(step)) this.out.add("PipeBarrier<PIPE_ALL>();");
      for (const pipe of this.sync.barriersAt(step)) this.out.add(`PipeBarrier<PIPE_${pipe}>();`);
      if (node.kind === "comment") this.out.add(`// ${node.text}`);
      else if (node.kind === "instr") this.out.add(...node.lines);
      else this.out.block(node.head, () => this.list(step.body!, edges));
      for (const e of here) if (e.after === index) this.out.add(flag("Set", e, this.id(e)));
    }
  }
}

/** The text of a core's code with the synchronisation it needs, nothing pending before it. Pipes of `inOrder` need no barrier. */
export function synchronise(nodes: readonly Node[], out: LineWriter, inOrder: ReadonlySet<Pipe> = new Set()): void {
  assert(!inOrder.has("S"), "synchronise: the scalar unit is in order anyway");
  new Synchroniser(new Order(nodes, inOrder)).run(out);
}
