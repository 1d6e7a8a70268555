/**
 * log(1 + exp(x)) inside a kernel, with full relative accuracy on both sides: far below 0 it is exp(x), where adding 1
 * first would leave nothing; above 20 it is x, as in torch.
 * Main function: `softplus`. Source: log1p by the ratio of Kahan (log(u) e / (u - 1) with u = 1 + e rounded).
 */
import type { KernelBuilder, Tile } from "../tile/builder.ts";

/** Where x + log1p(exp(-x)) is x in f32 and torch stops computing it. */
const LINEAR_ABOVE = 20;

/** f32, any shape. */
export function softplus(k: KernelBuilder, x: Tile): Tile {
  const e = x.min(LINEAR_ABOVE).exp();
  const u = e.add(1);
  const rounded = u.sub(1);
  const isLost = rounded.eq(0);
  const log1p = k.select(
    isLost,
    e,
    u
      .log()
      .mul(e)
      .div(k.select(isLost, 1, rounded)),
  );
  return k.select(x.gt(LINEAR_ABOVE), x, log1p);
}
