/**
 * The run that adds drafts to a finished model folder: its network, and the samples of a run -> an MTP module in the
 * folder, a shard of its own, so that the network's file stays as it is. Main function: `runDraft`.
 */
import { join } from "node:path";
import type { Device } from "../device/device.ts";
import { loadLlm, saveLlm } from "../engine/load.ts";
import { trainDraft, withMtp, type DraftMetrics } from "./draft.ts";
import { activationDType } from "./language.ts";
import { refuseIfLocked } from "./lock.ts";
import { languageBatches, languageData, type LanguageRecipeOptions } from "./recipes.ts";

export interface DraftRecipeOptions extends LanguageRecipeOptions {
  /** Read, and written at the end of the run. */
  readonly modelDir: string;
}

/** Undefined where the run was stopped before its last step: the folder is untouched then. */
export async function runDraft(device: Device, options: DraftRecipeOptions): Promise<DraftMetrics | undefined> {
  const dir = join(options.runDir, "draft");
  refuseIfLocked(dir);
  let isInterrupted = false;
  const onInterrupt = (): void => {
    isInterrupted = true;
    options.onInterrupt?.();
  };
  const { mixture } = await languageData(device, options, options.mixture);
  const { parts } = loadLlm(options.modelDir, device);
  const network = withMtp(parts.model, activationDType(device));
  const { agreement, isDone } = await trainDraft(network, { ...options, ...languageBatches, dir, sample: mixture.sample, onInterrupt }); // prettier-ignore
  if (isInterrupted || !isDone) return undefined;
  saveLlm(options.modelDir, { ...parts, model: network }, { format: "bf16", visualFormat: "bf16" });
  return { agreement };
}
