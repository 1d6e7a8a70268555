/** Every kernel case on every device against its reference twin. A device that is absent is skipped by name. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isWithin, type KernelCase, type OpCases } from "../../src/kernels/case.ts";
import { allCases } from "../../src/kernels/all-cases.ts";
import { bf16ToF32 } from "../../src/base/bf16.ts";
import { toHost } from "../../src/kernels/nd-array.ts";
import { availableDevices } from "./devices.ts";

/** The twins are the slowest part and the same for every device. */
const wanted = new Map<KernelCase, ReturnType<KernelCase["expected"]>>();
function expectedOf(c: KernelCase): ReturnType<KernelCase["expected"]> {
  let want = wanted.get(c);
  if (!want) wanted.set(c, (want = c.expected()));
  return want;
}

for (const { name, device, reason } of availableDevices()) {
  if (!device) {
    test(`${name}: all kernel cases`, { skip: reason ?? "absent" }, () => {});
    continue;
  }
  for (const { op, cases } of allCases as readonly OpCases[])
    for (const c of cases)
      test(`${name}: ${op}: ${c.name}`, () => {
        const got = c.run(device);
        const want = expectedOf(c);
        assert.equal(got.length, want.length, "number of outputs");
        got.forEach((array, i) => {
          const raw = toHost(array);
          const values = array.dtype === "bf16" ? bf16ToF32(raw as Uint16Array) : raw;
          assert.equal(values.length, want[i]!.length, `output ${i}: size`);
          const { rtol, atol } = c.tolerance;
          for (let j = 0; j < values.length; j++) {
            const [g, w] = [values[j]!, want[i]![j]!];
            if (!isWithin(g, w, c.tolerance))
              assert.fail(`output ${i}, element ${j}: expected ${w}, got ${g} (bound ${atol} + ${rtol}|x|: ${c.tolerance.why})`); // prettier-ignore
          }
        });
      });
}
