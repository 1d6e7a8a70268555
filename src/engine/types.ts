/**
 * What the engine says to its callers (CLI and server): requests and deltas. Types only.
 * Nothing here knows HTTP; serve/ translates the wire to these and back.
 */
import type { Effort } from "../processor/chat-texts.ts";
import type { ToolCall } from "../processor/dsml.ts";

export type Modality = "text" | "image" | "video";

/** 8-bit RGB, row-major, 3 bytes per pixel. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

export type ContentPart =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "image"; readonly image: RgbImage };

export interface Message {
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly content: string | readonly ContentPart[];
  readonly reasoning?: string;
  /** Of an assistant's turn. */
  readonly toolCalls?: readonly ToolCall[];
  /** Of a tool's: the call it answers. */
  readonly toolCallId?: string;
}

export interface SamplingParams {
  readonly maxTokens: number;
  /** 0 is greedy. */
  readonly temperature: number;
  readonly topP: number;
  /** 0 is off. */
  readonly topK: number;
  readonly seed: number;
  readonly stop: readonly string[];
  /** Classifier-free guidance scale for pictures and clips; 1 is off. */
  readonly guidance: number;
  /** How the codes of pictures and clips are drawn, where not as text is. */
  readonly codes?: { readonly temperature: number; readonly topK: number };
}

export interface GenerateRequest {
  readonly messages: readonly Message[];
  /** What to write. "auto": the model decides by opening a picture or clip segment itself. */
  readonly modality: Modality | "auto";
  /** Whether to think before the answer; "auto": the model decides, where it has learned to, and else does not. */
  readonly thinking: boolean | "auto";
  /** How hard to think, where the model knows levels. */
  readonly effort?: Effort;
  /** Functions that the answer may call, each as JSON text. */
  readonly tools?: readonly string[];
  readonly params: SamplingParams;
  /** Most guesses ahead a call of the network, where it has a drafter; 0 is none, absent a default. */
  readonly drafts?: number | undefined;
  readonly signal?: AbortSignal;
}

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly reasoningTokens: number;
  /** Guesses of a drafter that stood and that did not; both 0 without one. Nothing else of an answer depends on them. */
  readonly acceptedDrafts: number;
  readonly rejectedDrafts: number;
}

export type FinishReason = "stop" | "length" | "abort";

export type Delta =
  | { readonly kind: "reasoning"; readonly text: string }
  | { readonly kind: "content"; readonly text: string }
  /** `arguments` is JSON text as the model wrote it. */
  | { readonly kind: "toolCall"; readonly name: string; readonly arguments: string }
  /** Within a picture or clip: tokens done of all. */
  | { readonly kind: "progress"; readonly done: number; readonly total: number }
  | { readonly kind: "image"; readonly image: RgbImage }
  | { readonly kind: "video"; readonly frames: readonly RgbImage[]; readonly fps: number }
  | { readonly kind: "done"; readonly finishReason: FinishReason; readonly usage: Usage };

export interface ModelInfo {
  readonly id: string;
  readonly createdUnixS: number;
  readonly contextLength: number;
  readonly numParams: number;
  readonly numActiveParams: number;
  readonly modalities: readonly Modality[];
  readonly imageSize: number;
  readonly numFrames: number;
  /** Playing rate of clips. */
  readonly fps: number;
  /** It has learned to answer after earlier turns; else they only confuse it, and a chat sends the last message alone. */
  readonly talks: boolean;
}

/** What decides a prompt. */
export type PromptOf = Pick<GenerateRequest, "messages" | "modality" | "thinking" | "effort" | "tools">;

/** The one door to the model. llm.ts implements it; tests may pass a fake. */
export interface Llm {
  readonly info: ModelInfo;
  /** Throws RequestError before the first delta when the request is empty or too long (with the counts). */
  generate(request: GenerateRequest): AsyncGenerator<Delta>;
  /** Tokens of the prompt; throws what `generate` would. */
  countTokens(request: PromptOf): number;
}
