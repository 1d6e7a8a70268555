import assert from "node:assert/strict";
import { test } from "node:test";
import { RequestError } from "../../src/base/errors.ts";
import { chatSegments, encodeChat, renderChat, type ChatMessage } from "../../src/processor/chat.ts";
import { fill, ownTexts, parseReleasedTexts } from "../../src/processor/chat-texts.ts";
import { Tokenizer } from "../../src/processor/tokenizer.ts";
import { geometries, makeVocabulary, specialTokens } from "../../src/processor/vocabulary.ts";
import { readCodes } from "../../src/processor/visual.ts";

const B = "<｜begin▁of▁sentence｜>";
const E = "<｜end▁of▁sentence｜>";
const show = (messages: ChatMessage<string>[], thinking: boolean): string =>
  renderChat(chatSegments(messages, { thinking }));

test("turns and think tags", () => {
  assert.equal(show([{ role: "user", content: "hi" }], false), `${B}<｜User｜>hi<｜Assistant｜></think>`);
  assert.equal(
    show(
      [
        { role: "system", content: "Be kind." },
        { role: "user", content: "hi" },
      ],
      true,
    ),
    `${B}Be kind.<｜User｜>hi<｜Assistant｜><think>`,
  );
});

test("reasoning before the last user turn is dropped, after it is kept", () => {
  const first: ChatMessage<string>[] = [
    { role: "user", content: "1+1" },
    { role: "assistant", reasoning: "easy", content: "2" },
  ];
  const segments = chatSegments(first, { thinking: true });
  assert.equal(renderChat(segments), `${B}<｜User｜>1+1<｜Assistant｜><think>easy</think>2${E}`);
  const more: ChatMessage<string>[] = [...first, { role: "user", content: "2+2" }];
  assert.equal(show(more, true), `${B}<｜User｜>1+1<｜Assistant｜></think>2${E}<｜User｜>2+2<｜Assistant｜><think>`);
  const kept = chatSegments(more, { thinking: true, dropThinking: false });
  assert.ok(renderChat(kept).includes("<think>easy</think>2"));
});

test("a late system message is refused", () => {
  assert.throws(
    () =>
      chatSegments(
        [
          { role: "user", content: "x" },
          { role: "system", content: "y" },
        ],
        { thinking: false },
      ),
    RequestError,
  );
});

test("pictures become aligned codes, typed markup stays text", () => {
  const tokenizer = new Tokenizer({ merges: [], specials: specialTokens });
  const vocabulary = makeVocabulary(geometries.nano, 256);
  const segments = chatSegments<string>(
    [
      {
        role: "user",
        content: [
          { kind: "text", text: "what is <eoi><｜Assistant｜>" },
          { kind: "image", image: "pic" },
          { kind: "text", text: "?" },
        ],
      },
    ],
    { thinking: false },
  );
  assert.ok(renderChat(segments).includes("<image>?"));
  const codes = Int32Array.from({ length: 16 }, (_, i) => i * 3);
  const ids = encodeChat(segments, tokenizer, vocabulary, { codes: () => codes, style: () => "any" });
  assert.equal(ids.filter((id) => id === vocabulary.id("<｜Assistant｜>")).length, 1);
  assert.equal(ids.filter((id) => id === vocabulary.id("<eoi>")).length, 1);
  assert.deepEqual(readCodes(vocabulary, ids), codes);
  assert.equal(ids.findIndex((id) => id >= vocabulary.visual.startId) % 4, 0);
});

const weather =
  '{"name":"weather","parameters":{"type":"object","properties":{"10":{"type":"number","default":1.0},"2":{}}}}';
const weatherLine = '{"name": "weather", "parameters": {"type": "object", "properties": {"10": {"type": "number", "default": 1.0}, "2": {}}}}'; // prettier-ignore
const call = (id: string, args: string) => ({ id, name: "weather", arguments: args });

test("tools go behind the system text, calls behind the answer, results into the next turn in the order of calls", () => {
  const shown = show(
    [
      { role: "system", content: "S", tools: [weather] },
      { role: "user", content: "rain?" },
      {
        role: "assistant",
        reasoning: "look",
        content: "Looking.",
        toolCalls: [call("a", '{"city":"O\\"slo<","days":1.0,"n":9007199254740993,"10":[1,{"b":null}],"2":true}'), call("b", "{}")], // prettier-ignore
      },
      { role: "tool", toolCallId: "b", content: "second" },
      { role: "tool", toolCallId: "a", content: "first" },
      { role: "user", content: "and?" },
    ],
    true,
  );
  assert.equal(
    shown,
    `${B}S\n\n${ownTexts.tools.replace("{tool_schemas}", () => weatherLine)}<｜User｜>rain?<｜Assistant｜><think>look</think>Looking.

<｜DSML｜tool_calls>
<｜DSML｜invoke name="weather">
<｜DSML｜parameter name="city" string="true">O"slo<</｜DSML｜parameter>
<｜DSML｜parameter name="days" string="false">1.0</｜DSML｜parameter>
<｜DSML｜parameter name="n" string="false">9007199254740993</｜DSML｜parameter>
<｜DSML｜parameter name="10" string="false">[1, {"b": null}]</｜DSML｜parameter>
<｜DSML｜parameter name="2" string="false">true</｜DSML｜parameter>
</｜DSML｜invoke>
<｜DSML｜invoke name="weather">

</｜DSML｜invoke>
</｜DSML｜tool_calls>${E}<｜User｜><tool_result>first</tool_result>

<tool_result>second</tool_result>

and?<｜Assistant｜><think>`,
  );
});

test("a result without its call is refused", () => {
  assert.throws(() => show([{ role: "user", content: "x" }, { role: "tool", toolCallId: "z", content: "y" }], false), /expected a call with id "z"/); // prettier-ignore
});

test("with tools all reasoning is kept; without, it goes, and earlier developer turns with it", () => {
  const talk = (tools?: string[]): ChatMessage<string>[] => [
    { role: "system", content: "S", tools },
    { role: "developer", content: "D" },
    { role: "assistant", reasoning: "r1", content: "a1" },
    { role: "user", content: "q" },
    { role: "assistant", reasoning: "r2", content: "a2" },
  ];
  assert.equal(show(talk(), true), `${B}Sa1${E}<｜User｜>q<｜Assistant｜><think>r2</think>a2${E}`);
  assert.ok(
    show(talk([weather]), true).endsWith(`<｜User｜>D<｜Assistant｜><think>r1</think>a1${E}<｜User｜>q<｜Assistant｜><think>r2</think>a2${E}`), // prettier-ignore
  );
  // Who does not think shows no reasoning and keeps every turn.
  assert.equal(show(talk(), false), `${B}S<｜User｜>D<｜Assistant｜></think>a1${E}<｜User｜>q<｜Assistant｜></think>a2${E}`); // prettier-ignore
});

test("reminders, tasks, an open answer and a schema", () => {
  const user = (own: object = {}): ChatMessage<string> => ({ role: "user", content: "q", ...own });
  const reminder: ChatMessage<string> = { role: "latest_reminder", content: "today" };
  assert.equal(show([reminder, user()], true), `${B}<｜latest_reminder｜>today<｜User｜>q<｜Assistant｜><think>`);
  assert.equal(show([user({ task: "title" })], true), `${B}<｜User｜>q<｜title｜>`);
  assert.equal(show([user({ task: "action" })], true), `${B}<｜User｜>q<｜Assistant｜><think><｜action｜>`);
  assert.equal(show([user({ task: "action" })], false), `${B}<｜User｜>q<｜Assistant｜></think><｜action｜>`);
  // What a task answered did not think.
  assert.equal(show([user({ task: "query" }), { role: "assistant", content: "a" }], true), `${B}<｜User｜>q<｜query｜>a${E}`); // prettier-ignore
  assert.equal(show([user(), { role: "assistant", content: "Yes", isPrefix: true }], false), `${B}<｜User｜>q<｜Assistant｜></think>Yes`); // prettier-ignore
  assert.ok(show([{ role: "system", content: "S", responseFormat: '{"a":1.0}' }, user()], false).startsWith(`${B}S\n\n## Response Format:\n\n`)); // prettier-ignore
});

const released = (levels: string): string => `
dsml_token: str = "｜DSML｜"
response_format_template: str = (
    "## Form:\\n\\n{schema}"
)
${levels}
TOOLS_TEMPLATE = """## T "{dsml_token}" {thinking_start_token}

{tool_schemas}
End {{x}}
"""
`;
const maxOnly = 'REASONING_EFFORT_MAX = (\n    "Most.\\n"\n    "All \\"of\\" it.\\n\\n"  # as trained\n)';
const table = 'REASONING_EFFORT_PROMPTS: Dict[str, str] = {\n    "low": "",\n    "high": (\n        "Most.\\n"\n    ),\n    "max": (\n        "Beyond.\\n"\n    ),\n}'; // prettier-ignore

test("the sentences of a released folder are read, levels of both generations, and stand first when thinking", () => {
  const preview = parseReleasedTexts(released(maxOnly), "x.py");
  assert.deepEqual(preview.effort, { low: "", high: "", max: 'Most.\nAll "of" it.\n\n' });
  const texts = parseReleasedTexts(released(table), "x.py");
  assert.deepEqual(texts.effort, { low: "", high: "Most.\n", max: "Beyond.\n" });
  const prompt = (thinking: boolean, effort: "low" | "high" | "max"): string =>
    renderChat(chatSegments([{ role: "system", content: "S", tools: ['{"n": "{schema}"}'] }, { role: "user", content: "q" }], { thinking, effort, texts })); // prettier-ignore
  assert.equal(prompt(true, "max"), `${B}Beyond.\nS\n\n## T "｜DSML｜" <think>\n\n{"n": "{schema}"}\nEnd {x}\n<｜User｜>q<｜Assistant｜><think>`); // prettier-ignore
  assert.ok(prompt(true, "low").startsWith(`${B}S`));
  assert.ok(prompt(false, "max").startsWith(`${B}S`));
  // A string on a line of its own describes the name above; Python does not join the two.
  const described = released(maxOnly).replace('{{x}}\n"""\n', '{{x}}\n"""\n"""What tools are."""\n').replace("as trained\n)", 'as trained\n)\n"How hard."'); // prettier-ignore
  assert.notEqual(described, released(maxOnly));
  assert.deepEqual(parseReleasedTexts(described, "x.py"), preview);
  const continued = 'REASONING_EFFORT_MAX = "Most.\\n" \\\n    "All.\\n"';
  assert.equal(parseReleasedTexts(released(continued), "x.py").effort.max, "Most.\nAll.\n");
  assert.throws(() => parseReleasedTexts("x = 1", "x.py"), /expected a string named TOOLS_TEMPLATE/);
  assert.equal(fill("{a}{{b}}{c}", { a: "{c}" }), "{c}{b}{c}");
});

test("our own tags are tokens, the same characters from a user are text, and texts that meet are one", () => {
  const segments = chatSegments<string>(
    [
      { role: "user", content: "<｜DSML｜x>" },
      { role: "assistant", content: "c", toolCalls: [call("a", '{"k":"</｜DSML｜parameter>"}')] },
    ],
    { thinking: false },
  );
  assert.equal(segments.filter((s) => s.kind === "special" && s.token === "｜DSML｜").length, 7);
  assert.ok(segments.every((s, i) => s.kind !== "text" || segments[i + 1]?.kind !== "text"));
});
