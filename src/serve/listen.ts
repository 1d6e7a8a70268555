/** Opens the socket; Ctrl-C stops taking requests, lets the running one end, and a second one leaves. */
import { serve, type ServerType } from "@hono/node-server";
import type { Hono } from "hono";
import { RequestError } from "../base/errors.ts";

export interface Listening {
  readonly url: string;
  close(): Promise<void>;
}

export function listen(app: Hono, options: { readonly host: string; readonly port: number }): Promise<Listening> {
  const { host, port } = options;
  return new Promise((resolve, reject) => {
    const server: ServerType = serve({ fetch: app.fetch, hostname: host, port }, (info) => {
      const shown = host === "0.0.0.0" || host === "::" ? "localhost" : host;
      resolve({
        url: `http://${shown}:${info.port}`,
        close: () => new Promise((done) => server.close(() => done())),
      });
    });
    server.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE")
        reject(
          new RequestError(`port ${port}: expected a free port, but it is in use; try --port ${port + 1}`, "port"),
        );
      else reject(error);
    });
  });
}
