/** The mutation matrix of 950, sampled, beside mutants-ascend.test.ts: each is minutes of one core. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";
import { mutationKinds } from "../../src/device/sim/mutate/mutant.ts";
import { outcomes, runMatrix } from "../../src/kernels/chip-check.ts";

test("ascend-950: no mutant of an emitted kernel passes", { skip: findCompiler() ? false : "sim:ascend: no C++ compiler" }, async (t) => {
  const { kernels, table, survivors, failed } = await runMatrix("ascend-950", { perKernel: 1, sample: 1 });
  t.diagnostic(`${kernels.length} kernels`);
  for (const kind of mutationKinds) t.diagnostic(`${kind}: tried ${table[kind].tried}, ${outcomes.map((o) => `${o} ${table[kind][o]}`).join(", ")}`);
  assert.deepEqual(failed, []);
  assert.deepEqual(survivors, []);
}); // prettier-ignore
