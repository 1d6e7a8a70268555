/**
 * PyTorch as a peer of our training step: tools/reference/bench_train.py as a child that answers line by line, where
 * Python, torch and transformers are installed; benchmarks only. Main function: `openTorch`.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { DeviceError } from "../src/base/errors.ts";
import type { V4Config } from "../src/model/config.ts";
import type { StepTime } from "./timing.ts";

export interface TorchOptions {
  /** Path of the interpreter. */
  readonly python: string;
  readonly config: V4Config;
  readonly batch: number;
  readonly length: number;
  readonly threads: number;
  readonly dtype: "bfloat16" | "float32";
}
export interface Torch {
  readonly torch: string;
  readonly transformers: string;
  readonly parameters: number;
  readonly run: (steps: number) => Promise<{ readonly times: StepTime[]; readonly loss: number }>;
  readonly close: () => void;
}
/** Why there is no peer. */
export interface NoTorch {
  readonly reason: string;
}

const script = fileURLToPath(new URL("../tools/reference/bench_train.py", import.meta.url));
const hint = "python -m pip install torch==2.13.0 transformers==5.23.0, and --python for the interpreter that has them";

interface Hello {
  readonly torch: string;
  readonly transformers: string;
  readonly parameters: number;
}
interface Block {
  readonly seconds: readonly number[];
  readonly cpu_seconds: readonly number[];
  readonly loss: number;
}

export async function openTorch({ python, ...request }: TorchOptions): Promise<Torch | NoTorch> {
  // Its idle threads sleep, as ours do, so that neither disturbs the other's turn.
  const env = { ...process.env, OMP_WAIT_POLICY: process.env["OMP_WAIT_POLICY"] ?? "passive" };
  const child = spawn(python, [script], { env, stdio: ["pipe", "pipe", "pipe"] });
  let errors = "";
  child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
  child.stdin.on("error", () => {}); // it died: the missing answer says so
  const failed = new Promise<string>((resolve) => child.on("error", (error) => resolve(error.message)));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  /** Undefined when the child is gone. */
  const ask = async (question: object): Promise<unknown> => {
    child.stdin.write(`${JSON.stringify(question)}\n`);
    const answer = await Promise.race([lines.next(), failed]);
    return typeof answer === "string" || answer.done ? undefined : JSON.parse(answer.value);
  };
  const whyGone = (): string => errors.trim().split("\n").at(-1) || `cannot run ${python}`;

  const hello = (await ask(request)) as Hello | undefined;
  if (!hello)
    return { reason: `no PyTorch to compare with (${whyGone().trim()}), so only our own figures are shown; ${hint}` };
  return {
    ...hello,
    run: async (steps) => {
      const block = (await ask({ steps })) as Block | undefined;
      if (!block) throw new DeviceError(`bench train: PyTorch stopped: ${whyGone()}`, { backend: "torch" });
      const times = block.seconds.map((s, i) => ({ wallMs: s * 1000, cpuMs: block.cpu_seconds[i]! * 1000 }));
      return { times, loss: block.loss };
    },
    close: () => child.kill(),
  };
}
