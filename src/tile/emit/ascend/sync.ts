/**
 * Orders the pipes of a core: before an instruction that touches bytes another one may still be using, a flag from
 * that pipe to this one (`SetFlag` and `WaitFlag`), or a barrier where both are on one pipe. Instructions of one pipe
 * are taken to overlap, as on architecture 2201. Loops are walked until what may be pending at their head is stable.
 * A flag is set and waited for in one place; its id is free again once the setting pipe is known to come after the wait.
 * Main function: `synchronise`. Rules: the public Ascend C programming guide (events and barriers).
 */
import { DEVICE, type Access, type Node, type Pipe } from "./code.ts";
import { LineWriter } from "../c-like/line-writer.ts";

/** Ids that programs may use of each event; 6 and 7 are the tool chain's. */
const NUM_EVENTS = 6;
const events: ReadonlySet<string> = new Set([
  "S_V", "S_MTE2", "S_MTE3", "V_S", "MTE2_S", "MTE3_S", "V_MTE2", "V_MTE3", "MTE2_V", "MTE3_V", "MTE2_MTE3", "MTE3_MTE2",
  "M_MTE1", "M_MTE2", "M_FIX", "MTE1_M", "MTE1_MTE2", "MTE2_M", "MTE2_MTE1", "FIX_M", "FIX_MTE1",
]); // prettier-ignore

/** Something issued, and the pipes whose later work is known to come after it. */
interface Pending {
  readonly pipe: Pipe;
  readonly access?: Access;
  readonly before: Set<Pipe>;
}
type State = Map<string, Pending>;

const copy = (s: State): State => new Map([...s].map(([k, p]) => [k, { ...p, before: new Set(p.before) }]));

/** What may be pending after either of two ways. */
function join(a: State, b: State): State {
  const out = copy(a);
  for (const [key, p] of b) {
    const known = out.get(key);
    if (!known) out.set(key, { ...p, before: new Set(p.before) });
    else for (const pipe of known.before) if (!p.before.has(pipe)) known.before.delete(pipe);
  }
  return out;
}
const textOf = (s: State): string => [...s].map(([k, p]) => `${k}>${[...p.before].toSorted()}`).toSorted().join(";"); // prettier-ignore
const keyOf = (a: Access): string => `${a.pipe} ${a.isWrite ? "w" : "r"} ${a.memory} ${a.from} ${a.to}`;
const conflicts = (a: Access, b: Access): boolean => a.memory === b.memory && a.from < b.to && b.from < a.to && (a.isWrite || b.isWrite); // prettier-ignore

const allPipes: readonly Pipe[] = ["S", "V", "M", "MTE1", "MTE2", "MTE3", "FIX"];
/** The scalar unit issues everything, so what it has read comes before all that follows. */
const ordered = ({ pipe, isWrite }: Access): Set<Pipe> => new Set(pipe !== "S" ? [] : isWrite ? ["S"] : allPipes);

const accessesOf = (nodes: readonly Node[]): Access[] => nodes.flatMap((n) => (n.kind === "instr" ? n.accesses : n.kind === "block" ? accessesOf(n.body) : [])); // prettier-ignore

class Walk {
  private readonly out: LineWriter;
  constructor(out: LineWriter) {
    this.out = out;
  }

  /** Writes `nodes`, which begin in `state`; returns where they end. */
  list(nodes: readonly Node[], state: State): State {
    let at = state;
    for (const node of nodes) at = this.node(node, at);
    return at;
  }

  private node(node: Node, state: State): State {
    switch (node.kind) {
      case "comment":
        this.out.add(`// ${node.text}`);
        return state;
      case "instr": {
        this.order(node.accesses, state);
        this.out.add(...node.lines);
        for (const access of node.accesses)
          state.set(keyOf(access), { pipe: access.pipe, access, before: ordered(access) });
        return state;
      }
      case "block": {
        // What the turns of a loop must wait for once, they wait for before the first.
        if (node.repeats && !node.isGrid) this.order(accessesOf(node.body), state);
        let entry = copy(state);
        for (let before = "?"; node.repeats && before !== textOf(entry);) {
          before = textOf(entry);
          const end = new Walk(new LineWriter()).list(node.body, copy(entry));
          if (node.isGrid) for (const [key, p] of end) if (p.access?.memory.startsWith(DEVICE)) end.delete(key);
          entry = join(entry, end);
        }
        let end = entry;
        this.out.block(node.head, () => void (end = this.list(node.body, copy(entry))));
        return join(entry, end);
      }
    }
  }

  /** Flags that `accesses` need, then barriers where flags did not order two of one pipe already. */
  private order(accesses: readonly Access[], state: State): void {
    for (const isSame of [false, true])
      for (const mine of accesses)
        for (const p of state.values()) {
          if (!p.access || (p.pipe === mine.pipe) !== isSame) continue;
          if (p.before.has(mine.pipe) || !conflicts(p.access, mine)) continue;
          if (isSame) this.barrier(mine.pipe, state);
          else this.flag(p.pipe, mine.pipe, state);
        }
  }
  private barrier(pipe: Pipe, state: State): void {
    this.out.add(`PipeBarrier<PIPE_${pipe}>();`);
    for (const p of state.values()) if (p.pipe === pipe) p.before.add(pipe);
  }
  private flag(from: Pipe, to: Pipe, state: State): void {
    const event = `${from}_${to}`;
    const ids = Array.from({ length: NUM_EVENTS }, (_, id) => id);
    const id = events.has(event) ? ids.find((i) => state.get(`${event} ${i}`)?.before.has(from) ?? true) : undefined;
    if (id === undefined) {
      this.out.add("PipeBarrier<PIPE_ALL>();");
      for (const p of state.values()) allPipes.forEach((pipe) => p.before.add(pipe));
      state.clear();
      return;
    }
    this.out.add(`SetFlag<HardEvent::${event}>(EVENT_ID${id});`, `WaitFlag<HardEvent::${event}>(EVENT_ID${id});`);
    // What the scalar unit has waited for comes before all that it issues.
    const after = to === "S" ? allPipes : [to];
    for (const p of state.values()) if (p.pipe === from || p.before.has(from)) after.forEach((pipe) => p.before.add(pipe)); // prettier-ignore
    state.set(`${event} ${id}`, { pipe: to, before: new Set(after) });
  }
}

/** The text of a core's code with the synchronisation it needs, nothing pending before it. */
export function synchronise(nodes: readonly Node[], out: LineWriter): void {
  new Walk(out).list(nodes, new Map());
}
