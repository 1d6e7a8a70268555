/**
 * JSON that loses nothing: numbers stay as they were written (1.0, 1e400, integers beyond 2^53), keys keep their order
 * ("10" before "2" if it came first). What JavaScript's own parser would change, a chat template and a tool would see.
 * Main functions: `parseJsonText`, `toPythonJson` (as Python's json.dumps writes it, the form models were trained on).
 */
import { RequestError } from "../base/errors.ts";

export type JsonNode =
  | { readonly kind: "object"; readonly entries: ReadonlyMap<string, JsonNode> }
  | { readonly kind: "array"; readonly items: readonly JsonNode[] }
  | { readonly kind: "string"; readonly value: string }
  /** A number, true, false or null, as written. */
  | { readonly kind: "scalar"; readonly text: string };

const space = /[ \t\n\r]*/y;
const scalar = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y;
// oxlint-disable-next-line no-control-regex -- JSON forbids exactly these within strings.
const string = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const MAX_DEPTH = 512;

class Reader {
  private readonly text: string;
  private at = 0;
  constructor(text: string) {
    this.text = text;
  }

  all(): JsonNode {
    const node = this.value(0);
    if (this.at < this.text.length) this.fail("the end");
    return node;
  }

  private value(depth: number): JsonNode {
    if (depth > MAX_DEPTH) this.fail(`at most ${MAX_DEPTH} levels`);
    this.take(space);
    const c = this.text[this.at];
    const node = c === "{" ? this.object(depth) : c === "[" ? this.array(depth) : this.leaf();
    this.take(space);
    return node;
  }

  private leaf(): JsonNode {
    if (this.text[this.at] === '"') return { kind: "string", value: this.key() };
    const text = this.take(scalar);
    return text === undefined || text === "" ? this.fail("a value") : { kind: "scalar", text };
  }

  private key(): string {
    const text = this.take(string);
    return text === undefined ? this.fail("a string") : (JSON.parse(text) as string);
  }

  /** Of two equal keys the later value counts, at the place of the first. */
  private object(depth: number): JsonNode {
    const entries = new Map<string, JsonNode>();
    this.at++;
    this.take(space);
    if (this.skip("}")) return { kind: "object", entries };
    do {
      this.take(space);
      const key = this.key();
      this.take(space);
      if (!this.skip(":")) this.fail('":"');
      entries.set(key, this.value(depth + 1));
    } while (this.skip(","));
    return this.skip("}") ? { kind: "object", entries } : this.fail('"," or "}"');
  }

  private array(depth: number): JsonNode {
    const items: JsonNode[] = [];
    this.at++;
    this.take(space);
    if (this.skip("]")) return { kind: "array", items };
    do items.push(this.value(depth + 1));
    while (this.skip(","));
    return this.skip("]") ? { kind: "array", items } : this.fail('"," or "]"');
  }

  private take(regex: RegExp): string | undefined {
    regex.lastIndex = this.at;
    const found = regex.exec(this.text)?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }
  private skip(c: string): boolean {
    if (this.text[this.at] !== c) return false;
    this.at++;
    return true;
  }
  private fail(expected: string): never {
    const got = this.at < this.text.length ? JSON.stringify(this.text.slice(this.at, this.at + 20)) : "the end";
    throw new RequestError(`json: expected ${expected} at character ${this.at}, got ${got}`);
  }
}

/** Throws RequestError with the place. */
export const parseJsonText = (text: string): JsonNode => new Reader(text).all();

/** Separators ", " and ": ", nothing but what must be is escaped; numbers as written. */
export function toPythonJson(node: JsonNode): string {
  if (node.kind === "scalar") return node.text;
  if (node.kind === "string") return JSON.stringify(node.value);
  if (node.kind === "array") return `[${node.items.map(toPythonJson).join(", ")}]`;
  return `{${Array.from(node.entries, ([key, value]) => `${JSON.stringify(key)}: ${toPythonJson(value)}`).join(", ")}}`;
}

/** A value of JavaScript as such JSON. */
export const pythonJsonOf = (value: unknown): string => toPythonJson(parseJsonText(JSON.stringify(value)));

/** The part of a document under keys and indices; undefined where there is none. */
export function jsonAt(node: JsonNode, path: readonly (string | number)[]): JsonNode | undefined {
  return path.reduce<JsonNode | undefined>((at, step) => {
    if (at?.kind === "object") return at.entries.get(String(step));
    return at?.kind === "array" ? at.items[Number(step)] : undefined;
  }, node);
}
