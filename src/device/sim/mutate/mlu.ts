/**
 * Mutants of BANG C: what a kernel must not forget, one at a time, found in its text alone. Works on the calls of the
 * public API (asynchronous copies and every synchronisation among them), not on the habits of our emitter.
 * Main function: `mluMutants`. The table `kinds`: one row for each way to go wrong.
 */
import type { Chip } from "../../../tile/chips/types.ts";
import { bangText, countOf, type ArenaBuffer, type BangText, type Call, type Range } from "./bang-text.ts";
import { mutant, type Edit, type Mutant, type MutationKind } from "./mutant.ts";

const replace = ({ start, end }: Range, text: string): Edit => ({ start, end, text });
const isCopy = (c: Call): boolean => /^__memcpy(_async)?$/.test(c.name);
const direction = (c: Call): string => c.args.find((a) => /^[A-Z]+2[A-Z]+$/.test(a.text))?.text ?? "";
/** Bytes of an element on the side of a copy that has a type. */
const elementOf = (t: BangText, c: Call): number => t.sizeOf(c.args[0]!.text) || t.sizeOf(c.args[1]!.text) || 1;

const hasBf16 = (chip: Chip): boolean => chip.arch.vector.binary.add.native.includes("bf16");

type Edits = readonly Edit[];
type Finder = (t: BangText, chip: Chip) => readonly Edits[];

/** Every wait for a pipe or for other cores. */
const syncs: Finder = (t) => t.calls.filter((c) => c.name.startsWith("__sync")).map((c) => [replace(c.statement, ";")]);

/** 32 and 64 bytes less of the arena: its last bytes are some buffer's. */
const shrinks: Finder = (t) =>
  [...new Set(t.buffers.map((b) => b.arena))].flatMap(
    (arena) =>
    [32, 64].map((less) => t.buffers.filter((b) => b.arena === arena).map((b) => replace(b.offset, `${b.offset.text} + ${less}`))), // prettier-ignore
  );

/** Buffers of one arena with values at the same time: `a` is written before `b` and read after. */
const pairs = ({ buffers }: BangText): (readonly [ArenaBuffer, ArenaBuffer])[] =>
  buffers.flatMap((b) => buffers.filter((a) => a !== b && a.arena === b.arena && a.from !== b.from && a.firstUse < b.firstUse && b.firstUse < a.lastRead).map((a) => [a, b] as const)); // prettier-ignore
/** Each buffer onto one that is still to be read, 64 bytes into one that ends where it starts, and its halves onto each other. */
const overlaps: Finder = (t) => {
  const all = pairs(t);
  const onto = new Map(all.map(([a, b]) => [b, a]));
  return [
    ...[...onto].map(([b, a]) => [replace(b.offset, a.offset.text)]),
    ...all.filter(([a, b]) => a.to === b.from).map(([, b]) => [replace(b.offset, `${b.offset.text} - 64`)]),
    ...t.buffers.filter((b) => b.halves.length > 0).map((b) => b.halves.map((h) => replace(h, "0"))),
  ];
};

/** Sizes, rows and bounds of what crosses device memory, one element more and less. */
const tails: Finder = (t) => {
  const copies = t.calls.filter((c) => isCopy(c) && direction(c).includes("GDRAM"));
  const bounds = [...t.source.matchAll(/const int64_t (?:hi\d|width) = (std::min<int64_t>\(.*\));/g)].map((m) => {
    const start = m.index + m[0].indexOf(m[1]!);
    return { start, end: start + m[1]!.length, text: m[1]! };
  });
  const steps: [Range, string][] = [
    ...copies.map((c): [Range, string] => [c.args[2]!, String(elementOf(t, c))]),
    ...copies.filter((c) => c.args.length === 7).map((c): [Range, string] => [c.args[6]!, "1"]),
    ...bounds.map((b): [Range, string] => [b, "1"]),
  ];
  return steps.flatMap(([at, step]) => ["+", "-"].map((sign) => [replace(at, `${at.text} ${sign} ${step}`)]));
};

/** Counts of vector instructions. */
const counts: Finder = (t) =>
  t.calls
    .filter((c) => /^__bang_(?!reshape_filter|load_matrix)/.test(c.name) && c.args.length > 1)
    .flatMap((c) => {
      const places = c.name === "__bang_matmul" ? [3, 4, 5] : [countOf(c)];
      const step = /^__bang_b(and|or|xor|not)$/.test(c.name) ? 4 : 1;
      return places.flatMap((i) => ["+", "-"].map((sign) => [replace(c.args[i]!, `${c.args[i]!.text} ${sign} ${step}`)])); // prettier-ignore
    });

const strides: Finder = (t) =>
  t.calls.filter((c) => isCopy(c) && c.args.length > 4 && elementOf(t, c) > 1).flatMap((c) => {
    const at = c.args.length === 7 ? [4, 5] : [4, 6, 8, 10];
    return at.filter((i) => c.args[i] && c.args[i].text !== "0").map((i) => [replace(c.args[i]!, `(${c.args[i]!.text}) / ${elementOf(t, c)}`)]); // prettier-ignore
  }); // prettier-ignore

/**
 * Fills whose buffer is not written whole by what follows are the neutral values of a tail, or padding. What was there
 * before is not the kernel's to choose, so the worst of it is there: memory that nothing wrote.
 */
const fills: Finder = (t) => [
  ...t.calls
    .filter((c) => /^__(bang_write_(value|zero)|nramset)$/.test(c.name))
    .map((c) => {
      const [at, size] = [c.args[0]!.text, t.sizeOf(c.args[0]!.text) || 1];
      return [replace(c.statement, `::sim::forget(${at}, (${c.args[countOf(c)]!.text}) * ${size});`)];
    }),
  ...[...t.source.matchAll(/for \(int c = \d+; c < \d+; \+\+c\) ((\w+\[[^\]]*\]) = [^;]*;)/g)].map((m) => {
    const start = m.index + m[0].length - m[1]!.length;
    return [{ start, end: start + m[1]!.length, text: `::sim::forget(&${m[2]}, sizeof ${m[2]});` }];
  }),
];

/** Neighbours that share a line of device memory, on two cores. */
const lines: Finder = (t) => [
  ...[...t.source.matchAll(/if \(!is_apart\) (group = num_programs;)/g)].map((m) => [{ start: m.index + m[0].indexOf("group"), end: m.index + m[0].length, text: ";" }]),
  ...[...t.source.matchAll(/int64_t group = (\d+|num_programs);/g)].filter((m) => m[1] !== "1").map((m) => [{ start: m.index + 16, end: m.index + m[0].length - 1, text: "1" }]),
  ...[...t.source.matchAll(/while \(group < 64 && .*\) (group \*= 2;)/g)].map((m) => [{ start: m.index + m[0].length - m[1]!.length, end: m.index + m[0].length, text: "break;" }]),
]; // prettier-ignore

const tasks: Finder = (t) =>
  (
    [
      [/first = (taskId) \* group/g, ["(taskId + 1)", "(taskId / 2)", "coreId"]],
      [/first \+= (taskDim) \* group/g, ["(taskDim + 1)"]],
      [/first < (num_programs);/g, ["(num_programs - 1)", "num_programs / 2"]],
      [/if \((taskId != 0)\) return;/g, ["taskId == 0", "false"]],
      // The same where copies run a turn ahead.
      [/next = (taskId) \* group/g, ["(taskId + 1)", "(taskId / 2)", "coreId"]],
      [/: 1 \+ \((taskDim) - 1\) \* group/g, ["(taskDim + 1)"]],
      [/; id < (num_programs);/g, ["(num_programs - 1)", "num_programs / 2"]],
      [/if \(next < (num_programs)\)/g, ["(num_programs - 1)", "num_programs / 2"]],
      [/std::min<int64_t>\(first \+ group, (num_programs)\)/g, ["num_programs - 1", "num_programs + 1"]],
      [/; id < (first \+ group);/g, ["first + group - 1", "first + group + 1"]],
    ] as const
  ).flatMap(([pattern, wrong]) =>
    [...t.source.matchAll(pattern)].flatMap((m) => {
      const start = m.index + m[0].lastIndexOf(m[1]!);
      return wrong.map((text) => [{ start, end: start + m[1]!.length, text }]);
    }),
  );

/**
 * A vector instruction on f32 in a type that the architecture has no arithmetic for: it must not compile. Where it has, as
 * on MLU590, the instruction is legal, and what follows may forgive its coarser numbers: a softmax does not depend on the
 * maximum that it takes off, nor a normalisation on the scale of what it normalises.
 */
const wrongTypes: Finder = (t, chip) =>
  hasBf16(chip)
    ? []
    : t.calls
        .filter((c) =>
          /^__bang_(cycle_)?(add|sub|mul|maximum|minimum|gt|ge|lt|le|eq|ne|abs|sqrt|rsqrt|recip|log|pow2|floor|active_\w+)(_scalar)?$/.test(
            c.name,
          ),
        ) // prettier-ignore
        .filter((c) => !c.text.includes("(char*)") && t.sizeOf(c.args[0]!.text) === 4)
        // One says it for the kernel.
        .slice(0, 1)
        .map((c) => {
          const sources = c.name.endsWith("_scalar") || c.args.length === 3 ? 1 : 2;
          const cast = (a: Range, i: number): string =>
            i <= sources ? `(bfloat16_t*)(${a.text})` : i === 2 && sources === 1 && c.args.length === 4 ? `(bfloat16_t)(float)(${a.text})` : a.text; // prettier-ignore
          return [replace(c.statement, `${c.name}(${c.args.map(cast).join(", ")});`)];
        });

const rowMajor: Finder = (t) =>
  t.calls.filter((c) => c.name === "__bang_reshape_filter").flatMap((c) => {
    const [d, s, n, , , k] = c.args.map((a) => a.text) as [string, string, string, string, string, string];
    const move = t.calls.find((m) => isCopy(m) && direction(m) === "NRAM2WRAM" && m.start > c.start);
    return [
      [replace(c.statement, `__memcpy(${d}, ${s}, ${n} * ${k} * ${t.sizeOf(d)}, NRAM2NRAM);`)],
      ...(move ? [[replace(move.args[1]!, s)]] : []),
    ];
  }); // prettier-ignore

const otherDirection: Readonly<Record<string, readonly string[]>> = {
  GDRAM2NRAM: ["NRAM2GDRAM", "NRAM2NRAM", "SRAM2NRAM"],
  NRAM2GDRAM: ["GDRAM2NRAM", "NRAM2NRAM", "WRAM2GDRAM"],
  NRAM2NRAM: ["GDRAM2NRAM", "NRAM2WRAM"],
  NRAM2WRAM: ["NRAM2NRAM", "GDRAM2WRAM", "NRAM2GDRAM"],
};
const directions: Finder = (t) =>
  t.calls.filter(isCopy).flatMap((c) => (otherDirection[direction(c)] ?? []).map((d) => [replace(c.args[3]!, d)]));

/** Scalar code that reads a filter: the product's left operand gets its first element. */
const scalarReads: Finder = (t) =>
  t.calls.filter((c) => c.name === "__bang_matmul").map((c) => [replace(c.statement, `${c.args[1]!.text}[0] = *(${c.args[2]!.text}); ${c.statement.text}`)]); // prettier-ignore

const kinds: readonly (readonly [MutationKind, Finder])[] = [
  ["drop one synchronisation", syncs],
  ["shrink or overlap a buffer", shrinks],
  ["shrink or overlap a buffer", overlaps],
  ["tail one longer or shorter", tails],
  ["count one longer or shorter", counts],
  ["stride in the wrong unit", strides],
  ["drop the fill of a padded tail", fills],
  ["two cores in one line", lines],
  ["one core missing or extra", tasks],
  ["bf16 arithmetic", wrongTypes],
  ["row-major copy to WRAM", rowMajor],
  ["copy in the wrong direction", directions],
  ["scalar read of WRAM", scalarReads],
];

export function mluMutants(source: string, chip: Chip): Mutant[] {
  const text = bangText(source);
  return kinds.flatMap(
    ([kind, find]) =>
    find(text, chip).map((edits) => ({ ...mutant(kind, source, ...edits), ...(kind === "bf16 arithmetic" && { mustNotCompile: true }) })), // prettier-ignore
  );
}
