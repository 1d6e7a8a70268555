/** `inspect`, `import` and `export` as a user runs them. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";

const bin = resolve("bin/tessera");
const dir = mkdtempSync(join(tmpdir(), "tessera-cli-checkpoint-"));
after(() => rmSync(dir, { recursive: true, force: true }));
const run = (...args: string[]) => spawnSync(process.execPath, [bin, ...args], { cwd: dir, encoding: "utf8", maxBuffer: 1 << 26 }); // prettier-ignore

test("a plan lists every tensor of a released model", () => {
  const { status, stdout } = run("inspect", "--plan", "v4-flash", "--json");
  assert.equal(status, 0);
  const plan = JSON.parse(stdout) as { numTensors: number; sizeBytes: number; tensors: { name: string }[] };
  assert.deepEqual([plan.numTensors, plan.sizeBytes, plan.tensors.length], [69_187, 159_609_485_896, 69_187]);
});

test("the shipped model goes out and comes back, and a bad file is one line", () => {
  const model = resolve("assets/model");
  assert.equal(run("export", "--model", model, "--layout", "transformers", "--out", "out").status, 0);
  const { status, stdout } = run("inspect", "out");
  assert.equal(status, 0);
  assert.match(stdout, /layout: transformers\nevery tensor of the config is there, and no other/);
  assert.equal(run("import", "out", "--out", "back").status, 0);
  const four = run("export", "--model", model, "--dtype", "w4a8", "--out", "four");
  assert.match(four.stdout, /bytes into four, \d\d % of 17,\d+,\d+/);
  assert.match(run("inspect", "four").stdout, /\n  I8 .*\n[^]*weights: .*linear int8 \d+.*expert int4 84/);
  writeFileSync(join(dir, "bad.gguf"), "GGUFnonsense");
  const bad = run("inspect", "bad.gguf");
  assert.equal(bad.status, 1);
  assert.match(bad.stderr, /gguf: .*bad\.gguf: expected version 3/);
});
