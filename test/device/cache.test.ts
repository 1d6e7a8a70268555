/** The kernel cache: whatever happened to its folder, the next process computes the right thing. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, utimesSync, mkdirSync, writeFileSync } from "node:fs"; // prettier-ignore
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { findCompiler } from "../../src/device/cpu/toolchain.ts";

const skip = findCompiler() ? false : "no C++ compiler";
const root = mkdtempSync(join(tmpdir(), "tessera-cache-"));
after(() => rmSync(root, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}
function child(env: Record<string, string>): Promise<Ended> {
  const process_ = spawn(process.execPath, ["--import", "tsx", "test/device/cache-child.ts"], { env: { ...process.env, ...env } }); // prettier-ignore
  let [out, err] = ["", ""];
  process_.stdout.on("data", (text) => (out += text));
  process_.stderr.on("data", (text) => (err += text));
  return new Promise((resolve) => process_.on("close", (code) => resolve({ code, out, err })));
}
async function computes(env: Record<string, string>): Promise<void> {
  const { code, out, err } = await child(env);
  assert.deepEqual([code, out], [0, "[6,10,14]"], err);
}
const shared = { TESSERA_CACHE_DIR: join(root, "shared") };
const dir = join(root, "shared", "kernels");
const files = (end: string): string[] => readdirSync(dir).filter((f) => f.endsWith(end)).sort().map((f) => join(dir, f)); // prettier-ignore
const state = (): string[] => files(".so").map((f) => `${f} ${statSync(f).mtimeMs}`);

test("cache: two processes that build at once both compute, and leave nothing half done", { skip }, async () => {
  await Promise.all([computes(shared), computes(shared)]);
  assert.deepEqual(readdirSync(dir).filter((f) => f.startsWith("build-") || f.startsWith(".")), []); // prettier-ignore
});

test("cache: a second start compiles nothing", { skip }, async () => {
  const before = state();
  // A compiler that cannot compile: only the cache can answer. Its version is part of every key, so it must agree.
  const real = process.env["CXX"] ?? findCompiler()!.path;
  const fake = join(root, "cannot-compile");
  writeFileSync(fake, `#!/bin/sh\n[ "$1" = --version ] && exec ${real} --version\nexit 1\n`);
  chmodSync(fake, 0o755);
  await computes({ ...shared, CXX: fake });
  assert.deepEqual(state(), before);
});

const damages: Readonly<Record<string, (path: string) => void>> = {
  "a flipped byte": (path) => {
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(path, bytes);
  },
  "a truncated file": (path) => truncateSync(path, 100),
  "an empty file": (path) => truncateSync(path, 0),
  "a removed file": (path) => rmSync(path),
};
for (const [name, damage] of Object.entries(damages))
  test(`cache: libraries with ${name} are rebuilt`, { skip }, async () => {
    for (const path of files(".so")) damage(path);
    await computes(shared);
  });

test("cache: stamps that are no JSON, or not ours, are rebuilt", { skip }, async () => {
  files(".json").forEach((path, i) => writeFileSync(path, i % 2 ? "{" : '{"file": 3}'));
  await computes(shared);
});

test("cache: a folder that cannot be written gives way to the next", { skip }, async () => {
  const file = join(root, "a-file");
  writeFileSync(file, "");
  const home = join(root, "home");
  await computes({ TESSERA_CACHE_DIR: join(file, "below"), XDG_CACHE_HOME: home });
  assert.ok(readdirSync(join(home, "tessera", "kernels")).some((f) => f.endsWith(".so")));
});

test("cache: a killed compiler is started again, and what it left is swept", { skip }, async () => {
  const real = findCompiler()!.path;
  const fake = join(root, "dies-once");
  const mark = join(root, "died");
  // Dies the first time it is to compile kernels.
  writeFileSync(
    fake,
    `#!/bin/sh
for last; do :; done
[ "$1" != --version ] && [ ! -e ${mark} ] && grep -q ts_kernel "$last" && { : > ${mark}; kill -9 $$; }
exec ${real} "$@"
`,
  );
  chmodSync(fake, 0o755);
  const env = { TESSERA_CACHE_DIR: join(root, "killed"), CXX: fake };
  const stale = join(root, "killed", "kernels", "build-1-0");
  mkdirSync(stale, { recursive: true });
  utimesSync(stale, 1, 1);
  await computes(env);
  assert.ok(existsSync(mark), "the compiler was killed");
  assert.deepEqual(readdirSync(join(root, "killed", "kernels")).filter((f) => f.startsWith("build-")), []); // prettier-ignore
});

test(
  "cache: a compiler that fails says what and with which message, and the folder stays clean",
  { skip },
  async () => {
    const real = findCompiler()!.path;
    const fake = join(root, "fails-on-kernels");
    writeFileSync(
      fake,
      `#!/bin/sh
for last; do :; done
[ "$1" != --version ] && grep -q ts_kernel "$last" && { echo "no such tile" >&2; exit 1; }
exec ${real} "$@"
`,
    );
    chmodSync(fake, 0o755);
    const { code, err } = await child({ TESSERA_CACHE_DIR: join(root, "fails"), CXX: fake });
    assert.notEqual(code, 0);
    assert.match(err, /scale_3.*failed\nno such tile/s);
    assert.deepEqual(readdirSync(join(root, "fails", "kernels")).filter((f) => f.startsWith("build-")), []); // prettier-ignore
  },
);
