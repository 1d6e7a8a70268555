/**
 * What a tokenizer.json does to text before it is cut: Unicode forms, case, replacements. A normalizer loses something on
 * purpose, so text under one need not decode to itself. Most byte-level files have none.
 * Main function: `compileNormalizer`. Source: the format of Hugging Face's tokenizers.
 */
import { z } from "zod";
import { checked, pattern, regexOf, type Refuse } from "./pre-tokenizer.ts";

export type Normalize = (text: string) => string;

const replaceSchema = z.looseObject({ pattern, content: z.string() });
const stripSchema = z.looseObject({ strip_left: z.boolean(), strip_right: z.boolean() });
const prependSchema = z.looseObject({ prepend: z.string() });
const sequenceSchema = z.looseObject({ normalizers: z.array(z.unknown()) });

const form =
  (name: "NFC" | "NFD" | "NFKC" | "NFKD"): (() => Normalize) =>
  () =>
  (text) =>
    text.normalize(name);

const normalizers: Readonly<Record<string, (json: unknown, key: string, refuse: Refuse) => Normalize>> = {
  NFC: form("NFC"),
  NFD: form("NFD"),
  NFKC: form("NFKC"),
  NFKD: form("NFKD"),
  Lowercase: () => (text) => text.toLowerCase(),
  StripAccents: () => (text) => text.replace(/\p{Mn}/gu, ""),
  Replace: (json, key, refuse) => {
    const own = checked(replaceSchema, json, key, refuse);
    const regex = regexOf(own.pattern, `${key}.pattern`, refuse);
    return (text) => text.replace(regex, () => own.content);
  },
  Strip: (json, key, refuse) => {
    const { strip_left: left, strip_right: right } = checked(stripSchema, json, key, refuse);
    return (text) => {
      const from = left ? text.replace(/^\p{White_Space}+/u, "") : text;
      return right ? from.replace(/\p{White_Space}+$/u, "") : from;
    };
  },
  Prepend: (json, key, refuse) => {
    const { prepend } = checked(prependSchema, json, key, refuse);
    return (text) => (text === "" ? "" : prepend + text);
  },
  Sequence: (json, key, refuse) => {
    const list = checked(sequenceSchema, json, key, refuse).normalizers.map((own, i) => compile(own, `${key}.normalizers.${i}`, refuse)); // prettier-ignore
    return (text) => list.reduce((before, normalize) => normalize(before), text);
  },
};

function compile(json: unknown, key: string, refuse: Refuse): Normalize {
  const { type } = checked(z.looseObject({ type: z.string() }), json, key, refuse);
  const make = Object.hasOwn(normalizers, type) ? normalizers[type]! : refuse(`${key}.type`, `expected one of ${Object.keys(normalizers).join(", ")}, got "${type}"`); // prettier-ignore
  return make(json, key, refuse);
}

/** `json` is the file's `normalizer`; null is none. */
export const compileNormalizer = (json: unknown, refuse: Refuse): Normalize | undefined =>
  json === null || json === undefined ? undefined : compile(json, "normalizer", refuse);
