/** Progress of compilation on a terminal and elsewhere. */
import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { test } from "node:test";
import { compileProgress } from "../../src/cli/progress.ts";

test("progress: plain lines where there is no terminal", () => {
  let text = "";
  const report = compileProgress({ write: (t) => (text += t) });
  report(0, 60);
  report(12, 60);
  assert.equal(text, "compiling kernels 0/60, first start only\ncompiling kernels 12/60, first start only\n");
});

test("progress: a bar on a terminal, which goes away when all is done", () => {
  let text = "";
  const terminal = Object.assign(new Writable({ write: (chunk, _e, done) => ((text += String(chunk)), done()) }), { isTTY: true, columns: 100, cursorTo: () => true, moveCursor: () => true, clearLine: () => true }); // prettier-ignore
  const report = compileProgress(terminal);
  report(0, 60);
  report(60, 60);
  assert.match(text, /compiling kernels \[.*\] \d+\/60, first start only/);
  assert.doesNotMatch(text, /\n/);
});
