/**
 * The mutation matrix of emitted Ascend C: a stride of the mutants of every kernel of inference, at least one of each
 * kind that the kernel has a place for. `tessera chips check` runs them all.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";
import { ascendMutants } from "../../src/device/sim/mutate/ascend.ts";
import { applyMutant, mutationKinds, withMutants } from "../../src/device/sim/mutate/mutant.ts";
import { outcomes, runMatrix } from "../../src/kernels/chip-check.ts";
import { chips } from "../../src/tile/chips/chips.ts";

const skip = findCompiler() ? false : "no C++ compiler";

test("mutants of a text: one source holds them all, lines keep their numbers", () => {
  const source = [
    "void ts_kernel(GM_ADDR x) {",
    "  LocalTensor<float> a(TPosition::VECCALC, 0, 64);",
    "  SetFlag<HardEvent::MTE2_V>(EVENT_ID0);",
    "  WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);",
    "  Muls(a, a, 2.0f, 64);",
    "}",
  ].join("\n");
  const mutants = ascendMutants(source, chips["ascend-910b"]);
  const kinds = mutants.map((m) => m.kind);
  assert.equal(kinds.filter((k) => k === "drop one synchronisation").length, 3);
  assert.equal(kinds.filter((k) => k === "swap ids").length, 2);
  assert.equal(kinds.filter((k) => k === "shrink or overlap a buffer").length, 1);
  const all = withMutants(source, mutants, true);
  assert.equal(all.split("\n").length, 6);
  assert.match(all, /GM_ADDR x, int64_t mutant\)/);
  assert.match(applyMutant(source, mutants.at(-1)!), /VECCALC, 0, 56/);
});

for (const name of ["ascend-910b", "ascend-950"] as const)
  test(`${name}: no mutant of an emitted kernel passes`, { skip }, async (t) => {
    const { kernels, table, rules, survivors, failed, singleTurns, equivalentInSingleTurns } = await runMatrix(name, { perKernel: 1, sample: 1 }); // prettier-ignore
    t.diagnostic(`${kernels.length} kernels; ${Object.entries(rules).map(([rule, n]) => `${n} ${rule}`).join(", ")}`); // prettier-ignore
    t.diagnostic(
      `${equivalentInSingleTurns} equivalent drops of order where a loop has fewer than three turns: ${singleTurns.join(", ")}`,
    );
    for (const kind of mutationKinds)
      t.diagnostic(`${kind}: tried ${table[kind].tried}, ${outcomes.map((o) => `${o} ${table[kind][o]}`).join(", ")}`);
    assert.deepEqual(failed, []);
    assert.deepEqual(survivors, []);
  });
