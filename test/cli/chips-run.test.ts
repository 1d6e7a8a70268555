/** `tessera chips run` as a user runs it: files in, files out, what is wrong by name. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, test } from "node:test";
import { entryOf, parseArgument, type RunReport } from "../../src/cli/chips-run.ts";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";

const skip = findCompiler() ? false : "no C++ compiler";
const dir = mkdtempSync(join(tmpdir(), "tessera-run-"));
after(() => rmSync(dir, { recursive: true, force: true }));
const file = (name: string): string => join(dir, name);

function run(source: string, ...args: string[]): { status: number | null; stderr: string; report: RunReport } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [resolve("bin/tessera"), "chips", "run", source, "--json", ...args], { encoding: "utf8", env: { ...process.env, NO_COLOR: "1" } }); // prettier-ignore
  return { status, stderr, report: (stdout ? JSON.parse(stdout) : undefined) as RunReport };
}

const n = 3000;
const [a, b] = [Float32Array.from({ length: n }, (_, i) => i), Float32Array.from({ length: n }, (_, i) => 0.5 - i)];
writeFileSync(file("a.bin"), a);
writeFileSync(file("b.bin"), b);
const mlu = resolve("test/device/mlu/vector_add.mlu");

test("a kernel for MLU reads files and writes one", { skip }, () => {
  const { status, report, stderr } = run(mlu, "--chip", "mlu-370", "--blocks", "4", "--args", `${file("y.bin")}:${4 * n},${file("a.bin")},${file("b.bin")},${n}`); // prettier-ignore
  assert.equal(status, 0, stderr);
  assert.deepEqual([report.ok, report.kernel, report.kind, report.orders], [true, "vectorAdd", "block", 4]);
  const y = readFileSync(file("y.bin"));
  assert.deepEqual(new Float32Array(y.buffer, y.byteOffset, n), a.map((v, i) => v + b[i]!)); // prettier-ignore
});

test("a broken rule is exit code 1, with the rule, the line and the argument by its file", { skip }, () => {
  const broken = file("broken.mlu");
  const source = readFileSync(mlu, "utf8");
  writeFileSync(broken, source.replace("const int len = n - at < TILE ? n - at : TILE;", "const int len = TILE;"));
  const { status, report } = run(broken, "--chip", "mlu-370", "--blocks", "4", "--args", `${file("z.bin")}:${4 * n},${file("a.bin")},${file("b.bin")},${n}`); // prettier-ignore
  assert.equal(status, 1);
  assert.equal(report.problem?.rule, "bounds");
  assert.match(report.problem!.message, /z\.bin.*line \d+: __memcpy_async/);
});

test("a kernel for Ascend: the function is found, sizes that are too small are refused", { skip }, () => {
  const half = file("x.bin");
  writeFileSync(half, new Uint16Array(4096).fill(0x3c00));
  const source = resolve("test/device/ascend/add_queue.cpp");
  const values = (bytes: number): string => `${half},${half},${file("sum.bin")}:${bytes},4096,2`;
  const good = run(source, "--chip", "ascend-910b", "--blocks", "2", "--args", values(8192));
  assert.equal(good.status, 0, good.stderr);
  assert.deepEqual([...new Set(new Uint16Array(new Uint8Array(readFileSync(file("sum.bin"))).buffer))], [0x4000]);
  const short = run(source, "--chip", "ascend-910b", "--blocks", "2", "--args", values(8190));
  assert.deepEqual([short.status, short.report.problem?.rule], [1, "out-of-bounds"]);
});

test("what is asked wrongly says what was expected", () => {
  assert.deepEqual(["3", "-0.5"].map(parseArgument), [3, -0.5]);
  assert.deepEqual(parseArgument(":8"), { name: "zeros", before: new Uint8Array(8), saved: undefined });
  assert.throws(() => parseArgument("nothing.bin"), /--args: .*cannot read nothing\.bin/);
  assert.throws(() => parseArgument("a:b:c"), /got "a:b:c"/);
  assert.throws(() => entryOf("int main() {}"), /--entry: .*none that is marked/);
  assert.throws(() => entryOf("__global__ void f(int a) {} __global__ void g() {}"), /--entry: .*f, g/);
  assert.equal(entryOf('extern "C" __global__ __aicore__ void add(GM_ADDR x) { other(x); }'), "add");
  assert.equal(entryOf("__mlu_global__ void k(float* y) {}"), "k");
});
