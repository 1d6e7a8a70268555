/** One process per run folder, and a run's manners: Ctrl-C, a log that cannot be written. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { RequestError } from "../../src/base/errors.ts";
import { lockFolder, refuseIfLocked } from "../../src/train/lock.ts";
import { Run } from "../../src/train/run.ts";

const root = mkdtempSync(join(tmpdir(), "tessera-lock-"));
after(() => rmSync(root, { recursive: true, force: true }));

const lockOf = (dir: string): string => join(root, dir, "run.lock");
const owner = (dir: string): { pid: number } => JSON.parse(readFileSync(lockOf(dir), "utf8")) as { pid: number };
function plant(dir: string, text: string): void {
  mkdirSync(join(root, dir), { recursive: true });
  writeFileSync(lockOf(dir), text);
}

test("a second run in one folder is refused by the first one's process, until that ends", () => {
  const dir = join(root, "two");
  {
    using _first = lockFolder(dir);
    const message = new RegExp(`two: expected a free folder, got one in which process ${process.pid} `);
    assert.throws(() => lockFolder(dir), (e) => e instanceof RequestError && message.test(e.message) && e.param === "run"); // prettier-ignore
    assert.throws(() => refuseIfLocked(dir), message);
    assert.throws(() => new Run({ dir, numSteps: 1, quiet: true }, 0), message);
  }
  assert.equal(existsSync(lockOf("two")), false);
  using _next = lockFolder(dir);
  assert.equal(owner("two").pid, process.pid);
});

test("the lock of a process that is gone is taken over", () => {
  const { pid } = spawnSync(process.execPath, ["-e", ""]);
  plant("gone", JSON.stringify({ pid, host: hostname(), since: "2020", ticks: "1" }));
  using _lock = lockFolder(join(root, "gone"));
  assert.equal(owner("gone").pid, process.pid);
});

test(
  "a process number given to another process since is not the old owner",
  { skip: existsSync("/proc/self/stat") ? false : "no /proc" },
  () => {
    plant("reused", JSON.stringify({ pid: process.pid, host: hostname(), since: "2020", ticks: "1" }));
    using _lock = lockFolder(join(root, "reused"));
    assert.notEqual(readFileSync(lockOf("reused"), "utf8").includes('"2020"'), true);
  },
);

test("a lock of another machine is believed; half a lock is not", () => {
  plant("far", JSON.stringify({ pid: 1, host: "another-machine", since: "2020", ticks: "" }));
  assert.throws(() => lockFolder(join(root, "far")), /process 1 on another-machine trains since 2020/);
  plant("half", "{");
  using _lock = lockFolder(join(root, "half"));
  assert.equal(owner("half").pid, process.pid);
});

test("Ctrl-C asks the loop to stop, tells the caller, and the folder is free again", () => {
  const dir = join(root, "interrupt");
  let told = 0;
  {
    using run = new Run({ dir, numSteps: 10, quiet: true, onInterrupt: () => told++ }, 0);
    assert.equal(run.shouldStop, false);
    process.emit("SIGINT");
    assert.equal(run.shouldStop, true);
  }
  assert.equal(told, 1);
  assert.equal(existsSync(lockOf("interrupt")), false);
});

test("a log on a full disk does not stop the run", { skip: existsSync("/dev/full") ? false : "no /dev/full" }, () => {
  const dir = join(root, "full");
  mkdirSync(dir);
  symlinkSync("/dev/full", join(dir, "log.jsonl"));
  using run = new Run({ dir, numSteps: 10, quiet: true }, 0);
  run.report({ step: 1, loss: 1 }, "");
  assert.equal(run.shouldStop, false);
});
