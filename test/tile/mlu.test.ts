/**
 * BANG C as text: every kernel that inference uses is emitted for both chips, a few are kept as snapshots, and what has no
 * lowering is refused with op, dtype and reason. UPDATE_SNAPSHOTS=1 rewrites the files.
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { allCases } from "../../src/kernels/all-cases.ts";
import { kernel } from "../../src/tile/builder.ts";
import { chips } from "../../src/tile/chips/chips.ts";
import { capacityOf } from "../../src/tile/chips/types.ts";
import { emitMlu, emitMluCluster } from "../../src/tile/emit/mlu.ts";

const names = ["mlu-370", "mlu-590"] as const;
const root = new URL("./snapshots-mlu/", import.meta.url);
/** The one whose form for clusters is kept as well. */
const clustered = "matmul";
const kept = ["rms_norm", "matmul", "gather_rows", "map_mul_add", "topk_mask"];

for (const name of names)
  test(`${name}: every kernel is emitted, within its memories`, (t) => {
    const chip = chips[name];
    let count = 0;
    for (const { programs, training = [] } of allCases)
      for (const program of programs(chip)) {
        const { source, nramBytes, wramBytes } = emitMlu(program, chip);
        assert.equal(emitMlu(program, chip).source, source, "the text is deterministic");
        assert.ok(nramBytes <= capacityOf(chip, "NRAM") && wramBytes <= capacityOf(chip, "WRAM"), program.name);
        const union = emitMluCluster(program, chip);
        if (union) assert.ok(union.nramBytes <= nramBytes && union.sramBytes <= capacityOf(chip, "SRAM"), program.name);
        if (!training.includes(program.name)) count++;
      }
    t.diagnostic(`${count} inference kernels`);
    assert.ok(count >= 30);
  });

for (const kernelName of kept)
  test(`snapshot ${kernelName}`, () => {
    const program = allCases.flatMap((c) => c.programs(chips["mlu-370"])).find((p) => p.name === kernelName);
    assert.ok(program, `expected a kernel "${kernelName}"`);
    const forms = [["mlu-370", emitMlu(program, chips["mlu-370"]).source]];
    if (kernelName === clustered) forms.push(["mlu-370.union1", emitMluCluster(program, chips["mlu-370"])!.source]);
    for (const [form, got] of forms) {
      const path = new URL(`${kernelName}.${form}.txt`, root);
      if (process.env.UPDATE_SNAPSHOTS === "1") {
        mkdirSync(root, { recursive: true });
        writeFileSync(path, got!);
      }
      assert.equal(got, readFileSync(path, "utf8"), `${path.pathname}: run with UPDATE_SNAPSHOTS=1 if the change is meant`); // prettier-ignore
    }
  });

test("what has no lowering is a build error with op, dtype and reason", () => {
  const random = kernel("noise", (k) => {
    const y = k.view(k.buffer("y", "u32", "out"), [64]);
    k.store(y, [0], k.random(0, k.iota([64], 0)));
  });
  assert.throws(() => emitMlu(random, chips["mlu-370"]), /noise on mlu-370: random of u32: no lowering/);
  const halves = kernel("halves", (k) => {
    const x = k.view(k.buffer("x", "f16"), [64]);
    const y = k.view(k.buffer("y", "f16", "out"), [64]);
    const t = k.load(x, [0], [64]);
    k.store(y, [0], k.select(t.gt(0), t, 0));
  });
  assert.throws(() => emitMlu(halves, chips["mlu-590"]), /halves on mlu-590: gt of f16: a mask is 0 and 1 in f32/);
  const swap = kernel("swap", (k) => {
    const x = k.view(k.buffer("x", "f32"), [64]);
    const y = k.view(k.buffer("y", "f32", "out"), [64]);
    const [a, b] = [k.load(x, [0], [64]), k.load(x, [64], [64])];
    const [c] = k.loop({ end: 3 }, [a, b], (_i, [p, q]) => [q!, p!]);
    k.store(y, [0], c!);
  });
  assert.throws(() => emitMlu(swap, chips["mlu-370"]), /a carried value that becomes another one/);
});
