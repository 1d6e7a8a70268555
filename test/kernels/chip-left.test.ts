/** Which further launches the mutation matrix tries, and what it takes from them. No simulator: verdicts are made up. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { WITHOUT_LAST } from "../../src/device/sim/mutate/ascend.ts";
import type { Outcome } from "../../src/kernels/chip-bench.ts";
import type { Job } from "../../src/kernels/chip-jobs.ts";
import type { Judged } from "../../src/kernels/chip-journal.ts";
import type { RecordedLaunch } from "../../src/kernels/chip-launches.ts";
import { judgeMore } from "../../src/kernels/chip-left.ts";
import { nearby } from "../../src/kernels/chip-nearby.ts";
import { kernel } from "../../src/tile/builder.ts";

const program = kernel("scale_rows", (k) => {
  const [rows, cols] = [k.index("rows"), k.index("cols")];
  const at = [k.programId(0).mul(8), 0];
  const x = k.load(k.view(k.buffer("x", "f32"), [rows, cols]), at, [8, 16]);
  k.store(k.view(k.buffer("y", "f32", "out"), [rows, cols]), at, x.mul(2));
});
const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => i % 251);
const launch: RecordedLaunch = {
  calls: [{ program, grid: [2], args: [12, 10, { buffer: 0, byteOffset: 0 }, { buffer: 1, byteOffset: 0 }] }],
  buffers: [480, 480].map((n) => ({ dtype: "f32" as const, before: bytes(n) })),
  tolerance: { rtol: 0, atol: 0, why: "" },
};
const numbersOf = ({ calls }: RecordedLaunch): unknown[] => [calls[0]!.grid, ...calls[0]!.args.slice(0, 2)];

test("launches near another: beyond the grid, less of each number, more of it in larger memory", () => {
  const all = [...nearby(launch, true)];
  const few = all.filter((n) => n.launch.buffers[0]!.before.length === 480);
  assert.deepEqual(few.filter((n) => !n.more).map((n) => numbersOf(n.launch)), [[[3], 12, 10], [[4], 12, 10], [[3], 12, 10], [[2], 11, 10], [[2], 0, 10], [[2], 12, 9], [[2], 12, 0]]); // prettier-ignore
  // A group of one program at the end, and fewer programs than the data has.
  assert.deepEqual(few.filter((n) => n.more).slice(0, 3).map((n) => [n.more, ...numbersOf(n.launch)]), [["shares", [17], 11, 10], ["shares", [1], 11, 10], ["shares", [17], 0, 10]]); // prettier-ignore
  const more = all.slice(few.length).map((n) => [n.more, ...numbersOf(n.launch)]);
  const own = more.filter(([kind]) => kind !== "programs" && kind !== "shares");
  // Rows that end with a line of memory, then three times the rows and columns.
  assert.deepEqual(own.slice(0, 6), [[undefined, [2], 64, 10], [undefined, [2], 12, 64], [undefined, [2], 64, 64], ["turns", [2], 36, 10], ["turns", [2], 12, 30], ["turns", [2], 36, 30]]); // prettier-ignore
  assert.deepEqual(more.filter(([, , rows]) => rows === 36).slice(0, 4), [["programs", [6], 36, 10], ["shares", [17], 36, 10], ["shares", [1], 36, 10], ["turns", [2], 36, 10]]); // prettier-ignore
  const { buffers } = all.find((n) => n.launch.calls[0]!.args[0] === 36)!.launch;
  assert.deepEqual(buffers.map((b) => b.before.length), [1440, 1440]); // prettier-ignore
  assert.deepEqual(buffers[0]!.before.subarray(960), launch.buffers[0]!.before);
  // Where any cores may take any programs, lines of memory do not matter.
  const plain = [...nearby(launch, false)];
  assert.ok(plain.every((n) => n.more !== "shares" && n.launch.calls[0]!.args[0] !== 64));
  assert.deepEqual(plain.slice(7, 10).map((n) => [n.more, ...numbersOf(n.launch)]), [["programs", [6], 12, 10], ["programs", [6], 36, 10], ["turns", [2], 36, 10]]); // prettier-ignore
});

const kinds = ["drop one synchronisation", "drop the fill of a padded tail", "one core missing or extra"] as const;
const job: Job = {
  kernel: program.name,
  name: "case",
  emitted: undefined as never,
  launch,
  others: [],
  near: () => nearby(launch, true),
  mutants: kinds.map((kind) => ({ kind, where: "line 1", edits: [{ start: 0, end: 1, text: kind === "one core missing or extra" ? WITHOUT_LAST : ";" }] })), // prettier-ignore
  args: [],
};
const judged = (outcomes: readonly Outcome[], short: readonly string[] = [], isSteady = true): Judged => ({ isSteady, short, verdicts: outcomes.map((outcome) => ({ outcome, rule: "" })) }); // prettier-ignore
/** Verdicts of a launch as `says` has them for its rows and programs. */
const judgeWith = (says: (rows: number, programs: number) => Judged) => async (l: RecordedLaunch, left: readonly number[]): Promise<Judged> => {
  const all = says(l.calls[0]!.args[0] as number, l.calls[0]!.grid[0]!);
  return { ...all, verdicts: left.map((i) => all.verdicts[i]!) };
}; // prettier-ignore
const outcomesOf = ({ verdicts }: Judged): Outcome[] => verdicts.map((v) => v.outcome);

test("a mutant that its launch does not reach is taken from a launch near it, if the text itself keeps the rules there", async () => {
  const first = judged(["wrong", "unreached", "wrong"]);
  const caught = (isSteady: boolean) => judgeWith((rows) => judged(["wrong", rows === 11 ? "rejected" : "unreached", "wrong"], [], isSteady || rows !== 11)); // prettier-ignore
  assert.deepEqual(outcomesOf(await judgeMore(job, first, caught(true))), ["wrong", "rejected", "wrong"]);
  assert.deepEqual(outcomesOf(await judgeMore(job, first, caught(false))), ["wrong", "unreached", "wrong"]);
});

test("a loop counts as taken three times only where every program has something to do", async () => {
  const first = judged(["equivalent", "wrong", "wrong"], ["7 pid"]);
  const longer = (last: Outcome) => judgeWith((_, programs) => judged(["wrong", "wrong", last], programs > 2 ? [] : ["7 pid"])); // prettier-ignore
  const shown = await judgeMore(job, first, longer("wrong"));
  assert.deepEqual([outcomesOf(shown), shown.short], [["wrong", "wrong", "wrong"], []]);
  const idle = await judgeMore(job, first, longer("unreached"));
  assert.deepEqual([outcomesOf(idle), idle.short], [["equivalent", "wrong", "wrong"], ["7 pid"]]);
});
