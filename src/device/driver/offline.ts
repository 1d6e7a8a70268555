/**
 * A vendor's compiler as a program: found on PATH or in the vendor's folders, run on a file of kernels.
 * Main functions: `findProgram`, `runCompiler`.
 */
import { spawnSync } from "node:child_process";
import { accessSync, constants, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { CompileError } from "../../base/errors.ts";

export function findProgram(name: string, folders: readonly string[]): string | undefined {
  const dirs = [...(process.env["PATH"] ?? "").split(delimiter), ...folders].filter((dir) => dir !== "");
  return dirs.map((dir) => join(dir, name)).find(isExecutable);
}
function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What `--version` says first; a program that cannot be run says nothing, and its compilations will. */
export const versionOf = (program: string): string => spawnSync(program, ["--version"], { encoding: "utf8" }).stdout?.split("\n")[0] ?? ""; // prettier-ignore

/** Compiles `source`, written beside `path` with this ending, to `path`. */
export function runCompiler(program: string, source: string, path: string, ending: string, options: readonly string[], target: string): void {
  const file = path + ending;
  writeFileSync(file, source);
  const { status, stdout, stderr, error } = spawnSync(program, [...options, file, "-o", path], { encoding: "utf8" });
  if (status === 0) return;
  const log = error ? String(error) : `${stderr}${stdout}`;
  throw new CompileError(`${program} failed\n${log.slice(0, 2000)}`, { pass: "compile", target });
} // prettier-ignore
