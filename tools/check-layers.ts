/**
 * Imports go down only: a file of layer n may import its own folder and folders of a lower layer.
 * Prints every offending import and exits with 1.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";

const layers: Readonly<Record<string, number>> = {
  base: 0, tile: 1, processor: 1, device: 2, kernels: 3, tensor: 4, nn: 5, model: 6, engine: 7, train: 8, serve: 8, cli: 9, web: 9,
}; // prettier-ignore

const root = resolve("src");
const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((f) => /\.(ts|js)$/.test(f));
const folderOf = (path: string): string => path.split(sep)[0]!;
let bad = 0;
for (const file of files) {
  const own = folderOf(file);
  if (layers[own] === undefined) {
    console.error(`src/${file}: expected a folder of ${Object.keys(layers).join(", ")}, got ${own}`);
    bad++;
    continue;
  }
  const text = readFileSync(join(root, file), "utf8");
  for (const match of text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)) {
    const target = relative(root, resolve(root, dirname(file), match[1]!));
    if (target.startsWith("..")) continue;
    const other = folderOf(target);
    if (other === own || (layers[other] ?? 99) < layers[own]!) continue;
    console.error(`src/${file}: layer ${layers[own]} (${own}) must not import layer ${layers[other]} (${target})`);
    bad++;
  }
}
if (bad > 0) process.exit(1);
console.log(`layers: ${files.length} files, imports go down only`);
