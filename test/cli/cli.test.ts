/** The program as a user runs it. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { runCommand, type CommandDef } from "citty";
import { TesseraError } from "../../src/base/errors.ts";
import { benchTrainCommand } from "../../src/cli/bench.ts";
import { chatCommand } from "../../src/cli/chat.ts";
import { dataCommand } from "../../src/cli/data.ts";
import { evalCommand } from "../../src/cli/eval.ts";
import { generateCommand } from "../../src/cli/generate.ts";
import { serveCommand } from "../../src/cli/serve.ts";
import { trainCommand } from "../../src/cli/train.ts";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";

const bin = resolve("bin/tessera");
const elsewhere = mkdtempSync(join(tmpdir(), "tessera-cli-"));
after(() => rmSync(elsewhere, { recursive: true, force: true }));
const run = (...args: string[]) => spawnSync(process.execPath, [bin, ...args], { cwd: elsewhere, encoding: "utf8" });

test("--help lists the commands, from any folder", () => {
  const { status, stdout } = run("--help");
  assert.equal(status, 0);
  for (const command of ["serve", "chat", "generate", "data", "eval", "train", "bench"])
    assert.match(stdout, new RegExp(command));
});

test("a reader that leaves is no error", async () => {
  const child = spawn(process.execPath, [bin, "inspect", "--plan", "v4-flash", "--json"], { stdio: ["ignore", "pipe", "pipe"] }); // prettier-ignore
  child.stdout.destroy();
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  assert.deepEqual([await once(child, "exit"), errors], [[0, null], ""]);
});

test("what is wrong is one line and exit code 1", () => {
  for (const [args, message] of [
    [["generate", "--prompt", "x", "--seed", "1.5"], /^error: --seed: expected a whole number .*got "1.5"\n$/],
    [["generate"], /^error: Missing required argument: --prompt\n.*--help/],
    [["nonsense"], /^error: Unknown command nonsense\n.*--help/],
  ] as const) {
    const { status, stderr } = run(...args);
    assert.equal(status, 1, args.join(" "));
    assert.match(stripVTControlCharacters(stderr), message);
  }
});

test("wrong flags are named with what was expected, before a model is loaded", async () => {
  const file = join(elsewhere, "text.png");
  writeFileSync(file, "just text");
  const cases: readonly [command: CommandDef<any>, args: readonly string[], message: RegExp][] = [
    [generateCommand, ["--modality", "smell"], /--modality: expected one of .*got "smell"/],
    [generateCommand, ["--temperature", "hot"], /--temperature: expected a number from 0 to 2, got "hot"/],
    [generateCommand, ["--seed", "abc"], /--seed: expected a number from 0 to 4294967295, got "abc"/],
    [generateCommand, ["--seed"], /--seed: expected a value, got none/],
    [generateCommand, ["--sed", "1"], /--sed: expected one of .*--seed/],
    [generateCommand, ["hello"], /hello: expected flags like --name value/],
    [generateCommand, ["--json=yes"], /--json: expected no value, got "yes"/],
    [generateCommand, ["--model", "/nowhere"], /expected a model folder at \/nowhere/],
    [generateCommand, ["--image", "none.png"], /--image: cannot read none.png \(ENOENT/],
    [generateCommand, ["--image", file], /text.png: image: expected PNG, JPEG or WebP data, got something unreadable/],
    [generateCommand, ["--out", "none/a.png"], /--out: expected an existing folder, found none at none/],
    [generateCommand, ["--out", "."], /--out: expected a file, got the folder/],
    [generateCommand, ["--out", "a.jpg", "--modality", "image"], /expected a file ending in .png for --modality image/],
    [generateCommand, ["--out", "a.png", "--modality", "video"], /expected a file ending in .mp4 for --modality video/],
    [generateCommand, ["--out", "a.png", "--modality", "text"], /expected a file ending in neither .png nor .mp4/],
    [serveCommand, ["--port", "99999"], /--port: expected a number from 0 to 65535, got "99999"/],
    [serveCommand, ["--allow-origin", "friend"], /--allow-origin: expected origins like .*got "friend"/],
    [chatCommand, ["--thinkin"], /--thinkin: expected one of .*--thinking/],
    [benchTrainCommand, ["--config", "huge"], /--config: expected one of nano, mini, shipped, got "huge"/],
    [benchTrainCommand, ["--rounds", "0"], /--rounds: expected .*from 1 to .*got "0"/],
    [evalCommand, ["--suite", "huge"], /--suite: expected smoke, got "huge"/],
    [trainCommand, ["visual", "--steps", "0"], /--steps: expected a number from 1/],
    [dataCommand, ["build", "--size", "huge"], /--size: expected nano or mini, got "huge"/],
  ];
  for (const [command, args, message] of cases) {
    const rawArgs = command === generateCommand ? ["--prompt", "x", ...args] : [...args];
    await assert.rejects(runCommand(command, { rawArgs }), (e) => e instanceof TesseraError && message.test(e.message), args.join(" ")); // prettier-ignore
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
      const match = /page\s+(http\S+)/.exec(stripVTControlCharacters(text));
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
