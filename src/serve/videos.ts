/**
 * /v1/videos as OpenAI has it: create a job, poll it, fetch its content (MP4, H.264). A first frame may be given as
 * `input_reference`. The last `MAX_JOBS` jobs are kept in memory.
 */
import { randomUUID } from "node:crypto";
import type { Context as HonoContext } from "hono";
import { paramsFor } from "../engine/defaults.ts";
import type { ContentPart, ModelInfo, RgbImage } from "../engine/types.ts";
import { decodeImage } from "../processor/image.ts";
import { encodeMp4 } from "../processor/video.ts";
import { checkModel, checkPrompt, generate, imageFromUrl, type Context } from "./context.ts";
import { describeError, HttpError, type ErrorBody } from "./errors.ts";
import { checkSize } from "./images.ts";
import { parseBody, videosSchema } from "./schemas.ts";

interface Job {
  readonly id: string;
  readonly prompt: string;
  readonly createdUnixS: number;
  readonly abort: AbortController;
  status: "queued" | "in_progress" | "completed" | "failed";
  progress: number;
  error?: ErrorBody["error"];
  mp4?: Uint8Array;
}

const MAX_JOBS = 64;

export class VideoJobs {
  private readonly jobs = new Map<string, Job>();
  private readonly context: Context;
  constructor(context: Context) {
    this.context = context;
  }

  async create(c: HonoContext): Promise<Response> {
    const { fields, file } = await readFields(c);
    const body = parseBody(videosSchema, fields);
    const { context } = this;
    checkModel(context, body.model);
    checkSize(context, body.size);
    checkSeconds(context, body.seconds);
    const image = file ?? (body.input_reference ? await imageFromUrl(body.input_reference, "input_reference") : undefined); // prettier-ignore
    const content: ContentPart[] = [{ kind: "text", text: body.prompt }];
    if (image) content.push({ kind: "image", image });
    const abort = new AbortController();
    const request = {
      messages: [{ role: "user", content }],
      modality: "video",
      thinking: false,
      params: paramsFor("video", { guidance: body.guidance, seed: body.seed }),
      signal: abort.signal,
    } as const;
    checkPrompt(context, request);
    const job: Job = {
      id: `video_${randomUUID()}`,
      prompt: body.prompt,
      createdUnixS: Math.floor(Date.now() / 1000),
      abort,
      status: "queued",
      progress: 0,
    };
    this.jobs.set(job.id, job);
    if (this.jobs.size > MAX_JOBS) this.drop(this.jobs.keys().next().value!);
    void this.work(job, request);
    return Response.json(this.describe(job));
  }

  get(id: string): Response {
    return Response.json(this.describe(this.find(id)));
  }

  remove(id: string): Response {
    this.find(id);
    this.drop(id);
    return Response.json({ id, object: "video.deleted", deleted: true });
  }

  content(id: string): Response {
    const job = this.find(id);
    if (!job.mp4) throw new HttpError(409, "not_ready", `video ${id}: expected status completed, got ${job.status}`);
    return new Response(job.mp4 as Uint8Array<ArrayBuffer>, { headers: { "content-type": "video/mp4" } });
  }

  /** A job nobody can fetch any more need not be finished. */
  private drop(id: string): void {
    this.jobs.get(id)?.abort.abort();
    this.jobs.delete(id);
  }

  private find(id: string): Job {
    const job = this.jobs.get(id);
    if (!job) throw new HttpError(404, "not_found", `video: no job "${id}"`);
    return job;
  }

  private async work(job: Job, request: Parameters<typeof generate>[1]): Promise<void> {
    try {
      for await (const delta of generate(this.context, request)) {
        job.status = "in_progress";
        if (delta.kind === "progress") job.progress = Math.floor((100 * delta.done) / delta.total);
        if (delta.kind !== "video") continue;
        job.mp4 = await encodeMp4(delta.frames, { fps: delta.fps });
      }
      if (!job.mp4) throw new HttpError(500, "no_clip", "the model wrote no clip");
      [job.status, job.progress] = ["completed", 100];
    } catch (error) {
      // A job that was deleted has nobody left to hear of it.
      if (!job.abort.signal.aborted) this.context.report(error);
      job.status = "failed";
      job.error = describeError(error).body.error;
    }
  }

  private describe(job: Job): object {
    const { info } = this.context.llm;
    return {
      id: job.id,
      object: "video",
      created_at: job.createdUnixS,
      model: info.id,
      prompt: job.prompt,
      status: job.status,
      progress: job.progress,
      seconds: secondsOf(info),
      size: `${info.imageSize}x${info.imageSize}`,
      error: job.error ?? null,
    };
  }
}

/** Clips have one length; another one is refused with the one that there is. */
function checkSeconds({ llm }: Context, seconds: string | null | undefined): void {
  const own = secondsOf(llm.info);
  if (seconds === null || seconds === undefined || Number(seconds) === Number(own)) return;
  throw new HttpError(400, "invalid_value", `seconds: expected "${own}" or none, got "${seconds}"`, "seconds");
}

const secondsOf = ({ numFrames, fps }: Pick<ModelInfo, "numFrames" | "fps">): string => (numFrames / fps).toFixed(1);

/** JSON, or a form whose `input_reference` is a file; numbers of a form arrive as text. */
async function readFields(c: HonoContext): Promise<{ fields: unknown; file: RgbImage | undefined }> {
  if (!(c.req.header("content-type") ?? "").includes("form")) return { fields: await c.req.json(), file: undefined };
  const fields: Record<string, unknown> = {};
  let file: RgbImage | undefined;
  for (const [name, value] of Object.entries(await c.req.parseBody())) {
    if (name === "input_reference" && value instanceof File)
      file = await decodeImage(new Uint8Array(await value.arrayBuffer()), { param: name });
    else
      fields[name] =
        (name === "seed" || name === "guidance") && Number.isFinite(Number(value || NaN)) ? Number(value) : value;
  }
  return { fields, file };
}
