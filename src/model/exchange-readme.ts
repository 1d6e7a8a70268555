/** The README of an exported folder: what it holds, and what another program computes with it. */
import type { V4Config } from "./config.ts";

export function readmeOf(about: {
  readonly layout: string;
  readonly json: Readonly<Record<string, unknown>>;
  readonly left: readonly string[];
  readonly config: V4Config;
  readonly note: string | undefined;
}): string {
  // prettier-ignore
  const { layout, json, left, config, note } = about;
  const id = String((json["tessera"] as { id?: unknown } | undefined)?.id ?? "A DeepSeek-V4 model");
  const { visual } = config;
  const lines = [`# ${id}, ${layout} layout`, "", intros[layout] ?? ""];
  if (visual && layout !== "official")
    lines.push(
      "",
      `**Text in, text out.** Ids from ${visual.start_id} on are codes of pictures. For prompts of text the logits are Tessera's. A picture's`,
      "codes also add vectors for their levels, row, column and frame to the embedding; this layout has no place for the last",
      "three (they depend on where a code stands, not on the code), so a prompt with a picture in it computes something else here.",
      "Forbid these ids when sampling text.",
    );
  if (note !== undefined) lines.push("", `${note[0]!.toUpperCase()}${note.slice(1)}.`);
  if (left.length > 0) lines.push("", `\`tessera-extra.safetensors\` holds what this layout has no place for: ${left.length} tensors (${left.slice(0, 4).join(", ")}${left.length > 4 ? ", ..." : ""}). \`tessera import\` puts it back.`); // prettier-ignore
  return `${lines.join("\n")}\n`;
}

const intros: Readonly<Record<string, string>> = {
  official: "Names, dtypes and config fields of the released DeepSeek-V4 checkpoints.",
  transformers: 'For `AutoModelForCausalLM.from_pretrained(folder, dtype="float32", attn_implementation="eager")`, transformers 5.23 or later.', // prettier-ignore
  gguf: "For llama.cpp builds that know the architecture `deepseek4`. Words may be cut differently from ours there, since llama.cpp knows tokenizers by name: give token ids to be exact.", // prettier-ignore
};
