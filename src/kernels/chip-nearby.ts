/**
 * Launches of an emitted text near a recorded one, for mutants that the recorded ones do not show: what a text computes
 * hangs on its numbers, not on who launched it. A number that is less ends a tile early, or leaves nothing; more of a
 * number, in memory that is larger by as much, is more turns of a loop; programs beyond the data find every guard closed.
 * No case makes such launches, so one counts only where the text as emitted keeps every rule in it.
 * Main function: `nearby`.
 */
import type { RecordedCall, RecordedLaunch } from "./chip-launches.ts";

/** Turns in which what takes two places by turns takes the first again. */
const TURNS = 3;
/** Where a tile is larger than its data, three times of them may still be one tile; these are whole lines of memory, too. */
const MORE: readonly number[] = [16];
/** Numbers whose rows end with a line of memory in every type, where cores may share them. */
const WHOLE = 64;
/** Programs of the recorded launch by how many times its numbers, of the larger ones: an audit grows faster than the work it follows. */
const MOST_PROGRAMS = 160;
/** Of all buffers of a launch. */
const MOST_BYTES = 4 << 20;

const withCall = (launch: RecordedLaunch, call: Partial<RecordedCall>): RecordedLaunch => ({ ...launch, calls: [{ ...launch.calls[0]!, ...call }] }); // prettier-ignore
/** Every buffer's bytes over again. */
const repeated = (launch: RecordedLaunch, times: number): RecordedLaunch => ({
  ...launch,
  buffers: launch.buffers.map(({ dtype, before }) => {
    const bytes = new Uint8Array(before.length * times);
    for (let i = 0; i < times; i++) bytes.set(before, i * before.length);
    return { dtype, before: bytes };
  }),
});

/** Names of the numbers that a program divides by, which are never 0. */
function divisorsOf(node: unknown, isDivisor = false): string[] {
  if (typeof node !== "object" || node === null) return [];
  const { kind, op, name } = node as { readonly kind?: string; readonly op?: string; readonly name?: string };
  if (kind === "param") return isDivisor ? [name!] : [];
  const isQuotient = kind === "bin" && (op === "div" || op === "mod");
  return Object.entries(node).flatMap(([key, part]) => divisorsOf(part, isDivisor || (isQuotient && key === "b")));
}

export interface Nearby {
  readonly launch: RecordedLaunch;
  /** What there is more of: programs, turns of loops within them (so many times that only a loop asks for it), or neither. */
  readonly more: "programs" | "turns" | "many turns" | undefined;
}
/** Of a launch of one program; those that run for longer last. */
export function* nearby(launch: RecordedLaunch): Generator<Nearby> {
  const { program, grid, args } = launch.calls[0]!;
  const withNumber = (i: number, value: number): RecordedCall["args"] => args.map((a, n) => (n === i ? value : a));
  const numbers = program.params.flatMap((p, i) => (p.kind === "index" && (args[i] as number) > 0 ? [{ i, value: args[i] as number }] : []));
  for (const beyond of [1, 2]) yield { launch: withCall(launch, { grid: grid.map((n) => n + beyond) }), more: undefined };
  for (const axis of grid.keys()) yield { launch: withCall(launch, { grid: grid.map((n, a) => (a === axis ? n + 1 : n)) }), more: undefined };
  const divisors = divisorsOf(program);
  for (const { i, value } of numbers)
    for (const less of new Set([value - 1, 0]))
      if (less > 0 || !divisors.includes(program.params[i]!.name)) yield { launch: withCall(launch, { args: withNumber(i, less) }), more: undefined };
  const size = launch.buffers.reduce((n, b) => n + b.before.length, 0);
  const programs = grid.reduce((a, b) => a * b, 1);
  const allNumbers = (i: number): boolean => numbers.some((n) => n.i === i);
  /** Numbers that become others, with memory that grows as they do. */
  const changed = (isChanged: (i: number) => boolean, of: (value: number) => number): { readonly args: RecordedCall["args"]; readonly room: number } => {
    const values = args.map((a, i) => (typeof a === "number" && isChanged(i) ? of(a) : a));
    const room = numbers.reduce((n, { i, value }) => n * Math.ceil((values[i] as number) / value), 1);
    return { args: values, room };
  };
  function* larger(choices: readonly { readonly args: RecordedCall["args"]; readonly room: number }[], times: number, more: Nearby["more"]): Generator<Nearby> {
    for (const c of choices.filter(({ room }) => room * size <= MOST_BYTES)) {
      const room = repeated(launch, c.room);
      for (const axis of grid.keys()) yield { launch: withCall(room, { args: c.args, grid: grid.map((n, a) => (a === axis ? n * times : n)) }), more: "programs" };
      if (c.args !== args) yield { launch: withCall(room, { args: c.args }), more };
    }
  }
  const toLines = (value: number): number => Math.ceil(value / WHOLE) * WHOLE;
  yield* larger([...numbers.map((n) => changed((i) => i === n.i, toLines)), changed(allNumbers, toLines)], TURNS, undefined);
  for (const times of [TURNS, ...MORE.filter((n) => n * programs <= MOST_PROGRAMS)]) {
    // Some numbers bound each other, such as two that a row is made of; arrays have seldom more than two of them.
    const all = { args: changed(allNumbers, (n) => n * times).args, room: times ** 2 };
    const own = numbers.map((n) => changed((i) => i === n.i, (v) => v * times));
    yield* larger([...(times === TURNS ? [{ args, room: times }] : []), ...own, all], times, times > TURNS ? "many turns" : "turns");
  }
} // prettier-ignore
