import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { TextStream } from "../../src/engine/text-stream.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

test("a character split over tokens comes out whole", () => {
  const stream = new TextStream();
  const [a, b, c] = bytes("猫");
  assert.equal(stream.push(Uint8Array.of(a!)), "");
  assert.equal(stream.push(Uint8Array.of(b!)), "");
  assert.equal(stream.push(Uint8Array.of(c!)), "猫");
  assert.equal(stream.end(), "");
});

test("a possible beginning of a stop string waits", () => {
  const stream = new TextStream(["\n\nUser:", "END"]);
  assert.equal(stream.push(bytes("one\n")), "one");
  assert.equal(stream.push(bytes("\nUs")), "");
  assert.equal(stream.push(bytes("ual E")), "\n\nUsual ");
  assert.equal(stream.push(bytes("N")), "");
  assert.equal(stream.push(bytes("D after")), "");
  assert.ok(stream.isStopped);
  assert.equal(stream.push(bytes("more")) + stream.end(), "");
});

test("held text is not lost at the end", () => {
  const stream = new TextStream(["STOP"]);
  assert.equal(stream.push(bytes("x ST")) + "|" + stream.end(), "x |ST");
});

test("pieces never change the text, and a stop string cuts at its first place", () => {
  const letters = fc.string({ unit: fc.constantFrom("a", "b", "é", "猫", "\n"), maxLength: 30 });
  const stops = fc.array(fc.string({ unit: fc.constantFrom("a", "b", "猫"), minLength: 1, maxLength: 3 }), {
    maxLength: 2,
  });
  fc.assert(
    fc.property(letters, stops, fc.integer({ min: 1, max: 4 }), (text, stop, size) => {
      const stream = new TextStream(stop);
      const all = bytes(text);
      let out = "";
      for (let i = 0; i < all.length; i += size) out += stream.push(all.slice(i, i + size));
      out += stream.end();
      const cuts = stop.map((s) => text.indexOf(s)).filter((at) => at >= 0);
      assert.equal(out, cuts.length > 0 ? text.slice(0, Math.min(...cuts)) : text);
      assert.equal(stream.isStopped, cuts.length > 0);
    }),
  );
});
