/** What commands share: where the model is, how it is opened, and argument groups. */
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { ArgsDef } from "citty";
import { FormatError, RequestError } from "../base/errors.ts";
import { CpuDevice } from "../device/cpu/cpu-device.ts";
import { openDevice } from "../device/open.ts";
import { loadLlm } from "../engine/load.ts";
import type { LocalLlm } from "../engine/llm.ts";

export const packageDir = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

export const modelArgs = {
  model: { type: "string", description: "Model folder", default: join(packageDir, "assets", "model") },
  device: { type: "string", description: "cpu, js or interpreter; by default the fastest that works here" },
} as const satisfies ArgsDef;

export const samplingArgs = {
  seed: { type: "string", description: "Same seed, same result" },
  temperature: { type: "string", description: "0 is greedy" },
  "top-p": { type: "string", description: "Nucleus, 0 to 1" },
  "top-k": { type: "string", description: "0 is off" },
  "max-tokens": { type: "string", description: "Most tokens of text" },
  guidance: { type: "string", description: "Of pictures and clips; 1 is off" },
} as const satisfies ArgsDef;

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

export function openModel(args: { readonly model: string; readonly device?: string | undefined }): LocalLlm {
  const dir = resolve(args.model);
  if (!existsSync(join(dir, "config.json")))
    throw new FormatError(`model: expected a model folder at ${dir} (config.json, model.safetensors, visual.safetensors, tokenizer.json), found none`, { file: dir }); // prettier-ignore
  const device = openDevice(args.device);
  if (device instanceof CpuDevice && process.stderr.isTTY)
    device.onBuild = (done, total) => process.stderr.write(done < total ? `\rcompiling kernels ${done}/${total} ` : "\r\x1b[K"); // prettier-ignore
  return loadLlm(dir, device);
}
