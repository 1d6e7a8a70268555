/**
 * The model as its callers see it: messages in, deltas out (reasoning, content, progress, pictures, clips). Adds
 * text and pixels to the token loop: prompt encoding, what may be written when, streaming decoding with stop
 * strings, and the visual tokenizer at both ends. One token at a time, so that several answers can run side by side.
 * Main class: `LocalLlm`; load.ts makes one from a folder.
 */
import { setImmediate } from "node:timers/promises";
import { RequestError } from "../base/errors.ts";
import { sizesOf } from "../model/config.ts";
import type { V4 } from "../model/v4.ts";
import type { VisualTokenizer } from "../model/visual-tokenizer.ts";
import { resizeImage } from "../processor/image.ts";
import type { ChatTexts } from "../processor/chat-texts.ts";
import type { Tokenizer } from "../processor/tokenizer.ts";
import { numCodesOf, readCodes, segmentSlots, toSequenceOrder, type SegmentKind } from "../processor/visual.ts";
import { ToolCallParser, type ContentDelta } from "../processor/tool-call-parser.ts";
import type { Vocabulary } from "../processor/vocabulary.ts";
import * as t from "../tensor/ops.ts";
import { Tensor } from "../tensor/tensor.ts";
import { encodePrompt, firstFrameOf, grammarOf, markersOf, picturesOf, type Markers } from "./chat-prompt.ts";
import { generateTokens, type TokenEvent } from "./generate.ts";
import type { Grammar } from "./modality.ts";
import { draftsFor } from "./speculate.ts";
import { TextStream } from "./text-stream.ts";
import type { Delta, FinishReason, GenerateRequest, Llm, ModelInfo, PromptOf, RgbImage } from "./types.ts";

export interface LlmParts {
  readonly id: string;
  readonly createdUnixS: number;
  /** Playing rate of clips. */
  readonly fps: number;
  readonly model: V4;
  readonly visual: VisualTokenizer;
  readonly tokenizer: Tokenizer;
  readonly vocabulary: Vocabulary;
  /** It has learned to open or close thinking itself. */
  readonly choosesThinking?: boolean;
  readonly talks?: boolean;
  /** Sentences of its prompts; absent: ours. */
  readonly texts?: ChatTexts;
}

/** A request made ready: ids, and what they cost. */
interface Prepared {
  readonly prompt: number[];
  /** First codes of a clip, as ids in sequence order. */
  readonly firstCodes: number[] | undefined;
}

export class LocalLlm implements Llm {
  readonly info: ModelInfo;
  readonly parts: LlmParts;
  private readonly grammar: Grammar;
  private readonly markers: Markers;

  constructor(parts: LlmParts) {
    this.parts = parts;
    this.grammar = grammarOf(parts.vocabulary);
    this.markers = markersOf(parts.vocabulary);
    const { config } = parts.model;
    const sizes = sizesOf(config);
    this.info = {
      id: parts.id,
      createdUnixS: parts.createdUnixS,
      contextLength: config.max_position_embeddings,
      numParams: sizes.total + parts.visual.numParams,
      numActiveParams: sizes.active,
      modalities: ["text", "image", "video"],
      imageSize: parts.vocabulary.visual.imageSize,
      numFrames: parts.vocabulary.visual.numFrames,
      fps: parts.fps,
      talks: parts.talks ?? false,
    };
  }

  countTokens(request: PromptOf): number {
    const { messages, image } = firstFrameOf(request);
    const zeros = new Int32Array(numCodesOf("image", this.parts.vocabulary));
    const numTokens = this.encode(request, messages, image !== undefined, () => zeros).length;
    const { modality } = request;
    const needed = modality === "image" || modality === "video" ? this.segmentLength(modality) : 1;
    const limit = this.info.contextLength - needed;
    if (numTokens > limit)
      throw new RequestError(`messages: expected at most ${limit} tokens before the answer, got ${numTokens} (context ${this.info.contextLength})`, "messages"); // prettier-ignore
    return numTokens;
  }

  async *generate(request: GenerateRequest): AsyncGenerator<Delta> {
    const { params, modality, signal } = request;
    const { model, vocabulary } = this.parts;
    const { prompt, firstCodes } = await this.prepare(request);
    const isVisual = modality === "image" || modality === "video";
    // A picture or clip that was asked for is written whole, whatever maxTokens allows for text.
    const maxTokens = params.maxTokens + (isVisual ? this.segmentLength(modality) : 0);
    const room = Math.min(maxTokens, this.info.contextLength - prompt.length);
    const answer = new Answer(this, request, this.thinkingOf(request));
    let used = 0;
    const drafts = isVisual ? undefined : draftsFor(model, request.drafts);
    const run = generateTokens(model, this.grammar, {
      prompt,
      params: { ...params, maxTokens },
      plan: { size: vocabulary.sizeId, frames: vocabulary.framesId, codes: firstCodes },
      isTextLegal: (id) => this.isLegal(id, request, answer.phase, room - used),
      isEnd: (id) => id === this.markers.endOfSentence,
      blank: this.markers.blank,
      stopAfterSegment: isVisual,
      drafts,
      signal,
    });
    let finishReason: FinishReason = "length";
    let reasoningTokens = 0;
    try {
      for (;;) {
        const next = run.next();
        if (next.done) {
          finishReason = next.value;
          break;
        }
        used++;
        if (answer.phase === "reasoning") reasoningTokens++;
        yield* answer.read(next.value);
        if (answer.isStopped) {
          finishReason = "stop";
          break;
        }
        // Lets other answers, the network and an abort have their turn.
        await setImmediate();
      }
    } finally {
      run.return("abort");
    }
    yield* answer.end();
    yield {
      kind: "done",
      finishReason,
      usage: {
        promptTokens: prompt.length,
        completionTokens: used,
        reasoningTokens,
        acceptedDrafts: drafts?.counts.accepted ?? 0,
        rejectedDrafts: drafts ? drafts.counts.drafted - drafts.counts.accepted : 0,
      },
    };
  }

  /** Everything between the opening and the closing token, both included, at the worst alignment. */
  segmentLength(kind: SegmentKind): number {
    return Math.max(...[0, 1, 2, 3].map((at) => segmentSlots(this.parts.vocabulary, kind, at).length));
  }

  /** The phase that a tag of thinking opens. */
  phaseAfter(id: number): Phase | undefined {
    if (id === this.markers.startOfThinking) return "reasoning";
    return id === this.markers.endOfThinking ? "content" : undefined;
  }
  bytesOf(id: number): Uint8Array {
    const { tokenizer } = this.parts;
    return id < tokenizer.numText || id === this.markers.dsml ? tokenizer.bytesOf(id) : new Uint8Array(0);
  }

  /** The codes of a finished segment -> pixels. */
  decodeSegment(kind: SegmentKind, ids: readonly number[]): Delta {
    const { vocabulary, visual, fps } = this.parts;
    using _scope = t.tensorScope();
    const codes = readCodes(vocabulary, ids);
    const pixels = visual.decode(codes, codes.length / visual.tokensPerLatent);
    const frames = toImages(pixels);
    return kind === "image" ? { kind: "image", image: frames[0]! } : { kind: "video", frames, fps };
  }

  /** A picture or clip that was asked for is not thought about. */
  private thinkingOf({ thinking, modality }: PromptOf): PromptOf["thinking"] {
    if (thinking !== "auto") return thinking;
    return this.parts.choosesThinking === true && (modality === "auto" || modality === "text") ? "auto" : false;
  }

  private isLegal(id: number, { modality, tools }: GenerateRequest, phase: Phase, left: number): boolean {
    const { grammar: g } = this;
    if (phase === "choosing") return this.phaseAfter(id) !== undefined;
    if (phase === "reasoning") return id < this.parts.tokenizer.numText || id === this.markers.endOfThinking;
    if (modality === "image") return id === g.boi;
    if (modality === "video") return id === g.bov;
    if (id < this.parts.tokenizer.numText || id === this.markers.endOfSentence) return true;
    if (id === this.markers.dsml) return tools !== undefined && tools.length > 0;
    // A segment that could not be finished is never opened.
    if (modality !== "auto") return false;
    return (
      (id === g.boi && left >= this.segmentLength("image")) || (id === g.bov && left >= this.segmentLength("video"))
    );
  }

  private async prepare(request: GenerateRequest): Promise<Prepared> {
    const { messages, image } = firstFrameOf(request);
    const codes = new Map<RgbImage, Int32Array>();
    const all = [...picturesOf(messages), ...(image ? [image] : [])];
    // Checked before any picture is read, so that an over-long request costs nothing.
    this.countTokens(request);
    for (const picture of all) if (!codes.has(picture)) codes.set(picture, await this.readPicture(picture));
    const prompt = this.encode(request, messages, image !== undefined, (picture) => codes.get(picture)!);
    const { startId, side } = this.parts.vocabulary.visual;
    const firstCodes = image && Array.from(toSequenceOrder(codes.get(image)!, side), (code) => startId + code);
    return { prompt, firstCodes };
  }

  private encode(
    request: PromptOf,
    messages: GenerateRequest["messages"],
    hasFirstFrame: boolean,
    codesOf: (image: RgbImage) => ArrayLike<number>,
  ): number[] {
    const { tokenizer, vocabulary, texts } = this.parts;
    const { effort, tools } = request;
    const thinking = this.thinkingOf(request);
    return encodePrompt(messages, { thinking, effort, tools, hasFirstFrame, texts }, tokenizer, vocabulary, codesOf);
  }

  /** Any picture -> the row-major codes of its square of the model's size. */
  private async readPicture(image: RgbImage): Promise<Int32Array> {
    const { visual, model } = this.parts;
    const size = this.info.imageSize;
    const fitted = image.width === size && image.height === size ? image : await resizeImage(image, size, size);
    using _scope = t.tensorScope();
    const pixels = Float32Array.from(fitted.data, (byte) => byte / 127.5 - 1);
    return visual.encode(Tensor.from(model.device, pixels, [1, 1, size, size, 3]));
  }
}

/** [1,F,H,W,3] in about [-1,1] -> one 8-bit picture per frame. */
function toImages(pixels: Tensor): RgbImage[] {
  const [, f, height, width] = pixels.shape as [number, number, number, number, number];
  const bytes = Uint8Array.from(pixels.toArray(), (x) => Math.min(255, Math.max(0, Math.round((x + 1) * 127.5))));
  const size = height * width * 3;
  return Array.from({ length: f }, (_, i) => ({ width, height, data: bytes.slice(i * size, (i + 1) * size) }));
}

/** Of an answer: the model may choose whether to think, thinks, or answers. */
type Phase = "choosing" | "reasoning" | "content";
const firstPhase = (thinking: PromptOf["thinking"]): Phase =>
  thinking === "auto" ? "choosing" : thinking ? "reasoning" : "content";

/** The answer so far: its phase, the text stream, its tool calls, and the open picture or clip. */
class Answer {
  phase: Phase;
  private readonly llm: LocalLlm;
  private readonly stop: readonly string[];
  private stream: TextStream;
  private readonly calls: ToolCallParser | undefined;
  private codes: number[] = [];
  private open: SegmentKind | undefined;

  constructor(llm: LocalLlm, request: GenerateRequest, thinking: PromptOf["thinking"]) {
    this.llm = llm;
    this.stop = request.params.stop;
    this.phase = firstPhase(thinking);
    // Without tools nothing is a call, and nothing needs to be held back for one.
    this.calls = request.tools && request.tools.length > 0 ? new ToolCallParser() : undefined;
    this.stream = this.newStream();
  }
  /** Stop strings end the answer, not the thinking before it. */
  private newStream(): TextStream {
    return new TextStream(this.phase === "content" ? this.stop : []);
  }
  get isStopped(): boolean {
    return this.stream.isStopped;
  }

  *read({ id, segment }: TokenEvent): Generator<Delta> {
    if (segment !== undefined) {
      if (this.open === undefined) yield* this.flush();
      this.open = segment.modality;
      this.codes.push(id);
      if (segment.total > 0) yield { kind: "progress", done: segment.done, total: segment.total };
    } else if (this.open !== undefined) {
      yield this.llm.decodeSegment(this.open, this.codes);
      this.open = undefined;
      this.codes = [];
    } else if (this.phase !== "content" && this.llm.phaseAfter(id) !== undefined) {
      yield* this.end();
      this.phase = this.llm.phaseAfter(id)!;
      this.stream = this.newStream();
    } else yield* this.text(this.stream.push(this.llm.bytesOf(id)));
  }

  *end(): Generator<Delta> {
    yield* this.text(this.stream.end());
    if (this.phase === "content" && this.calls) yield* this.calls.end();
  }

  /** Before a picture: held text cannot continue across it. */
  private *flush(): Generator<Delta> {
    yield* this.end();
    this.stream = this.newStream();
  }

  private *text(text: string): Generator<Delta> {
    if (text === "") return;
    if (this.phase === "reasoning") yield { kind: "reasoning", text };
    else yield* this.calls?.push(text) ?? [{ kind: "content", text } satisfies ContentDelta];
  }
}
