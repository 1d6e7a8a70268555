/**
 * A vendor's shared library as typed functions: a table of C declarations in, functions out. Where a library is looked
 * for: the folders of $TESSERA_CHIP_LIBRARIES and nowhere else if that is set, else the vendor's own places, else
 * wherever the system's loader looks. Main functions: `openLibrary`, `findLibrary`.
 */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import koffi, { type LibraryHandle } from "koffi";
import { DeviceError } from "../../base/errors.ts";

/** One function: its C declaration, and the type it has here. Addresses and handles are `uintptr_t`, so numbers. */
export interface Row<F> {
  readonly declaration: string;
  /** Absent from some releases; then it is undefined here. */
  readonly isOptional: boolean;
  /** Never there: carries the type. */
  readonly type?: F;
}
export const fn = <F>(declaration: string): Row<F> => ({ declaration, isOptional: false });
export const optional = <F>(declaration: string): Row<F | undefined> => ({ declaration, isOptional: true });

/** A pointer that the callee writes through: one element, to be read after the call. */
export type Out = [number];

export type Table = Readonly<Record<string, Row<unknown>>>;
export type Bound<T extends Table> = { readonly [K in keyof T]: T[K] extends Row<infer F> ? F : never };

export interface LibraryPlace {
  readonly backend: string;
  /** E.g. libascendcl.so. */
  readonly file: string;
  /** Folders where the vendor's installer puts it, best first. */
  readonly folders: () => readonly string[];
  /** What to install when it is missing. */
  readonly install: string;
}

/** Folders that an environment variable lists, without empty ones. */
const listed = (variable: string): string[] => (process.env[variable] ?? "").split(delimiter).filter((dir) => dir !== ""); // prettier-ignore

/** A path that can be opened, or undefined. */
export function findLibrary(place: LibraryPlace): string | undefined {
  const isGiven = process.env["TESSERA_CHIP_LIBRARIES"] !== undefined;
  const folders = isGiven ? listed("TESSERA_CHIP_LIBRARIES") : [...place.folders(), ...listed("LD_LIBRARY_PATH")];
  const path = folders.map((dir) => join(dir, place.file)).find((file) => existsSync(file));
  if (path !== undefined || isGiven) return path;
  return opens(place.file) ? place.file : undefined;
}

function opens(path: string): boolean {
  try {
    koffi.load(path);
    return true;
  } catch {
    return false;
  }
}

/** The functions of `table`, or undefined where the library is not installed. */
export function openLibrary<const T extends Table>(place: LibraryPlace, table: T): Bound<T> | undefined {
  const path = findLibrary(place);
  if (path === undefined) return undefined;
  let library: LibraryHandle;
  try {
    library = koffi.load(path);
  } catch (cause) {
    throw new DeviceError(`${path}: cannot be loaded: ${String(cause)} (${place.install})`, { backend: place.backend, cause }); // prettier-ignore
  }
  const functions: Record<string, unknown> = {};
  for (const [name, { declaration, isOptional }] of Object.entries(table))
    try {
      functions[name] = library.func(declaration);
    } catch (cause) {
      if (!isOptional) throw new DeviceError(`${path}: expected the function ${name}, found none (${place.install})`, { backend: place.backend, cause }); // prettier-ignore
    }
  return functions as Bound<T>;
}

export function requireLibrary<const T extends Table>(place: LibraryPlace, table: T): Bound<T> {
  const found = openLibrary(place, table);
  if (!found) throw new DeviceError(`${place.backend}: expected ${place.file}, found none: ${place.install}, or name its folder in TESSERA_CHIP_LIBRARIES`, { backend: place.backend }); // prettier-ignore
  return found;
}

/** Paths of the vendor's variable and usual places with a subfolder each. */
export const under = (variable: string, defaults: readonly string[], subfolders: readonly string[]): string[] => {
  const roots = [process.env[variable], ...defaults].filter((dir): dir is string => dir !== undefined && dir !== "");
  return roots.flatMap((root) => subfolders.map((sub) => join(root, sub)));
};
