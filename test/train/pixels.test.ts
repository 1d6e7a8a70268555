/** Broken data files: which file, what was expected, what was found. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { FormatError } from "../../src/base/errors.ts";
import { openPixels } from "../../src/train/data/pixels.ts";

const dir = mkdtempSync(join(tmpdir(), "tessera-pixels-"));
after(() => rmSync(dir, { recursive: true, force: true }));
const SIZE = 4;
const FRAMES = 5;
const PICTURE_BYTES = SIZE * SIZE * 3;

function build(): void {
  const entries = [{ isHeldOut: false }, { isHeldOut: true }];
  for (const name of ["images.json", "clips.json"]) writeFileSync(join(dir, name), JSON.stringify(entries));
  writeFileSync(join(dir, "images.bin"), new Uint8Array(2 * PICTURE_BYTES).fill(7));
  writeFileSync(join(dir, "clips.bin"), new Uint8Array(2 * PICTURE_BYTES * FRAMES).fill(9));
}

test("whole files are read by index", () => {
  build();
  const pixels = openPixels(dir, SIZE, FRAMES);
  assert.deepEqual(pixels.picture(1), new Uint8Array(PICTURE_BYTES).fill(7));
  assert.deepEqual(pixels.emojiClip(1), new Uint8Array(PICTURE_BYTES * FRAMES).fill(9));
  pixels.close();
});

test("truncated, broken and missing files are named, never read as black pictures", () => {
  const cases: readonly [file: string, change: (path: string) => void, message: RegExp][] = [
    ["images.bin", (path) => truncateSync(path, 95), /images\.bin: expected 2 items of 48 bytes \(96\), found 95 bytes/],
    ["clips.bin", (path) => rmSync(path), /clips\.bin: cannot be read; run `tessera data build` first/],
    ["images.json", (path) => truncateSync(path, 10), /images\.json: expected readable JSON \(.+\); run `tessera data build`/],
    ["clips.json", (path) => writeFileSync(path, "{}"), /clips\.json: expected a list, found object/],
  ]; // prettier-ignore
  for (const [file, change, message] of cases) {
    build();
    const path = join(dir, file);
    change(path);
    assert.throws(() => openPixels(dir, SIZE, FRAMES), (e) => e instanceof FormatError && e.file === path && message.test(e.message), file); // prettier-ignore
  }
});
