/**
 * Hostile files: whatever the bytes, a loader gives a whole result or a FormatError that names the file; it never crashes,
 * hangs or asks for memory by a number that the file made up. Bounded runs with a fixed seed; a failure prints its input.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { FormatError } from "../../src/base/errors.ts";
import { openGguf, type GgufValue } from "../../src/nn/gguf.ts";
import { writeGguf } from "../../src/nn/gguf-writer.ts";
import { openSafetensors, writeRaw, type RawTensor } from "../../src/nn/safetensors.ts";
import { Tokenizer } from "../../src/processor/tokenizer.ts";

const dir = mkdtempSync(join(tmpdir(), "tessera-fuzz-"));
after(() => rmSync(dir, { recursive: true, force: true }));
const settings = { seed: 7, numRuns: 400 };

/** The work either succeeds or refuses with a FormatError. */
function refusesOrReads(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    assert.ok(error.message.length < 2000, "a message stays readable");
  }
}

/** A few bytes of a good file changed, dropped or put in. */
const damage = (good: Uint8Array): fc.Arbitrary<Uint8Array> => {
  const place = fc.oneof(fc.nat(good.length - 1), fc.nat(Math.min(good.length, 400) - 1));
  const edit = fc.record({ at: place, drop: fc.nat(9), put: fc.uint8Array({ maxLength: 9 }) });
  return fc.array(edit, { minLength: 1, maxLength: 4 }).map((edits) => {
    let bytes: Uint8Array = good;
    for (const { at, drop, put } of edits) bytes = new Uint8Array(Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + drop)])); // prettier-ignore
    return bytes;
  });
};

const tensor = (name: string, fileDType: string, shape: number[], sizeBytes: number): RawTensor => ({ name, fileDType, shape, chunks: () => [new Uint8Array(sizeBytes).fill(3)] }); // prettier-ignore

function readAll(file: {
  tensors: ReadonlyMap<string, unknown>;
  readBytes(name: string): Uint8Array;
  close(): void;
}): void {
  // prettier-ignore
  try {
    for (const name of file.tensors.keys()) file.readBytes(name);
  } finally {
    file.close();
  }
}

test("safetensors: damaged files", () => {
  const path = join(dir, "x.safetensors");
  writeRaw(path, [tensor("a", "F32", [2, 3], 24), tensor("b", "F8_E8M0", [5], 5), tensor("c", "I64", [1], 8)], { metadata: { format: "pt" } }); // prettier-ignore
  const good = new Uint8Array(readFileSync(path));
  fc.assert(
    fc.property(damage(good), (bytes) => {
      writeFileSync(path, bytes);
      refusesOrReads(() => readAll(openSafetensors(path)));
    }),
    settings,
  );
});

const number = fc.oneof(fc.nat(40), fc.constantFrom(-1, 0.5, 2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER, 1e300));
const headerEntry = fc.record(
  {
    dtype: fc.constantFrom<unknown>("F32", "U8", "F8_E4M3", "Q7", null, 3),
    shape: fc.oneof<fc.Arbitrary<unknown>[]>(fc.array(number, { maxLength: 4 }), fc.constant("2"), fc.constant([[[[1]]]])), // prettier-ignore
    data_offsets: fc.oneof<fc.Arbitrary<unknown>[]>(fc.tuple(number, number), fc.array(number, { maxLength: 3 })),
    more: fc.anything(),
  },
  { requiredKeys: [] },
);

test("safetensors: headers of every kind over little data", () => {
  const path = join(dir, "y.safetensors");
  const names = fc.constantFrom("a", "b", "__metadata__", "__proto__", "", "layers.0.attn.wq_a.weight");
  fc.assert(
    fc.property(
      fc.array(fc.tuple(names, headerEntry), { maxLength: 4 }),
      fc.nat(64),
      number,
      (entries, dataBytes, lie) => {
        // prettier-ignore
        const header = Buffer.from(`{${entries.map(([name, entry]) => `${JSON.stringify(name)}:${JSON.stringify(entry)}`).join(",")}}`); // prettier-ignore
        const length = Buffer.alloc(8);
        const told = dataBytes % 5 === 0 ? Math.max(0, Math.trunc(Math.min(lie, Number.MAX_SAFE_INTEGER))) : header.length; // prettier-ignore
        length.writeBigUInt64LE(BigInt(told));
        writeFileSync(path, Buffer.concat([length, header, Buffer.alloc(dataBytes)]));
        refusesOrReads(() => readAll(openSafetensors(path)));
      },
    ),
    settings,
  );
});

test("safetensors: a header nested without end is refused for its depth", () => {
  const path = join(dir, "deep.safetensors");
  for (const header of ["[".repeat(500_000), `{"a":${"[".repeat(500_000)}${"]".repeat(500_000)}}`]) {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    writeFileSync(path, Buffer.concat([length, Buffer.from(header)]));
    assert.throws(() => openSafetensors(path), /nested at most 4 deep, got 50000\d/);
  }
});

test("safetensors: the same name far from its colon is still the same name", () => {
  const path = join(dir, "twice.safetensors");
  const entry = '{"dtype":"U8","shape":[1],"data_offsets":[0,1]}';
  const header = Buffer.from(`{"a":${entry},"a"${" ".repeat(200)}:${entry}}`);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(path, Buffer.concat([length, header, Buffer.alloc(1)]));
  assert.throws(() => openSafetensors(path), /"a" appears twice/);
});

test("GGUF: what is written is read back", () => {
  const path = join(dir, "x.gguf");
  const metadata = new Map<string, GgufValue>([
    ["general.architecture", { type: "string", value: "deepseek4" }],
    ["n", { type: "u64", value: 2 ** 40 }],
    ["x", { type: "f32", value: 0.5 }],
    ["on", { type: "bool", value: true }],
    ["list", { type: "string", value: ["文", "", "b"] }],
    ["ratios", { type: "i32", value: [0, -4, 128] }],
  ]);
  writeGguf(path, metadata, [tensor("a", "F32", [2, 3], 24), tensor("b", "MXFP4", [2, 64], 68), tensor("c", "BF16", [1], 2)]); // prettier-ignore
  using file = openGguf(path);
  assert.deepEqual([...file.metadata], [...metadata]);
  assert.deepEqual([...file.tensors.values()].map((t) => `${t.name} ${t.fileDType} [${t.shape}]`), ["a F32 [2,3]", "b MXFP4 [2,64]", "c BF16 [1]"]); // prettier-ignore
  for (const [name, size] of [["a", 24], ["b", 68], ["c", 2]] as const) assert.deepEqual(file.readBytes(name), new Uint8Array(size).fill(3)); // prettier-ignore
});

test("GGUF: damaged files", () => {
  const path = join(dir, "y.gguf");
  const metadata = new Map<string, GgufValue>([
    ["general.alignment", { type: "u32", value: 32 }],
    ["list", { type: "string", value: ["a", "b"] }],
    ["ratios", { type: "i32", value: [0, 4, 128] }],
  ]);
  writeGguf(path, metadata, [tensor("a", "F32", [2, 3], 24), tensor("b", "MXFP4", [2, 64], 68)]);
  const good = new Uint8Array(readFileSync(path));
  fc.assert(
    fc.property(damage(good), (bytes) => {
      writeFileSync(path, bytes);
      refusesOrReads(() => readAll(openGguf(path)));
    }),
    settings,
  );
});

test("GGUF: counts, lengths and offsets that the file cannot hold", () => {
  const path = join(dir, "z.gguf");
  writeGguf(path, new Map([["k", { type: "i32", value: [1, 2] } satisfies GgufValue]]), [tensor("a", "F32", [2], 8)]);
  const good = readFileSync(path);
  const lie = (at: number, value: bigint): Buffer => {
    const bytes = Buffer.from(good);
    bytes.writeBigUInt64LE(value, at);
    return bytes;
  };
  // magic 4, version 4, tensors 8, values 8, key length 8 + 1, type 4, item type 4, count 8, items 8, name length 8 + 1, dims 4, dim 8, type 4, offset 8
  const cases: [Buffer, RegExp][] = [
    [lie(8, 2n ** 60n), /expected a number below 2\^53/],
    [lie(8, 2n ** 23n), /count of tensors that fits the file/],
    [lie(16, 2n ** 40n), /count of metadata values that fits the file/],
    [lie(24, 2n ** 50n), /more bytes at|truncated/],
    [lie(41, 2n ** 30n), /list that fits the file, got 1073741824 items/],
    [lie(70, 2n ** 40n), /"a": bytes .* lie outside/],
    [lie(82, 32n), /"a": bytes 32\.\.40 lie outside the 32 bytes/],
    [lie(82, 1n), /"a": expected an offset in steps of 32, got 1/],
    [good.subarray(0, good.length - 32), /truncated/],
    [Buffer.from("GGML"), /expected \d+ more bytes|magic/],
  ];
  for (const [bytes, expected] of cases) {
    writeFileSync(path, bytes);
    assert.throws(() => openGguf(path), (error) => error instanceof FormatError && expected.test(error.message), String(expected)); // prettier-ignore
  }
});

test("tokenizer.json: damaged text and values of every kind", () => {
  const good = new Tokenizer({ merges: [[104, 101], [256, 108]], specials: ["<s>", "</s>"] }); // prettier-ignore
  const path = join(dir, "tokenizer.json");
  const text = new TextEncoder().encode(JSON.stringify(good.toJSON()));
  const use = (): void => void Tokenizer.load(path).encode("hello <s> 文", { specials: true });
  fc.assert(
    fc.property(damage(text), (bytes) => {
      writeFileSync(path, bytes);
      refusesOrReads(use);
    }),
    { ...settings, numRuns: 150 },
  );
  const json = good.toJSON() as Record<string, object>;
  const inModel = fc.constantFrom("vocab", "merges", "type");
  const inFile = fc.constantFrom("added_tokens", "pre_tokenizer", "model");
  fc.assert(
    fc.property(inFile, inModel, fc.jsonValue(), fc.boolean(), (top, key, value, deep) => {
      const changed = deep ? { ...json, model: { ...json["model"], [key]: value } } : { ...json, [top]: value };
      refusesOrReads(() => void Tokenizer.fromJSON(changed, path));
    }),
    { ...settings, numRuns: 150 },
  );
});
