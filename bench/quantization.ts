/**
 * What narrow weights cost a model folder: bits a byte of held-out prose, how often the likeliest next token is that of
 * the folder itself, sums with reasoning, bytes. Each format is exported into a folder of its own and read back, so that
 * what is measured is what a user would run. Main function: `benchQuantization`.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dtypes } from "../src/base/dtype.ts";
import { loadLlm } from "../src/engine/load.ts";
import type { Device } from "../src/device/device.ts";
import { exportCheckpoint, type ExportDType } from "../src/model/exchange.ts";
import { openCheckpoint } from "../src/model/open-checkpoint.ts";
import { evaluateSmoke } from "../src/train/evaluate.ts";
import { spread, type Figures } from "../src/train/eval/suite.ts";
import { greedyIds, heldOutTexts, type EvalText } from "../src/train/eval/texts.ts";

/** What each is exported as; `native` is the released form, which then stays codes in memory. */
const formats = { bf16: "bf16", w8a8: "w8a8", w4a8: "w4a8", native: "fp4" } as const satisfies Record<string, ExportDType>; // prettier-ignore
type Format = keyof typeof formats;

export interface QuantizationRow {
  readonly format: Format;
  /** Of the network's file, and of its weights in memory. */
  readonly fileBytes: number;
  readonly memoryBytes: number;
  /** By source of text. */
  readonly bitsPerByte: Readonly<Record<string, number>>;
  /** Share of tokens of `agreementTexts` whose likeliest successor is bf16's. */
  readonly greedyAgreement: number;
  readonly greedyTokens: number;
  readonly sums: number;
}

export interface QuantizationReport {
  readonly device: string;
  /** Of bits per byte and of agreement. */
  readonly agreementTexts: string;
  readonly skipped: readonly string[];
  readonly rows: readonly QuantizationRow[];
}

export interface QuantizationOptions {
  readonly sharedDir: string;
  /** Prompts of a measure, as in `eval`. */
  readonly count: number;
  readonly onRow?: (row: QuantizationRow) => void;
}

export async function benchQuantization(dir: string, device: Device, { sharedDir, count, onRow }: QuantizationOptions): Promise<QuantizationReport> {
  const texts = await heldOutTexts(undefined, sharedDir);
  const agreementTexts = typeof texts.prose === "string" ? "addition" : "prose";
  const asked = spread(texts[agreementTexts] as readonly EvalText[], 2 * count);
  const root = mkdtempSync(join(tmpdir(), "tessera-quantization-"));
  const rows: QuantizationRow[] = [];
  let skipped: readonly string[] = [];
  let wanted: readonly number[] = [];
  try {
    for (const format of Object.keys(formats) as Format[]) {
      const out = join(root, format);
      using source = openCheckpoint(dir);
      const { sizeBytes } = exportCheckpoint(source, out, { layout: "official", dtype: formats[format] });
      const llm = loadLlm(out, device, format === "native" ? { codes: "keep" } : {});
      const ids = asked.flatMap((text) => greedyIds(llm.parts, text));
      if (format === "bf16") wanted = ids;
      const result = await evaluateSmoke(llm, { texts, pixels: undefined, judge: undefined }, { count, seed: 1, only: ["text", "addition"] });
      skipped = result.skipped;
      const text = result.figures["text"] as Readonly<Record<string, Figures>>;
      const row: QuantizationRow = {
        format,
        fileBytes: sizeBytes,
        memoryBytes: llm.parts.model.namedParameters().reduce((sum, [, p]) => sum + p.size * dtypes[p.dtype].size, 0),
        bitsPerByte: Object.fromEntries(Object.entries(text).map(([name, f]) => [name, f["bitsPerByte"] as number])),
        greedyAgreement: ids.filter((id, i) => id === wanted[i]).length / ids.length,
        greedyTokens: ids.length,
        sums: (result.figures["addition"] as Readonly<Record<string, number>>)["exactMatch"]!,
      };
      rows.push(row);
      onRow?.(row);
      for (const [, p] of llm.parts.model.namedParameters()) p.dispose();
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
  return { device: device.properties.name, agreementTexts, skipped, rows };
} // prettier-ignore
