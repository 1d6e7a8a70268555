/**
 * What is asked of the Ascend simulator about a list of kernels: the right numbers in every order and on any number of
 * blocks, and no mutation accepted. Main function: `checkCases`.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";
import { foreignKernel, kindOf } from "../../src/device/sim/foreign.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import type { SimDevice, SimKernel } from "../../src/device/sim/sim-device.ts";
import type { SimCase } from "./sim-ascend-cases.ts";
import { withMutants } from "./sim-mutants.ts";
import { outcomeOf, runCase } from "./sim-run.ts";

interface Asked {
  readonly chip?: string;
  /** Numbers of blocks that a kernel runs on. */
  readonly blocks?: readonly number[];
  /** Functions of threads run when they are issued, so that only the report tells of an edge that is missing. */
  readonly runsAtIssue?: boolean;
  /** What a mutant of a kind must be refused for, or "wrong numbers"; any of these if not told. */
  readonly rules?: Readonly<Record<string, RegExp>>;
}

/** The device and the kernels with their mutants, for whatever else is asked of them; undefined without a compiler. */
export function checkCases(
  cases: readonly SimCase[],
  { chip = "sim:ascend-910b", blocks = [1, 3, 20], runsAtIssue = false, rules = {} }: Asked = {},
): { readonly device: SimDevice; readonly kernels: readonly SimKernel[] } | undefined {
  const skip = findCompiler() ? false : "no C++ compiler";
  const device = skip ? undefined : openSim(chip);
  const kernels: SimKernel[] = skip ? [] : device!.compileKernels(cases.map((c) => foreignKernel(withMutants(c.source, c.name, c.mutants), c.name, [...c.args, "mutant"], c.kind))); // prettier-ignore

  test("kinds: a kernel's kind is read from its source", () => {
    for (const c of cases) assert.equal(kindOf(c.source), c.kind, c.name);
  });

  for (const [i, c] of cases.entries())
    test(`${c.name}: right on ${blocks.join(", ")} blocks in every order`, { skip }, () => {
      for (const numBlocks of blocks)
        for (const seed of [0, 1, 2, 3])
          assert.ok(runCase(device!, kernels[i]!, c, { numBlocks, seed, audit: seed === 3 }, [0]), `${numBlocks} blocks, seed ${seed}`); // prettier-ignore
    });

  test("mutations: each is rejected or gives wrong numbers, by the rule it breaks", { skip }, (t) => {
    const survivors: string[] = [];
    const table = new Map<string, Map<string, number>>();
    for (const [i, c] of cases.entries())
      c.mutants.forEach(({ kind, edits }, m) => {
        let outcome = "accepted";
        for (const seed of [0, 1, 2]) {
          outcome = outcomeOf(() => runCase(device!, kernels[i]!, c, { numBlocks: 3, seed }, [m + 1]));
          if (outcome !== "accepted") break;
        }
        if (outcome === "accepted" || !(rules[kind] ?? /./).test(outcome)) survivors.push(`${c.name}: ${kind}: ${edits[0]!.find} -> ${edits[0]!.with}: ${outcome}`); // prettier-ignore
        const row = table.get(kind) ?? new Map<string, number>();
        row.set(outcome, (row.get(outcome) ?? 0) + 1);
        table.set(kind, row);
      });
    for (const [kind, row] of table) t.diagnostic(`${kind}: ${[...row].map(([outcome, n]) => `${n} ${outcome}`).join(", ")}`); // prettier-ignore
    assert.deepEqual(survivors, []);
  });

  if (!runsAtIssue)
    test("a missing edge gives wrong numbers too, in some order, where races are not reported", { skip }, (t) => {
      let [wrong, all] = [0, 0];
      for (const [i, c] of cases.entries())
        c.mutants.forEach(({ kind }, m) => {
          if (!kind.startsWith("drop one") && kind !== "drop PIPE_M") return;
          const run = (seed: number, reportRaces: boolean): string =>
            outcomeOf(() => runCase(device!, kernels[i]!, c, { numBlocks: 3, seed, reportRaces }, [m + 1]));
          if (!run(0, true).startsWith("race")) return;
          all++;
          if ([0, 1, 2, 3, 4].some((seed) => run(seed, false) !== "accepted")) wrong++;
        });
      t.diagnostic(`${wrong} of ${all} races also give wrong numbers`);
      assert.ok(wrong * 2 > all);
    });
  return device && { device, kernels };
}
