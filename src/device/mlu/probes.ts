/** What only an MLU can tell. */
import { kernel } from "../../tile/builder.ts";
import { chipProbes, rsqrtWithin, someNumbers, type Probe } from "../driver/probes.ts";

const rsqrt = kernel("probe_rsqrt", (k) => {
  const [x, y] = [k.view(k.buffer("x0", "f32"), [64]), k.view(k.buffer("y", "f32", "out"), [64])];
  k.store(y, [0], k.load(x, [0], [64]).rsqrt());
});

export const mluProbes: readonly Probe[] = [
  ...chipProbes,
  {
    name: "precision of __bang_rsqrt",
    decides: "whether norms may go on using it",
    source: { program: rsqrt },
    inputs: [someNumbers],
    output: { count: 64, dtype: "f32" },
    outcomes: [
      { says: "as good as f32", holds: rsqrtWithin(2 ** -21), isFine: true },
      { says: "an estimate: norms need sqrt and a division", holds: rsqrtWithin(2 ** -8), isFine: false },
    ],
  },
];
