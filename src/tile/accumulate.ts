/**
 * Finds sums of dots that can stay in a product memory from the first turn to the last: acc starts at zero, every
 * addition is a dot, nothing else reads the value in between. Main function: `findAccumulations`.
 */
import type { Liveness } from "./liveness.ts";

export interface Accumulations {
  /** Tiles whose value is in the product memory: dots, and the carried values and results of their loops. */
  readonly products: ReadonlySet<number>;
  /** Carried slots, "loop:slot", that are such sums. */
  readonly slots: ReadonlySet<string>;
  /** The tile that names the shared memory of a product. */
  cellOf(id: number): number | undefined;
  cell(id: number): readonly number[];
}

export function findAccumulations(live: Liveness, accumulates: boolean): Accumulations {
  const slots = new Set<string>();
  for (const [id, { stmt }] of live.loops) stmt.init.forEach((_, slot) => slots.add(`${id}:${slot}`));
  const initOf = (slot: string): number => {
    const [loop, i] = slot.split(":").map(Number) as [number, number];
    return live.loops.get(loop)!.stmt.init[i]!;
  };
  const nextOf = (slot: string): number => {
    const [loop, i] = slot.split(":").map(Number) as [number, number];
    return live.loops.get(loop)!.stmt.next[i]!;
  };
  const isZero = (id: number): boolean => {
    const { op } = live.tiles.get(id)!;
    return op.kind === "full" && op.value === 0;
  };
  const isOnlyReadOnce = (id: number): boolean => live.usesOf(id).length === 1;
  /** A value that is, under the slots still assumed, in the product memory. */
  const isProduct = (id: number): boolean => {
    const { op } = live.tiles.get(id)!;
    if (op.kind === "dot") return op.acc === undefined || isZero(op.acc) || (isProduct(op.acc) && isOnlyReadOnce(op.acc)); // prettier-ignore
    return (op.kind === "carry" || op.kind === "result") && slots.has(`${op.loop}:${op.slot}`);
  };
  /** From a loop's new value back through additions to its carried one. */
  const returnsTo = (id: number, carry: number): boolean => {
    if (!isOnlyReadOnce(id)) return false;
    if (id === carry) return true;
    const { op } = live.tiles.get(id)!;
    if (op.kind === "dot") return op.acc !== undefined && returnsTo(op.acc, carry);
    return op.kind === "result" && slots.has(`${op.loop}:${op.slot}`) && returnsTo(initOf(`${op.loop}:${op.slot}`), carry); // prettier-ignore
  };
  const holds = (slot: string): boolean => {
    const [init, carry] = [initOf(slot), live.carryOf(slot)];
    if (carry === undefined || !returnsTo(nextOf(slot), carry)) return false;
    return isZero(init) || (isProduct(init) && isOnlyReadOnce(init));
  };
  if (accumulates)
    for (let changed = true; changed;) {
      changed = false;
      for (const slot of slots)
        if (!holds(slot)) {
          slots.delete(slot);
          changed = true;
        }
    }
  else slots.clear();

  const products = new Set(accumulates ? [...live.tiles.keys()].filter(isProduct) : []);
  const parent = new Map<number, number>();
  const find = (id: number): number => {
    const up = parent.get(id);
    return up === undefined ? id : find(up);
  };
  const join = (a: number, b: number): void => {
    const [x, y] = [find(a), find(b)];
    if (x !== y) parent.set(Math.max(x, y), Math.min(x, y));
  };
  for (const id of products) {
    const { op } = live.tiles.get(id)!;
    if (op.kind === "dot" && op.acc !== undefined && products.has(op.acc)) join(id, op.acc);
  }
  for (const slot of slots) {
    const carry = live.carryOf(slot)!;
    join(carry, nextOf(slot));
    if (products.has(initOf(slot))) join(carry, initOf(slot));
    const result = live.resultOf(slot);
    if (result !== undefined) join(carry, result);
  }
  return {
    products,
    slots,
    cellOf: (id) => (products.has(id) ? find(id) : undefined),
    cell: (id) => [...products].filter((x) => find(x) === find(id)),
  };
}
