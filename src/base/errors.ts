/**
 * The error types, one per party who must act. Text: `op: expected X, got Y (hint)`.
 * Only serve/errors.ts turns them into HTTP statuses.
 */

/** Base of every error this project throws on purpose. */
export class TesseraError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** The caller passed tensors whose shapes do not fit. */
export class ShapeError extends TesseraError {
  constructor(message: string) {
    super("shape", message);
  }
}

/** The caller passed an element type the op does not take. */
export class DTypeError extends TesseraError {
  constructor(message: string) {
    super("dtype", message);
  }
}

/** A tile program cannot be lowered or compiled for a target. */
export class CompileError extends TesseraError {
  readonly pass: string;
  readonly target: string;
  constructor(message: string, where: { pass: string; target: string; cause?: unknown }) {
    super("compile", message, { cause: where.cause });
    this.pass = where.pass;
    this.target = where.target;
  }
}

/** A code that a vendor's library returned, and the vendor's name for it where that is known. */
export interface VendorStatus {
  readonly value: number;
  readonly name: string | undefined;
}

/** A driver or device refused or failed; `status` is what a vendor's library said, where one was asked. */
export class DeviceError extends TesseraError {
  readonly backend: string;
  readonly status: VendorStatus | undefined;
  constructor(message: string, where: { backend: string; status?: VendorStatus; cause?: unknown }) {
    super("device", message, { cause: where.cause });
    this.backend = where.backend;
    this.status = where.status;
  }
}

/** A file is not what it should be: which file, which key, expected and found. */
export class FormatError extends TesseraError {
  readonly file: string;
  readonly key: string | undefined;
  constructor(message: string, where: { file: string; key?: string; cause?: unknown }) {
    super("format", message, { cause: where.cause });
    this.file = where.file;
    this.key = where.key;
  }
}

/** Memory, disk or context length is not enough. */
export class CapacityError extends TesseraError {
  constructor(message: string) {
    super("capacity", message);
  }
}

/** A user's request (wire, flag or config) is wrong; `param` names the field. */
export class RequestError extends TesseraError {
  readonly param: string | undefined;
  constructor(message: string, param?: string) {
    super("request", message);
    this.param = param;
  }
}

/** For our own bugs only; never for input. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new TesseraError("internal", `internal: ${message}`);
}
