import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { OutputParser, type OutputDelta } from "../../src/processor/output-parser.ts";

function parse(
  chunks: readonly string[],
  thinking: boolean,
): { reasoning: string; content: string; deltas: OutputDelta[] } {
  const parser = new OutputParser({ thinking });
  const deltas = chunks.flatMap((chunk) => parser.push(chunk));
  deltas.push(...parser.end());
  const join = (kind: "reasoning" | "content"): string => deltas.map((d) => (d.kind === kind ? d.text : "")).join("");
  return { reasoning: join("reasoning"), content: join("content"), deltas };
}

const cases = [
  {
    text: "1. add\n2. done</think>The answer is 4.<｜end▁of▁sentence｜>ignored",
    thinking: true,
    reasoning: "1. add\n2. done",
    content: "The answer is 4.",
  },
  {
    text: "just text, a < b, </thin and <b>bold</b>",
    thinking: false,
    reasoning: "",
    content: "just text, a < b, </thin and <b>bold</b>",
  },
  { text: "<think>hm</think>yes", thinking: false, reasoning: "hm", content: "yes" },
  { text: "never closed </thi", thinking: true, reasoning: "never closed </thi", content: "" },
];

test("reasoning, content and stop, whatever the chunking", () => {
  for (const { text, thinking, reasoning, content } of cases) {
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 12 }), (cuts) => {
        const points = [0, ...cuts.toSorted((a, b) => a - b), text.length];
        const chunks = points.slice(1).map((end, i) => text.slice(points[i], end));
        const got = parse(chunks, thinking);
        assert.deepEqual([got.reasoning, got.content], [reasoning, content]);
        assert.ok(got.deltas.every((d) => d.kind === "toolCall" || d.text !== ""));
      }),
    );
    const byChar = parse([...text], thinking);
    assert.deepEqual([byChar.reasoning, byChar.content], [reasoning, content]);
  }
});

test("no delta shows part of a tag while it may still become one", () => {
  const parser = new OutputParser({ thinking: true });
  assert.deepEqual(parser.push("ok</th"), [{ kind: "reasoning", text: "ok" }]);
  assert.deepEqual(parser.push("ink>A"), [{ kind: "content", text: "A" }]);
  assert.equal(parser.isStopped, false);
  parser.push("<｜end▁of▁sentence｜>");
  assert.equal(parser.isStopped, true);
});
