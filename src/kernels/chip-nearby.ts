/**
 * Launches of an emitted text near a recorded one, for mutants that the recorded ones do not show: what a text computes
 * hangs on its numbers, not on who launched it. A number that is less ends a tile early, or leaves nothing; more of a
 * number, in memory that is larger by as much, is more turns of a loop, or rows that end with a line of memory, which cores
 * may share; programs beyond the data find every guard closed.
 * No case makes such launches, so one counts only where the text as emitted keeps every rule in it.
 * Main function: `nearby`.
 */
import type { RecordedCall, RecordedLaunch } from "./chip-launches.ts";

/** Turns in which what takes two places by turns takes the first again. */
const TURNS = 3;
/** Where a tile is larger than its data, three times of them may still be one tile. */
const MORE = 16;
/** So many times in every launch that only shares a grid otherwise: its programs are few. */
const MOST = 64;
/** Programs along one axis alone, which are shared in groups of 1, 2, 4, 8 or 16: the last one is always a group of its own. */
const WITH_LAST = 17;
/** Numbers whose rows end with a line of memory in every type, where cores may share them. */
const WHOLE = 64;
/** Of a launch, and those of the recorded one by how many times its numbers are as large: an audit grows faster than the work it follows. */
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

export interface Nearby {
  readonly launch: RecordedLaunch;
  /**
   * What there is more of: programs, turns of loops within them (so many times that only a loop asks for it), or neither.
   * "shares": only what each core takes of the grid is another.
   */
  readonly more: "programs" | "shares" | "turns" | "many turns" | undefined;
}
/** A launch with other numbers, in memory that is `room` times as large. */
interface Larger {
  readonly args: RecordedCall["args"];
  readonly room: number;
}

/**
 * Of a launch of one program; those that run for longer last. `sharesLines`: cores must not write into one line of memory,
 * so how they share a grid depends on numbers.
 */
export function* nearby(launch: RecordedLaunch, sharesLines: boolean): Generator<Nearby> {
  const { program, grid, args } = launch.calls[0]!;
  const numbers = program.params.flatMap((p, i) => (p.kind === "index" && (args[i] as number) > 0 ? [i] : []));
  const changed = (which: readonly number[], of: (value: number) => number): RecordedCall["args"] => args.map((a, i) => (which.includes(i) ? of(a as number) : a)); // prettier-ignore
  const alongAxes = (times: number, more: number): number[][] => grid.map((_, axis) => grid.map((n, a) => (a === axis ? n * times + more : n))); // prettier-ignore
  const beyond = [1, 2].map((n) => grid.map((g) => g + n));
  for (const g of [...beyond, ...alongAxes(1, 1)]) yield { launch: withCall(launch, { grid: g }), more: undefined };
  // Where there are fewer programs than the data has, the next one would find something to do.
  const few = [...grid.map((_, axis) => grid.map((_n, a) => (a === axis ? WITH_LAST : 1))), grid.map((n) => Math.ceil(n / 2)), grid.map(() => 1)]; // prettier-ignore
  const shares = sharesLines ? few.filter((g, i) => few.findIndex((f) => f.join() === g.join()) === i) : [];
  for (const i of numbers)
    for (const less of new Set([(args[i] as number) - 1, 0])) {
      const call = { args: changed([i], () => less) };
      yield { launch: withCall(launch, call), more: undefined };
      for (const g of shares) yield { launch: withCall(launch, { ...call, grid: g }), more: "shares" };
    }

  const size = launch.buffers.reduce((n, b) => n + b.before.length, 0);
  const programsOf = (g: readonly number[]): number => g.reduce((a, b) => a * b, 1);
  /** With more programs, too, but where numbers are larger for shares alone; so few that each has something to do. */
  function* larger(choices: readonly Larger[], more: Nearby["more"]): Generator<Nearby> {
    const wider = more === "shares" || (more === "many turns" && programsOf(grid) * MORE > MOST_PROGRAMS) ? [] : alongAxes(TURNS, 0); // prettier-ignore
    for (const c of choices.filter(({ room }) => room * size <= MOST_BYTES)) {
      const own = withCall(repeated(launch, c.room), { args: c.args });
      for (const g of wider) yield { launch: withCall(own, { grid: g }), more: "programs" };
      for (const g of shares) yield { launch: withCall(own, { grid: g }), more: "shares" };
      if (c.args !== args && wider.length > 0) yield { launch: own, more };
    }
  }
  const toLines = (value: number): number => Math.ceil(value / WHOLE) * WHOLE;
  const withLines = (which: readonly number[]): Larger => ({
    args: changed(which, toLines),
    room: which.reduce((n, i) => n * Math.ceil(toLines(args[i] as number) / (args[i] as number)), 1),
  });
  const offLines = numbers.filter((i) => toLines(args[i] as number) !== args[i]);
  if (sharesLines && offLines.length > 0) yield* larger([...offLines.map((i) => withLines([i])), withLines(offLines)], undefined); // prettier-ignore
  // Some numbers bound each other, such as two that a row is made of; arrays have seldom more than two of them.
  const scaled = (times: number): Larger[] => [
    ...numbers.map((i) => ({ args: changed([i], (n) => n * times), room: times })),
    { args: changed(numbers, (n) => n * times), room: times ** 2 },
  ];
  yield* larger([{ args, room: TURNS }, ...scaled(TURNS)], "turns");
  yield* larger(scaled(MORE), "many turns");
  yield* larger(scaled(MOST), "shares");
}
