/** POST /v1/images/generations: `n` pictures as base64 PNG, with seeds `seed`, `seed + 1`, ... */
import type { Context as HonoContext } from "hono";
import { paramsFor, randomSeed } from "../engine/defaults.ts";
import { encodePng } from "../processor/image.ts";
import { base64, checkModel, checkPrompt, generate, type Context } from "./context.ts";
import { HttpError } from "./errors.ts";
import { imagesSchema, parseBody } from "./schemas.ts";

/** "auto" or the model's own size; anything else is refused with the size that there is. */
export function checkSize(context: Context, size: string | null | undefined): void {
  const own = `${context.llm.info.imageSize}x${context.llm.info.imageSize}`;
  if (size === null || size === undefined || size === "auto" || size === own) return;
  throw new HttpError(400, "invalid_value", `size: expected "auto" or "${own}", got "${size}"`, "size");
}

export async function imageGenerations(context: Context, c: HonoContext): Promise<Response> {
  const body = parseBody(imagesSchema, await c.req.json());
  checkModel(context, body.model);
  checkSize(context, body.size);
  const seed = body.seed ?? randomSeed();
  const data: { b64_json: string }[] = [];
  const messages = [{ role: "user", content: body.prompt }] as const;
  checkPrompt(context, { messages, modality: "image", thinking: false });
  for (let i = 0; i < (body.n ?? 1); i++) {
    const deltas = generate(context, {
      messages,
      modality: "image",
      thinking: false,
      params: paramsFor("image", { guidance: body.guidance, seed: (seed + i) >>> 0 }),
      signal: c.req.raw.signal,
    });
    for await (const delta of deltas)
      if (delta.kind === "image") data.push({ b64_json: base64(await encodePng(delta.image)) });
  }
  return Response.json({ created: Math.floor(Date.now() / 1000), data });
}
