/**
 * tokenizer.json as GGUF metadata. Ids that no tokenizer names (codes of pictures, padding) become unused tokens.
 * llama.cpp cuts words by the name of a known tokenizer, so a cut of our own has only the nearest one.
 * Main function: `ggufTokenizer`.
 */
import { z } from "zod";
import { FormatError } from "../base/errors.ts";
import type { GgufValue } from "../nn/gguf.ts";
import { WORD_PATTERN } from "../processor/tokenizer-file.ts";
import type { V4Config } from "./config.ts";

const fileSchema = z.object({
  added_tokens: z.array(z.object({ id: z.number().int().nonnegative(), content: z.string() })),
  pre_tokenizer: z.unknown(),
  model: z.object({
    vocab: z.record(z.string(), z.number().int().nonnegative()),
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  }),
});

/** llama.cpp's token kinds. */
const NORMAL = 1;
const CONTROL = 3;
const UNUSED = 5;
/** Single digits, as ours; the released tokenizer is known there by its own name. */
const NEAREST_TO_OURS = "qwen2";
const RELEASED = "joyai-llm";

const special = { bos: "<｜begin▁of▁sentence｜>", eos: "<｜end▁of▁sentence｜>", padding: "<｜▁pad▁｜>" } as const;

export function ggufTokenizer(
  file: unknown,
  config: Readonly<Record<string, unknown>>,
  { vocab_size }: Pick<V4Config, "vocab_size">,
  path: string,
): Map<string, GgufValue> {
  // prettier-ignore
  if (file === undefined) return new Map([["tokenizer.ggml.model", { type: "string", value: "no_vocab" }]]);
  const parsed = fileSchema.safeParse(file);
  if (!parsed.success) {
    const key = parsed.error.issues[0]!.path.join(".");
    throw new FormatError(`tokenizer: ${path}: ${key}: ${parsed.error.issues[0]!.message}`, { file: path, key });
  }
  const { model, added_tokens, pre_tokenizer } = parsed.data;
  const tokens = Array.from({ length: vocab_size }, (_, id) => `[UNUSED_${id}]`);
  const kinds = Array.from({ length: vocab_size }, () => UNUSED);
  const put = (id: number, token: string, kind: number): void => {
    if (id >= vocab_size) throw new FormatError(`tokenizer: ${path}: expected ids below ${vocab_size}, got ${id} for "${token}"`, { file: path, key: token }); // prettier-ignore
    tokens[id] = token;
    kinds[id] = kind;
  };
  for (const [token, id] of Object.entries(model.vocab)) put(id, token, NORMAL);
  for (const { id, content } of added_tokens) put(id, content, CONTROL);
  const isOurs = JSON.stringify(pre_tokenizer ?? null).includes(JSON.stringify(WORD_PATTERN));
  const out = new Map<string, GgufValue>([
    ["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
    ["tokenizer.ggml.pre", { type: "string", value: isOurs ? NEAREST_TO_OURS : RELEASED }],
    ["tokenizer.ggml.tokens", { type: "string", value: tokens }],
    ["tokenizer.ggml.token_type", { type: "i32", value: kinds }],
    ["tokenizer.ggml.merges", { type: "string", value: model.merges.map((m) => (typeof m === "string" ? m : m.join(" "))) }], // prettier-ignore
    ["tokenizer.ggml.add_bos_token", { type: "bool", value: false }],
  ]);
  for (const [name, content] of Object.entries(special)) {
    const id = config[`${name === "padding" ? "pad" : name}_token_id`] ?? added_tokens.find((t) => t.content === content)?.id; // prettier-ignore
    if (typeof id === "number") out.set(`tokenizer.ggml.${name}_token_id`, { type: "u32", value: id });
  }
  return out;
}
