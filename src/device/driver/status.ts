/** What a vendor's library returns, turned into errors that carry the code and the vendor's name for it. */
import { DeviceError } from "../../base/errors.ts";

export interface Statuses {
  readonly backend: string;
  /** The name of 0. */
  readonly success: string;
  readonly names: Readonly<Record<number, string>>;
  /** The library's own words for a code, or for what happened last; these say more than a table can. */
  readonly describe?: ((code: number) => string | null | undefined) | undefined;
}

/** Throws unless `code` is 0; `call` is the function that returned it. */
export type Check = (call: string, code: number) => void;

export function checker({ backend, success, names, describe }: Statuses): Check {
  return (call, code) => {
    if (code === 0) return;
    const name = names[code];
    const words = describe?.(code)?.trim();
    const got = name === undefined ? `${code}, a code without a public name` : `${name} (${code})`;
    throw new DeviceError(`${call}: expected ${success}, got ${got}${words ? `: ${words}` : ""}`, {
      backend,
      status: { value: code, name },
    });
  };
}
