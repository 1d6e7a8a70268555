/** A model that answers by rule, for tests of the wire. Everything it says follows from the request. */
import { RequestError } from "../../src/base/errors.ts";
import type { Delta, GenerateRequest, Llm, RgbImage } from "../../src/engine/types.ts";

const SIZE = 16;
export const picture = (shade: number): RgbImage => ({
  width: SIZE,
  height: SIZE,
  data: new Uint8Array(SIZE * SIZE * 3).fill(shade),
});
const CONTEXT = 100;

/** What it saw of a picture; a long tale for "long"; else a greeting. */
function wordsFor({ messages }: GenerateRequest): string[] {
  const content = messages.at(-1)!.content;
  const seen = typeof content === "string" ? [] : content.flatMap((p) => (p.kind === "image" ? [`I see ${p.image.width}x${p.image.height}`] : [])); // prettier-ignore
  if (seen.length > 0) return seen;
  return content === "long" ? Array.from({ length: 5000 }, () => "word ") : ["Hello", " world", "!"];
}

export const fakeLlm: Llm = {
  info: {
    id: "fake",
    createdUnixS: 1_800_000_000,
    contextLength: CONTEXT,
    numParams: 1,
    numActiveParams: 1,
    modalities: ["text", "image", "video"],
    imageSize: SIZE,
    numFrames: 5,
    fps: 11,
    talks: true,
  },
  countTokens({ messages }) {
    const text = messages.map((m) => (typeof m.content === "string" ? m.content : m.content.map((p) => (p.kind === "text" ? p.text : "")).join(""))).join(""); // prettier-ignore
    const hasPicture = messages.some((m) => typeof m.content !== "string" && m.content.some((p) => p.kind === "image"));
    if (text.trim() === "" && !hasPicture)
      throw new RequestError("messages: expected text, got 0 characters", "messages");
    if (text.length > CONTEXT) throw new RequestError(`messages: expected at most ${CONTEXT} tokens, got ${text.length}`, "messages"); // prettier-ignore
    return text.length;
  },
  async *generate(request: GenerateRequest): AsyncGenerator<Delta> {
    const usage = {
      promptTokens: this.countTokens(request),
      completionTokens: 3,
      reasoningTokens: 1,
      acceptedDrafts: 0,
      rejectedDrafts: 0,
    };
    if (request.thinking === true) yield { kind: "reasoning", text: "first\nthen" };
    if (request.tools && request.messages.at(-1)!.role !== "tool") {
      yield { kind: "content", text: "Let me see." };
      // The schema comes back, so that a test sees what reached the model.
      for (const name of ["first", "second"]) yield { kind: "toolCall", name, arguments: `{"given": ${request.tools[0]}}` }; // prettier-ignore
    } else if (request.modality === "image") {
      yield { kind: "progress", done: 1, total: 2 };
      yield { kind: "image", image: picture(request.params.seed % 256) };
    } else if (request.modality === "video") {
      yield { kind: "progress", done: 1, total: 2 };
      yield { kind: "video", frames: [0, 60, 120, 180, 240].map(picture), fps: 11 };
    } else {
      for (const word of wordsFor(request)) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        if (request.signal?.aborted) break;
        yield { kind: "content", text: word };
      }
    }
    yield { kind: "done", finishReason: request.signal?.aborted ? "abort" : "stop", usage };
  },
};
