/**
 * What the mutators of BANG C see of a kernel's text: calls with their arguments, element types of names, and buffers
 * of the arenas with the stretch of text they are used in. A scanner for kernels written one statement to a line, not a
 * parser of C++. Main function: `bangText`.
 */
export interface Range {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}
/** A call that is a statement of its own or the right side of an assignment. */
export interface Call extends Range {
  readonly name: string;
  readonly args: readonly Range[];
  /** From the first character of the statement to its semicolon. */
  readonly statement: Range;
}
/** `T* name = (T*)(arena + offset);` */
export interface ArenaBuffer {
  readonly name: string;
  readonly type: string;
  readonly arena: string;
  readonly offset: Range;
  /** What is added for the halves of a buffer that takes turns; empty for others. */
  readonly halves: readonly Range[];
  readonly from: number;
  /** End of the bytes that one instruction covers from its start on, or both halves: what is seen of its size. */
  readonly to: number;
  /** Start of the statement that uses it first, and of the last one that names it as a source; with halves the end of their loop. */
  readonly firstUse: number;
  readonly lastRead: number;
}
export interface BangText {
  readonly source: string;
  readonly calls: readonly Call[];
  readonly buffers: readonly ArenaBuffer[];
  /** Bytes of an element behind an expression: by its cast, else by the name it starts with; 0 where that is not known. */
  sizeOf(expression: string): number;
}

const elementBytes: Readonly<Record<string, number>> = { float: 4, int32_t: 4, uint32_t: 4, half: 2, bfloat16_t: 2, int16_t: 2, uint16_t: 2, int8_t: 1, uint8_t: 1, char: 1 }; // prettier-ignore

/** Arguments of a call from the place after its bracket on. */
function argumentsFrom(source: string, open: number): { readonly args: Range[]; readonly close: number } {
  const args: Range[] = [];
  let [depth, start] = [0, open];
  for (let i = open; i < source.length; i++) {
    const c = source[i]!;
    // A template's brackets hold no comma in this text.
    if (depth === 0 && (c === "," || c === ")")) {
      const from = start + Math.max(0, source.slice(start, i).search(/\S/));
      if (from < i) args.push({ start: from, end: i, text: source.slice(from, i) });
      start = i + 1;
      if (c === ")") return { args, close: i };
    } else if ("([{".includes(c)) depth++;
    else if (")]}".includes(c)) depth--;
  }
  return { args, close: source.length };
}

function callsOf(source: string): Call[] {
  const out: Call[] = [];
  for (const m of source.matchAll(/\b(__\w+)\(/g)) {
    const open = m.index + m[0].length;
    const { args, close } = argumentsFrom(source, open);
    if (source[close + 1] !== ";") continue;
    // The statement starts behind the line's indentation and the heads of `if` and `for` on it.
    const line = source.lastIndexOf("\n", m.index) + 1;
    const before = source.slice(line, m.index);
    const assigned = /([\w[\]*+ ]+ = )$/.exec(before)?.[1]?.trimStart() ?? "";
    const start = m.index - assigned.length;
    const end = close + 2;
    out.push({ name: m[1]!, args, start: m.index, end: close + 1, text: source.slice(m.index, close + 1), statement: { start, end, text: source.slice(start, end) } }); // prettier-ignore
  }
  return out;
}

/** Comments name tiles too: blanks in their place. */
const withoutComments = (source: string): string => source.replace(/\/\/[^\n]*/g, (c) => " ".repeat(c.length));

/** `T* name = buffer + turn % 2 * count;`: one half of a buffer, while the other is on its way. */
interface Half {
  readonly name: string;
  readonly buffer: string;
  readonly shift: Range;
  readonly count: number;
}
function halvesOf(source: string): Half[] {
  return [...source.matchAll(/^\s*\w+\* (\w+) = (\w+) \+ (.* % 2 \* (\d+));$/gm)].map((m) => {
    const [all, name = "", buffer = "", text = "", count = ""] = m;
    const end = m.index + all.length - 1;
    return { name, buffer, shift: { start: end - text.length, end, text }, count: Number(count) };
  });
}
/** Where the block around a place ends. */
function endOfBlock(source: string, at: number): number {
  let depth = 0;
  for (let i = at; i < source.length; i++)
    if (source[i] === "{") depth++;
    else if (source[i] === "}" && --depth < 0) return i;
  return source.length;
}

export function bangText(text: string): BangText {
  const source = withoutComments(text);
  const calls = callsOf(source);
  const types = new Map<string, string>();
  for (const m of source.matchAll(/\b(\w+)\* (\w+)(?=[,) =])/g)) types.set(m[2]!, m[1]!);
  const sizeOf = (expression: string): number => {
    const type = /^\((\w+)\*\)/.exec(expression)?.[1] ?? types.get(/^\(*(\w+)/.exec(expression)?.[1] ?? "") ?? "";
    return elementBytes[type] ?? 0;
  };
  const allHalves = halvesOf(source);
  const buffers = [...source.matchAll(/^\s*(\w+)\* (\w+) = \(\w+\*\)\((\w+) \+ (\d+)\);$/gm)].map((m): ArenaBuffer => {
    const [all, type = "", name = "", arena = "", offset = ""] = m;
    const start = m.index + all.lastIndexOf(offset);
    const halves = allHalves.filter((h) => h.buffer === name);
    const names = [name, ...halves.map((h) => h.name)];
    const word = new RegExp(`\\b(${names.join("|")})\\b`, "g");
    const uses = [...source.slice(m.index + all.length).matchAll(word)].map((u) => u.index + m.index + all.length);
    let bytes = 2 * Math.max(0, ...halves.map((h) => h.count * (elementBytes[type] ?? 0)));
    const reads = halves.map((h) => endOfBlock(source, h.shift.end));
    for (const c of calls) {
      const plain = c.args.findIndex((a) => names.includes(a.text.replace("(char*)", "")));
      if (plain >= 0) bytes = Math.max(bytes, bytesOf(c, sizeOf(c.args[plain]!.text)));
      if (c.args.slice(c.name.startsWith("__bang_sum") ? 0 : 1).some((a) => a.text.search(word) >= 0)) reads.push(c.statement.start); // prettier-ignore
    }
    // Scalar code: whatever stands to the right of an assignment, or in brackets.
    for (const u of uses) {
      const line = source.slice(source.lastIndexOf("\n", u) + 1, source.indexOf("\n", u));
      if (new RegExp(`(=|\\[).*${word.source}`).test(line)) reads.push(u);
    }
    const firstUse = Math.min(...uses);
    const statement = calls.find((c) => c.statement.start <= firstUse && firstUse < c.statement.end)?.statement.start;
    return { name, type, arena, offset: { start, end: start + offset.length, text: offset }, halves: halves.map((h) => h.shift), from: Number(offset), to: Number(offset) + bytes, firstUse: statement ?? firstUse, lastRead: Math.max(-1, ...reads) }; // prettier-ignore
  });
  return { source, calls, buffers, sizeOf };
}

/** Position of the count of elements among the arguments of a vector instruction; the last but the exponent otherwise. */
const countAt: Readonly<Record<string, number>> = { __bang_write_value: 1, __nramset: 1, __bang_write_zero: 1, __bang_sum: 1 }; // prettier-ignore
export function countOf(c: Call): number {
  const known = countAt[c.name];
  if (known !== undefined) return known;
  if (/_cycle_/.test(c.name)) return 3;
  if (/2(?:float|half|int)|2bfloat/.test(c.name)) return 2;
  return c.args.length - 1;
}
/** Bytes that a call covers in one piece, where its text says so. */
function bytesOf(c: Call, size: number): number {
  const number = (i: number): number => (/^\d+$/.test(c.args[i]?.text ?? "") ? Number(c.args[i]!.text) : 0);
  if (c.name.startsWith("__memcpy")) return c.args.length === 4 ? number(2) : 0;
  if (c.name === "__bang_reshape_filter") return number(2) * number(3) * number(4) * number(5) * size;
  if (c.name === "__bang_matmul") return 0;
  return number(countOf(c)) * size;
}
