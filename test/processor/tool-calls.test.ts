/** Tool calls in what a model writes, however its text is cut; and the lossless JSON beneath. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { writeToolCalls } from "../../src/processor/dsml.ts";
import { jsonAt, parseJsonText, pythonJsonOf, toPythonJson } from "../../src/processor/json-text.ts";
import { OutputParser, type OutputDelta } from "../../src/processor/output-parser.ts";

interface Parsed {
  reasoning: string;
  content: string;
  calls: { name: string; arguments: string }[];
}
function parse(chunks: readonly string[]): { parsed: Parsed; deltas: OutputDelta[] } {
  const parser = new OutputParser({ thinking: true });
  const deltas = [...chunks.flatMap((chunk) => parser.push(chunk)), ...parser.end()];
  const text = (kind: "reasoning" | "content"): string => deltas.map((d) => (d.kind === kind ? d.text : "")).join("");
  const calls = deltas.flatMap((d) => (d.kind === "toolCall" ? [{ name: d.name, arguments: d.arguments }] : []));
  return { parsed: { reasoning: text("reasoning"), content: text("content"), calls }, deltas };
}
/** The same for whole text, single characters, every split in two, and random cuts. */
function always(text: string, expected: Parsed, leaks = /｜DSML｜|<\/?(?:think|｜)/): void {
  const check = (chunks: readonly string[]): void => {
    const { parsed, deltas } = parse(chunks);
    assert.deepEqual(parsed, expected, JSON.stringify(chunks));
    for (const d of deltas) if (d.kind !== "toolCall") assert.ok(!leaks.test(d.text), JSON.stringify(d));
  };
  check([text]);
  check([...text]);
  for (let i = 1; i < text.length; i++) check([text.slice(0, i), text.slice(i)]);
  fc.assert(
    fc.property(fc.array(fc.nat(text.length), { maxLength: 12 }), (cuts) => {
      const points = [0, ...cuts.toSorted((a, b) => a - b), text.length];
      check(points.slice(1).map((end, i) => text.slice(points[i], end)));
    }),
    { numRuns: 50 },
  );
}
const E = "<｜end▁of▁sentence｜>";
const none = /$^/;

test("reasoning, content, two calls, and nothing of a tag", () => {
  const calls = [
    {
      name: "f",
      arguments: '{"a": "x <b>\\n</｜DSML｜invoke> \\"q\\"", "n": 1.0, "10": [1, 2], "2": 12345678901234567890}',
    },
    { name: "g", arguments: "{}" },
  ];
  always(`so</think>Wait: a < b.\n${writeToolCalls(calls)}${E}gone`, { reasoning: "so", content: "Wait: a < b.\n", calls }); // prettier-ignore
  always(`</think>${writeToolCalls(calls)}`, { reasoning: "", content: "", calls });
});

test("what is written is read again, whatever the arguments", () => {
  const value = fc.oneof(fc.string(), fc.integer(), fc.boolean(), fc.array(fc.integer(), { maxLength: 3 }), fc.dictionary(fc.string(), fc.string(), { maxKeys: 2 })); // prettier-ignore
  const key = fc.stringMatching(/^[\w.-]{1,8}$/);
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(key, value), { selector: ([k]) => k, maxLength: 4 }), (entries) => {
      const args = `{${entries.map(([k, v]) => `${JSON.stringify(k)}: ${pythonJsonOf(v)}`).join(", ")}}`;
      const { parsed } = parse([`</think>${writeToolCalls([{ name: "f", arguments: args }])}`]);
      assert.deepEqual(parsed.calls, [{ name: "f", arguments: args }]);
    }),
  );
});

test("a value that is no JSON is a string; arguments that are no object are one parameter", () => {
  const text = '<｜DSML｜tool_calls><｜DSML｜invoke name="f"><｜DSML｜parameter name="a" string="false">oops</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜tool_calls>'; // prettier-ignore
  always(`</think>${text}`, { reasoning: "", content: "", calls: [{ name: "f", arguments: '{"a": "oops"}' }] });
  assert.match(writeToolCalls([{ name: "f", arguments: "[1" }]), /name="arguments" string="true">\[1</);
});

test("a broken or unfinished block is content, whole; calls before it stand", () => {
  const good = '<｜DSML｜invoke name="f">\n</｜DSML｜invoke>\n';
  for (const broken of [
    "\n\n<｜DSML｜tool_calls>\nI will call",
    '\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name="f">\n<｜DSML｜parameter name="a">1</｜DSML｜parameter>',
    '\n\n<｜DSML｜tool_calls>\n<｜DSML｜invoke name="f">\n<｜DSML｜parameter name="a" string="true">cut off',
    '<｜DSML｜tool_calls><｜DSML｜invoke name="f"><｜DSML｜parameter name="a" string="true">1</｜DSML｜parameter><｜DSML｜parameter name="a" string="true">2</｜DSML｜parameter>', // prettier-ignore
  ])
    always(`</think>c${broken}`, { reasoning: "", content: `c${broken}`, calls: [] }, none);
  always(`</think><｜DSML｜tool_calls>\n${good}`, { reasoning: "", content: "", calls: [{ name: "f", arguments: "{}" }] }); // prettier-ignore
  always(`</think><｜DSML｜tool_calls>\n${good}<b`, { reasoning: "", content: "\n<b", calls: [{ name: "f", arguments: "{}" }] }, none); // prettier-ignore
});

test("JSON keeps numbers and the order of keys, and is written as Python writes it", () => {
  const text = '{"10":1.0,"2":[1e400,-0,12345678901234567890],"é\\u0000\\n":"\\u00e9\\/","":{},"n":null}';
  assert.equal(toPythonJson(parseJsonText(text)), '{"10": 1.0, "2": [1e400, -0, 12345678901234567890], "é\\u0000\\n": "é/", "": {}, "n": null}'); // prettier-ignore
  assert.equal(toPythonJson(jsonAt(parseJsonText(text), ["2", 1])!), "-0");
  assert.equal(toPythonJson(parseJsonText('{"a":1,"b":2,"a":3}')), '{"a": 3, "b": 2}');
  fc.assert(fc.property(fc.json(), (json) => assert.deepEqual(JSON.parse(toPythonJson(parseJsonText(json))), JSON.parse(json)))); // prettier-ignore
  for (const bad of ["", "{", "[1,]", "01", "1.", "'a'", '{"a" 1}', '"\n"', "[1 2]", "nul", "1 1", "[".repeat(600)])
    assert.throws(() => parseJsonText(bad), /^RequestError: json: expected/, bad);
});
