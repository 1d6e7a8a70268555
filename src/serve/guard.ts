/**
 * Who may talk to a local server. A page of another site must not use it through the reader's browser: requests that
 * name a foreign Origin are refused unless that origin was allowed, and a server that listens on this machine only
 * answers only to this machine's names (DNS rebinding). Programs send no Origin and are not concerned.
 * Main function: `guard`.
 */
import type { MiddlewareHandler } from "hono";
import { HttpError } from "./errors.ts";

export interface GuardOptions {
  /** Origins of other pages that may call, e.g. "http://localhost:3000"; "*" is everybody. */
  readonly origins: readonly string[];
  /** True when only this machine can connect. */
  readonly isLocal: boolean;
}

const localNames: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]", "::1"]);

export function guard({ origins, isLocal }: GuardOptions): MiddlewareHandler {
  return async (c, next) => {
    const host = new URL(c.req.url).hostname;
    if (isLocal && !localNames.has(host)) throw new HttpError(403, "forbidden_host", `Host: expected localhost, got "${host}"`); // prettier-ignore
    const origin = c.req.header("origin");
    const isOwn = origin === undefined || (URL.canParse(origin) && new URL(origin).host === new URL(c.req.url).host);
    if (!isOwn && !origins.includes(origin) && !origins.includes("*"))
      throw new HttpError(403, "forbidden_origin", `Origin: expected this server's own page or one of --allow-origin, got "${origin}"`); // prettier-ignore
    if (isOwn) return next();
    const headers = {
      "access-control-allow-origin": origin,
      "access-control-allow-methods": "GET, POST, DELETE",
      "access-control-allow-headers": c.req.header("access-control-request-headers") ?? "*",
      vary: "Origin",
    };
    if (c.req.method === "OPTIONS") return new Response(null, { status: 204, headers });
    await next();
    for (const [name, value] of Object.entries(headers)) c.res.headers.set(name, value);
  };
}
