/**
 * Mutants of emitted Ascend C, found in the text alone: what the emitter must not forget, one at a time.
 * Main function: `ascendMutants`. The table: which kinds there are, and where each applies.
 */
import type { Chip } from "../../../tile/chips/types.ts";
import { mutant, type Edit, type Mutant } from "./mutant.ts";

/** A match with the place of its first group, or of the whole where there is none. */
interface Found {
  readonly match: RegExpExecArray;
  readonly start: number;
  readonly end: number;
}
function find(source: string, pattern: RegExp, group = 0): Found[] {
  return [...source.matchAll(new RegExp(pattern, "dg"))].flatMap((match) => {
    const range = match.indices![group];
    return range ? [{ match, start: range[0], end: range[1] }] : [];
  });
}
const replace = ({ start, end }: Found, text: string): Edit => ({ start, end, text });
const without = (f: Found): Edit => replace(f, ";");

/** Set and wait of an event that follow each other; else each alone, and all of an event with one id together. */
function events(source: string): Mutant[] {
  const kind = "drop one synchronisation";
  const sets = find(source, /SetFlag<HardEvent::(\w+)>\(([^;]*)\);/);
  const waits = find(source, /WaitFlag<HardEvent::(\w+)>\(([^;]*)\);/);
  const out: Mutant[] = [];
  const apart = new Map<string, Found[]>();
  for (const set of sets) {
    const name = `${set.match[1]} ${set.match[2]}`;
    const wait = waits.find((w) => w.start > set.end && source.slice(set.end, w.start).trim() === "");
    if (wait && `${wait.match[1]} ${wait.match[2]}` === name)
      out.push(mutant(kind, source, without(set), without(wait)));
    else apart.set(name, [...(apart.get(name) ?? []), set]);
  }
  for (const wait of waits) {
    const name = `${wait.match[1]} ${wait.match[2]}`;
    if (apart.has(name)) apart.get(name)!.push(wait);
  }
  for (const f of [...sets, ...waits]) out.push(mutant(kind, source, without(f)));
  for (const group of apart.values()) out.push(mutant(kind, source, ...group.map(without)));
  return out;
}

/** Flags between cores: each call, and each set with each wait for it. */
function crossFlags(source: string): Mutant[] {
  const kind = "drop one synchronisation";
  const sets = find(source, /CrossCoreSetFlag<[^>]*>\((\d+)\);/);
  const waits = find(source, /CrossCoreWaitFlag(?:<[^>]*>)?\((\d+)\);/);
  const pairs = sets.flatMap((set) => waits.filter((w) => w.match[1] === set.match[1]).map((wait) => mutant(kind, source, without(set), without(wait)))); // prettier-ignore
  return [...[...sets, ...waits].map((f) => mutant(kind, source, without(f))), ...pairs];
}
/** The last barrier hands the core over to the next kernel. */
const lastBarrier = (source: string): Mutant[] => find(source, /PipeBarrier<PIPE_ALL>\(\);/).map((f) => mutant("drop one synchronisation", source, without(f))); // prettier-ignore

function swappedIds(source: string): Mutant[] {
  const other = (id: string, count: number): string => (/^\d+$/.test(id) ? String((Number(id) + 1) % count) : `${id} + 1`);
  return [
    ...find(source, /(?:Set|Wait)Flag<HardEvent::\w+>\(EVENT_ID(\d)\)/, 1).map((f) => replace(f, other(f.match[1]!, 6))),
    ...find(source, /CrossCore(?:Set|Wait)Flag(?:<[^>]*>)?\((\d+)\)/, 1).map((f) => replace(f, other(f.match[1]!, 11))),
  ].map((edit) => whole(source, edit, "swap ids"));
} // prettier-ignore
/** An edit inside of a statement as one of the whole statement, so that a constant may change. */
function whole(source: string, edit: Edit, kind: Mutant["kind"]): Mutant {
  const start = source.lastIndexOf("\n", edit.start) + 1;
  const from = start + source.slice(start, edit.start).search(/\S/);
  const end = source.indexOf(";", edit.end) + 1;
  return mutant(kind, source, { start: from, end, text: source.slice(from, edit.start) + edit.text + source.slice(edit.end, end) }); // prettier-ignore
}

interface Tensor {
  readonly name: string;
  readonly type: string;
  readonly space: string;
  readonly offset: Found;
  readonly count: Found;
  readonly from: number;
  readonly to: number;
  /** Places of its uses. */
  readonly uses: readonly number[];
}
const sizes: Readonly<Record<string, number>> = { float: 4, int32_t: 4, uint32_t: 4, half: 2, bfloat16_t: 2, int16_t: 2, uint16_t: 2, uint8_t: 1, int8_t: 1, fp8_e4m3fn_t: 1 }; // prettier-ignore
/** Bytes at which a tensor of a memory may begin. */
const grain: Readonly<Record<string, number>> = { A2: 512, B2: 512, CO1: 1024 };

function tensors(source: string): Tensor[] {
  const pattern = /LocalTensor<(\w+)> (\w+)\(TPosition::(\w+), (\d+), (\d+)\);/;
  const offsets = find(source, pattern, 4);
  const counts = find(source, pattern, 5);
  return offsets.map((offset, i) => {
    const [, type = "", name = "", space = "", at, n] = offset.match;
    const bytes = Number(n) * sizes[type]!;
    const uses = find(source, new RegExp(`\\b${name}\\b`))
      .slice(1)
      .map((f) => f.start);
    return { name, type, space, offset, count: counts[i]!, from: Number(at), to: Number(at) + bytes, uses };
  });
}
/** 32 bytes (or a fractal) less of each tensor, and each moved onto one that is still to be used. */
function buffers(source: string): Mutant[] {
  const kind = "shrink or overlap a buffer";
  const all = tensors(source);
  return all.flatMap((t) => {
    const step = grain[t.space] ?? 32;
    const less = Math.max(0, t.to - t.from - step) / sizes[t.type]!;
    const out = [mutant(kind, source, replace(t.count, String(less)))];
    // One that is written before this one and used again after it.
    const [first, last] = [Math.min(...t.uses), Math.max(...t.uses)];
    const live = all.find((o) => o !== t && o.space === t.space && (o.from >= t.to || o.to <= t.from) && o.uses.some((u) => u < first) && o.uses.some((u) => lineStart(source, u) > last)); // prettier-ignore
    if (live) out.push(mutant(kind, source, replace(t.offset, String(live.from))));
    return out;
  });
}
const lineStart = (source: string, at: number): number => source.lastIndexOf("\n", at);

/** Arguments of a call or braces from `open`, the place after the bracket; each with its range. */
function argumentsOf(source: string, open: number): { readonly start: number; readonly end: number; readonly text: string }[] {
  const out: { start: number; end: number; text: string }[] = [];
  let [depth, start] = [0, open];
  for (let i = open; ; i++) {
    const c = source[i]!;
    if (depth === 0 && (c === "," || c === ")" || c === "}")) {
      const from = start + (source.slice(start, i).search(/\S/) || 0);
      out.push({ start: from, end: i, text: source.slice(from, i) });
      start = i + 1;
      if (c !== ",") return out;
    } else if ("([{".includes(c)) depth++;
    else if (")]}".includes(c)) depth--;
  }
} // prettier-ignore

/** The positions of sizes and strides in an instruction's parameters; `unit` is what turns the stride into the wrong one. */
interface Form {
  readonly head: RegExp;
  readonly lengths: readonly { readonly at: number; readonly step: string }[];
  readonly strides: readonly { readonly at: number; readonly wrong: (text: string) => string }[];
}
const bytesAsBlocks = (text: string): string => `(${text}) / 32`;
const blocksAsBytes = (text: string): string => `(${text}) * 32`;
const elementsAsBytes = (text: string): string => `(${text}) * 4`;
const blockElements = (text: string): string => `(${text}) * 16`;

/** Element size of a copy's device tensor, from its declaration. */
function elementOf(source: string, line: string): number {
  const name = /(?:\(|, )(\w+(?:Gm|Cube|Ws))\b/.exec(line)?.[1];
  const type = name ? new RegExp(`GlobalTensor<(\\w+)> ${name};`).exec(source)?.[1] : undefined;
  return sizes[type ?? ""] ?? 4;
}
/** A load's gaps are bytes, then 32-byte blocks; a store's the other way round. */
const forms: readonly Form[] = [
  { head: /DataCopyPad\((?!\w+(?:Gm|Ws)\b)[^;]*?DataCopyExtParams\{/, lengths: [{ at: 0, step: "1" }, { at: 1, step: "element" }], strides: [{ at: 2, wrong: bytesAsBlocks }, { at: 3, wrong: blocksAsBytes }] }, // prettier-ignore
  { head: /DataCopyPad\(\w+(?:Gm|Ws)\b[^;]*?DataCopyExtParams\{/, lengths: [{ at: 0, step: "1" }, { at: 1, step: "element" }], strides: [{ at: 2, wrong: blocksAsBytes }, { at: 3, wrong: bytesAsBlocks }] }, // prettier-ignore
  { head: /DataCopyParams\{/, lengths: [{ at: 0, step: "1" }, { at: 1, step: "1" }], strides: [{ at: 2, wrong: blocksAsBytes }, { at: 3, wrong: blocksAsBytes }] }, // prettier-ignore
  { head: /Nd2NzParams\{/, lengths: [{ at: 1, step: "1" }, { at: 2, step: "1" }], strides: [{ at: 4, wrong: elementsAsBytes }, { at: 5, wrong: blockElements }] }, // prettier-ignore
  {
    head: /MmadParams\(/,
    lengths: [
      { at: 0, step: "1" },
      { at: 1, step: "1" },
      { at: 2, step: "1" },
    ],
    strides: [],
  },
  { head: /FixpipeParamsV220\(/, lengths: [{ at: 0, step: "1" }, { at: 1, step: "1" }], strides: [{ at: 2, wrong: blockElements }, { at: 3, wrong: elementsAsBytes }] }, // prettier-ignore
];
function transfers(source: string): Mutant[] {
  const out: Mutant[] = [];
  for (const { head, lengths, strides } of forms)
    for (const f of find(source, head)) {
      const args = argumentsOf(source, f.end);
      const line = source.slice(lineStart(source, f.start) + 1, source.indexOf("\n", f.start));
      for (const { at, step } of lengths) {
        const arg = args[at]!;
        const by = step === "element" ? String(elementOf(source, line)) : step;
        for (const sign of ["+", "-"]) out.push(constant(source, "tail one longer or shorter", arg, `(${arg.text}) ${sign} ${by}`)); // prettier-ignore
      }
      for (const { at, wrong } of strides) {
        const arg = args[at]!;
        if (arg.text !== "0") out.push(constant(source, "stride in the wrong unit", arg, wrong(arg.text)));
      }
    }
  return out;
}
/** A parameter, in the type that the braces expect: what stands there is narrow, or a constant. */
const constant = (source: string, kind: Mutant["kind"], { start, end, text }: { start: number; end: number; text: string }, other: string): Mutant => {
  const type = /^\((uint(?:16|32)_t)\)/.exec(text)?.[1] ?? "uint16_t";
  return statement(kind, source, { start, end, text: `(${/DataCopyExtParams\{[^{}]*$/.test(source.slice(lineStart(source, start), start)) && type !== "uint16_t" ? "uint32_t" : type})(${other})` });
}; // prettier-ignore
/** An edit as one of the statement it stands in: the whole line from the call on, without the loop before it. */
function statement(kind: Mutant["kind"], source: string, edit: Edit): Mutant {
  const line = lineStart(source, edit.start) + 1;
  const calls = [...source.slice(line, edit.start).matchAll(/\b(?:DataCopyPad|DataCopy|Mmad|Fixpipe)[<(]/g)];
  const start = line + calls.at(-1)!.index;
  const end = source.indexOf(";", edit.end) + 1;
  return mutant(kind, source, { start, end, text: source.slice(start, edit.start) + edit.text + source.slice(edit.end, end) }); // prettier-ignore
}

/** Named sizes: what is left of a row or of rows at the end of a view. */
const namedSizes = (source: string): Mutant[] =>
  find(source, /const int64_t \w+_(?:cols|rows|planes|boxes|groups) = ([^;]+);/, 1).flatMap(
    (f) =>
    [`(${f.match[1]}) + 1`, `(${f.match[1]}) - 1`].map((text) => mutant("tail one longer or shorter", source, replace(f, text))), // prettier-ignore
  );

/**
 * What was there before is not the kernel's to choose: an earlier tile's numbers may pass for a fill's. So the worst of
 * it is there, memory that nothing wrote.
 */
function fills(source: string): Mutant[] {
  const kind = "drop the fill of a padded tail";
  return [
    ...find(source, /\b(Duplicate|InitConstValue)\([^;]*;/).map((f) => mutant(kind, source, replace(f, f.match[0].replace(f.match[1]!, "Forget")))), // prettier-ignore
    ...find(source, /DataCopyPadExtParams<\w+>\{(true)/, 1).map((f) => mutant(kind, source, replace(f, "false"))),
  ];
}

const barriers = (source: string): Mutant[] => find(source, /PipeBarrier<PIPE_(?!ALL)\w+>\(\);/).map((f) => mutant("drop a barrier of one pipe", source, without(f))); // prettier-ignore
const flushes = (source: string): Mutant[] => find(source, /DataCacheCleanAndInvalid<[^;]*;/).map((f) => mutant("skip the flush of the data cache", source, without(f))); // prettier-ignore

/** Where the loop over programs ends that leaves out the last one. */
export const WITHOUT_LAST = "gridX * gridY * gridZ - 1";
/** A core that does not do its share, one that does more, and programs beyond the grid. */
function shares(source: string): Mutant[] {
  const kind = "one core missing or extra";
  const starts = find(source, /pid = (GetBlockIdx\(\));/, 1);
  const steps = find(source, /pid \+= (GetBlockNum\(\))/, 1);
  const ends = find(source, /pid < (gridX \* gridY \* gridZ);/, 1);
  const all = (found: readonly Found[], text: string): Mutant[] => (found.length ? [mutant(kind, source, ...found.map((f) => replace(f, text)))] : []); // prettier-ignore
  return [
    ...all(starts, "GetBlockIdx() + 1"),
    ...all(steps, "(GetBlockNum() + 1)"),
    ...(starts.length > 0 ? [mutant(kind, source, ...steps.map((f) => replace(f, "(GetBlockNum() > 1 ? GetBlockNum() - 1 : 1)")), ...starts.map((f) => replace(f, "(GetBlockIdx() > 0 ? GetBlockIdx() - 1 : 0)")))] : []), // prettier-ignore
    ...all(ends, WITHOUT_LAST),
  ];
}

/** The cube core takes rows one by one as a vector. */
const singleRow = (source: string): Mutant[] => find(source, /MmadParams\((\d+),/, 1).filter((f) => f.match[1] !== "1").map((f) => statement("m = 1", source, replace(f, "1"))); // prettier-ignore

/** Architecture 2201 has no vector arithmetic on bf16: such a statement must not compile. */
function bf16Arithmetic(source: string, chip: Chip): Mutant[] {
  if (chip.arch.vector.binary.add.native.includes("bf16")) return [];
  return tensors(source)
    .filter((t) => t.space === "VECCALC" && t.type === "bfloat16_t" && t.uses.length > 0)
    .slice(0, 1)
    .flatMap((t) => {
      // Comments name tiles too.
      const use = t.uses.find((u) => !source.slice(lineStart(source, u), u).includes("//"));
      if (use === undefined) return [];
      const start = lineStart(source, use) + 1;
      const end = source.indexOf("\n", start);
      const line = source.slice(start, end);
      return [{ ...mutant("bf16 arithmetic", source, { start, end, text: `${line} Add(${t.name}, ${t.name}, ${t.name}, 16);` }), mustNotCompile: true }]; // prettier-ignore
    });
}

/** Every mutant of a kernel's text; a kind without a place in it has none. */
export const ascendMutants = (source: string, chip: Chip): Mutant[] => [
  ...events(source),
  ...crossFlags(source),
  ...lastBarrier(source),
  ...swappedIds(source),
  ...buffers(source),
  ...transfers(source),
  ...namedSizes(source),
  ...fills(source),
  ...barriers(source),
  ...flushes(source),
  ...shares(source),
  ...singleRow(source),
  ...bf16Arithmetic(source, chip),
];
