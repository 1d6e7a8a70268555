/** `tessera bench gemm | train`: speed beside peers, measured in one run; the benchmarks themselves lie in bench/. */
import { defineCommand, type ArgsDef } from "citty";
import { benchGemm, type GemmRate, type GemmReport, type GemmRow } from "../../bench/gemm.ts";
import { oneDnnHint } from "../../bench/onednn.ts";
import { command, integerOf } from "./common.ts";

const shared = {
  json: { type: "boolean", description: "One JSON object on stdout instead of a table", default: false },
} as const satisfies ArgsDef;

const line = (text: string): void => void process.stdout.write(`${text}\n`);
const giga = (flops: number): string => (flops / 1e9).toFixed(0).padStart(6);
const percent = (share: number): string => `${(share * 100).toFixed(0)}%`.padStart(5);

const rateText = (rate: GemmRate | undefined): string =>
  rate ? `${giga(rate.best)} ${giga(rate.median)} ${giga(rate.byCpu)}${percent(rate.byCpuOfPeak)}` : "-".padStart(25);

function printGemmRow({ dtype, m, n, k, transA, transB, name, ours, oneDnn, oneDnnPacked }: GemmRow): void {
  const shape = `${dtype} ${m}x${n}x${k}${transA ? " A^T" : ""}${transB ? " B^T" : ""} ${name}`;
  const ratio = oneDnn ? `${(ours.byCpu / oneDnn.byCpu).toFixed(2)} ${(ours.best / oneDnn.best).toFixed(2)}` : "-";
  line(`${shape.padEnd(48)}${[ours, oneDnn, oneDnnPacked].map(rateText).join(" |")} | ${ratio}`);
}

function printGemmHead(): void {
  line("GFLOP/s. Each: best, median by the wall clock; by processor time, and that as a share of the measured peak.");
  line(`${"".padEnd(48)}${"ours".padEnd(26)}| ${"oneDNN".padEnd(25)}| ${"oneDNN, B packed".padEnd(25)}| ours / oneDNN, by both clocks`); // prettier-ignore
}

function printGemmFoot({ peak, numThreads, oneDnn }: GemmReport): void {
  line(`peak of ${numThreads} threads: f32 ${giga(peak.f32.wall)} (by processor time ${giga(peak.f32.cpu)}), bf16 by ${peak.bf16Unit} ${giga(peak.bf16.wall)} (${giga(peak.bf16.cpu)})`); // prettier-ignore
  line(oneDnn ? `oneDNN ${oneDnn}` : oneDnnHint);
}

const gemmCommand = command(
  { name: "gemm", description: "Matrix products in bf16 and f32 beside oneDNN (optional: libdnnl-dev)" },
  { ...shared, rounds: { type: "string", description: "Turns of each product", default: "7" } },
  async (args) => {
    const rounds = integerOf("rounds", args.rounds, [1, 1000])!;
    if (!args.json) printGemmHead();
    const report = benchGemm({ rounds, ...(!args.json && { onRow: printGemmRow }) });
    if (args.json) line(JSON.stringify(report));
    else printGemmFoot(report);
  },
);

export const benchCommand = defineCommand({
  meta: { name: "bench", description: "Speed beside other libraries, and as a share of this machine's measured peak" },
  subCommands: { gemm: gemmCommand },
});
