/**
 * Every kernel against every chip's tables: all ops have a lowering and all tiles fit, or the exception is listed here
 * with its reason. Mutated programs are refused with words that say what is wrong.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DType } from "../../src/base/dtype.ts";
import { CompileError } from "../../src/base/errors.ts";
import { allCases } from "../../src/kernels/all-cases.ts";
import { kernel, type KernelBuilder, type Tile } from "../../src/tile/builder.ts";
import { chipNames, chips } from "../../src/tile/chips/chips.ts";
import { capacityOf, spaceOf, type ChipName, type Space } from "../../src/tile/chips/types.ts";
import { interpret } from "../../src/tile/interpret.ts";
import type { TileProgram } from "../../src/tile/ir.ts";
import { memoryOf } from "../../src/tile/memory.ts";
import { explain, lower, passes, type Lowering } from "../../src/tile/passes.ts";

/** "kernel on chip" -> why it has no lowering there. Kernels of inference may not be listed. */
const exceptions: Readonly<Record<string, string>> = {};

const row = (name: string, cells: readonly string[]): string =>
  name.padEnd(40) + cells.map((c) => c.padEnd(36)).join("");
const usage = ({ chip, memory }: Lowering): string =>
  (Object.entries(memory.peakBytes) as [Space, number][])
    .map(([space, bytes]) => `${space} ${Math.round((bytes / capacityOf(chip, space)) * 100)}`)
    .toSorted()
    .join(" ");

test("every kernel is legal and fits on every chip, but for the exceptions", (t) => {
  const refused: Record<string, string> = {};
  const training = new Set(allCases.flatMap((c) => c.training ?? []));
  const names = new Set<string>();
  t.diagnostic(row("peak memory in percent of capacity", chipNames));
  for (const { op, programs, onlyWhere = () => true } of allCases) {
    const count = programs().length;
    assert.ok(count > 0, `${op}: expected programs`);
    // Programs of one op in the sizes of each chip; a factory that finds none throws.
    const perChip = chipNames.map((name) => {
      if (!onlyWhere(chips[name])) return undefined;
      try {
        return programs(chips[name]).map((p) => lower(p, chips[name]));
      } catch (error) {
        assert.ok(error instanceof CompileError, String(error));
        const kernelName = /kernel (\S+) on/.exec(error.message)![1]!;
        refused[`${kernelName} on ${name}`] = error.message;
        return undefined;
      }
    });
    for (let i = 0; i < count; i++) {
      const name = programs()[i]!.name;
      names.add(name);
      t.diagnostic(row(`${name}${training.has(name) ? " (training)" : ""}`, perChip.map((p) => (p ? usage(p[i]!) : "refused")))); // prettier-ignore
    }
  }
  for (const name of training) assert.ok(names.has(name), `training kernel "${name}": expected a program of that name`);
  assert.deepEqual(Object.keys(refused).toSorted(), Object.keys(exceptions).toSorted(), Object.values(refused).join("\n")); // prettier-ignore
  for (const key of Object.keys(exceptions)) {
    const [name, chip] = key.split(" on ") as [string, ChipName];
    assert.ok(training.has(name) && chip.startsWith("mlu"), `${key}: inference kernels and Ascend have no exceptions`);
  }
});

test("placements are aligned, inside the memory, and no two live ones overlap", () => {
  for (const name of chipNames)
    for (const { programs } of allCases)
      for (const program of programs(chips[name])) {
        const { placements } = lower(program, chips[name]).memory;
        for (const [i, p] of placements.entries()) {
          assert.equal(p.offset % spaceOf(chips[name], p.space).alignBytes, 0, `${program.name} %${p.tile}`);
          assert.ok(p.offset + p.bytes <= capacityOf(chips[name], p.space), `${program.name} %${p.tile}`);
          for (const q of placements.slice(i + 1)) {
            const together = p.space === q.space && p.from <= q.to && q.from <= p.to;
            const apart = p.offset + p.bytes <= q.offset || q.offset + q.bytes <= p.offset;
            const isOne = p.part === q.part && (p.into === q.tile || q.into === p.tile);
            assert.ok(
              !together || apart || isOne,
              `${program.name} on ${name}: %${p.tile} ${p.part} and %${q.tile} ${q.part}`,
            );
          }
        }
      }
});

/** y = f(x) on one row of n elements. */
const rowKernel = (dtype: DType, n: number, f: (k: KernelBuilder, x: Tile) => Tile, out: DType = dtype): TileProgram =>
  kernel("row", (k) => {
    const x = k.view(k.buffer("x", dtype), [1, n]);
    k.store(k.view(k.buffer("y", out, "out"), [1, n]), [0, 0], f(k, k.load(x, [0, 0], [1, n])));
  });
const matrixKernel = (dtype: DType, m: number, n: number, depth: number): TileProgram =>
  kernel("product", (k) => {
    const [a, b] = [k.view(k.buffer("a", dtype), [m, depth]), k.view(k.buffer("b", dtype), [n, depth])];
    const y = k.view(k.buffer("y", dtype === "i8" ? "i32" : "f32", "out"), [m, n]);
    k.store(y, [0, 0], k.dot(k.load(a, [0, 0], [m, depth]), k.load(b, [0, 0], [n, depth]), { transB: true }));
  });

const refusedPrograms: readonly (readonly [what: string, program: TileProgram, chip: ChipName, words: RegExp])[] = [
  ["a tile above UB", rowKernel("f32", 65536, (_, x) => x.add(x)), "ascend-910b", /capacity: kernel row on ascend-910b: UB: expected at most 188160 bytes, got 262144 \(largest: %0 load value 262144/], // prettier-ignore
  ["a tile above NRAM", rowKernel("f32", 131072, (_, x) => x.exp()), "mlu-590", /NRAM: expected at most 393216 bytes, got/], // prettier-ignore
  ["an operand above L0B", matrixKernel("bf16", 16, 256, 256), "ascend-950", /L0B: expected at most 65536 bytes, got 131072/], // prettier-ignore
  ["an operand and its rearranged copy above NRAM", matrixKernel("f32", 1, 64, 1024), "mlu-590", /NRAM: expected at most 393216 bytes, got \d+ \(largest: .*dot rearranged 262144/], // prettier-ignore
  ["a depth above one instruction", matrixKernel("i8", 1, 1, 4096), "ascend-910b", /dot %\d+: expected m, n and k of at most 4095, got 4096/], // prettier-ignore
  ["fp8 arithmetic on 910B", rowKernel("e4m3", 64, (_, x) => x.add(x)), "ascend-910b", /legality: kernel row on ascend-910b: add of e4m3: no lowering/], // prettier-ignore
  ["an fp8 product on MLU", matrixKernel("e4m3", 16, 16, 32), "mlu-590", /dot of e4m3: no lowering: expected f32, f16, bf16, i8/], // prettier-ignore
  ["an fp8 cast on 910C", rowKernel("e4m3", 64, (_, x) => x.cast("f32"), "f32"), "ascend-910c", /cast of e4m3: no cast from e4m3 to f32/], // prettier-ignore
  ["an fp8 cast on MLU", rowKernel("f32", 64, (_, x) => x.cast("e4m3"), "e4m3"), "mlu-370", /no cast from f32 to e4m3/], // prettier-ignore
  ["shifts on MLU", rowKernel("i32", 64, (_, x) => x.shl(1)), "mlu-590", /shl of i32: no lowering on this chip/],
  ["argmax over another axis", rowKernel("f32", 8, (_, x) => x.argmax(0), "i32"), "ascend-950", /reduce_argmax of i32: only the last axis/], // prettier-ignore
  ["a malformed program", { ...rowKernel("f32", 8, (_, x) => x.add(x)), params: [] }, "mlu-590", /verify: kernel row/],
];
for (const [what, program, chip, words] of refusedPrograms)
  test(`refused: ${what}`, () => assert.throws(() => lower(program, chips[chip]), words));

test("what one chip lacks another has", () => {
  lower(
    rowKernel("e4m3", 64, (_, x) => x.cast("f32").add(1), "f32"),
    chips["ascend-950"],
  );
  lower(matrixKernel("e4m3", 16, 16, 32), chips["ascend-950"]);
  assert.equal(
    lower(
      rowKernel("bf16", 64, (_, x) => x.add(x)),
      chips["ascend-950"],
    ).casts.length,
    0,
  );
  assert.equal(
    lower(
      rowKernel("bf16", 64, (_, x) => x.add(x)),
      chips["mlu-590"],
    ).casts.length,
    0,
  );
});

test("bf16 arithmetic goes through f32 on 910B, and every cast is counted", () => {
  const add = lower(
    rowKernel("bf16", 64, (k, x) => x.add(k.iota([1, 64], 1).cast("bf16"))),
    chips["ascend-910b"],
  );
  // i32 to bf16 by f32; both operands up, the sum down.
  assert.deepEqual(
    add.casts.map((c) => `${c.op}: ${c.from}-${c.to}`),
    ["cast: i32-f32", "cast: f32-bf16", "add: bf16-f32", "add: bf16-f32", "add: f32-bf16"],
  );
  const twice = lower(
    rowKernel("bf16", 64, (_, x) => x.add(x).mul(x)),
    chips["ascend-910b"],
  );
  assert.equal(twice.casts.length, 4, "x is cast once");
});

const mixed = kernel("mixed", (k) => {
  const n = 40;
  const x = k.load(k.view(k.buffer("x", "bf16"), [2, n]), [0, 0], [2, n]);
  const ids = k.load(k.view(k.buffer("ids", "i32"), [2, n]), [0, 0], [2, n]);
  const flags = k.load(k.view(k.buffer("flags", "u8"), [2, n]), [0, 0], [2, n]);
  const [sum] = k.loop({ end: 3 }, [x], (i, [acc]) => [acc!.mul(x).add(k.fromIndex(i).cast("bf16"))]);
  const chosen = ids.lt(20).and(flags.ne(0)).or(ids.mod(7).eq(3));
  k.store(k.view(k.buffer("y", "bf16", "out"), [2, n]), [0, 0], k.select(chosen, sum!, x.abs().sqrt()));
  k.store(k.view(k.buffer("count", "i32", "out"), [2, n]), [0, 0], chosen.cast("i32").cumsum(1).sub(ids));
  k.store(k.view(k.buffer("mask", "u8", "out"), [2, n]), [0, 0], chosen.cast("u8"));
});

test("the casts change no value", () => {
  const run = (program: TileProgram): number[][] => {
    const make = (dtype: DType, value: (i: number) => number): ReturnType<typeof memoryOf> => {
      const memory = memoryOf(new Uint8Array(80 * 4), 0, dtype);
      for (let i = 0; i < 80; i++) memory.set(i, value(i));
      return memory;
    };
    const outputs = [make("bf16", () => 0), make("i32", () => 0), make("u8", () => 0)] as const;
    const [y, count, mask] = outputs;
    const memory = { x: make("bf16", (i) => Math.sin(i)), ids: make("i32", (i) => (i * 13) % 50), flags: make("u8", (i) => i % 3), y, count, mask }; // prettier-ignore
    interpret(program, [1], { memory, numbers: {} });
    return outputs.map((m) => Array.from({ length: 80 }, (_, i) => m.get(i)));
  };
  const want = run(mixed);
  for (const name of chipNames) {
    const { program, casts } = lower(mixed, chips[name]);
    assert.ok(casts.length > 5, name);
    assert.deepEqual(run(program), want, name);
  }
});

test("a sum of dots stays in the product memory and a narrowed store takes it from there", () => {
  const program = kernel("sum", (k) => {
    const a = k.view(k.buffer("a", "bf16"), [32, 64]);
    const y = k.view(k.buffer("y", "bf16", "out"), [32, 32]);
    const [sum] = k.loop({ end: 64, step: 16 }, [k.full([32, 32], 0)], (c, [acc]) => {
      const t = k.load(a, [0, c], [32, 16]);
      return [k.dot(t, t, { transB: true, acc: acc! })];
    });
    k.store(y, [0, 0], sum!.cast("bf16"));
  });
  const { memory } = lower(program, chips["ascend-910b"]);
  // Two of each.
  assert.deepEqual(memory.peakBytes, { L1: 2048, L0C: 8192, L0A: 2048, L0B: 2048 });
  assert.equal(memory.workspaceBytes, 0);
  // NRAM: operand, its rearranged copy, carried sum, next sum, and the cast at the end over both.
  assert.deepEqual(Object.keys(lower(program, chips["mlu-590"]).memory.peakBytes).toSorted(), ["NRAM", "WRAM"]);
});

test("the passes are a printable list", () => {
  assert.deepEqual(
    passes.map((p) => p.name),
    ["verify", "legaliseDTypes", "pipelineCopies", "shareLoads", "assignMemorySpaces", "doubleBuffer", "checkCapacity"],
  );
  const text = explain(mixed, chips["ascend-910b"]);
  assert.equal(text, explain(mixed, chips["ascend-910b"]));
  for (const part of ["kernel mixed(", "cast for mul:", "expand %", "assume ", "UB 0..", "of 188160 = ", "== checkCapacity"]) assert.ok(text.includes(part), part); // prettier-ignore
});

test("a place has two halves where both fit, else one, and the reason is told", () => {
  const text = explain(matrixTurns(256), chips["ascend-910b"]);
  for (const line of ["L1 two of 65536 in turns of loop 0: %2 load operand", "L0A one of 65536 in turns of loop 0: %4 dot left  # two need 131072 of 65536 bytes", "L0C two of 65536 in turns of the grid: %1 carry product"]) assert.ok(text.includes(line), text); // prettier-ignore
  const { placements } = lower(matrixTurns(128), chips["ascend-910b"]).memory;
  assert.deepEqual(placements.map((p) => `${p.space} ${p.turns}`).toSorted(), ["L0A 0", "L0B 0", "L0C grid", "L1 0", "L1 0"]); // prettier-ignore
  assert.ok(lower(matrixTurns(128), chips["mlu-590"]).memory.placements.every((p) => p.turns === undefined));
});

/** [128, 128] += [128, depth] . [depth, 128] in turns of a loop. */
const matrixTurns = (depth: number): TileProgram =>
  kernel("turns", (k) => {
    const size = k.index("k");
    const [a, b] = [k.view(k.buffer("a", "bf16"), [128, size]), k.view(k.buffer("b", "bf16"), [128, size])];
    const [sum] = k.loop({ end: size, step: depth }, [k.full([128, 128], 0)], (c, [acc]) => [
      k.dot(k.load(a, [0, c], [128, depth]), k.load(b, [0, c], [128, depth]), { transB: true, acc: acc! }),
    ]);
    k.store(k.view(k.buffer("y", "f32", "out"), [128, 128]), [0, 0], sum!);
  });

test("rumours carry no value", () => {
  for (const name of chipNames)
    for (const figure of Object.values(chips[name].rates))
      if (typeof figure === "object" && "kind" in figure) assert.equal("value" in figure, figure.kind === "stated" || figure.kind === "derived"); // prettier-ignore
  assert.equal(chips["mlu-590"].rates.memoryBytesPerSecond.kind, "rumoured");
});
