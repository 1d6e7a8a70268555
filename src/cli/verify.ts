/** `tessera verify`: the network against the golden outputs of reference implementations. Exit code 1 on failure. */
import { join } from "node:path";
import { openDevice } from "../device/open.ts";
import { goldenSuites, runSuite, type SuiteResult } from "../model/verify.ts";
import { command, packageDir } from "./common.ts";

export const verifyCommand = command(
  { name: "verify", description: "Compare the network with golden outputs of reference implementations" },
  {
    // Every case has its own shapes, so compiled kernels would take longer to build than plain ones to run.
    device: { type: "string", description: "cpu, js or interpreter", default: "js" },
    json: { type: "boolean", description: "Print one JSON object", default: false },
  },
  async (args) => {
    const device = openDevice(args.device);
    const suites = goldenSuites(join(packageDir, "test", "golden", "v4")).map((suite) => {
      let done = 0;
      const result = runSuite(suite, device, (name) => progress(suite.name, ++done, suite.cases.length, name));
      if (!args.json) process.stdout.write(`${lineOf(result)}\n`);
      return result;
    });
    const isOk = suites.every((s) => s.failures.length === 0);
    if (args.json) process.stdout.write(`${JSON.stringify({ ok: isOk, device: device.properties.name, suites })}\n`);
    if (!isOk) process.exitCode = 1;
  },
);

function progress(suite: string, done: number, total: number, name: string): void {
  if (process.stderr.isTTY)
    process.stderr.write(`\r\x1b[K${done === total ? "" : `${suite} ${done}/${total} ${name}`}`);
}

function lineOf({ suite, cases, worst, bound, unit, why, failures, notes }: SuiteResult): string {
  const head = failures.length === 0 ? "ok  " : "FAIL";
  const lines = [
    `${head}  ${suite}: ${cases} cases, worst ${worst.toExponential(2)}, bound ${bound.toPrecision(3)} (of: ${unit}; ${why})`,
  ];
  return [...lines, ...failures.map((f) => `      ${f}`), ...notes.map((n) => `      (${n})`)].join("\n");
}
