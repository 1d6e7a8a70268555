/**
 * What `npm test` runs: types, linter, formatter, layers, then every test file under test/.
 * A check counts as one test. The last line is `N passed, N failed`, with skips named above it.
 */
import { spawn, spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";

const only = process.argv.slice(2);
const bin = (name) => join("node_modules", ".bin", name);
const code = ["src", "test", "tools", "bin", "bench"];
const checks = [
  ["types", bin("tsc"), ["--noEmit"]],
  ["lint", bin("oxlint"), ["--deny-warnings", ...code]],
  ["format", bin("oxfmt"), ["--check", ...code]],
  ["layers", process.execPath, ["--import", "tsx", "tools/check-layers.ts"]],
];

let passed = 0;
let failed = 0;
if (only.length === 0)
  for (const [name, command, args] of checks) {
    const result = spawnSync(command, args, { encoding: "utf8" });
    const ok = result.status === 0;
    if (ok) passed++;
    else failed++;
    console.log(`${ok ? "ok" : "FAILED"}  ${name}`);
    if (!ok) console.log(`${result.stdout}${result.stderr}`.split("\n").slice(0, 60).join("\n"));
  }

const files =
  only.length > 0
    ? only
    : readdirSync("test", { recursive: true })
        .filter((f) => f.endsWith(".test.ts"))
        .map((f) => join("test", f))
        .sort();
const skipped = [];
await new Promise((done) => {
  const child = spawn(
    process.execPath,
    ["--import", "tsx", "--test", "--test-concurrency=2", "--test-timeout=600000", "--test-reporter=tap", ...files],
    // Some CI services ask programs for colours; tests read plain text.
    { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, NO_COLOR: "1" } },
  );
  let rest = "";
  let inFailure = false;
  child.stdout.setEncoding("utf8");
  child.stdout.on("data", (chunk) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const total = /^# (pass|fail) (\d+)/.exec(line);
      if (total?.[1] === "pass") passed += Number(total[2]);
      else if (total) failed += Number(total[2]);
      const skip = /^\s*ok \d+ - (.*) # SKIP ?(.*)$/.exec(line);
      if (skip) skipped.push(`${skip[1]} (${skip[2]})`);
      if (/^\s*not ok/.test(line)) inFailure = true;
      if (inFailure) console.log(line);
      if (/^\s*\.\.\.$/.test(line)) inFailure = false;
      const file = /^# Subtest: (.*\.test\.ts)$/.exec(line);
      if (file) console.log(file[1]);
    }
  });
  child.on("close", done);
});

for (const name of skipped) console.log(`skipped: ${name}`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);
