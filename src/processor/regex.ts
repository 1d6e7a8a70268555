/**
 * Patterns of a tokenizer.json (Oniguruma, as Hugging Face's tokenizers reads them) -> JavaScript expressions that match
 * the same. What means something else in JavaScript is rewritten (`\s`, `\d`, `\w`, `.`, `^`, possessive quantifiers,
 * atomic groups, `(?i:`); what has no translation here is refused by name.
 * Main function: `toRegExp`. Source: Oniguruma's doc/RE and its table of word characters.
 */

/** Why a pattern is refused; the caller knows the file. */
export class PatternError extends Error {}

/** Oniguruma's `\w`; outside of brackets its table also has five numbers of Latin-1. */
const WORD = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
const LATIN_NUMBERS = "\\u00B2\\u00B3\\u00B9\\u00BC-\\u00BE";

const escapes: Readonly<Record<string, string>> = {
  s: "\\p{White_Space}",
  S: "\\P{White_Space}",
  d: "\\p{Nd}",
  D: "\\P{Nd}",
  w: `[${WORD}${LATIN_NUMBERS}]`,
  W: `[^${WORD}${LATIN_NUMBERS}]`,
  h: "[0-9A-Fa-f]",
  H: "[^0-9A-Fa-f]",
  A: "(?<![^])",
  z: "(?![^])",
  Z: "(?=\\n?(?![^]))",
  a: "\\x07",
  e: "\\x1B",
};
const classEscapes: Readonly<Record<string, string>> = {
  s: escapes["s"]!,
  S: escapes["S"]!,
  d: escapes["d"]!,
  D: escapes["D"]!,
  w: WORD,
  h: "0-9A-Fa-f",
  a: escapes["a"]!,
  e: escapes["e"]!,
};
/** The same in both languages. */
const sharedEscapes = /^\\(?:[nrtfv]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|[pP]\{[^}]*\})/;
const syntaxCharacter = /[\^$\\.*+?()[\]{}|/]/;

interface Group {
  /** Written after the pattern's own `)`. */
  readonly close: string;
  readonly start: number;
  readonly ignoresCase: boolean;
}

/** One pattern on its way through; `out` grows, `atomStart` is where its last atom began. */
class Translation {
  private readonly source: string;
  private at = 0;
  private out = "";
  private atomStart = -1;
  private ignoresCase = false;
  private numAtomic = 0;
  private readonly groups: Group[] = [];

  constructor(source: string) {
    this.source = source;
  }

  run(): string {
    while (this.at < this.source.length) this.step();
    if (this.groups.length > 0) this.refuse("a group that is not closed");
    return this.out;
  }

  private step(): void {
    const c = String.fromCodePoint(this.source.codePointAt(this.at)!);
    if (c === "\\") this.atom(this.escape(escapes, true));
    else if (c === "[") this.atom(this.characterClass());
    else if (c === "(") this.open();
    else if (c === ")") this.close();
    else if (c === "*" || c === "+" || c === "?" || c === "{") this.quantifier();
    else {
      this.at += c.length;
      if (c === "|") {
        this.out += c;
        this.atomStart = -1;
      } else this.atom(this.plain(c));
    }
  }

  private plain(c: string): string {
    if (c === ".") return "[^\\n]";
    if (c === "^") return "(?<![^\\n])";
    if (c === "$") return "(?![^\\n])";
    if (this.ignoresCase && /[a-z]/i.test(c)) return `[${c.toLowerCase()}${c.toUpperCase()}]`;
    return c === "]" || c === "}" || c === "/" ? `\\${c}` : c;
  }

  private atom(text: string): void {
    this.atomStart = this.out.length;
    this.out += text;
  }

  /** Reads an escape; letters and digits must be in a table, other characters stand for themselves. */
  private escape(table: Readonly<Record<string, string>>, isOutside: boolean): string {
    const shared = sharedEscapes.exec(this.source.slice(this.at))?.[0];
    if (shared !== undefined) {
      this.at += shared.length;
      return this.property(shared);
    }
    const braced = /^\\x\{([0-9A-Fa-f]+)\}/.exec(this.source.slice(this.at));
    if (braced) {
      this.at += braced[0].length;
      return `\\u{${braced[1]}}`;
    }
    const code = this.source.codePointAt(this.at + 1);
    if (code === undefined) return this.refuse("an escape at the end");
    const c = String.fromCodePoint(code);
    this.at += 1 + c.length;
    if (Object.hasOwn(table, c)) return table[c]!;
    if (/[A-Za-z0-9]/.test(c)) return this.refuse(`the escape \\${c}`);
    return syntaxCharacter.test(c) || (!isOutside && c === "-") ? `\\${c}` : c;
  }

  /** `\p{Han}` is a script by its bare name, which JavaScript wants told. */
  private property(text: string): string {
    const name = /^\\[pP]\{([^}]*)\}$/.exec(text)?.[1];
    if (name === undefined || isKnown(text)) return text;
    const asScript = text.replace(`{${name}}`, `{Script=${name}}`);
    return isKnown(asScript) ? asScript : this.refuse(`the property ${text}`);
  }

  private characterClass(): string {
    const { source } = this;
    let text = "[";
    this.at++;
    if (source[this.at] === "^") {
      text += "^";
      this.at++;
    }
    for (let isFirst = true; ; isFirst = false) {
      const c = source[this.at];
      if (c === undefined) this.refuse("a class that is not closed");
      if (c === "[") this.refuse("a class within a class");
      if (source.startsWith("&&", this.at)) this.refuse("an intersection of classes");
      if (c === "\\") {
        text += this.escape(classEscapes, false);
        continue;
      }
      this.at++;
      if (c === "]" && !isFirst) return `${text}]`;
      if (this.ignoresCase && /[a-z]/i.test(c!)) this.refuse("a class with letters within (?i:");
      text += c === "]" ? "\\]" : c;
    }
  }

  private open(): void {
    const rest = this.source.slice(this.at);
    const prefix = /^\((?:\?(?:<[=!]|[:=!>]|i:|<[A-Za-z_]\w*>))?/.exec(rest)![0];
    if (prefix === "(" && rest[1] === "?") this.refuse(`the group ${rest.slice(0, 4)}`);
    this.at += prefix.length;
    const isAtomic = prefix === "(?>";
    const name = isAtomic ? this.nextName() : "";
    this.groups.push({
      close: isAtomic ? `)\\k<${name}>` : "",
      start: this.out.length,
      ignoresCase: this.ignoresCase,
    });
    if (prefix === "(?i:") this.ignoresCase = true;
    // What a group captures is never asked for.
    const isLook = /^\(\?<?[=!]$/.test(prefix);
    this.out += isAtomic ? `(?:(?=(?<${name}>` : isLook ? prefix : "(?:";
    this.atomStart = -1;
  }

  private close(): void {
    const group = this.groups.pop() ?? this.refuse("a ) without a (");
    this.at++;
    this.out += group.close === "" ? ")" : `)${group.close})`;
    this.atomStart = group.start;
    this.ignoresCase = group.ignoresCase;
  }

  private quantifier(): void {
    const rest = this.source.slice(this.at);
    const braces = /^\{(\d+(?:,\d*)?|,\d+)\}/.exec(rest);
    if (rest[0] === "{" && !braces) {
      this.at++;
      return this.atom("\\{");
    }
    if (this.atomStart < 0) this.refuse(`the quantifier ${rest[0]} with nothing before it`);
    const text = braces ? `{${braces[1]!.replace(/^,/, "0,")}}` : rest[0]!;
    this.at += braces ? braces[0].length : 1;
    const after = this.source[this.at];
    const atom = this.out.slice(this.atomStart);
    const before = this.out.slice(0, this.atomStart);
    if (after === "+" && !braces) {
      // Possessive: what it took is never given back. A lookahead commits, the reference takes.
      const name = this.nextName();
      this.out = `${before}(?:(?=(?<${name}>${atom}${text}))\\k<${name}>)`;
    } else if (after === "+" && braces) this.out = `${before}(?:${atom}${text})+`; // Of counted ones Oniguruma makes runs.
    else if (after === "*" || (after === "?" && braces)) this.refuse(`the quantifier ${text}${after}`);
    else this.out += after === "?" ? `${text}?` : text;
    if (after === "+" || after === "?") this.at++;
    this.atomStart = -1;
  }

  private nextName(): string {
    return `atomic${this.numAtomic++}`;
  }

  private refuse(what: string): never {
    throw new PatternError(`expected a pattern without ${what}, got ${JSON.stringify(this.source)}`);
  }
}

function isKnown(property: string): boolean {
  try {
    return new RegExp(property, "u") instanceof RegExp;
  } catch {
    return false;
  }
}

/** Flags are "gu": whole code points, one match after another. Throws PatternError. */
export function toRegExp(pattern: string): RegExp {
  const translated = new Translation(pattern).run();
  try {
    return new RegExp(translated, "gu");
  } catch (error) {
    throw new PatternError(`expected a pattern that JavaScript can run, got ${JSON.stringify(pattern)} (${(error as Error).message})`); // prettier-ignore
  }
}

/** Matches exactly this text. */
export const literalRegExp = (text: string): RegExp => new RegExp(text.replace(/[\^$\\.*+?()[\]{}|/]/g, "\\$&"), "gu");
