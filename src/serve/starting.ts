/**
 * The server before its model is ready: `/health` says how far it is, files of the page answer, every other request
 * waits. A client that comes early is slow once instead of refused. Main function: `startingFetch`.
 */
import type { Hono } from "hono";

export interface Startup {
  /** The application, once its model is loaded and its kernels are built. */
  readonly ready: Promise<Hono>;
  /** Kernels compiled so far; nothing when none need to be. */
  readonly progress: () => { readonly done: number; readonly total: number } | undefined;
  /** Answers the page's own files, as the application will. */
  readonly files: (request: Request) => Promise<Response | undefined>;
}

export function startingFetch({ ready, progress, files }: Startup): (request: Request) => Promise<Response> {
  let app: Hono | undefined;
  ready.then((a) => (app = a)).catch(() => {}); // Whoever made the promise reports its failure.
  return async (request) => {
    if (app) return app.fetch(request);
    if (new URL(request.url).pathname === "/health") return Response.json({ status: "starting", kernels: progress() });
    return (await files(request)) ?? (await ready).fetch(request);
  };
}
