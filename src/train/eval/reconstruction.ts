/**
 * What the visual tokenizer keeps of pictures and clips it has not seen. PSNRs are means of per-item decibels; a
 * clip is compared with showing its first frame throughout. Main function: `reconstruction`.
 */
import { drawMotion, makeMotion } from "../data/motions.ts";
import { motionSeeds } from "../data/pixels.ts";
import { ssim } from "../visual-loss.ts";
import { meanPsnr, roundTrip, stillOf } from "../visual.ts";
import { meanOf, spread, type Figures, type Measured, type Suite } from "./suite.ts";

export function reconstruction(suite: Suite): Measured {
  const { size, numFrames, count } = suite;
  const { visual } = suite.llm.parts;
  const clipFigures = (clips: readonly Uint8Array[]): Figures => {
    const psnr = meanPsnr(roundTrip(visual, clips, numFrames).pixels, clips);
    const stillPsnr = meanPsnr(clips.map((clip) => stillOf(clip, numFrames)), clips); // prettier-ignore
    return { n: clips.length, psnr, stillPsnr, gainDb: psnr - stillPsnr };
  };
  const motions = Array.from({ length: count }, (_, i) => drawMotion(makeMotion(motionSeeds.heldOut, i), size, numFrames)); // prettier-ignore
  const { pixels } = suite.data;
  if (!pixels)
    return {
      figures: { motions: clipFigures(motions) },
      skipped: ["reconstruction.pictures, reconstruction.animations: the built pictures are not here"],
    };
  const pictures = spread(pixels.pictureSplit.heldOut, 8 * count).map((i) => pixels.picture(i));
  const seen = roundTrip(visual, pictures, 1).pixels;
  return {
    figures: {
      pictures: {
        n: pictures.length,
        psnr: meanPsnr(seen, pictures),
        ssim: meanOf(seen.map((got, i) => ssim(got, pictures[i]!, size, size))),
      },
      animations: clipFigures(spread(pixels.clipSplit.heldOut, count).map((i) => pixels.emojiClip(i))),
      motions: clipFigures(motions),
    },
  };
}
