import assert from "node:assert/strict";
import { test } from "node:test";
import { allCases } from "../../src/kernels/all-cases.ts";
import type { OpCases } from "../../src/kernels/case.ts";
import { kernel } from "../../src/tile/builder.ts";
import type { Stmt, TileProgram, TileValue } from "../../src/tile/ir.ts";
import { verify } from "../../src/tile/verify.ts";

const programs = (allCases as readonly OpCases[]).flatMap(({ programs }) => programs());

test("every kernel is well formed", () => {
  assert.ok(programs.length > 20);
  for (const program of programs) verify(program);
});

const scale = kernel("scale", (k) => {
  const n = k.index("n");
  const x = k.view(k.buffer("x", "f32"), [n]);
  const y = k.view(k.buffer("y", "f32", "out"), [n]);
  k.store(y, [0], k.load(x, [0], [8]).mul(2));
});
const lets = scale.body.filter((s) => s.kind === "let");
const replaced = (index: number, change: (tile: TileValue) => TileValue): TileProgram => {
  const target = lets[index]!;
  const body = scale.body.map((s): Stmt => (s === target ? { kind: "let", tile: change(target.tile) } : s));
  return { ...scale, body };
};

const broken: readonly (readonly [name: string, program: () => TileProgram, rule: RegExp])[] = [
  ["a tile used before its definition", () => ({ ...scale, body: scale.body.toReversed() }), /not defined here/],
  ["a shape that does not follow", () => replaced(lets.length - 1, (t) => ({ ...t, shape: [4] })), /expected shape/],
  ["a dtype that does not follow", () => replaced(lets.length - 1, (t) => ({ ...t, dtype: "i32" })), /expected f32, got i32/], // prettier-ignore
  ["two definitions of one tile", () => ({ ...scale, body: [...scale.body, lets[0]!] }), /one definition/],
  [
    "a store to an input",
    () => ({ ...scale, params: scale.params.map((p) => (p.kind === "buffer" ? { ...p, mode: "in" as const } : p)) }),
    /out or inout/,
  ],
  ["an index parameter that is not there", () => ({ ...scale, params: scale.params.filter((p) => p.name !== "n") }), /index parameter "n"/], // prettier-ignore
  ["a buffer that is not there", () => ({ ...scale, params: scale.params.filter((p) => p.name !== "x") }), /buffer "x"/], // prettier-ignore
];
for (const [name, program, rule] of broken)
  test(`refused: ${name}`, () => {
    verify(scale);
    assert.throws(() => verify(program()), rule);
  });
