/**
 * Pictures: files <-> 8-bit RGB, resizing, and SVG rendering for the data builder. Transparent pixels are laid on a
 * background colour. Limits are checked before the pixels are decoded.
 * Main functions: `decodeImage`, `resizeImage`, `encodePng`, `renderRgba`. Codec library: sharp (libvips).
 */
import sharp, { type Sharp } from "sharp";
import { RequestError, ShapeError } from "../base/errors.ts";

/** 8-bit RGB, row-major, 3 bytes per pixel. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** 8-bit RGB with straight alpha, 4 bytes per pixel. */
export interface RgbaImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

export interface Rgb {
  readonly r: number;
  readonly g: number;
  readonly b: number;
}

export const WHITE: Rgb = { r: 255, g: 255, b: 255 };

export const imageLimits = { maxBytes: 20 * 1024 * 1024, maxPixels: 40_000_000 } as const;

const formats = ["png", "jpeg", "webp"] as const;

export interface DecodeOptions {
  /** Reduce or enlarge to this square (centre crop of the longer side). */
  readonly size?: number;
  readonly background?: Rgb;
  /** Names the field in errors. */
  readonly param?: string;
}

/** PNG, JPEG or WebP bytes -> RGB. Throws RequestError on anything else, broken or too large. */
export async function decodeImage(bytes: Uint8Array, options: DecodeOptions = {}): Promise<RgbImage> {
  const { param, background = WHITE } = options;
  if (bytes.length === 0) throw new RequestError("image: expected PNG, JPEG or WebP data, got 0 bytes", param);
  if (bytes.length > imageLimits.maxBytes)
    throw new RequestError(`image: expected at most ${imageLimits.maxBytes} bytes, got ${bytes.length}`, param);
  const open = (): Sharp => sharp(bytes, { failOn: "error", limitInputPixels: false });
  const meta = await open()
    .metadata()
    .catch(() => undefined);
  if (!meta || !formats.some((f) => f === meta.format))
    throw new RequestError(
      `image: expected PNG, JPEG or WebP data, got ${meta?.format ?? "something unreadable"}`,
      param,
    );
  if (meta.width * meta.height > imageLimits.maxPixels)
    throw new RequestError(
      `image: expected at most ${imageLimits.maxPixels} pixels, got ${meta.width}x${meta.height}`,
      param,
    );
  let pipeline = open().rotate().flatten({ background }).toColourspace("srgb");
  if (options.size !== undefined)
    pipeline = pipeline.resize(options.size, options.size, { fit: "cover", kernel: "lanczos3" });
  try {
    const { data, info } = await pipeline.removeAlpha().raw().toBuffer({ resolveWithObject: true });
    if (info.channels === 3) return { width: info.width, height: info.height, data: new Uint8Array(data) };
    const rgb = new Uint8Array(info.width * info.height * 3); // one grey channel
    for (let i = 0; i < rgb.length; i++) rgb[i] = data[Math.floor(i / 3) * info.channels]!;
    return { width: info.width, height: info.height, data: rgb };
  } catch (cause) {
    throw new RequestError(
      `image: expected whole ${meta.format} data, got a broken file (${(cause as Error).message.split("\n")[0]})`,
      param,
    );
  }
}

function checkImage(op: string, image: RgbImage): void {
  if (image.data.length !== image.width * image.height * 3)
    throw new ShapeError(
      `${op}: expected ${image.width * image.height * 3} bytes for ${image.width}x${image.height}, got ${image.data.length}`,
    );
}

const fromRgb = (image: RgbImage): Sharp =>
  sharp(image.data, { raw: { width: image.width, height: image.height, channels: 3 } });

export async function resizeImage(
  image: RgbImage,
  width: number,
  height: number,
  kernel: "nearest" | "cubic" | "lanczos3" = "lanczos3",
): Promise<RgbImage> {
  checkImage("resizeImage", image);
  const data = await fromRgb(image).resize(width, height, { fit: "fill", kernel }).raw().toBuffer();
  return { width, height, data: new Uint8Array(data) };
}

export async function encodePng(image: RgbImage): Promise<Uint8Array> {
  checkImage("encodePng", image);
  return new Uint8Array(await fromRgb(image).png({ compressionLevel: 9 }).toBuffer());
}

/** SVG text or any picture file -> size x size with alpha, contained and centred. */
export async function renderRgba(source: string | Uint8Array, size: number): Promise<RgbaImage> {
  const input = typeof source === "string" ? Buffer.from(source) : source;
  const data = await sharp(input)
    .resize(size, size, { fit: "contain", background: { r: 0, g: 0, b: 0, alpha: 0 }, kernel: "lanczos3" })
    .ensureAlpha()
    .toColourspace("srgb")
    .raw()
    .toBuffer();
  return { width: size, height: size, data: new Uint8Array(data) };
}

/** Lays a picture with alpha on one colour. */
export function flatten(image: RgbaImage, background: Rgb): RgbImage {
  const n = image.width * image.height;
  const out = new Uint8Array(n * 3);
  const back = [background.r, background.g, background.b];
  for (let i = 0; i < n; i++) {
    const alpha = image.data[4 * i + 3]! / 255;
    for (let c = 0; c < 3; c++) out[3 * i + c] = Math.round(image.data[4 * i + c]! * alpha + back[c]! * (1 - alpha));
  }
  return { width: image.width, height: image.height, data: out };
}

/** Pictures of one size side by side in rows of `columns`, with a gap in grey. */
export function pictureSheet(images: readonly RgbImage[], columns: number, gap = 2): RgbImage {
  const { width: w, height: h } = images[0]!;
  const rows = Math.ceil(images.length / columns);
  const width = columns * (w + gap) + gap;
  const height = rows * (h + gap) + gap;
  const data = new Uint8Array(width * height * 3).fill(128);
  images.forEach((image, i) => {
    const left = gap + (i % columns) * (w + gap);
    const top = gap + Math.floor(i / columns) * (h + gap);
    for (let y = 0; y < h; y++)
      data.set(image.data.subarray(y * w * 3, (y + 1) * w * 3), ((top + y) * width + left) * 3);
  });
  return { width, height, data };
}
