/**
 * Ascend C of the kernels: what inference launches has a lowering, what has none is refused by name, flags are paired and
 * the scalar pipe has no barrier. That the text does what it should is the simulator's business (test/device).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { CompileError } from "../../src/base/errors.ts";
import { allCases } from "../../src/kernels/all-cases.ts";
import { kernel } from "../../src/tile/builder.ts";
import { chips } from "../../src/tile/chips/chips.ts";
import { emitAscend } from "../../src/tile/emit/ascend/ascend.ts";
import type { Node, Pipe } from "../../src/tile/emit/ascend/code.ts";
import { synchronise } from "../../src/tile/emit/ascend/sync.ts";
import { LineWriter } from "../../src/tile/emit/c-like/line-writer.ts";

const chip = chips["ascend-910b"];
/** Kernels of training that have no lowering yet, and why. */
const refused: Readonly<Record<string, RegExp>> = {
  hc_split_backward: /reduce_sum of f32: over an axis of slabs of 1 elements/,
};

test("every kernel has a lowering, but for the named ones", () => {
  for (const { programs, training } of allCases)
    for (const program of programs(chip)) {
      const reason = refused[program.name];
      if (reason) {
        assert.ok(training?.includes(program.name), program.name);
        assert.throws(() => emitAscend(program, chip), (e) => e instanceof CompileError && reason.test(e.message)); // prettier-ignore
        continue;
      }
      const { source, kind, workspaceBytesPerBlock } = emitAscend(program, chip);
      assert.equal(source.includes("ASCEND_IS_AIC"), kind === "mix11", program.name);
      assert.equal(source.includes("GM_ADDR workspace"), workspaceBytesPerBlock > 0, program.name);
      const flags = [...source.matchAll(/(Set|Wait)Flag<HardEvent::(\w+)>\(([^)]+)\)/g)].map(([, verb, event, id]) => ({ verb, flag: `${event} ${id}` })); // prettier-ignore
      const kindsOf = (verb: string): string[] => [...new Set(flags.filter((f) => f.verb === verb).map((f) => f.flag))].toSorted(); // prettier-ignore
      assert.deepEqual(kindsOf("Set"), kindsOf("Wait"), program.name);
      for (const { flag } of flags) assert.ok(/ (EVENT_ID[0-5]|([24] \+ )?slot\d*|[1-4] \+ slot\d*)$/.test(flag), `${program.name}: ${flag}`); // prettier-ignore
      assert.ok(!/PipeBarrier<PIPE_S>|undefined|NaN/.test(source), program.name);
    }
});

test("products pass to the vector core only where something there reads them", () => {
  const kinds = new Map<string, Set<string>>();
  for (const { programs, training } of allCases)
    for (const p of programs(chip)) if (!training?.includes(p.name)) kinds.set(p.name, (kinds.get(p.name) ?? new Set()).add(emitAscend(p, chip).kind)); // prettier-ignore
  assert.deepEqual([...kinds.get("grouped_matmul")!], ["cube"]);
  assert.deepEqual([...kinds.get("rms_norm")!], ["vector"]);
  assert.deepEqual([...kinds.get("index_scores")!], ["mix11"]);
});

test("a refusal names op, dtype and reason", () => {
  const program = kernel("turned", (k) => {
    const [x, y] = [k.view(k.buffer("x", "f32"), [32, 16]), k.view(k.buffer("y", "f32", "out"), [16, 32])];
    k.store(y, [0, 0], k.load(x, [0, 0], [32, 16]).transpose());
  });
  assert.throws(
    () => emitAscend(program, chip),
    /emit: kernel turned on ascend-910b: transpose of f32: no lowering yet/,
  );
});

const touch = (pipe: Pipe, isWrite: boolean, line: string): Node => ({ kind: "instr", lines: [line], accesses: [{ pipe, isWrite, memory: "UB", from: 0, to: 32 }] }); // prettier-ignore
function textOf(nodes: readonly Node[]): string[] {
  const out = new LineWriter();
  synchronise(nodes, out);
  return String(out)
    .split("\n")
    .map((l) => l.trim());
}

test("two pipes get a flag, one pipe a barrier, reads none", () => {
  const [load, read] = [touch("MTE2", true, "load"), touch("V", false, "read")];
  assert.deepEqual(textOf([load, read, read]), ["load", "SetFlag<HardEvent::MTE2_V>(EVENT_ID0);", "WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);", "read", "read"]); // prettier-ignore
  assert.deepEqual(textOf([touch("V", true, "a"), touch("V", true, "b")]), ["a", "PipeBarrier<PIPE_V>();", "b"]);
});

test("a loop waits for its own last turn", () => {
  const body = [touch("MTE2", true, "load"), touch("V", false, "read")];
  const text = textOf([{ kind: "block", head: "for ", body, repeats: true }]);
  assert.ok(text.indexOf("SetFlag<HardEvent::V_MTE2>(EVENT_ID0);") < text.indexOf("load"), text.join("\n"));
  assert.ok(text.includes("WaitFlag<HardEvent::V_MTE2>(EVENT_ID0);"));
});

test("turns that take two slots have a flag for each, set at first and waited for at the end", () => {
  const slots = { loop: "0", base: 0, pitch: 32 };
  const step = (pipe: Pipe, isWrite: boolean, line: string): Node => ({ kind: "instr", lines: [line], accesses: [{ pipe, isWrite, memory: "UB", from: 0, to: 32, slots }] }); // prettier-ignore
  const body = [step("MTE2", true, "load"), step("V", false, "read")];
  const both = (verb: string): string[] => [0, 1].map((i) => `${verb}Flag<HardEvent::V_MTE2>(EVENT_ID${i});`);
  assert.deepEqual(textOf([{ kind: "block", head: "for ", body, repeats: true, turns: "0" }]), [
    "// Every place is free at first.", ...both("Set"),
    "for {",
    "WaitFlag<HardEvent::V_MTE2>(slot0);", "load", "SetFlag<HardEvent::MTE2_V>(slot0);",
    "WaitFlag<HardEvent::MTE2_V>(slot0);", "read", "SetFlag<HardEvent::V_MTE2>(slot0);",
    "}",
    "// And at the end.", ...both("Wait"),
  ]); // prettier-ignore
});

test("what another flag implies has none of its own", () => {
  const at = (pipe: Pipe, isWrite: boolean, line: string, from: number): Node => ({ kind: "instr", lines: [line], accesses: [{ pipe, isWrite, memory: "UB", from, to: from + 32 }] }); // prettier-ignore
  // The first store waits for the vector unit, which has waited for the load that the second one needs.
  const text = textOf([at("MTE2", true, "load", 0), at("V", false, "read", 0), at("V", true, "write", 64), at("MTE3", false, "store", 64), at("MTE3", false, "store too", 0)]); // prettier-ignore
  assert.deepEqual(text.filter((l) => l.startsWith("Set")), ["SetFlag<HardEvent::MTE2_V>(EVENT_ID0);", "SetFlag<HardEvent::V_MTE3>(EVENT_ID0);"]); // prettier-ignore
});

test("950: operands go from UB to L1 themselves, whole fractals without a workspace; 910B knows no such way", () => {
  const fp4 = (name: "ascend-910b" | "ascend-950") => {
    const { programs } = allCases.find((c) => c.op.startsWith("narrowMatmul of e2m1"))!;
    return emitAscend(programs(chips[name])[0]!, chips[name]);
  };
  const direct = fp4("ascend-950");
  assert.equal(direct.workspaceBytesPerBlock, 0);
  // Each of two vector cores its half of the rows.
  assert.equal(direct.kind, "mix");
  assert.match(
    direct.source,
    /DataCopy\(mul_\d+_operand\[i \* \d+ \+ subBlock \* \d+\], mul_\d+\[i \* 16\], DataCopyParams\{/,
  );
  const count = (text: string): number => direct.source.split(text).length - 1;
  // A place for each of two turns, both given back at the end.
  assert.equal(count("CrossCoreSetFlag<0x2, PIPE_MTE1>(2);"), 3);
  assert.equal(count("CrossCoreWaitFlag<0x2, PIPE_MTE3>(2);"), 3);
  const through = fp4("ascend-910b");
  assert.ok(through.workspaceBytesPerBlock > 0);
  assert.doesNotMatch(through.source, /TSCM/);
});
