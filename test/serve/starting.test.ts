/** The server while its model is not ready yet. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Hono } from "hono";
import { createApp, pageFile } from "../../src/serve/app.ts";
import { startingFetch } from "../../src/serve/starting.ts";
import { fakeLlm } from "./fake-llm.ts";

test("starting: health tells progress, the page answers, everything else waits for the model", async () => {
  let open!: (app: Hono) => void;
  const ready = new Promise<Hono>((resolve) => (open = resolve));
  const files = (request: Request): Promise<Response | undefined> => pageFile("src/web", new URL(request.url).pathname);
  const fetch = startingFetch({ ready, progress: () => ({ done: 3, total: 7 }), files });
  const get = (path: string): Promise<Response> => fetch(new Request(`http://host${path}`));

  assert.deepEqual(await (await get("/health")).json(), { status: "starting", kernels: { done: 3, total: 7 } });
  assert.match(await (await get("/")).text(), /<html/);
  let answered = false;
  const early = get("/v1/models").then((response) => ((answered = true), response));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(answered, false);
  open(createApp({ llm: fakeLlm }));
  const models = (await (await early).json()) as { data: { id: string }[] };
  assert.equal(models.data[0]!.id, "fake");
  assert.deepEqual(await (await get("/health")).json(), { status: "ok", queue: 0 });
});
