/**
 * Procedural scenes with exact captions: one or two coloured shapes on white, and a checker that reads colour, shape
 * and relation back from pixels alone (palette segmentation, then the best-fitting shape template in the bounding box).
 * Main functions: `makeScene`, `drawScene`, `captionScene`, `readObjects`, `checkScene`.
 */
import { Prng, randomBits } from "../../base/prng.ts";

export const colors = {
  red: { rgb: [221, 46, 68], zh: "红色" },
  orange: { rgb: [244, 144, 12], zh: "橙色" },
  yellow: { rgb: [255, 217, 25], zh: "黄色" },
  green: { rgb: [60, 165, 70], zh: "绿色" },
  blue: { rgb: [50, 100, 220], zh: "蓝色" },
  purple: { rgb: [140, 70, 190], zh: "紫色" },
  pink: { rgb: [244, 140, 190], zh: "粉色" },
  black: { rgb: [40, 40, 45], zh: "黑色" },
} as const;
export type Color = keyof typeof colors;
export const colorNames = Object.keys(colors) as Color[];

/** Inside tests on [-1,1] coordinates, y down; each shape fills its box. */
const shapes = {
  circle: { zh: "圆形", isInside: (x: number, y: number) => x * x + y * y <= 1 },
  square: { zh: "正方形", isInside: (x: number, y: number) => Math.abs(x) <= 1 && Math.abs(y) <= 1 },
  triangle: { zh: "三角形", isInside: (x: number, y: number) => y <= 1 && y >= -1 && Math.abs(x) <= (y + 1) / 2 },
  diamond: { zh: "菱形", isInside: (x: number, y: number) => Math.abs(x) + Math.abs(y) <= 1 },
  cross: {
    zh: "十字",
    isInside: (x: number, y: number) =>
      (Math.abs(x) <= 0.33 && Math.abs(y) <= 1) || (Math.abs(y) <= 0.33 && Math.abs(x) <= 1),
  },
  ring: {
    zh: "圆环",
    isInside: (x: number, y: number) => x * x + y * y <= 1 && x * x + y * y >= 0.3,
  },
} as const;
export type Shape = keyof typeof shapes;
export const shapeNames = Object.keys(shapes) as Shape[];

export interface SceneObject {
  readonly color: Color;
  readonly shape: Shape;
  /** Centre and half side, as parts of the picture's side. */
  readonly x: number;
  readonly y: number;
  readonly r: number;
}

export const relations = {
  "left of": "左边",
  "right of": "右边",
  above: "上面",
  below: "下面",
} as const;
export type Relation = keyof typeof relations;

export interface Scene {
  readonly objects: readonly SceneObject[];
  /** Of the first object to the second. */
  readonly relation?: Relation;
}

export function makeScene(seed: number, index: number): Scene {
  const random = new Prng(randomBits(seed, index));
  const pick = <T>(list: readonly T[]): T => list[random.int(list.length)]!;
  const between = (low: number, high: number): number => low + (high - low) * random.uniform();
  if (random.uniform() < 0.5) {
    const r = between(0.18, 0.36);
    const place = (): number => between(r + 0.05, 0.95 - r);
    return { objects: [{ color: pick(colorNames), shape: pick(shapeNames), x: place(), y: place(), r }] };
  }
  const relation = pick(Object.keys(relations) as Relation[]);
  const first = { color: pick(colorNames), shape: pick(shapeNames), r: between(0.13, 0.2) };
  const others = colorNames.filter((c) => c !== first.color);
  const second = { color: pick(others), shape: pick(shapeNames), r: between(0.13, 0.2) };
  const [near, far] = [between(0.22, 0.28), between(0.72, 0.78)];
  const across = (): number => between(0.35, 0.65);
  const isFirstLow = relation === "left of" || relation === "above";
  const [a, b] = isFirstLow ? [near, far] : [far, near];
  const isHorizontal = relation === "left of" || relation === "right of";
  const at = (main: number): { x: number; y: number } =>
    isHorizontal ? { x: main, y: across() } : { x: across(), y: main };
  return {
    objects: [
      { ...first, ...at(a) },
      { ...second, ...at(b) },
    ],
    relation,
  };
}

/** 8-bit RGB [size,size,3]; edges averaged over 4x4 samples. `turn` in radians. */
export function drawObjects(objects: readonly (SceneObject & { readonly turn?: number })[], size: number): Uint8Array {
  const out = new Uint8Array(size * size * 3).fill(255);
  const samples = 4;
  for (const { color, shape, x, y, r, turn = 0 } of objects) {
    const { isInside } = shapes[shape];
    const { rgb } = colors[color];
    const [cos, sin] = [Math.cos(turn), Math.sin(turn)];
    const reach = turn === 0 ? r : r * 1.42;
    const low = (c: number): number => Math.max(0, Math.floor((c - reach) * size));
    const high = (c: number): number => Math.min(size, Math.ceil((c + reach) * size));
    for (let py = low(y); py < high(y); py++) {
      for (let px = low(x); px < high(x); px++) {
        let cover = 0;
        for (let s = 0; s < samples * samples; s++) {
          const u = ((px + ((s % samples) + 0.5) / samples) / size - x) / r;
          const v = ((py + (Math.floor(s / samples) + 0.5) / samples) / size - y) / r;
          if (isInside(u * cos + v * sin, v * cos - u * sin)) cover++;
        }
        if (cover === 0) continue;
        const alpha = cover / (samples * samples);
        const at = (py * size + px) * 3;
        for (let c = 0; c < 3; c++) out[at + c] = Math.round(out[at + c]! * (1 - alpha) + rgb[c]! * alpha);
      }
    }
  }
  return out;
}

export const drawScene = (scene: Scene, size: number): Uint8Array => drawObjects(scene.objects, size);

export const nameObject = ({ color, shape }: Pick<SceneObject, "color" | "shape">, language: "en" | "zh"): string =>
  language === "en"
    ? `${color === "orange" ? "an" : "a"} ${color} ${shape}`
    : `一个${colors[color].zh}的${shapes[shape].zh}`;

export function captionScene({ objects, relation }: Scene, language: "en" | "zh"): string {
  const [first, second] = objects.map((o) => nameObject(o, language)) as [string, string?];
  if (second === undefined || relation === undefined) return first;
  return language === "en" ? `${first} ${relation} ${second}` : `${first}在${second}的${relations[relation]}`;
}

export interface FoundObject {
  readonly color: Color;
  readonly shape: Shape;
  readonly x: number;
  readonly y: number;
  readonly area: number;
}

/** Nearest palette colour of a pixel, undefined on (near) white or when nothing is near. */
function colorOf(pixels: Uint8Array, at: number): Color | undefined {
  const d2 = (rgb: readonly number[]): number =>
    (pixels[at]! - rgb[0]!) ** 2 + (pixels[at + 1]! - rgb[1]!) ** 2 + (pixels[at + 2]! - rgb[2]!) ** 2;
  let best: Color | undefined;
  let bestD = d2([255, 255, 255]);
  for (const name of colorNames) {
    const d = d2(colors[name].rgb);
    if (d < bestD) [best, bestD] = [name, d];
  }
  return bestD < 75 * 75 ? best : undefined;
}

/** Objects by falling area: one per palette colour that covers at least 1.5 % of the picture. */
export function readObjects(pixels: Uint8Array, size: number): FoundObject[] {
  const masks = new Map<Color, Uint8Array>();
  for (let i = 0; i < size * size; i++) {
    const color = colorOf(pixels, i * 3);
    if (!color) continue;
    let mask = masks.get(color);
    if (!mask) masks.set(color, (mask = new Uint8Array(size * size)));
    mask[i] = 1;
  }
  const found = [...masks].flatMap(([color, mask]) => {
    const part = largestComponent(mask, size);
    return part.area < 0.015 * size * size ? [] : [{ color, ...part, shape: bestShape(part.mask, part.box, size) }];
  });
  return found
    .sort((a, b) => b.area - a.area)
    .map(({ color, shape, x, y, area }) => ({ color, shape, x, y, area: area / (size * size) }));
}

interface Box {
  readonly x0: number;
  readonly y0: number;
  readonly x1: number;
  readonly y1: number;
}

function largestComponent(mask: Uint8Array, size: number) {
  const label = new Int32Array(mask.length);
  let best = { mask: new Uint8Array(mask.length), area: 0, x: 0, y: 0, box: { x0: 0, y0: 0, x1: 0, y1: 0 } };
  let next = 0;
  for (let start = 0; start < mask.length; start++) {
    if (!mask[start] || label[start]) continue;
    const stack = [start];
    label[start] = ++next;
    const members: number[] = [];
    while (stack.length > 0) {
      const i = stack.pop()!;
      members.push(i);
      const x = i % size;
      for (const j of [x > 0 ? i - 1 : -1, x + 1 < size ? i + 1 : -1, i - size, i + size])
        if (j >= 0 && j < mask.length && mask[j] && !label[j]) {
          label[j] = next;
          stack.push(j);
        }
    }
    if (members.length <= best.area) continue;
    const own = new Uint8Array(mask.length);
    const box = { x0: size, y0: size, x1: 0, y1: 0 };
    let [sx, sy] = [0, 0];
    for (const i of members) {
      const [x, y] = [i % size, Math.floor(i / size)];
      own[i] = 1;
      sx += x + 0.5;
      sy += y + 0.5;
      box.x0 = Math.min(box.x0, x);
      box.x1 = Math.max(box.x1, x + 1);
      box.y0 = Math.min(box.y0, y);
      box.y1 = Math.max(box.y1, y + 1);
    }
    best = { mask: own, area: members.length, x: sx / members.length / size, y: sy / members.length / size, box };
  }
  return best;
}

/** The shape whose template, stretched over the box, overlaps the mask best. */
function bestShape(mask: Uint8Array, { x0, y0, x1, y1 }: Box, size: number): Shape {
  let best: Shape = "circle";
  let bestScore = -1;
  for (const name of shapeNames) {
    let both = 0;
    let either = 0;
    for (let y = y0; y < y1; y++)
      for (let x = x0; x < x1; x++) {
        const want = shapes[name].isInside((2 * (x + 0.5 - x0)) / (x1 - x0) - 1, (2 * (y + 0.5 - y0)) / (y1 - y0) - 1);
        const has = mask[y * size + x] === 1;
        if (want && has) both++;
        if (want || has) either++;
      }
    if (both / either > bestScore) [best, bestScore] = [name, both / either];
  }
  return best;
}

export interface SceneCheck {
  readonly isColorRight: boolean;
  readonly isShapeRight: boolean;
  readonly isRelationRight: boolean;
}

/** All of a scene's objects must be among those found, each with its shape; the relation is read from centres. */
export function checkScene(pixels: Uint8Array, size: number, scene: Scene): SceneCheck {
  const found = readObjects(pixels, size);
  const matches = scene.objects.map((o) => found.find((f) => f.color === o.color));
  const isColorRight = matches.every((m) => m !== undefined);
  const isShapeRight = isColorRight && scene.objects.every((o, i) => matches[i]!.shape === o.shape);
  const [a, b] = matches;
  const holds: Record<Relation, (p: FoundObject, q: FoundObject) => boolean> = {
    "left of": (p, q) => p.x < q.x,
    "right of": (p, q) => p.x > q.x,
    above: (p, q) => p.y < q.y,
    below: (p, q) => p.y > q.y,
  };
  const isRelationRight = scene.relation === undefined || (!!a && !!b && holds[scene.relation](a, b));
  return { isColorRight, isShapeRight, isRelationRight };
}
