/** Opens the socket. Closing lets the answers under way end and hangs up idle connections. Main function: `listen`. */
import type { Server } from "node:http";
import { serve } from "@hono/node-server";
import { RequestError } from "../base/errors.ts";

export interface Listening {
  readonly url: string;
  /** No new requests; resolves when the last answer has left. */
  close(): Promise<void>;
}

/** What answers: an application, or what stands in for it. */
export interface Answering {
  fetch(request: Request): Response | Promise<Response>;
}

const explanations: Readonly<Record<string, (host: string, port: number) => string>> = {
  EADDRINUSE: (_, port) => `port ${port}: expected a free port, but it is in use; try --port ${port < 65535 ? port + 1 : 8080}`, // prettier-ignore
  EACCES: (_, port) => `port ${port}: expected a port this user may open; try --port 8080`,
  EADDRNOTAVAIL: (host) => `host ${host}: expected an address of this machine; try --host 127.0.0.1`,
  ENOTFOUND: (host) => `host ${host}: expected an address of this machine; try --host 127.0.0.1`,
};

export function listen(app: Answering, options: { readonly host: string; readonly port: number }): Promise<Listening> {
  const { host, port } = options;
  return new Promise((resolve, reject) => {
    const server = serve({ fetch: (request) => app.fetch(request), hostname: host, port }, (info) => {
      const shown = host === "0.0.0.0" || host === "::" ? "localhost" : host.includes(":") ? `[${host}]` : host;
      resolve({ url: `http://${shown}:${info.port}`, close: () => close(server) });
    }) as Server;
    server.on("error", (error: NodeJS.ErrnoException) => {
      const explain = explanations[error.code ?? ""];
      reject(explain ? new RequestError(explain(host, port), "port") : error);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((done) => {
    // A connection kept alive by its client turns idle only after its last answer.
    const sweep = setInterval(() => server.closeIdleConnections(), 50);
    server.close(() => {
      clearInterval(sweep);
      done();
    });
    server.closeIdleConnections();
  });
}
