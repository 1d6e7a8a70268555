/**
 * Kernels that the compiler emits, on the simulated 910B against their reference twins. A few by default, since the host's
 * compiler takes seconds for each; TESSERA_SIM_CASES=all runs every case whose kernels have a lowering.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bf16ToF32 } from "../../src/base/bf16.ts";
import { CompileError } from "../../src/base/errors.ts";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";
import { PlanningDevice } from "../../src/device/planning.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import { allCases } from "../../src/kernels/all-cases.ts";
import type { KernelCase } from "../../src/kernels/case.ts";
import { toHost } from "../../src/kernels/nd-array.ts";
import { chips } from "../../src/tile/chips/chips.ts";
import { emitAscend } from "../../src/tile/emit/ascend/ascend.ts";
import type { TileProgram } from "../../src/tile/ir.ts";

/** A vector kernel, a product on the cube, one that passes tiles between the cores, a sort. */
const few: ReadonlySet<string> = new Set(["map: row vector", "matmul: bf16 3x33x50 B^T", "indexer: scores", "indexer: mask top 4 of 13"]); // prettier-ignore
const chip = chips["ascend-910b"];
const isEverything = process.env["TESSERA_SIM_CASES"] === "all";
/** Minutes on a simulator, and no other kernel. */
const isLong = (c: KernelCase): boolean => c.name === "long";

/** The programs a case launches there; undefined where one has no lowering. */
function programsOf(c: KernelCase): readonly TileProgram[] | undefined {
  const planning = new PlanningDevice({ name: "none", target: "none", numThreads: 1, features: [], chip });
  try {
    c.run(planning);
    planning.programs.forEach((p) => emitAscend(p, chip));
    return planning.programs;
  } catch (error) {
    if (error instanceof CompileError) return undefined;
    throw error;
  }
}

const skip = findCompiler() ? false : "no C++ compiler";
const device = skip ? undefined : openSim("sim:ascend-910b");
const chosen = allCases.flatMap(({ op, cases }) =>
  cases.flatMap((c) => (isEverything ? !isLong(c) : few.has(`${op}: ${c.name}`)) ? [{ name: `${op}: ${c.name}`, c, programs: programsOf(c) }] : []),
); // prettier-ignore
// All at once: one translation unit costs little more than one kernel.
device?.build(chosen.flatMap(({ programs }) => programs ?? []));

test("the few are there", () => {
  if (!isEverything) assert.deepEqual(new Set(chosen.map(({ name }) => name)), few);
});

for (const { name, c, programs } of chosen)
  test(
    `sim:ascend-910b: ${name}`,
    { skip: skip || (programs ? false : "a kernel of training has no lowering") },
    () => {
      const want = c.expected();
      c.run(device!).forEach((array, i) => {
        const raw = toHost(array);
        const got = array.dtype === "bf16" ? bf16ToF32(raw as Uint16Array) : raw;
        assert.equal(got.length, want[i]!.length, `output ${i}: size`);
        const { rtol, atol, why } = c.tolerance;
        for (let j = 0; j < got.length; j++) {
          const [g, w] = [got[j]!, want[i]![j]!];
          assert.ok(g === w || Math.abs(g - w) <= atol + rtol * Math.abs(w), `output ${i}, element ${j}: expected ${w}, got ${g} (${why})`); // prettier-ignore
        }
      });
    },
  );
