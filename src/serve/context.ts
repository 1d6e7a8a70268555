/** What every endpoint shares: the model, the queue, the counters, and how a request becomes deltas. */
import { RequestError } from "../base/errors.ts";
import type { Delta, GenerateRequest, Llm, RgbImage } from "../engine/types.ts";
import { decodeImage } from "../processor/image.ts";
import { HttpError } from "./errors.ts";
import type { Metrics } from "./metrics.ts";
import type { Queue } from "./queue.ts";

export interface Context {
  readonly llm: Llm;
  readonly queue: Queue;
  readonly metrics: Metrics;
  /** For the log: an error that is ours, not the caller's, is told there in full. */
  readonly report: (error: unknown) => void;
}

export function checkModel({ llm }: Context, model: string | null | undefined): void {
  if (model === null || model === undefined || model === llm.info.id) return;
  throw new HttpError(404, "model_not_found", `model: expected "${llm.info.id}", got "${model}"`, "model");
}

/** For endpoints whose field is `prompt`: the same complaints under that name. */
export function checkPrompt({ llm }: Context, request: Parameters<Llm["countTokens"]>[0]): void {
  try {
    llm.countTokens(request);
  } catch (error) {
    if (!(error instanceof RequestError) || error.param !== "messages") throw error;
    throw new RequestError(error.message.replace(/^messages:/, "prompt:"), "prompt");
  }
}

/** Generation through the queue, counted. Request errors surface before the first delta. */
export async function* generate(context: Context, request: GenerateRequest): AsyncGenerator<Delta> {
  const { llm, queue, metrics } = context;
  // Counting throws what generating would, before the request waits in line.
  llm.countTokens(request);
  const run = queue.run(async function* () {
    const startedMs = performance.now();
    try {
      yield* llm.generate(request);
    } finally {
      metrics.add("tessera_generation_seconds_total", (performance.now() - startedMs) / 1000);
    }
  }, request.signal);
  for await (const delta of run) {
    if (delta.kind === "image") metrics.add("tessera_images_total");
    if (delta.kind === "video") metrics.add("tessera_videos_total");
    if (delta.kind === "done") {
      metrics.add("tessera_prompt_tokens_total", delta.usage.promptTokens);
      metrics.add("tessera_completion_tokens_total", delta.usage.completionTokens);
    }
    yield delta;
  }
}

/** `data:image/...;base64,...` -> pixels. Other addresses are refused: the server fetches nothing. */
export async function imageFromUrl(url: string, param: string): Promise<RgbImage> {
  const match = /^data:image\/[\w.+-]+;base64,(.*)$/s.exec(url);
  if (!match) throw new HttpError(400, "invalid_value", `${param}: expected a data: URL with a base64 picture, got "${url.slice(0, 40)}"`, param); // prettier-ignore
  return decodeImage(new Uint8Array(Buffer.from(match[1]!, "base64")), { param });
}

export const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
