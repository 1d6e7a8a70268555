/** A share of the mutation matrix of one chip, with the table of counts in the test's output. Minutes of one core: a file a chip. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";
import { mutationKinds } from "../../src/device/sim/mutate/mutant.ts";
import { outcomes, runMatrix } from "../../src/kernels/chip-check.ts";
import type { ChipName } from "../../src/tile/chips/types.ts";

/** One mutant of each kind that a program has a place for, of so many programs of every kernel. */
export function testSample(name: ChipName, perKernel: number): void {
  const skip = findCompiler() ? false : `sim:${name}: no C++ compiler`;
  test(`${name}: no mutant of an emitted kernel passes`, { skip }, async (t) => {
    const m = await runMatrix(name, { perKernel, sample: 1 });
    t.diagnostic(`${m.kernels.length} kernels; ${Object.entries(m.rules).map(([rule, n]) => `${n} ${rule}`).join(", ")}`); // prettier-ignore
    t.diagnostic(`${m.equivalentInSingleTurns} equivalent drops of order in texts with a loop of fewer than three turns: ${m.singleTurns.join(", ")}`); // prettier-ignore
    for (const kind of mutationKinds) t.diagnostic(`${kind}: tried ${m.table[kind].tried}, ${outcomes.map((o) => `${o} ${m.table[kind][o]}`).join(", ")}`); // prettier-ignore
    assert.deepEqual(m.failed, []);
    assert.deepEqual(m.survivors, []);
    assert.ok(m.kernels.length > 40 && outcomes.slice(0, 2).every((o) => mutationKinds.some((kind) => m.table[kind][o] > 0))); // prettier-ignore
  });
}
