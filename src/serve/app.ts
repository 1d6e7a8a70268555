/**
 * The HTTP application: routes to handlers, errors to bodies, files of the page. `Request -> Response`, no socket;
 * listen.ts opens one. Main function: `createApp`.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { Logger } from "pino";
import type { Llm } from "../engine/types.ts";
import { imageLimits } from "../processor/image.ts";
import { chatCompletions } from "./chat.ts";
import type { Context } from "./context.ts";
import { describeError, errorResponse, HttpError } from "./errors.ts";
import { guard, type GuardOptions } from "./guard.ts";
import { imageGenerations } from "./images.ts";
import { Metrics } from "./metrics.ts";
import { Queue } from "./queue.ts";
import { VideoJobs } from "./videos.ts";

export interface AppOptions {
  readonly llm: Llm;
  readonly queue?: Queue;
  readonly logger?: Logger;
  /** Folder of the chat page. */
  readonly webDir?: string;
  readonly guard?: GuardOptions;
}

/** A picture of the largest size, in base64, and room for the rest of the request. */
const MAX_BODY_BYTES = Math.ceil(imageLimits.maxBytes * 1.4) + 1_000_000;

const pages: Readonly<Record<string, readonly [file: string, type: string]>> = {
  "/": ["index.html", "text/html; charset=utf-8"],
  "/app.js": ["app.js", "text/javascript; charset=utf-8"],
  "/answer.js": ["answer.js", "text/javascript; charset=utf-8"],
  "/texts.js": ["texts.js", "text/javascript; charset=utf-8"],
  "/style.css": ["style.css", "text/css; charset=utf-8"],
  "/turns.css": ["turns.css", "text/css; charset=utf-8"],
};

/** The page needs nothing from elsewhere, and says so: a picture or an answer cannot make it load or run anything. */
const pageHeaders = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-cache",
};

export function createApp(options: AppOptions): Hono {
  const { llm, queue = new Queue(), logger, webDir } = options;
  const context: Context = {
    llm,
    queue,
    metrics: new Metrics(),
    report: (error) => void (describeError(error).status >= 500 && (logger ?? console).error(error)),
  };
  const videos = new VideoJobs(context);
  const app = new Hono();

  app.use(async (c, next) => {
    const startedMs = performance.now();
    await next();
    if (c.req.path.startsWith("/v1/")) context.metrics.add("tessera_requests_total");
    logger?.info({ method: c.req.method, path: c.req.path, status: c.res.status, ms: Math.round(performance.now() - startedMs) }); // prettier-ignore
  });
  app.use(guard(options.guard ?? { origins: [], isLocal: false }));
  app.use(bodyLimit({ maxSize: MAX_BODY_BYTES, onError: () => { throw new HttpError(413, "too_large", `body: expected at most ${MAX_BODY_BYTES} bytes, got more`); } })); // prettier-ignore
  app.onError((error) => {
    const isBadJson = error instanceof SyntaxError;
    const known = isBadJson ? new HttpError(400, "invalid_json", `body: expected JSON (${error.message})`) : error;
    context.metrics.add("tessera_request_errors_total");
    context.report(known);
    return errorResponse(known);
  });
  app.notFound((c) => {
    context.metrics.add("tessera_request_errors_total");
    return errorResponse(new HttpError(404, "not_found", `${c.req.method} ${c.req.path}: no such endpoint`));
  });

  app.post("/v1/chat/completions", (c) => chatCompletions(context, c));
  app.post("/v1/images/generations", (c) => imageGenerations(context, c));
  app.post("/v1/videos", (c) => videos.create(c));
  app.get("/v1/videos/:id", (c) => videos.get(c.req.param("id")));
  app.delete("/v1/videos/:id", (c) => videos.remove(c.req.param("id")));
  app.get("/v1/videos/:id/content", (c) => videos.content(c.req.param("id")));
  const model = { id: llm.info.id, object: "model", created: llm.info.createdUnixS, owned_by: "tessera" };
  app.get("/v1/models", (c) => c.json({ object: "list", data: [model] }));
  app.get("/v1/models/:id", (c) => {
    if (c.req.param("id") !== llm.info.id) throw new HttpError(404, "model_not_found", `model: expected "${llm.info.id}", got "${c.req.param("id")}"`, "model"); // prettier-ignore
    return c.json({ ...model, info: llm.info });
  });
  app.get("/health", (c) => c.json({ status: "ok", queue: queue.length }));
  app.get("/metrics", (c) => c.text(context.metrics.render(queue.length), 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" })); // prettier-ignore
  if (webDir) for (const path of Object.keys(pages)) app.get(path, async () => (await pageFile(webDir, path))!);
  return app;
}

/** A file of the page, by the path of its address. */
export async function pageFile(webDir: string, path: string): Promise<Response | undefined> {
  const entry = pages[path];
  if (!entry) return undefined;
  const [file, type] = entry;
  return new Response(await readFile(join(webDir, file), "utf8"), {
    headers: { ...pageHeaders, "content-type": type },
  });
}
