/** The program as a user runs it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { test } from "node:test";

const bin = resolve("bin/tessera");
const elsewhere = mkdtempSync(join(tmpdir(), "tessera-cli-"));
const run = (...args: string[]) => spawnSync(process.execPath, [bin, ...args], { cwd: elsewhere, encoding: "utf8" });

test("--help lists the commands, from any folder", () => {
  const { status, stdout } = run("--help");
  assert.equal(status, 0);
  for (const command of ["serve", "chat", "generate", "data", "train", "bench"])
    assert.match(stdout, new RegExp(command));
});

test("wrong flags are named with what was expected", () => {
  const cases = [
    [["generate", "--prompt", "x", "--modality", "smell"], /--modality: expected one of .*got "smell"/],
    [["generate", "--prompt", "x", "--temperature", "hot"], /--temperature: expected a number from 0 to 2, got "hot"/],
    [["generate", "--prompt", "x", "--model", "/nowhere"], /expected a model folder at \/nowhere/],
    [["generate", "--prompt", "x", "--image", "none.png"], /--image: cannot read none.png/],
    [["data", "build", "--size", "huge"], /expected nano or mini, got "huge"/],
  ] as const;
  for (const [args, message] of cases) {
    const { status, stderr } = run(...args);
    assert.equal(status, 1, args.join(" "));
    assert.match(stderr, message);
  }
});
