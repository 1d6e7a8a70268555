/**
 * `tessera serve`: the API and the chat page. Ctrl-C stops taking requests, lets the answers under way end and leaves
 * with 0; a second one leaves at once with 130.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import type { Hono } from "hono";
import pc from "picocolors";
import pino from "pino";
import { RequestError } from "../base/errors.ts";
import type { LocalLlm } from "../engine/llm.ts";
import { createApp, pageFile } from "../serve/app.ts";
import { listen, type Listening } from "../serve/listen.ts";
import { Queue } from "../serve/queue.ts";
import { startingFetch } from "../serve/starting.ts";
import { command, integerOf, modelArgs, openModel, packageDir } from "./common.ts";
import { compileProgress } from "./progress.ts";

export const serveCommand = command(
  { name: "serve", description: "Serve the OpenAI-compatible API and the chat page" },
  {
    ...modelArgs,
    host: { type: "string", description: "Address to listen on", default: "127.0.0.1" },
    port: { type: "string", description: "Port to listen on; 0 takes a free one", default: "8080" },
    "allow-origin": { type: "string", description: "Other pages that may call, comma-separated; * is all" },
    open: { type: "boolean", description: "Open the page in a browser", default: false },
    log: { type: "boolean", description: "Log requests as JSON lines", default: false },
  },
  async (args) => {
    const { host } = args;
    const port = integerOf("port", args.port, [0, 65535])!;
    const origins = originsOf(args["allow-origin"]);
    const startedMs = performance.now();
    const queue = new Queue();
    const logger = args.log ? pino() : undefined;
    const webDir = join(packageDir, "src", "web");
    const isLocal = host === "127.0.0.1" || host === "localhost" || host === "::1";
    // The socket opens first: compiling the kernels of a first start takes a while, and /health can say so.
    const show = compileProgress();
    let progress: { done: number; total: number } | undefined;
    let resolve!: (app: Hono) => void;
    const ready = new Promise<Hono>((r) => (resolve = r));
    const files = (request: Request): Promise<Response | undefined> => pageFile(webDir, new URL(request.url).pathname);
    const fetch = startingFetch({ ready, progress: () => progress, files });
    const server = await listen({ fetch }, { host, port });
    let llm: LocalLlm;
    try {
      llm = await openModel(args, (done, total) => show(done, (progress = { done, total }).total));
    } catch (error) {
      await server.close();
      throw error;
    }
    resolve(createApp({ llm, queue, webDir, guard: { origins, isLocal }, ...(logger && { logger }) }));
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    process.stdout.write(`${pc.bold(llm.info.id)} ready in ${seconds} s\n  page  ${pc.cyan(server.url)}\n  API   ${pc.cyan(`${server.url}/v1`)}\nCtrl-C stops it\n`); // prettier-ignore
    if (args.open && process.stdout.isTTY) openBrowser(server.url);
    await untilStopped(server, queue);
    process.exit(0);
  },
);

function originsOf(list: string | undefined): string[] {
  const origins = (list ?? "").split(",").map((o) => o.trim()).filter((o) => o !== ""); // prettier-ignore
  for (const origin of origins)
    if (origin !== "*" && !(URL.canParse(origin) && new URL(origin).origin === origin))
      throw new RequestError(`--allow-origin: expected origins like http://localhost:3000, got "${origin}"`, "allow-origin"); // prettier-ignore
  return origins;
}

/** Resolves when Ctrl-C (or TERM) came and everything under way has ended. */
export function untilStopped(server: Listening, queue: Queue): Promise<void> {
  return new Promise((resolve) => {
    let interrupts = 0;
    const stop = (): void => {
      if (++interrupts > 1) process.exit(130);
      if (queue.length > 0) process.stdout.write(`\nfinishing ${queue.length} answer(s); Ctrl-C again to leave at once\n`); // prettier-ignore
      // Clips are made without a connection that waits for them.
      void Promise.all([server.close(), queue.drain()]).then(() => resolve());
    };
    process.on("SIGINT", stop);
    process.on("SIGTERM", stop);
  });
}

/** A browser that is missing is no error: the address is printed. */
function openBrowser(url: string): void {
  const program = process.platform === "darwin" ? "open" : process.platform === "win32" ? "explorer" : "xdg-open";
  spawn(program, [url], { stdio: "ignore", detached: true })
    .on("error", () => {})
    .unref();
}
