/**
 * Shared kernel cases: each runs on every device (interpreter, js, cpu) and is compared with the
 * op's reference twin. Kernel files export `cases`; test/kernels/cases.test.ts runs them all.
 */
import type { Device } from "../device/device.ts";
import type { Chip } from "../tile/chips/types.ts";
import type { TileProgram } from "../tile/ir.ts";
import type { NdArray } from "./nd-array.ts";

export interface KernelCase {
  readonly name: string;
  /** Runs the wrapper on `device` with this case's own seeded inputs and returns every output. */
  run(device: Device): NdArray[];
  /** The same outputs by the reference twin, in plain loops, as f32 (or i32) values. */
  expected(): (Float32Array | Int32Array)[];
  /** |got - want| <= atol + rtol * |want|, with the reason for the bound. 0 and 0 mean bit-exact. */
  readonly tolerance: { readonly rtol: number; readonly atol: number; readonly why: string };
}

/** Within the tolerance; an infinite number has only itself, since beside it everything finite would be near. */
export const isWithin = (got: number, want: number, { rtol, atol }: KernelCase["tolerance"]): boolean =>
  got === want || (Number.isFinite(want) && Math.abs(got - want) <= atol + rtol * Math.abs(want));

export interface OpCases {
  readonly op: string;
  readonly cases: readonly KernelCase[];
  /**
   * Representative programs of the op, for snapshots and for the legality check against every chip table; with a chip,
   * in the tile sizes its launches would have there.
   */
  programs(chip?: Chip): readonly TileProgram[];
  /** Names of those that only training launches. */
  readonly training?: readonly string[];
  /** Chips that have what the op is about, where not all do; hosts always run it. */
  readonly onlyWhere?: (chip: Chip) => boolean;
}
