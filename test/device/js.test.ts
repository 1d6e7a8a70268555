/** The js device as a user meets it: in the place of a missing compiler, with the same answers. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { openCpu } from "../../src/device/cpu/cpu-device.ts";
import { openDevice } from "../../src/device/open.ts";
import { openJs } from "../../src/device/js/js-device.ts";
import { kernel } from "../../src/tile/builder.ts";
import { greedy } from "../../src/engine/tiny-network.ts";

const empty = mkdtempSync(join(tmpdir(), "tessera-no-compiler-"));
after(() => rmSync(empty, { recursive: true, force: true }));

test("without a compiler, generate answers on js and says so once", () => {
  const { CXX: _cxx, TESSERA_DEVICE: _device, ...rest } = process.env;
  const args = ["generate", "--prompt", "Hello!", "--max-tokens", "3", "--temperature", "0", "--json"];
  const run = (own: Record<string, string>) =>
    spawnSync(process.execPath, [resolve("bin/tessera"), ...args], { encoding: "utf8", env: { ...rest, PATH: empty, ...own } }); // prettier-ignore
  const fallback = run({});
  assert.equal(fallback.status, 0, fallback.stderr);
  assert.match(fallback.stderr, /^no C\+\+ compiler found: .*js target.*slower.*g\+\+ or clang\+\+.*CXX.*\n$/);
  const answer = JSON.parse(fallback.stdout) as { text: string; usage: { completionTokens: number } };
  assert.ok(answer.text.length > 0);
  assert.equal(answer.usage.completionTokens, 3);
  const asked = run({ TESSERA_DEVICE: "js" });
  assert.equal(asked.stderr, "", "who asks for js is told nothing");
  assert.equal((JSON.parse(asked.stdout) as { text: string }).text, answer.text);
  const refused = run({ TESSERA_DEVICE: "cpu" });
  assert.equal(refused.status, 1);
  assert.match(refused.stderr, /expected a C\+\+ compiler/);
});

test("unknown names are answered with the known ones", () => {
  assert.throws(
    () => openDevice("toString"),
    /expected one of cpu, js, interpreter, ascend, mlu, sim:ascend-910b, .*, got "toString"/,
  );
});

const cpu = openCpu();
test("js and cpu choose the same tokens", { skip: cpu ? false : "cpu: no C++ compiler" }, () => {
  const ids = greedy(openJs());
  assert.ok(ids.length > 5);
  assert.deepEqual(ids, greedy(cpu!));
});

test("a captured list of launches and copies replays on what memory holds then", () => {
  const device = openJs();
  const double = kernel("double", (k) => {
    const x = k.view(k.buffer("x", "f32", "inout"), [4]);
    k.store(x, [0], k.load(x, [0], [4]).mul(2));
  });
  const [built] = device.build([double]);
  const [x, y] = [device.alloc(16), device.alloc(16)];
  device.copyIn(x, 0, Float32Array.of(1, 2, 3, 4));
  const graph = device.capture(() => {
    device.launch(built!, [1], { x: { buffer: x, byteOffset: 0 } });
    device.copyWithin(y, 0, x, 0, 16);
  });
  assert.equal(graph.numLaunches, 2);
  device.replay(graph);
  const got = new Float32Array(4);
  device.copyOut(y, 0, got);
  assert.deepEqual([...got], [4, 8, 12, 16]);
  graph.dispose();
});

test("freed memory is used again, with the size that was asked for", () => {
  const device = openJs();
  const first = device.alloc(300);
  first.bytes!.fill(7);
  device.free(first);
  const second = device.alloc(290);
  assert.equal(second.bytes!.length, 290);
  assert.equal(second.bytes![0], 7, "the block of the freed buffer");
  const third = device.alloc(290);
  assert.notEqual(third.bytes!.buffer, second.bytes!.buffer);
});
