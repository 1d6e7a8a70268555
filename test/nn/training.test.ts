import assert from "node:assert/strict";
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs"; // prettier-ignore
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { CapacityError } from "../../src/base/errors.ts";
import { Prng } from "../../src/base/prng.ts";
import { loadCheckpoint, loadWeights, saveCheckpoint, saveWeights } from "../../src/nn/checkpoint.ts";
import { LayerNorm, Linear } from "../../src/nn/layers.ts";
import { Module } from "../../src/nn/module.ts";
import { clipGradNorm, makeOptimizer } from "../../src/nn/optim.ts";
import * as t from "../../src/tensor/ops.ts";
import { Parameter, Tensor, zeros } from "../../src/tensor/tensor.ts";
import { openTestDevice } from "../tensor/device.ts";

const device = openTestDevice();
const root = mkdtempSync(join(tmpdir(), "tessera-training-"));
after(() => rmSync(root, { recursive: true, force: true }));

/** Two inputs, two classes: is exactly one of them positive? */
class Xor extends Module {
  readonly layers: Linear[];
  readonly norm: LayerNorm;
  readonly out: Linear;
  /** Never trained, but saved. */
  readonly seen: Parameter;
  constructor(hidden = 16) {
    super();
    this.layers = [
      new Linear(device, 2, hidden, { bias: true, seed: 1 }),
      new Linear(device, hidden, hidden, { bias: true, seed: 2 }),
    ];
    this.norm = new LayerNorm(device, hidden);
    this.out = new Linear(device, hidden, 2, { bias: true, seed: 3 });
    this.seen = new Parameter(zeros(device, [1]), false);
  }
  forward(x: Tensor): Tensor {
    for (const layer of this.layers) x = t.silu(layer.forward(x));
    return this.out.forward(this.norm.forward(x));
  }
}

const start = (): { model: Xor; optimizer: ReturnType<typeof makeOptimizer>; data: Prng } => {
  const model = new Xor();
  return { model, optimizer: makeOptimizer(model.namedParameters()), data: new Prng(11) };
};

function trainStep({ model, optimizer, data }: ReturnType<typeof start>): number {
  using _scope = t.tensorScope();
  const n = 32;
  const x = Float32Array.from({ length: 2 * n }, () => data.normal());
  const y = Int32Array.from({ length: n }, (_, i) => Number(x[2 * i]! > 0 !== x[2 * i + 1]! > 0));
  const loss = t.crossEntropy(model.forward(Tensor.from(device, x, [n, 2])), Tensor.from(device, y));
  t.backward(loss);
  clipGradNorm(model.parameters(), 1);
  optimizer.step({ lr: 0.02 });
  optimizer.zeroGrad();
  return loss.item();
}

const bits = (model: Module): string => [...model.stateDict()].map(([n, s]) => `${n} ${Buffer.from(s.data().buffer).toString("hex")}`).join("\n"); // prettier-ignore

test("a small network learns XOR", () => {
  const run = start();
  const first = trainStep(run);
  let last = first;
  for (let i = 0; i < 24; i++) last = trainStep(run);
  assert.ok(first > 0.5 && last < 0.3, `loss went from ${first} to ${last}`); // guessing gives ln 2 = 0.69
});

test("stopping and resuming gives the same bits as going on", () => {
  const dir = join(root, "resume");
  const a = start();
  for (let i = 0; i < 3; i++) trainStep(a);
  saveCheckpoint(dir, a, { step: 3, extra: { data: a.data.state } });
  for (let i = 0; i < 3; i++) trainStep(a);
  const b = start();
  const resumed = loadCheckpoint(dir, b)!;
  assert.equal(resumed.step, 3);
  b.data = new Prng(11, (resumed.extra as { data: { counter: number } }).data.counter);
  for (let i = 0; i < 3; i++) trainStep(b);
  assert.equal(bits(b.model), bits(a.model));
});

test("the last two checkpoints stay; a damaged newest one is passed over with a message", () => {
  const dir = join(root, "damage");
  assert.equal(loadCheckpoint(dir, start()), undefined);
  const run = start();
  for (let step = 1; step <= 3; step++) {
    trainStep(run);
    saveCheckpoint(dir, run, { step });
  }
  assert.deepEqual(readdirSync(dir).sort(), ["checkpoint-0000000002.safetensors", "checkpoint-0000000003.safetensors"]);
  const newest = join(dir, "checkpoint-0000000003.safetensors");
  const whole = readFileSync(newest);
  const damage: [string, () => void][] = [
    ["truncated", () => truncateSync(newest, whole.length - 5)],
    ["longer", () => appendFileSync(newest, "x")],
    ["one data bit", () => { const b = Buffer.from(whole); b[whole.length - 3]! ^= 1; writeFileSync(newest, b); }], // prettier-ignore
    [
      "the step in the header",
      () => writeFileSync(newest, Buffer.from(whole.toString("latin1").replace('"step":"3"', '"step":"4"'), "latin1")),
    ],
    ["empty", () => writeFileSync(newest, "")],
  ];
  for (const [what, apply] of damage) {
    writeFileSync(newest, whole);
    apply();
    const messages: string[] = [];
    const resumed = loadCheckpoint(dir, start(), { onMessage: (m) => messages.push(m) });
    assert.equal(resumed?.step, 2, what);
    assert.match(messages.join(), /0000000003.safetensors is damaged/);
  }
  writeFileSync(newest, whole);
  assert.equal(loadCheckpoint(dir, start())?.step, 3);
});

test("a temporary file left by a kill is not taken for a checkpoint", () => {
  const dir = join(root, "killed");
  const run = start();
  saveCheckpoint(dir, run, { step: 1 });
  writeFileSync(join(dir, "checkpoint-0000000002.safetensors.123.tmp"), "half a file");
  assert.equal(loadCheckpoint(dir, start())?.step, 1);
});

test("a checkpoint of another network is refused: which tensor, expected and found", () => {
  const dir = join(root, "other");
  saveCheckpoint(dir, start(), { step: 1 });
  const wide = new Xor(20);
  assert.throws(
    () => loadCheckpoint(dir, { model: wide }),
    /"layers.0.weight": expected f32 \[20,2\], found f32 \[16,2\]/,
  );
  class More extends Xor {
    readonly extra_part = new Linear(device, 2, 2);
  }
  assert.throws(() => loadCheckpoint(dir, { model: new More() }), /missing extra_part.weight/);
});

test("weights files carry the parameters alone, and errors name the file", () => {
  const path = join(root, "weights.safetensors");
  const { model } = start();
  model.seen.copyFrom([5]);
  saveWeights(path, model, { note: "x" });
  const other = new Xor();
  loadWeights(path, other);
  assert.equal(bits(other), bits(model));
  assert.equal(other.seen.item(), 5);
  assert.throws(() => loadWeights(path, new LayerNorm(device, 3)), (e: Error) => e.message.includes(path) && /missing weight, bias/.test(e.message)); // prettier-ignore
});

test("parameter names are field paths; a shared weight counts once", () => {
  const model = new Xor();
  assert.deepEqual(model.namedParameters().map(([name]) => name), [
    "layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias", "norm.weight", "norm.bias", "out.weight", "out.bias", "seen",
  ]); // prettier-ignore
  assert.equal(model.numParams, 2 * 16 + 16 + 16 * 16 + 16 + 32 + 32 + 2 + 1);
  assert.equal(model.parameters().length, 8);
  class Tied extends Module {
    readonly a = model.out;
    readonly b = model.out;
  }
  assert.deepEqual(new Tied().namedParameters().map(([name]) => name), ["a.weight", "a.bias"]); // prettier-ignore
});

test(
  "a checkpoint that does not fit on the disk leaves the ones before whole",
  { skip: existsSync("/dev/full") ? false : "no /dev/full" },
  () => {
    const dir = join(root, "full-disk");
    const model = new Xor();
    const first = saveCheckpoint(dir, { model }, { step: 1 });
    const before = readFileSync(first);
    symlinkSync("/dev/full", join(dir, `checkpoint-0000000002.safetensors.${process.pid}.tmp`));
    assert.throws(() => saveCheckpoint(dir, { model }, { step: 2 }), (error) => {
    assert.ok(error instanceof CapacityError);
    assert.match(error.message, /checkpoint-0000000002\.safetensors: expected room for \d+ bytes, got a full disk/);
    return true;
  }); // prettier-ignore
    assert.deepEqual(readFileSync(first), before);
    assert.equal(loadCheckpoint(dir, { model })!.step, 1);
  },
);
