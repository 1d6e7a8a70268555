import assert from "node:assert/strict";
import { test } from "node:test";
import { openReport } from "../../src/cli/report.ts";

/** A stream that keeps what is written. */
function fakeStream(isTTY: boolean): { stream: NodeJS.WriteStream; text: () => string } {
  const written: string[] = [];
  const write = (chunk: string): boolean => written.push(chunk) > 0;
  const stream = { isTTY, columns: 100, write, cursorTo: () => {}, clearLine: () => {}, moveCursor: () => {} };
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => written.join("") };
}

test("without a terminal a phase is a line at its begin and one at its end, however often it reports", () => {
  const { stream, text } = fakeStream(false);
  const report = openReport(stream, "again");
  report.phase("pictures", 3);
  for (const done of [1, 2, 3, 3, 3]) report.progress(done);
  report.note("a note");
  report.phase("unpack", 0);
  report.close();
  assert.equal(text(), "pictures: 0/3\npictures: 3/3\na note\nunpack ...\n");
});

test("on a terminal a phase is a bar with its name and counts, and a note stands on a line of its own", () => {
  const { stream, text } = fakeStream(true);
  const report = openReport(stream, "again");
  report.phase("pictures", 3);
  report.progress(2);
  report.note("a note");
  report.progress(3);
  report.close();
  assert.match(text(), /pictures.*0\/3/);
  assert.match(text(), /\na note\n/);
  assert.match(text(), /pictures.*3\/3/);
});

test("signals are let go when the report closes", () => {
  const before = process.listenerCount("SIGINT");
  {
    using report = openReport(fakeStream(false).stream, "again");
    report.phase("pictures", 1);
    assert.equal(process.listenerCount("SIGINT"), before + 1);
  }
  assert.equal(process.listenerCount("SIGINT"), before);
});
