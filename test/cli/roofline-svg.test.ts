/** The picture of a roofline: both axes have units, every kernel its label, and no two labels overlap. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { rooflineSvg } from "../../src/cli/roofline-svg.ts";

test("labels of crowded points stay apart and inside of the picture", () => {
  const points = Array.from({ length: 24 }, (_, i) => ({ name: `matmul attn.part_${i}`, intensity: 1 + (i % 3) / 50, opsPerSecond: 1e11 * (1 + i / 200) })); // prettier-ignore
  const svg = rooflineSvg({ title: "A & B", note: "predicted", bytesPerSecond: 1.6e12, peak: 295e12, points });
  assert.match(svg, /A &amp; B/);
  assert.match(svg, /operations per byte of device memory/);
  assert.match(svg, /op\/s/);
  const boxes = [...svg.matchAll(/<text x="([\d.]+)" y="([\d.]+)"[^>]*font-size="11"[^>]*>([^<]+)</g)].map((m) => {
    const [x, y] = [Number(m[1]), Number(m[2])];
    return { x0: x, x1: x + m[3]!.length * 6.2, y0: y - 10, y1: y + 2 };
  });
  assert.equal(boxes.length, points.length);
  boxes.forEach((a, i) => {
    assert.ok(a.x0 >= 0 && a.x1 <= 960 && a.y0 >= 0 && a.y1 <= 600, `label ${i} is outside`);
    for (const b of boxes.slice(i + 1)) assert.ok(a.x1 <= b.x0 || b.x1 <= a.x0 || a.y1 <= b.y0 || b.y1 <= a.y0, `labels ${i} and another overlap`); // prettier-ignore
  });
});
