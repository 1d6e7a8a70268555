/**
 * Does llama.cpp say what we say? Exports a model folder as GGUF and sets greedy ids beside those of print-logits.ts.
 * Needs node-llama-cpp (3.22 knows `deepseek4`), installed anywhere; its binaries come inside its npm packages:
 *     npm install --ignore-scripts --prefix /somewhere node-llama-cpp
 *     node --import tsx tools/reference/check-gguf.ts FOLDER /somewhere/node_modules/node-llama-cpp/dist/index.js
 * llama.cpp rotates index keys in blocks of 64, so a folder with narrower ones gets fresh index weights of 64 first: they
 * choose nothing as long as every entry is visible, which is so for all prompts here.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDevice } from "../../src/device/open.ts";
import { parseConfig } from "../../src/model/config.ts";
import { exportCheckpoint } from "../../src/model/exchange.ts";
import { openCheckpoint } from "../../src/model/open-checkpoint.ts";
import { V4 } from "../../src/model/v4.ts";
import { loadOfficial, saveOfficial } from "../../src/model/weights.ts";

const MIN_INDEX_DIM = 64;
const [folder, library] = process.argv.slice(2);
if (folder === undefined || library === undefined) throw new Error("check-gguf: expected a folder and the path of node-llama-cpp"); // prettier-ignore

/** The folder itself, or one like it with wider index heads. */
function prepared(dir: string): string {
  using source = openCheckpoint(dir);
  if (source.config.index_head_dim >= MIN_INDEX_DIM) return dir;
  const json = { ...source.json, index_head_dim: MIN_INDEX_DIM };
  const device = openDevice("interpreter");
  const [from, to] = [new V4(device, source.config, { init: "zeros" }), new V4(device, parseConfig(json, dir), { seed: 1 })]; // prettier-ignore
  loadOfficial(dir, from);
  const values = new Map(from.namedParameters());
  for (const [name, p] of to.namedParameters()) if (!name.includes(".indexer.")) p.copyFrom(values.get(name)!.toRaw());
  saveOfficial(join(work, "model.safetensors"), to, { format: "bf16" });
  writeFileSync(join(work, "config.json"), JSON.stringify(json));
  copyFileSync(join(dir, "tokenizer.json"), join(work, "tokenizer.json"));
  return work;
}

const work = mkdtempSync(join(tmpdir(), "tessera-gguf-"));
try {
  const ours = JSON.parse(execFileSync("node", ["--import", "tsx", "tools/reference/print-logits.ts", folder], { encoding: "utf8", maxBuffer: 1 << 30 })) as { prompts: { ids: number[]; greedy: number[] }[] }; // prettier-ignore
  const dir = prepared(folder);
  const { getLlama } = (await import(library)) as { getLlama: (options: object) => Promise<any> };
  const llama = await getLlama({ gpu: false, build: "never", logLevel: "error" });
  for (const dtype of ["f32", "keep"] as const) {
    using source = openCheckpoint(dir);
    const out = join(work, dtype);
    const { files } = exportCheckpoint(source, out, { layout: "gguf", dtype });
    const model = await llama.loadModel({ modelPath: join(out, files[0]!), gpuLayers: 0 });
    for (const { ids, greedy } of ours.prompts) {
      const context = await model.createContext({ contextSize: 1024, threads: 1, flashAttention: false });
      const theirs: number[] = [];
      for await (const id of context.getSequence().evaluate(ids, { temperature: 0 })) {
        theirs.push(id as number);
        if (theirs.length === greedy.length) break;
      }
      await context.dispose();
      const same = theirs.findIndex((id, i) => id !== greedy[i]);
      console.log(`${dtype}, ${ids.length} tokens: ${same < 0 ? `all ${greedy.length} greedy ids equal` : `greedy ids equal up to ${same}: ${theirs} against ${greedy}`}`); // prettier-ignore
    }
    await model.dispose();
  }
  await llama.dispose();
} finally {
  rmSync(work, { recursive: true, force: true });
}
