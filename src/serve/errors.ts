/** The only place that knows HTTP statuses: our error types -> OpenAI's error body. Main function: `errorResponse`. */
import { RequestError, TesseraError } from "../base/errors.ts";

/** An error with a status of its own, for what only the wire knows (404, 413, 499). */
export class HttpError extends TesseraError {
  readonly status: number;
  readonly param: string | null;
  constructor(status: number, code: string, message: string, param: string | null = null) {
    super(code, message);
    this.status = status;
    this.param = param;
  }
}

export interface ErrorBody {
  readonly error: { readonly message: string; readonly type: string; readonly param: string | null; readonly code: string | null }; // prettier-ignore
}

export function describeError(error: unknown): { status: number; body: ErrorBody } {
  const make = (status: number, type: string, message: string, param: string | null, code: string | null) => ({
    status,
    body: { error: { message, type, param, code } },
  });
  if (error instanceof HttpError)
    return make(error.status, "invalid_request_error", error.message, error.param, error.code);
  if (error instanceof RequestError)
    return make(400, "invalid_request_error", error.message, error.param ?? null, error.code);
  if (error instanceof TesseraError) return make(500, "server_error", error.message, null, error.code);
  return make(500, "server_error", "internal error; see the server's log", null, null);
}

export function errorResponse(error: unknown): Response {
  const { status, body } = describeError(error);
  return Response.json(body, { status });
}
