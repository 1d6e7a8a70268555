/** What commands share: how one is made, where the model is, how it is opened, argument groups and their checks. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { defineCommand, type ArgsDef, type CommandDef, type ParsedArgs } from "citty";
import { FormatError, RequestError } from "../base/errors.ts";
import { CpuDevice } from "../device/cpu/cpu-device.ts";
import type { Device } from "../device/device.ts";
import { openDevice } from "../device/open.ts";
import { decodePrograms, prepareKernels } from "../engine/ahead.ts";
import { loadLlm } from "../engine/load.ts";
import type { LocalLlm } from "../engine/llm.ts";
import type { RgbImage } from "../engine/types.ts";
import { decodeImage } from "../processor/image.ts";
import { compileProgress } from "./progress.ts";

export const packageDir = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

export const modelArgs = {
  model: { type: "string", description: "Model folder", default: join(packageDir, "assets", "model") },
  device: {
    type: "string",
    description: "cpu, js, interpreter, ascend, mlu or a simulator; by default the fastest host that works here",
  },
  fuse: {
    type: "boolean",
    description: "Chips: run the launches of a token as one kernel, which takes a minute more to compile",
    default: false,
  },
  codes: {
    type: "string",
    description: "FP8 and FP4 weights in memory: keep or widen; by default kept where the chip multiplies FP8",
  },
} as const satisfies ArgsDef;

export const samplingArgs = {
  seed: { type: "string", description: "Same seed, same result" },
  temperature: { type: "string", description: "0 is greedy" },
  "top-p": { type: "string", description: "Nucleus, 0 to 1" },
  "top-k": { type: "string", description: "0 is off" },
  "max-tokens": { type: "string", description: "Most tokens of text" },
  guidance: { type: "string", description: "Of pictures and clips; 1 is off" },
} as const satisfies ArgsDef;

/** A command that refuses flags it does not know. Errors go to whoever runs it; main.ts makes them one line. */
export function command<const A extends ArgsDef>(
  meta: { readonly name: string; readonly description: string },
  args: A,
  run: (args: ParsedArgs<A>) => Promise<void>,
): CommandDef<A> {
  return defineCommand({
    meta,
    args,
    async run({ args: parsed, rawArgs }) {
      refuseUnknown(args, rawArgs);
      await run(parsed);
    },
  });
}

const camel = (name: string): string => name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());

function refuseUnknown(args: ArgsDef, rawArgs: readonly string[]): void {
  const known = new Map<string, ArgsDef[string]>();
  for (const [name, arg] of Object.entries(args)) known.set(name, arg).set(camel(name), arg);
  const list = Object.keys(args).filter((name) => args[name]!.type !== "positional").map((name) => `--${name}`).join(" "); // prettier-ignore
  let numPlaces = Object.values(args).filter((arg) => arg.type === "positional").length;
  for (let i = 0; i < rawArgs.length; i++) {
    const raw = rawArgs[i]!;
    if (!raw.startsWith("-") && numPlaces-- > 0) continue;
    const [, no, name, value] = /^--(no-)?([^=]+)(=[\s\S]*)?$/.exec(raw) ?? [];
    if (name === undefined)
      throw new RequestError(`${raw}: expected flags like --name value, got "${raw}" (text with spaces needs quotes)`);
    const arg = known.get(name);
    if (arg === undefined || (no !== undefined && arg.type !== "boolean"))
      throw new RequestError(`${raw.split("=")[0]}: expected one of ${list}`, name);
    if (arg.type === "boolean") {
      if (value !== undefined) throw new RequestError(`--${name}: expected no value, got "${value.slice(1)}"`, name);
    } else if (value === undefined && ++i === rawArgs.length)
      throw new RequestError(`--${name}: expected a value, got none`, name);
  }
}

/** A number flag, checked. */
export function numberOf(
  name: string,
  value: string | undefined,
  range: readonly [number, number],
): number | undefined {
  // prettier-ignore
  if (value === undefined) return undefined;
  const n = Number(value);
  if (value.trim() === "" || !(n >= range[0] && n <= range[1]))
    throw new RequestError(`--${name}: expected a number from ${range[0]} to ${range[1]}, got "${value}"`, name);
  return n;
}

/** A whole number flag, checked. */
export function integerOf(
  name: string,
  value: string | undefined,
  range: readonly [number, number],
): number | undefined {
  // prettier-ignore
  const n = numberOf(name, value, range);
  if (n !== undefined && !Number.isInteger(n))
    throw new RequestError(`--${name}: expected a whole number from ${range[0]} to ${range[1]}, got "${value}"`, name);
  return n;
}

/** A flag whose value is one of a list. */
export function oneOf<T extends string>(name: string, value: string, list: readonly T[]): T {
  const found = list.find((item) => item === value);
  if (found === undefined)
    throw new RequestError(`--${name}: expected one of ${list.join(", ")}, got "${value}"`, name);
  return found;
}

export async function readImage(path: string, param = "image"): Promise<RgbImage> {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw new RequestError(`--${param}: cannot read ${path} (${(cause as Error).message})`, param);
  }
  try {
    return await decodeImage(bytes, { param });
  } catch (error) {
    if (error instanceof RequestError) throw new RequestError(`--${param}: ${path}: ${error.message}`, param);
    throw error;
  }
}

/** A loaded model whose kernels are built; the first time, progress shows on stderr. */
export async function openModel(
  args: { readonly model: string; readonly device?: string | undefined; readonly fuse?: boolean; readonly codes?: string | undefined }, // prettier-ignore
  onCompile: (done: number, total: number) => void = compileProgress(),
): Promise<LocalLlm> {
  const dir = resolve(args.model);
  if (!existsSync(join(dir, "config.json")))
    throw new FormatError(`model: expected a model folder at ${dir} (config.json, model.safetensors, visual.safetensors, tokenizer.json), found none`, { file: dir }); // prettier-ignore
  const device: Device = openDevice(args.device);
  const options = { codes: args.codes === undefined ? undefined : oneOf("codes", args.codes, ["keep", "widen"]) };
  if (args.fuse) {
    if (!device.fuse) throw new RequestError(`--fuse: expected a chip or a simulator, got ${device.properties.name}, whose launches cost nothing`, "fuse"); // prettier-ignore
    device.fuse(decodePrograms(dir, device.properties, options));
  }
  if (device instanceof CpuDevice) await prepareKernels(dir, device, onCompile, options);
  return loadLlm(dir, device, options);
}
