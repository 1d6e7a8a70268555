/**
 * Does llama.cpp say what we say? Exports a model folder as GGUF and sets greedy ids beside those of print-logits.ts.
 * Needs node-llama-cpp (3.22 knows `deepseek4`), installed anywhere; its binaries come inside its npm packages:
 *     npm install --ignore-scripts --prefix /somewhere node-llama-cpp
 *     node --import tsx tools/reference/check-gguf.ts FOLDER /somewhere/node_modules/node-llama-cpp/dist/index.js
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportCheckpoint } from "../../src/model/exchange.ts";
import { openCheckpoint } from "../../src/model/open-checkpoint.ts";

const [folder, library] = process.argv.slice(2);
if (folder === undefined || library === undefined) throw new Error("check-gguf: expected a folder and the path of node-llama-cpp"); // prettier-ignore

const work = mkdtempSync(join(tmpdir(), "tessera-gguf-"));
try {
  const ours = JSON.parse(execFileSync("node", ["--import", "tsx", "tools/reference/print-logits.ts", folder], { encoding: "utf8", maxBuffer: 1 << 30 })) as { prompts: { ids: number[]; greedy: number[] }[] }; // prettier-ignore
  const { getLlama } = (await import(library)) as { getLlama: (options: object) => Promise<any> };
  const llama = await getLlama({ gpu: false, build: "never", logLevel: "error" });
  for (const dtype of ["f32", "keep"] as const) {
    using source = openCheckpoint(folder);
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
