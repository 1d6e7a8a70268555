/** Hash layers: tables from files are looked at before their experts are used. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { openJs } from "../../src/device/js/js-device.ts";
import { V4 } from "../../src/model/v4.ts";
import * as t from "../../src/tensor/ops.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { tinyConfig } from "./tiny.ts";

test("a table of experts with an id out of range is refused, also when it is loaded later", () => {
  const device = openJs();
  const config = tinyConfig();
  const model = new V4(device, config);
  const table = model.layers[0]!.ffn.gate.tid2eid!;
  using _scope = t.tensorScope();
  const run = (): Tensor => t.noGrad(() => model.forward(Tensor.from(device, Int32Array.of(1, 2), [1, 2])).hidden);
  run();
  const ids = table.toArray() as Int32Array;
  for (const wrong of [config.n_routed_experts, -1]) {
    table.copyFrom(ids.with(7, wrong));
    assert.throws(run, /gate: expected given experts in \[0, \d+\), got/);
  }
  table.copyFrom(ids);
  run();
});
