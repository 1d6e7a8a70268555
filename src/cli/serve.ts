/** `tessera serve`: the API and the chat page. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { defineCommand } from "citty";
import type { Hono } from "hono";
import pc from "picocolors";
import pino from "pino";
import { createApp, pageFile } from "../serve/app.ts";
import { listen } from "../serve/listen.ts";
import { Queue } from "../serve/queue.ts";
import { startingFetch } from "../serve/starting.ts";
import { modelArgs, numberOf, openModel, packageDir } from "./common.ts";
import { fail } from "./main.ts";
import { compileProgress } from "./progress.ts";

export const serveCommand = defineCommand({
  meta: { name: "serve", description: "Serve the OpenAI-compatible API and the chat page" },
  args: {
    ...modelArgs,
    host: { type: "string", description: "Address to listen on", default: "127.0.0.1" },
    port: { type: "string", description: "Port to listen on", default: "8080" },
    open: { type: "boolean", description: "Open the page in a browser", default: false },
    log: { type: "boolean", description: "Log requests as JSON lines", default: false },
  },
  async run({ args }) {
    try {
      const port = numberOf("port", args.port, [0, 65535])!;
      const startedMs = performance.now();
      const queue = new Queue();
      const logger = args.log ? pino() : undefined;
      const webDir = join(packageDir, "src", "web");
      // The socket opens first: compiling the kernels of a first start takes a while, and /health can say so.
      const show = compileProgress();
      let progress: { done: number; total: number } | undefined;
      let resolve!: (app: Hono) => void;
      const ready = new Promise<Hono>((r) => (resolve = r));
      const files = (request: Request): Promise<Response | undefined> =>
        pageFile(webDir, new URL(request.url).pathname);
      const fetch = startingFetch({ ready, progress: () => progress, files });
      const server = await listen({ fetch }, { host: args.host, port });
      const llm = await openModel(args, (done, total) => show(done, (progress = { done, total }).total));
      resolve(createApp({ llm, queue, webDir, ...(logger && { logger }) }));
      const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
      process.stdout.write(`${pc.bold(llm.info.id)} ready in ${seconds} s\n  page  ${pc.cyan(server.url)}\n  API   ${pc.cyan(`${server.url}/v1`)}\n`); // prettier-ignore
      if (args.open && process.stdout.isTTY) openBrowser(server.url);
      let interrupts = 0;
      const stop = (): void => {
        if (++interrupts > 1) process.exit(130);
        process.stdout.write(`finishing ${queue.length} answer(s); Ctrl-C again to leave at once\n`);
        void queue.drain().then(() => process.exit(0));
      };
      process.on("SIGINT", stop);
      process.on("SIGTERM", stop);
    } catch (error) {
      fail(error);
    }
  },
});

/** A browser that is missing is no error: the address is printed. */
function openBrowser(url: string): void {
  const command = process.platform === "darwin" ? "open" : process.platform === "win32" ? "explorer" : "xdg-open";
  spawn(command, [url], { stdio: "ignore", detached: true })
    .on("error", () => {})
    .unref();
}
