/**
 * What one launch of a program does not show of its mutants, and more launches that do: first others of the same text, then
 * those near it (chip-nearby.ts). Main function: `judgeMore`.
 */
import { WITHOUT_LAST } from "../device/sim/mutate/ascend.ts";
import type { MutationKind } from "../device/sim/mutate/mutant.ts";
import type { Outcome, Verdict } from "./chip-bench.ts";
import type { Job } from "./chip-jobs.ts";
import type { Judged } from "./chip-journal.ts";
import type { RecordedLaunch } from "./chip-launches.ts";
import type { Nearby } from "./chip-nearby.ts";

/** Kinds that only order what a kernel does. */
export const ofOrder: ReadonlySet<MutationKind> = new Set([
  "drop one synchronisation",
  "swap ids",
  "drop a barrier of one pipe",
]);
const SHARE: MutationKind = "one core missing or extra";

export const all = ({ mutants }: Job): number[] => mutants.map((_, i) => i);
/** Mutants by number that another launch of the program may still show: what was not reached, and order where loops have few turns. */
const leftOf = (job: Job, { short, verdicts }: Judged): number[] =>
  all(job).filter((i) => {
    const { outcome } = verdicts[i]!;
    return (
      outcome === "unreached" || (outcome === "equivalent" && short.length > 0 && ofOrder.has(job.mutants[i]!.kind))
    );
  });
/** Caught by one launch is caught; of the rest the worst. */
const verdictsBySay: readonly Outcome[] = ["rejected", "wrong", "survived", "equivalent", "unreached"];
const better = (a: Verdict, b: Verdict): Verdict =>
  verdictsBySay.indexOf(b.outcome) < verdictsBySay.indexOf(a.outcome) ? b : a;

/** What is known of a program after one more launch, in which those `left` were tried. */
function joined(a: Judged, b: Judged, left: readonly number[]): Judged {
  const verdicts = a.verdicts.slice();
  left.forEach((i, n) => (verdicts[i] = better(verdicts[i]!, b.verdicts[n] ?? verdicts[i]!)));
  return { isSteady: a.isSteady && b.isSteady, short: a.short.filter((l) => b.short.includes(l)), verdicts };
}

/** Judges mutants by number in a launch. */
export type Judge = (launch: RecordedLaunch, left: readonly number[]) => Promise<Judged>;

/** `first`: what the program's own launch said of every mutant. */
export async function judgeMore(job: Job, first: Judged, judge: Judge): Promise<Judged> {
  let judged = first;
  for (const other of first.isSteady ? job.others : []) {
    const left = leftOf(job, judged);
    const launch = left.length > 0 ? other() : undefined;
    if (launch) judged = joined(judged, await judge(launch, left), left);
  }
  return judged.isSteady ? judgeNearby(job, judged, judge) : judged;
}

/** Whether a launch with more programs, or with more turns in each, may reach a mutant. */
const mayReach = (more: Nearby["more"], kind: MutationKind): boolean => more === undefined || (kind === SHARE) === (more === "programs" || more === "shares"); // prettier-ignore
/** Whether such a launch may show what is left. */
function wants(job: Job, { short, verdicts }: Judged, more: NonNullable<Nearby["more"]>): boolean {
  const isReach = more !== "many turns" && verdicts.some(({ outcome }, i) => outcome === "unreached" && mayReach(more, job.mutants[i]!.kind)); // prettier-ignore
  return isReach || (more !== "shares" && short.some((loop) => loop.endsWith(" pid") === (more === "programs")));
}
/**
 * Loops that take more turns there say more of order only if their programs have something to do, down to the last one:
 * without it the answer is another.
 */
async function judgeNearby(job: Job, first: Judged, judge: Judge): Promise<Judged> {
  let judged = first;
  const last = all(job).filter((i) => job.mutants[i]!.edits.some((e) => e.text === WITHOUT_LAST));
  for (const { launch, more } of job.near()) {
    if (leftOf(job, judged).length === 0) break;
    if (more && !wants(job, judged, more)) continue;
    const asEmitted = await judge(launch, []);
    if (!asEmitted.isSteady) continue;
    const { short } = judged;
    const isLonger =
      short.some((l) => !asEmitted.short.includes(l)) &&
      (await judge(launch, last)).verdicts.some(({ outcome }) => outcome === "wrong");
    const unreached = leftOf(job, { ...judged, short: [] }).filter((i) => mayReach(more, job.mutants[i]!.kind));
    const left = isLonger ? leftOf(job, judged) : unreached;
    if (left.length > 0) judged = joined(judged, await judge(launch, left), left);
    if (!isLonger) judged = { ...judged, short };
  }
  return judged;
}
