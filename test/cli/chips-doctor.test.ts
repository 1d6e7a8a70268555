/** `tessera chips doctor` as a user runs it: on a machine without anything, on mock vendors, and on a device that fails. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import type { ChipSurvey } from "../../src/device/survey.ts";
import { mockVendors } from "../device/mock/build.ts";

const skip = openCpu() ? false : "no C++ compiler";
const cache = mkdtempSync(join(tmpdir(), "tessera-doctor-"));
const mocks = skip ? undefined : mockVendors({ ascend: "sim:ascend-910b", mlu: "sim:mlu-370" }, false);
after(() => {
  mocks?.dispose();
  rmSync(cache, { recursive: true, force: true });
});

function doctor(env: Readonly<Record<string, string>>, ...args: string[]): { status: number | null; stdout: string } {
  const home = { ASCEND_HOME_PATH: "", NEUWARE_HOME: "", NO_COLOR: "1", TESSERA_CACHE_DIR: cache };
  return spawnSync(process.execPath, [resolve("bin/tessera"), "chips", "doctor", ...args], { encoding: "utf8", env: { ...process.env, ...home, ...env } }); // prettier-ignore
}
const json = (
  env: Readonly<Record<string, string>>,
): { status: number | null; isFine: boolean; chips: ChipSurvey[] } => {
  const { status, stdout } = doctor(env, "--json");
  return { status, ...(JSON.parse(stdout) as { isFine: boolean; chips: ChipSurvey[] }) };
};

test("nothing installed is nothing broken, and it says how to get it", () => {
  const { status, stdout } = doctor({ TESSERA_CHIP_LIBRARIES: cache });
  assert.equal(status, 0, stdout);
  for (const line of [/^ascend: nothing installed, which is no problem$/m, /libascendcl\.so +not found/, /to get it: install Huawei's Ascend driver/, /^mlu: nothing installed/m, /cncc +not found/]) assert.match(stdout, line); // prettier-ignore
});

test("devices of the mock vendors run every probe", { skip }, () => {
  const { status, isFine, chips } = json({ TESSERA_CHIP_LIBRARIES: mocks!.libraries, PATH: `${mocks!.bin}:${process.env["PATH"]}` }); // prettier-ignore
  assert.deepEqual(chips.flatMap(({ problems }) => problems), []); // prettier-ignore
  assert.deepEqual([status, isFine], [0, true]);
  const outcomes = Object.fromEntries(chips.map(({ vendor, devices }) => [vendor, devices[0]!.probes.map(({ name, outcome }) => `${name}: ${outcome.replace(/ \(.*/s, "")}`)])); // prettier-ignore
  const common = [
    "launch: runs",
    "rounding of casts: to nearest, ties to even; too large is infinity",
    "layout of the right operand: every column in its place",
  ];
  assert.deepEqual(outcomes["ascend"]!.slice(0, 3), common);
  assert.deepEqual(outcomes["mlu"]!.slice(0, 3), common);
  assert.deepEqual(outcomes["ascend"]!.slice(4), ["both cores: handed over", "lists of launches: they do", "precision of Rsqrt: an estimate of about half precision: Sqrt and Div stay", "limit of event ids: flag 7 is refused"]); // prettier-ignore
  assert.deepEqual(outcomes["mlu"]!.slice(4), [
    "both cores: handed over",
    "lists of launches: they do",
    "precision of __bang_rsqrt: as good as f32",
  ]);
  const [ascend, mlu] = chips;
  assert.match(ascend!.parts.find(({ what }) => what === "bisheng")!.found!, /bin\/bisheng \(mock bisheng 1\.0\)$/);
  assert.deepEqual([ascend!.devices[0]!.product, mlu!.devices[0]!.product], ["Ascend910B3", "MLU370-X8, mtp_372, 16 cores"]); // prettier-ignore
});

test("a device that cannot be used is a problem, and exit code 1", { skip }, () => {
  const { status, isFine, chips } = json({ TESSERA_CHIP_LIBRARIES: mocks!.libraries, TESSERA_MOCK_SOC: "Ascend310P3", TESSERA_MOCK_ISA: "999" }); // prettier-ignore
  assert.deepEqual([status, isFine], [1, false]);
  assert.match(chips[0]!.problems.join(), /^ascend:0: ascend: expected a device of Ascend 910B, 910C or 950, got "Ascend310P3"$/); // prettier-ignore
  assert.match(
    chips[1]!.problems.join(),
    /^mlu:0: mlu:0: expected an instruction set of 372, 592, got 999 \(MLU370-X8\)$/,
  );
});
