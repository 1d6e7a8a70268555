/** Builds a program once per device and launches it. Kernel wrappers call `run`; nothing else launches. */
import type { Device, Executable, LaunchArg } from "../device/device.ts";
import type { TileProgram } from "../tile/ir.ts";

const built = new WeakMap<Device, Map<TileProgram, Executable>>();

export function run(
  device: Device,
  program: TileProgram,
  grid: readonly number[],
  args: Readonly<Record<string, LaunchArg>>,
): void {
  if (grid.some((n) => n === 0)) return;
  let table = built.get(device);
  if (!table) built.set(device, (table = new Map()));
  let executable = table.get(program);
  if (!executable) table.set(program, (executable = device.build([program])[0]!));
  device.launch(executable, grid, args);
}

/** Memoises a kernel factory by its static parameters, so equal parameters give the same program object. */
export function specialize<P extends object, T>(factory: (params: P) => T): (params: P) => T {
  const memo = new Map<string, T>();
  return (params) => {
    const key = keyOf(params);
    let value = memo.get(key);
    if (value === undefined) memo.set(key, (value = factory(params)));
    return value;
  };
}

/** Names and values, but of names in `without`; a third of the time of JSON, and this runs at every launch. */
export function keyOf(params: object, without: object = {}): string {
  let key = "";
  for (const name in params) {
    if (name in without) continue;
    const value = (params as Readonly<Record<string, unknown>>)[name];
    key += typeof value === "object" && value !== null ? `${name}{${keyOf(value)}},` : `${name}=${String(value)},`;
  }
  return key;
}

export const ceilDiv = (a: number, b: number): number => Math.ceil(a / b);
