/**
 * The wire's requests, strict: an unknown field or a wrong type is an error that names the field and what was
 * expected. Shapes are OpenAI's; fields that cannot mean anything here (user, metadata, store) are accepted and unused.
 * Main function: `parseBody`.
 */
import { z } from "zod";
import { HttpError } from "./errors.ts";

const textPart = z.strictObject({ type: z.literal("text"), text: z.string() });
const imagePart = z.strictObject({
  type: z.literal("image_url"),
  image_url: z.strictObject({ url: z.string(), detail: z.string().optional() }),
});
const message = z.strictObject({
  role: z.enum(["system", "developer", "user", "assistant"]),
  content: z.union([z.string(), z.array(z.union([textPart, imagePart])), z.null()]),
  reasoning_content: z.string().nullish(),
  name: z.string().optional(),
  refusal: z.null().optional(),
});

/** Said by clients, of no effect here. */
const unused = { user: z.string().optional(), metadata: z.record(z.string(), z.string()).nullish(), store: z.boolean().nullish() }; // prettier-ignore
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
  stop: z.union([z.string(), z.array(z.string()).max(4)]).nullish(),
  n: z.literal(1).nullish(),
  guidance: z.number().min(0).max(20).nullish(),
  /** Ours: what to write; "auto" lets the model choose. */
  modality: z.enum(["auto", "text", "image", "video"]).nullish(),
  /** DeepSeek's switch. */
  thinking: z.strictObject({ type: z.enum(["enabled", "disabled"]) }).nullish(),
  reasoning_effort: z.enum(["none", "minimal", "low", "medium", "high", "max"]).nullish(),
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

export function parseBody<T>(schema: z.ZodType<T>, json: unknown): T {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const param = issue.path.join(".");
  if (issue.code === "unrecognized_keys")
    throw new HttpError(400, "unknown_parameter", `${param ? `${param}: ` : ""}unknown field ${issue.keys.map((k) => `"${k}"`).join(", ")}`, issue.keys[0]!); // prettier-ignore
  throw new HttpError(400, "invalid_value", `${param || "body"}: ${issue.message}`, param || null);
}
