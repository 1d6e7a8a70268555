import assert from "node:assert/strict";
import { test } from "node:test";
import sharp from "sharp";
import { RequestError } from "../../src/base/errors.ts";
import {
  decodeImage,
  encodePng,
  flatten,
  pictureSheet,
  renderRgba,
  resizeImage,
  type RgbImage,
} from "../../src/processor/image.ts";
import { encodeMp4 } from "../../src/processor/video.ts";

function gradient(width: number, height: number, shift = 0): RgbImage {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) data.set([(i * 3 + shift) % 256, (i >> 3) % 256, 90], 3 * i);
  return { width, height, data };
}

test("PNG round trip is exact; JPEG and WebP decode; sizes follow", async () => {
  const image = gradient(20, 10);
  const png = await encodePng(image);
  assert.deepEqual(await decodeImage(png), image);
  const square = await decodeImage(png, { size: 32 });
  assert.deepEqual([square.width, square.height, square.data.length], [32, 32, 3072]);
  for (const format of ["jpeg", "webp"] as const) {
    const bytes = await sharp(image.data, { raw: { width: 20, height: 10, channels: 3 } })
      [format]()
      .toBuffer();
    assert.equal((await decodeImage(bytes)).width, 20);
  }
  const grey = await sharp(Buffer.alloc(16, 77), { raw: { width: 4, height: 4, channels: 1 } })
    .png()
    .toBuffer();
  assert.deepEqual([...(await decodeImage(grey)).data.subarray(0, 3)], [77, 77, 77]);
  assert.equal((await resizeImage(image, 5, 5)).data.length, 75);
});

test("bad pictures get a clear error that names the field", async () => {
  const refuses = async (bytes: Uint8Array, message: RegExp): Promise<void> =>
    assert.rejects(
      decodeImage(bytes, { param: "image" }),
      (e: unknown) => e instanceof RequestError && e.param === "image" && message.test(e.message),
    );
  await refuses(new Uint8Array(0), /got 0 bytes/);
  await refuses(new TextEncoder().encode("not a picture"), /expected PNG, JPEG or WebP/);
  await refuses(new TextEncoder().encode("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>"), /svg/);
  const png = await encodePng(gradient(64, 64));
  await refuses(png.subarray(0, png.length / 2), /broken/);
  const huge = await sharp({ create: { width: 8000, height: 6000, channels: 3, background: "red" } })
    .png()
    .toBuffer();
  await refuses(huge, /8000x6000/);
});

test("SVG renders with alpha and flattens on a colour", async () => {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><rect width="4" height="8" fill="#ff0000"/></svg>`;
  const rgba = await renderRgba(svg, 16);
  const flat = flatten(rgba, { r: 0, g: 0, b: 255 });
  assert.deepEqual([...flat.data.subarray(0, 3)], [255, 0, 0]);
  assert.deepEqual([...flat.data.subarray(45, 48)], [0, 0, 255]);
  assert.equal(pictureSheet([flat, flat, flat], 2).width, 2 * 18 + 2);
});

/** Box types of an MP4 file at the top level. */
function boxes(file: Uint8Array): string[] {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const out: string[] = [];
  for (let at = 0; at + 8 <= file.length;) {
    const size = view.getUint32(at);
    out.push(String.fromCharCode(...file.subarray(at + 4, at + 8)));
    at += size === 1 ? Number(view.getBigUint64(at + 8)) : size === 0 ? file.length : size;
  }
  return out;
}

test("clips become an MP4 with a sane box structure and size", async () => {
  const frames = Array.from({ length: 5 }, (_, i) => gradient(32, 32, i * 9));
  const before = process.listenerCount("uncaughtException");
  const mp4 = await encodeMp4(frames, { fps: 8 });
  assert.equal(process.listenerCount("uncaughtException"), before, "leaves the process's handlers alone");
  const types = boxes(mp4);
  for (const type of ["ftyp", "mdat", "moov"]) assert.ok(types.includes(type), `${type} in ${types}`);
  const text = Buffer.from(mp4).toString("latin1");
  assert.ok(text.includes("avc1") && text.includes("avcC"));
  const tkhd = text.indexOf("tkhd");
  const view = new DataView(mp4.buffer, mp4.byteOffset);
  assert.equal(view.getUint32(tkhd + 4 + 76) >>> 16, 256);
  await assert.rejects(encodeMp4([], { fps: 8 }), RequestError);
  await assert.rejects(encodeMp4([frames[0]!, gradient(16, 16)], { fps: 8 }), /expected frames of 32x32/);
});
