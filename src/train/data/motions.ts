/**
 * Procedural clips with exact captions: one shape that moves, grows or shrinks, and a checker that tells which from
 * the track of its centre and area. Main functions: `makeMotion`, `drawMotion`, `captionMotion`, `readMotion`.
 */
import { Prng, randomBits } from "../../base/prng.ts";
import { colorNames, drawObjects, nameObject, readObjects, shapeNames, type SceneObject } from "./scenes.ts";

export const motionKinds = {
  left: { en: "moves to the left", zh: "向左移动" },
  right: { en: "moves to the right", zh: "向右移动" },
  up: { en: "moves up", zh: "向上移动" },
  down: { en: "moves down", zh: "向下移动" },
  grow: { en: "grows", zh: "变大" },
  shrink: { en: "shrinks", zh: "变小" },
} as const;
export type MotionKind = keyof typeof motionKinds;
export const motionNames = Object.keys(motionKinds) as MotionKind[];

export interface Motion {
  readonly kind: MotionKind;
  /** In the first and the last frame. */
  readonly from: SceneObject;
  readonly to: SceneObject;
}

export function makeMotion(seed: number, index: number): Motion {
  const random = new Prng(randomBits(seed, index));
  const pick = <T>(list: readonly T[]): T => list[random.int(list.length)]!;
  const between = (low: number, high: number): number => low + (high - low) * random.uniform();
  const kind = pick(motionNames);
  const look = { color: pick(colorNames), shape: pick(shapeNames) };
  if (kind === "grow" || kind === "shrink") {
    const at = { ...look, x: between(0.42, 0.58), y: between(0.42, 0.58) };
    const [small, big] = [
      { ...at, r: between(0.1, 0.15) },
      { ...at, r: between(0.3, 0.38) },
    ];
    return kind === "grow" ? { kind, from: small, to: big } : { kind, from: big, to: small };
  }
  const r = between(0.13, 0.22);
  const [low, high] = [between(0.24, 0.3), between(0.7, 0.76)];
  const across = between(0.3, 0.7);
  const isHorizontal = kind === "left" || kind === "right";
  const isRising = kind === "right" || kind === "down";
  const place = (main: number): SceneObject =>
    isHorizontal ? { ...look, x: main, y: across, r } : { ...look, x: across, y: main, r };
  return { kind, from: place(isRising ? low : high), to: place(isRising ? high : low) };
}

/** 8-bit RGB [frames,size,size,3]. */
export function drawMotion({ from, to }: Motion, size: number, numFrames: number): Uint8Array {
  const frameSize = size * size * 3;
  const out = new Uint8Array(frameSize * numFrames);
  for (let f = 0; f < numFrames; f++) {
    const s = f / (numFrames - 1);
    const mix = (a: number, b: number): number => a + (b - a) * s;
    const object = { ...from, x: mix(from.x, to.x), y: mix(from.y, to.y), r: mix(from.r, to.r) };
    out.set(drawObjects([object], size), f * frameSize);
  }
  return out;
}

export const captionMotion = ({ kind, from }: Motion, language: "en" | "zh"): string =>
  language === "en"
    ? `${nameObject(from, "en")} ${motionKinds[kind].en}`
    : `${nameObject(from, "zh")}${motionKinds[kind].zh}`;

/** What the largest object does between the first and the last frame; undefined when it hardly changes. */
export function readMotion(frames: Uint8Array, size: number, numFrames: number): MotionKind | undefined {
  const frameSize = size * size * 3;
  const look = (f: number) => readObjects(frames.subarray(f * frameSize, (f + 1) * frameSize), size)[0];
  const [first, last] = [look(0), look(numFrames - 1)];
  if (!first || !last) return undefined;
  const [dx, dy] = [last.x - first.x, last.y - first.y];
  const growth = Math.log(last.area / first.area);
  const far = Math.max(Math.abs(dx), Math.abs(dy));
  if (far < 0.1) return growth > 0.5 ? "grow" : growth < -0.5 ? "shrink" : undefined;
  if (Math.abs(dx) >= Math.abs(dy)) return dx > 0 ? "right" : "left";
  return dy > 0 ? "down" : "up";
}
