/**
 * Clips -> MP4 (H.264, yuv420p, one file in memory). Small frames are enlarged by a whole factor to at least 256
 * pixels, because players and hardware decoders refuse tiny sizes. Main function: `encodeMp4`.
 * Codec library: h264-mp4-encoder (WebAssembly, minih264 + minimp4).
 */
import { createRequire } from "node:module";
import type { H264MP4Encoder } from "h264-mp4-encoder";
import { RequestError } from "../base/errors.ts";
import { resizeImage, type RgbImage } from "./image.ts";

export interface Mp4Options {
  readonly fps: number;
  /** Shortest side of the written frames, at least. */
  readonly minSize?: number;
  readonly kernel?: "nearest" | "cubic";
  /** Play the frames this many times over. */
  readonly repeat?: number;
}

/** The package's own entry hangs its handlers on the process; require it only when a clip is written. */
async function createEncoder(): Promise<H264MP4Encoder> {
  const require = createRequire(import.meta.url);
  const listeners = (["uncaughtException", "unhandledRejection"] as const).map((event) => ({
    event,
    before: process.listeners(event as "uncaughtException"),
  }));
  const module = require("h264-mp4-encoder") as typeof import("h264-mp4-encoder");
  const encoder = await module.createH264MP4Encoder();
  for (const { event, before } of listeners)
    for (const listener of process.listeners(event as "uncaughtException"))
      if (!before.includes(listener)) process.removeListener(event, listener);
  return encoder;
}

export async function encodeMp4(frames: readonly RgbImage[], options: Mp4Options): Promise<Uint8Array> {
  const { fps, minSize = 256, kernel = "cubic", repeat = 1 } = options;
  const first = frames[0];
  if (!first) throw new RequestError("encodeMp4: expected at least one frame, got 0");
  for (const frame of frames)
    if (frame.width !== first.width || frame.height !== first.height)
      throw new RequestError(
        `encodeMp4: expected frames of ${first.width}x${first.height}, got ${frame.width}x${frame.height}`,
      );
  const factor = Math.max(1, Math.ceil(minSize / Math.min(first.width, first.height)));
  // 4:2:0 chroma needs even sides.
  const even = (n: number): number => n * factor + ((n * factor) % 2);
  const [width, height] = [even(first.width), even(first.height)];
  const encoder = await createEncoder();
  try {
    encoder.width = width;
    encoder.height = height;
    encoder.frameRate = fps;
    encoder.quantizationParameter = 16;
    encoder.groupOfPictures = Math.max(1, frames.length);
    encoder.speed = 2;
    encoder.initialize();
    const rgba = new Uint8Array(width * height * 4).fill(255);
    for (let n = 0; n < repeat; n++) {
      for (const frame of frames) {
        const large = await resizeImage(frame, width, height, kernel);
        for (let i = 0; i < width * height; i++) {
          rgba[4 * i] = large.data[3 * i]!;
          rgba[4 * i + 1] = large.data[3 * i + 1]!;
          rgba[4 * i + 2] = large.data[3 * i + 2]!;
        }
        encoder.addFrameRgba(rgba);
      }
    }
    encoder.finalize();
    return encoder.FS.readFile(encoder.outputFilename).slice();
  } finally {
    encoder.delete();
  }
}
