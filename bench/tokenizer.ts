/**
 * Encoding speed beside @huggingface/tokenizers on the same text and the same file, in one run: mixed text in one piece,
 * with cold and with warm word caches. What both give must agree, or the figures mean nothing.
 * Main function: `benchTokenizer`.
 */
import { Tokenizer as Peer } from "@huggingface/tokenizers";
import { FormatError } from "../src/base/errors.ts";
import { Tokenizer } from "../src/processor/tokenizer.ts";
import { deepSeekLike, mixedText } from "./mixed-text.ts";

export interface TokenizerRow {
  readonly name: "ours" | "@huggingface/tokenizers";
  readonly words: "cold" | "warm";
  /** Best of the rounds, by the wall clock and by processor time. */
  readonly megabytesPerS: number;
  readonly byCpuMegabytesPerS: number;
}
export interface TokenizerReport {
  readonly bytes: number;
  readonly tokens: number;
  readonly vocabSize: number;
  readonly rows: readonly TokenizerRow[];
}

/** Seconds of one call: by the wall clock, and of processor time. */
function timed(run: () => unknown): { wall: number; cpu: number } {
  const [wall, cpu] = [performance.now(), process.cpuUsage()];
  run();
  const used = process.cpuUsage(cpu);
  return { wall: (performance.now() - wall) / 1000, cpu: (used.user + used.system) / 1e6 };
}

export function benchTokenizer(options: {
  readonly megabytes: number;
  readonly vocabSize: number;
  readonly rounds: number;
}): TokenizerReport {
  // prettier-ignore
  const { megabytes, vocabSize, rounds } = options;
  const file = deepSeekLike({ seed: 1, trainBytes: 1_000_000, vocabSize });
  const text = mixedText(2, megabytes * 1e6);
  const bytes = Buffer.byteLength(text);
  // The code is warmed up on other text; a fresh tokenizer has no words yet.
  const warmUp = mixedText(3, 200_000);
  const makers = {
    ours: (): ((text: string) => number[]) => {
      const tokenizer = Tokenizer.fromJSON(file, "bench");
      return (t) => tokenizer.encode(t);
    },
    "@huggingface/tokenizers": (): ((text: string) => number[]) => {
      const tokenizer = new Peer(file, {});
      return (t) => tokenizer.encode(t, { add_special_tokens: false }).ids;
    },
  };
  const ids = new Map<string, number[]>();
  const rows = Object.entries(makers).flatMap(([name, make]): TokenizerRow[] => {
    make()(warmUp);
    const times = { cold: [] as { wall: number; cpu: number }[], warm: [] as { wall: number; cpu: number }[] };
    for (let i = 0; i < rounds; i++) {
      const encode = make();
      times.cold.push(timed(() => ids.set(name, encode(text))));
      times.warm.push(timed(() => encode(text)));
    }
    const best = (list: readonly number[]): number => bytes / 1e6 / Math.min(...list);
    return (["cold", "warm"] as const).map((words) => ({
      name: name as TokenizerRow["name"],
      words,
      megabytesPerS: best(times[words].map((t) => t.wall)),
      byCpuMegabytesPerS: best(times[words].map((t) => t.cpu)),
    }));
  });
  const [a, b] = [...ids.values()];
  const at = a!.findIndex((id, i) => id !== b![i]);
  if (at >= 0 || a!.length !== b!.length) throw new FormatError(`bench tokenizer: expected equal tokens, got another at ${at} of ${b!.length}`, { file: "bench" }); // prettier-ignore
  return { bytes, tokens: a!.length, vocabSize, rows };
}
