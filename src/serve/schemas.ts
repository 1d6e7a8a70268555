/**
 * The wire's requests, strict: an unknown field or a wrong type is an error that names the field and what was
 * expected and what came. Shapes are OpenAI's; fields that cannot mean anything here (user, metadata, store) are
 * accepted and unused, and features that are missing are accepted only when they are switched off.
 * Main function: `parseBody`.
 */
import { z } from "zod";
import { HttpError } from "./errors.ts";

const textPart = z.strictObject({ type: z.literal("text"), text: z.string() });
const imagePart = z.strictObject({
  type: z.literal("image_url"),
  image_url: z.strictObject({ url: z.string(), detail: z.string().optional() }),
});
const toolCall = z.strictObject({
  id: z.string().min(1),
  type: z.literal("function"),
  function: z.strictObject({ name: z.string().min(1), arguments: z.string() }),
});
const message = z.strictObject({
  role: z.enum(["system", "developer", "user", "assistant", "tool"]),
  content: z.union([z.string(), z.array(z.discriminatedUnion("type", [textPart, imagePart])), z.null()]).optional(),
  reasoning_content: z.string().nullish(),
  /** Of the assistant. */
  tool_calls: z.array(toolCall).nullish(),
  /** Of a tool. */
  tool_call_id: z.string().nullish(),
  name: z.string().optional(),
  refusal: z.null().optional(),
});
/** As DeepSeek's API has it. */
const MAX_TOOLS = 128;
const tool = z.strictObject({
  type: z.literal("function"),
  function: z.strictObject({
    name: z.string().regex(/^[\w-]{1,64}$/),
    description: z.string().nullish(),
    parameters: z.record(z.string(), z.unknown()).nullish(),
    strict: z.literal(false).nullish(),
  }),
});

/** Said by clients, of no effect here. */
const unused = { user: z.string().optional(), metadata: z.record(z.string(), z.string()).nullish(), store: z.boolean().nullish() }; // prettier-ignore
/** Features that are not there, in the form in which clients that do not want them send them. */
const off = {
  n: z.literal(1).nullish(),
  logprobs: z.literal(false).nullish(),
  frequency_penalty: z.literal(0).nullish(),
  presence_penalty: z.literal(0).nullish(),
  response_format: z.strictObject({ type: z.literal("text") }).nullish(),
};
const seed = z.number().int().min(0).max(0xffffffff).nullish();
const unit = (max: number) => z.number().min(0).max(max).nullish();

export const chatSchema = z.strictObject({
  model: z.string(),
  messages: z.array(message),
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({ include_usage: z.boolean().optional() }).nullish(),
  max_tokens: z.number().int().min(1).nullish(),
  max_completion_tokens: z.number().int().min(1).nullish(),
  temperature: unit(2),
  top_p: unit(1),
  top_k: z.number().int().min(0).nullish(),
  seed,
  stop: z.union([z.string().min(1), z.array(z.string().min(1)).max(4)]).nullish(),
  guidance: z.number().min(0).max(20).nullish(),
  /** Ours: what to write; "auto" lets the model choose. */
  modality: z.enum(["auto", "text", "image", "video"]).nullish(),
  /** DeepSeek's switch. */
  thinking: z.strictObject({ type: z.enum(["enabled", "disabled"]) }).nullish(),
  reasoning_effort: z.enum(["none", "minimal", "low", "medium", "high", "xhigh", "max"]).nullish(),
  tools: z.array(tool).max(MAX_TOOLS).nullish(),
  /** The model decides, or there are no tools; it cannot be forced yet. */
  tool_choice: z.enum(["auto", "none"]).nullish(),
  ...off,
  ...unused,
});
export type ChatBody = z.infer<typeof chatSchema>;

export const imagesSchema = z.strictObject({
  model: z.string().nullish(),
  prompt: z.string(),
  n: z.number().int().min(1).max(10).nullish(),
  size: z.string().nullish(),
  response_format: z.enum(["b64_json"]).nullish(),
  seed,
  guidance: z.number().min(0).max(20).nullish(),
  ...unused,
});

export const videosSchema = z.strictObject({
  model: z.string().nullish(),
  prompt: z.string(),
  seconds: z.string().nullish(),
  size: z.string().nullish(),
  seed,
  guidance: z.number().min(0).max(20).nullish(),
  /** A data URL or, in a form, a file. */
  input_reference: z.string().nullish(),
});

type Issue = z.core.$ZodIssue;
type Of<Code extends Issue["code"]> = Extract<Issue, { code: Code }>;

const list = (values: readonly unknown[]): string => values.map((v) => JSON.stringify(v)).join(" or ");
const typeName = (value: unknown): string => (value === null ? "null" : Array.isArray(value) ? "array" : value === undefined ? "nothing" : typeof value); // prettier-ignore
const shown = (value: unknown): string => (typeof value === "object" || value === undefined ? typeName(value) : JSON.stringify(value).slice(0, 60)); // prettier-ignore
const units: Readonly<Record<string, readonly [unit: string, sizeOf: (value: unknown) => unknown]>> = {
  string: [" character(s)", (value) => (value as string).length],
  array: [" items", (value) => (value as unknown[]).length],
};

const bound = (word: string, limit: number | bigint, origin: string, value: unknown): string => {
  const [unit, sizeOf] = units[origin] ?? ["", shown];
  return `expected ${word} ${limit}${unit}, got ${String(sizeOf(value))}`;
};

/** A value that fits no form: the form it came closest to says why, else all forms are named. */
function describeUnion(issue: Of<"invalid_union">, value: unknown): { message: string; path: PropertyKey[] } {
  if (issue.discriminator !== undefined)
    return { message: `expected ${list("options" in issue ? (issue.options as string[]) : [])}, got ${shown(value)}`, path: [] }; // prettier-ignore
  const inner = issue.errors.flat();
  const deepest = inner.reduce((best, i) => (depth(i) > depth(best) ? i : best));
  if (depth(deepest) > 0) {
    const told = describe(deepest, at(value, deepest.path));
    return { message: told.message, path: [...deepest.path, ...told.path] };
  }
  const types = inner.flatMap((i) => (i.code === "invalid_type" ? [i.expected] : []));
  const fits = inner.find((i) => i.code !== "invalid_type");
  return fits ? describe(fits, value) : { message: `expected ${types.join(" or ")}, got ${typeName(value)}`, path: [] };
}

const depth = (issue: Issue): number => issue.path.length + (issue.code === "invalid_union" ? 1 : 0);
const at = (value: unknown, path: readonly PropertyKey[]): unknown => path.reduce<unknown>((v, key) => (v as Record<PropertyKey, unknown> | undefined)?.[key], value); // prettier-ignore

/** `path` goes below the issue's own. */
function describe(issue: Issue, value: unknown): { message: string; path: PropertyKey[] } {
  const say = (message: string) => ({ message, path: [] });
  switch (issue.code) {
    case "unrecognized_keys":
      return { message: `unknown field ${list(issue.keys)}`, path: [issue.keys[0]!] };
    case "invalid_type":
      return say(`expected ${issue.expected === "int" ? "a whole number" : issue.expected}, got ${issue.expected === "int" ? shown(value) : typeName(value)}`); // prettier-ignore
    case "invalid_value":
      return say(`expected ${list(issue.values)}, got ${shown(value)}`);
    case "too_big":
      return say(bound("at most", issue.maximum, issue.origin, value));
    case "too_small":
      return say(bound("at least", issue.minimum, issue.origin, value));
    case "invalid_union":
      return describeUnion(issue, value);
    default:
      return say(issue.message);
  }
}

export function parseBody<T>(schema: z.ZodType<T>, json: unknown): T {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const { message, path } = describe(issue, at(json, issue.path));
  const param = [...issue.path, ...path].join(".");
  const isUnknown = message.startsWith("unknown field");
  const where = isUnknown ? param.split(".").slice(0, -1).join(".") : param || "body";
  throw new HttpError(400, isUnknown ? "unknown_parameter" : "invalid_value", `${where && `${where}: `}${message}`, param || null); // prettier-ignore
}
