import assert from "node:assert/strict";
import { test } from "node:test";
import { captionMotion, drawMotion, makeMotion, motionNames, readMotion } from "../../src/train/data/motions.ts";
import { captionScene, checkScene, colorNames, drawScene, makeScene, shapeNames } from "../../src/train/data/scenes.ts";

const SIZE = 64;
const COUNT = 200;

test("the checker reads back what the generator drew", () => {
  let right = 0;
  for (let i = 0; i < COUNT; i++) {
    const scene = makeScene(5, i);
    const { isColorRight, isShapeRight, isRelationRight } = checkScene(drawScene(scene, SIZE), SIZE, scene);
    if (isColorRight && isShapeRight && isRelationRight) right++;
  }
  assert.ok(right >= COUNT * 0.99, `expected at least 99 % of ${COUNT} scenes, got ${right}`);
});

test("the checker refuses a picture of another scene", () => {
  let accepted = 0;
  for (let i = 0; i < COUNT; i++) {
    const check = checkScene(drawScene(makeScene(6, i), SIZE), SIZE, makeScene(7, i));
    if (check.isColorRight && check.isShapeRight && check.isRelationRight) accepted++;
  }
  // Two random one-object scenes agree in colour and shape once in 48.
  assert.ok(accepted <= COUNT * 0.06, `expected at most 6 % of ${COUNT}, got ${accepted}`);
});

test("a white picture holds nothing", () => {
  const scene = makeScene(5, 1);
  assert.equal(checkScene(new Uint8Array(SIZE * SIZE * 3).fill(255), SIZE, scene).isColorRight, false);
});

test("every colour, shape and motion comes up, and captions name them", () => {
  const seen = new Set<string>();
  for (let i = 0; i < 500; i++) {
    const scene = makeScene(5, i);
    for (const o of scene.objects) {
      seen.add(o.color);
      seen.add(o.shape);
      assert.ok(captionScene(scene, "en").includes(`${o.color} ${o.shape}`));
    }
    seen.add(makeMotion(5, i).kind);
  }
  assert.deepEqual([...seen].sort(), [...colorNames, ...shapeNames, ...motionNames].sort());
});

test("the tracker reads back the motion", () => {
  for (let i = 0; i < 60; i++) {
    const motion = makeMotion(8, i);
    const got = readMotion(drawMotion(motion, SIZE, 13), SIZE, 13);
    assert.equal(got, motion.kind, captionMotion(motion, "en"));
  }
});

test("a still clip has no motion", () => {
  const still = drawMotion({ ...makeMotion(8, 0), to: makeMotion(8, 0).from }, SIZE, 5);
  assert.equal(readMotion(still, SIZE, 5), undefined);
});
