/**
 * The sentences that a chat encoding puts into prompts: how tools are explained, how a schema is asked for, what each
 * effort level says. A model was trained on its own: a released folder's encoding/encoding_dsv4.py is read for them;
 * without one these are ours.
 * Main functions: `readReleasedTexts`, `ownTexts`. Source of the levels: preview checkpoints know high (nothing said) and
 * max; those of 0731 and 0813 know low (nothing said), high (the former max) and max.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { FormatError } from "../base/errors.ts";

export const efforts = ["low", "high", "max"] as const;
export type Effort = (typeof efforts)[number];

export interface ChatTexts {
  /** Of tools, with `{tool_schemas}`. */
  readonly tools: string;
  /** Of an answer's form, with `{schema}`. */
  readonly responseFormat: string;
  /** Before the first message when the answer thinks; "" says nothing. */
  readonly effort: Readonly<Record<Effort, string>>;
}

/** Ours: the models trained here have one level of effort. */
export const ownTexts: ChatTexts = {
  tools: [
    "## Tools",
    "",
    "To use tools, end the answer with one block of calls:",
    "",
    "<｜DSML｜tool_calls>",
    '<｜DSML｜invoke name="$NAME">',
    '<｜DSML｜parameter name="$KEY" string="true|false">$VALUE</｜DSML｜parameter>',
    "</｜DSML｜invoke>",
    "</｜DSML｜tool_calls>",
    "",
    'Text is written as it is with string="true", any other value as JSON with string="false".',
    "",
    "### Schemas",
    "",
    "{tool_schemas}",
    "",
  ].join("\n"),
  responseFormat: "## Response Format:\n\nThe answer is JSON of this schema:\n{schema}",
  effort: { low: "", high: "", max: "" },
};

const constants = { dsml_token: "｜DSML｜", thinking_start_token: "<think>", thinking_end_token: "</think>" };

/** A template of Python's str.format: `{name}` is a value, `{{` and `}}` are braces. Values are put in as they are. */
export const fill = (template: string, values: Readonly<Record<string, string>>): string =>
  template.replace(/\{\{|\}\}|\{(\w+)\}/g, (found, name?: string) =>
    name === undefined ? found[0]! : (values[name] ?? found),
  );

const literal = /"""([^]*?)"""|"((?:[^"\\\n]|\\[^])*)"|'((?:[^'\\\n]|\\[^])*)'/y;
const escapes: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", "\n": "" };
const unescape = (text: string): string => text.replace(/\\([^])/g, (_, c: string) => escapes[c] ?? c);

/**
 * Adjacent literals from `at` on, joined as Python joins them: across lines only within brackets, for a literal on a line of
 * its own is a statement (a comment on the name above). Undefined where there is none.
 */
function stringAt(source: string, at: number, isWithin: boolean): string | undefined {
  const isBracketed = isWithin || /^[ \t]*\(/.test(source.slice(at));
  const between = isBracketed ? /^(?:[\s(]|#.*)*/ : /^(?:[ \t]|\\\n)*/;
  let out: string | undefined;
  for (;;) {
    at += between.exec(source.slice(at))![0].length;
    literal.lastIndex = at;
    const found = literal.exec(source);
    if (!found) return out;
    out = (out ?? "") + unescape(found[1] ?? found[2] ?? found[3]!);
    at = literal.lastIndex;
  }
}

/** Where the value of a top-level name begins; undefined where the name is not assigned. */
function valueAt(source: string, name: string): number | undefined {
  const found = new RegExp(`^${name}(?:\\s*:[^=\\n]*)?\\s*=`, "m").exec(source);
  return found ? found.index + found[0].length : undefined;
}

/** The texts of a released encoding module; nothing of it is run. */
export function parseReleasedTexts(source: string, path: string): ChatTexts {
  const text = (name: string): string => {
    const at = valueAt(source, name);
    const found = at === undefined ? undefined : stringAt(source, at, false);
    if (found === undefined) throw new FormatError(`chat texts: ${path}: expected a string named ${name}, found none`, { file: path, key: name }); // prettier-ignore
    return found;
  };
  const levels = valueAt(source, "REASONING_EFFORT_PROMPTS");
  const level = (key: Effort): string => {
    const at = source.indexOf(`"${key}":`, levels);
    const found = at < 0 ? undefined : stringAt(source, at + key.length + 3, true);
    if (found === undefined) throw new FormatError(`chat texts: ${path}: expected a text for effort ${key}, found none`, { file: path, key: "REASONING_EFFORT_PROMPTS" }); // prettier-ignore
    return found;
  };
  return {
    tools: fillConstants(text("TOOLS_TEMPLATE")),
    responseFormat: text("response_format_template"),
    effort:
      levels === undefined
        ? { low: "", high: "", max: text("REASONING_EFFORT_MAX") }
        : { low: level("low"), high: level("high"), max: level("max") },
  };
}

/** Puts in what never changes, and leaves the braces for later. */
const fillConstants = (template: string): string =>
  Object.entries(constants).reduce((text, [name, value]) => text.replaceAll(`{${name}}`, value), template);

/** Those of a model's folder, or ours. */
export function readChatTexts(dir: string): ChatTexts {
  const path = join(dir, "encoding", "encoding_dsv4.py");
  return existsSync(path) ? parseReleasedTexts(readFileSync(path, "utf8"), path) : ownTexts;
}
