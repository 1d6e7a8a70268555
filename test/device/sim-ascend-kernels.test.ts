/**
 * Kernels that the compiler emits, on the simulated 910B and 950 with every rule checked, against their reference twins:
 * every case but those that launch a kernel of training which has no lowering, each skipped by name.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { bf16ToF32 } from "../../src/base/bf16.ts";
import { CompileError } from "../../src/base/errors.ts";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";
import { PlanningDevice } from "../../src/device/planning.ts";
import { openSim } from "../../src/device/sim/open-sim.ts";
import { allCases } from "../../src/kernels/all-cases.ts";
import { isWithin, type KernelCase } from "../../src/kernels/case.ts";
import { toHost } from "../../src/kernels/nd-array.ts";
import { chips } from "../../src/tile/chips/chips.ts";
import type { Chip } from "../../src/tile/chips/types.ts";
import { emitAscend } from "../../src/tile/emit/ascend/ascend.ts";
import type { TileProgram } from "../../src/tile/ir.ts";
import { watchTraffic } from "./traffic.ts";

const skip = findCompiler() ? false : "no C++ compiler";
const training = new Set(allCases.flatMap((c) => c.training ?? []));
/** Without "long", which takes minutes and no other path. */
const cases = allCases.flatMap(({ op, cases: list, onlyWhere = () => true }) =>
  list.filter((c) => c.name !== "long").map((c) => ({ name: `${op}: ${c.name}`, c, onlyWhere })),
);

/** The programs a case launches on a chip, and which of training's it has no lowering for. */
function programsOf(c: KernelCase, chip: Chip): { programs: readonly TileProgram[]; refused: string | undefined } {
  const planning = new PlanningDevice({ name: "none", target: "none", numThreads: 1, features: [], chip });
  c.run(planning);
  for (const p of planning.programs)
    try {
      emitAscend(p, chip);
    } catch (error) {
      if (!(error instanceof CompileError && training.has(p.name))) throw error;
      return { programs: [], refused: p.name };
    }
  return { programs: planning.programs, refused: undefined };
}

function check(
  got: Float32Array | Int32Array | Uint8Array,
  want: Float32Array | Int32Array,
  c: KernelCase,
  name: string,
): void {
  assert.equal(got.length, want.length, `${name}: size`);
  const { why } = c.tolerance;
  for (let j = 0; j < got.length; j++) {
    const [g, w] = [got[j]!, want[j]!];
    assert.ok(isWithin(g, w, c.tolerance), `${name}, element ${j}: expected ${w}, got ${g} (${why})`); // prettier-ignore
  }
}

for (const chip of [chips["ascend-910b"], chips["ascend-950"]])
  test(`sim:${chip.name}: all kernel cases`, { skip }, async (t) => {
    const device = openSim(`sim:${chip.name}`);
    const planned = cases.filter((c) => c.onlyWhere(chip)).map(({ name, c }) => ({ name, c, ...programsOf(c, chip) }));
    // All at once: one translation unit costs little more than one kernel.
    device.build(planned.flatMap(({ programs }) => programs));
    const traffic = watchTraffic(device);
    for (const { name, c, refused } of planned)
      await t.test(name, { skip: refused ? `no lowering of ${refused}, a kernel of training` : false }, () => {
        const want = c.expected();
        c.run(device).forEach((array, i) => {
          const raw = toHost(array);
          check((array.dtype === "bf16" ? bf16ToF32(raw as Uint16Array) : raw) as Float32Array, want[i]!, c, `output ${i}`); // prettier-ignore
        });
      });
    assert.ok(traffic.launches > 100, `expected the launches of all cases, got ${traffic.launches}`);
    assert.deepEqual(traffic.wrong, [], "the bytes of the cost model are those that are counted");
  });
