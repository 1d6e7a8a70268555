/** Whole or not at all. A full disk is /dev/full, reached through the name that the temporary file will have. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs"; // prettier-ignore
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { CapacityError, TesseraError } from "../../src/base/errors.ts";
import { writeWhole } from "../../src/base/files.ts";

const dir = mkdtempSync(join(tmpdir(), "tessera-files-"));
after(() => rmSync(dir, { recursive: true, force: true }));
const skip = existsSync("/dev/full") ? false : "no /dev/full";

test("a file is replaced whole, and nothing lies beside it", () => {
  const path = join(dir, "whole", "a.txt");
  mkdirSync(join(dir, "whole"));
  writeWhole(path, "old");
  writeWhole(path, "new 文");
  assert.equal(readFileSync(path, "utf8"), "new 文");
  assert.deepEqual(readdirSync(join(dir, "whole")), ["a.txt"]);
});

test("a full disk names the file and the bytes and leaves the old file whole", { skip }, () => {
  const path = join(dir, "full.txt");
  writeFileSync(path, "old");
  symlinkSync("/dev/full", `${path}.${process.pid}.tmp`);
  assert.throws(() => writeWhole(path, "x".repeat(1000)), (error) => {
    assert.ok(error instanceof CapacityError);
    assert.match(error.message, /full\.txt: expected room for 1000 bytes, got a full disk \(ENOSPC/);
    return true;
  }); // prettier-ignore
  assert.equal(readFileSync(path, "utf8"), "old");
  assert.equal(existsSync(`${path}.${process.pid}.tmp`), false);
});

test("a device is written to, never replaced", { skip }, () => {
  assert.throws(() => writeWhole("/dev/full", "x"), CapacityError);
  writeWhole("/dev/null", "x");
  assert.equal(readFileSync("/dev/null").length, 0);
});

test("a link stays a link", () => {
  const target = join(dir, "target.txt");
  writeFileSync(target, "old");
  symlinkSync(target, join(dir, "link.txt"));
  writeWhole(join(dir, "link.txt"), "new");
  assert.equal(readlinkSync(join(dir, "link.txt")), target);
  assert.equal(readFileSync(target, "utf8"), "new");
});

test("a place that cannot be written is named", () => {
  assert.throws(() => writeWhole(join(dir, "none", "a.txt"), "x"), (error) => {
    assert.ok(error instanceof TesseraError);
    assert.match(error.message, /none\/a\.txt: cannot be written \(ENOENT/);
    return true;
  }); // prettier-ignore
});
