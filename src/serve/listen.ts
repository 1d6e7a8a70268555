/** Opens the socket; Ctrl-C stops taking requests, lets the running one end, and a second one leaves. */
import { serve, type ServerType } from "@hono/node-server";
import { RequestError } from "../base/errors.ts";

export interface Listening {
  readonly url: string;
  close(): Promise<void>;
}

/** What answers: an application, or what stands in for it. */
export interface Answering {
  fetch(request: Request): Response | Promise<Response>;
}

export function listen(app: Answering, options: { readonly host: string; readonly port: number }): Promise<Listening> {
  const { host, port } = options;
  return new Promise((resolve, reject) => {
    const server: ServerType = serve({ fetch: (request) => app.fetch(request), hostname: host, port }, (info) => {
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
