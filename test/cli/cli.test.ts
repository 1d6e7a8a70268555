/** The program as a user runs it. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";

const bin = resolve("bin/tessera");
const elsewhere = mkdtempSync(join(tmpdir(), "tessera-cli-"));
after(() => rmSync(elsewhere, { recursive: true, force: true }));
const run = (...args: string[]) => spawnSync(process.execPath, [bin, ...args], { cwd: elsewhere, encoding: "utf8" });

test("--help lists the commands, from any folder", () => {
  const { status, stdout } = run("--help");
  assert.equal(status, 0);
  for (const command of ["serve", "chat", "generate", "data", "train"]) assert.match(stdout, new RegExp(command));
});

test("wrong flags are named with what was expected, before a model is loaded", () => {
  writeFileSync(join(elsewhere, "text.png"), "just text");
  const x = ["generate", "--prompt", "x"];
  const cases: readonly [args: readonly string[], message: RegExp][] = [
    [[...x, "--modality", "smell"], /--modality: expected one of .*got "smell"/],
    [[...x, "--temperature", "hot"], /--temperature: expected a number from 0 to 2, got "hot"/],
    [[...x, "--seed", "abc"], /--seed: expected a number from 0 to 4294967295, got "abc"/],
    [[...x, "--seed", "1.5"], /--seed: expected a whole number from 0 to 4294967295, got "1.5"/],
    [[...x, "--seed"], /--seed: expected a value, got none/],
    [[...x, "--sed", "1"], /--sed: expected one of .*--seed/],
    [[...x, "hello"], /hello: expected flags like --name value/],
    [[...x, "--json=yes"], /--json: expected no value, got "yes"/],
    [[...x, "--model", "/nowhere"], /expected a model folder at \/nowhere/],
    [[...x, "--image", "none.png"], /--image: cannot read none.png/],
    [
      [...x, "--image", "text.png"],
      /--image: text.png: image: expected PNG, JPEG or WebP data, got something unreadable/,
    ],
    [[...x, "--out", "none/a.png"], /--out: expected an existing folder, found none at none/],
    [[...x, "--out", "."], /--out: expected a file, got the folder/],
    [[...x, "--out", "a.jpg", "--modality", "image"], /--out: expected a file ending in .png for --modality image/],
    [[...x, "--out", "a.png", "--modality", "video"], /--out: expected a file ending in .mp4 for --modality video/],
    [["serve", "--port", "99999"], /--port: expected a number from 0 to 65535, got "99999"/],
    [["serve", "--allow-origin", "friend"], /--allow-origin: expected origins like .*got "friend"/],
    [["train", "visual", "--steps", "0"], /--steps: expected a number from 1/],
    [["train", "visual", "--data", "none"], /none\/images.json: expected readable JSON .*tessera data build/],
    [["data", "build", "--size", "huge"], /expected nano or mini, got "huge"/],
  ];
  for (const [args, message] of cases) {
    const { status, stderr } = run(...args);
    assert.equal(status, 1, args.join(" "));
    assert.match(stderr, message);
    assert.doesNotMatch(stderr, /\n +at /, "no stack");
  }
});

const skip = openCpu() ? false : "no C++ compiler";

test("text, a picture, a clip from that picture, and a caption, with the shipped model", { skip }, () => {
  const json = (...args: string[]): { text: string; files: string[]; seed: number; finishReason: string } => {
    const { status, stdout, stderr } = run("generate", "--seed", "1", "--json", ...args);
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout) as ReturnType<typeof json>;
  };
  const text = json("--prompt", "Hello!", "--modality", "text", "--max-tokens", "8", "--out", "hello.txt");
  assert.equal(readFileSync(join(elsewhere, "hello.txt"), "utf8"), `${text.text}\n`);
  // The ending says what is wanted.
  assert.deepEqual(json("--prompt", "a red circle", "--out", "scene.png").files, ["scene.png"]);
  const png = readFileSync(join(elsewhere, "scene.png"));
  assert.equal(png.subarray(1, 4).toString(), "PNG");
  assert.deepEqual(json("--prompt", "it moves", "--modality", "video", "--image", "scene.png").files, ["clip.mp4"]);
  assert.equal(readFileSync(join(elsewhere, "clip.mp4")).subarray(4, 8).toString(), "ftyp");
  assert.deepEqual(json("--prompt", "What is this?", "--image", "scene.png", "--max-tokens", "4", "--modality", "text").files, []); // prettier-ignore
  // Same seed, same bytes.
  json("--prompt", "a red circle", "--out", "again.png");
  assert.deepEqual(readFileSync(join(elsewhere, "again.png")), png);
  const long = run("generate", "--prompt", "x ".repeat(9000));
  assert.match(long.stderr, /expected at most 2047 tokens before the answer, got \d{4,} \(context 2048\)/);
});

test("chat answers, forgives a mistake, and leaves at the end of its input", { skip }, () => {
  const input = "/help\n/look none.png what?\n/text Hello!\n/clear\n";
  const { status, stdout, stderr } = spawnSync(process.execPath, [bin, "chat"], { cwd: elsewhere, encoding: "utf8", input }); // prettier-ignore
  assert.equal(status, 0, stderr);
  assert.match(stdout, /\/look FILE prompt/);
  assert.match(stderr, /--look: cannot read none.png/);
  assert.ok(stdout.trim().split("\n").length >= 7, "an answer stands between the prompts");
});

test("serve prints its address, and a second one on that port says which and what to try", { skip }, async () => {
  const child = spawn(process.execPath, [bin, "serve", "--port", "0", "--open"], { cwd: elsewhere, stdio: ["ignore", "pipe", "inherit"] }); // prettier-ignore
  const ended = once(child, "exit");
  const url = await new Promise<string>((resolve) => {
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      const match = /page\s+(http\S+)/.exec(text);
      if (match) resolve(match[1]!);
    });
  });
  try {
    assert.match(await (await fetch(url)).text(), /<title>Tessera<\/title>/);
    const { port } = new URL(url);
    const second = run("serve", "--port", port);
    assert.equal(second.status, 1);
    assert.match(second.stderr, new RegExp(`port ${port}: expected a free port, but it is in use; try --port ${Number(port) + 1}`)); // prettier-ignore
  } finally {
    child.kill("SIGINT");
  }
  assert.deepEqual(await ended, [0, null]);
});
