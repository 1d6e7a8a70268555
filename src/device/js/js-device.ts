/**
 * The js device: kernels as JavaScript, for machines without a C++ compiler. One thread; memory is the host's.
 * Main function: `openJs`.
 */
import { dtypes } from "../../base/dtype.ts";
import { emitJs } from "../../tile/emit/js.ts";
import { verify } from "../../tile/verify.ts";
import type { BufferArg } from "../device.ts";
import { elementsOf, HostDevice } from "../host-device.ts";
import { jsRuntime } from "./runtime.ts";

type Launch = (g0: number, g1: number, g2: number, args: readonly unknown[]) => void;

export const openJs = (): HostDevice =>
  new HostDevice("js", (program) => {
    verify(program);
    const launch = new Function("ts", emitJs(program).source)(jsRuntime) as Launch;
    const { params } = program;
    return ([g0 = 1, g1 = 1, g2 = 1], args) => {
      const list: unknown[] = [];
      for (let i = 0; i < params.length; i++) {
        const p = params[i]!;
        if (p.kind === "buffer") {
          const { buffer, byteOffset } = args[i] as BufferArg;
          list.push(elementsOf(buffer, p.dtype), byteOffset / dtypes[p.dtype].size);
        } else list.push(p.kind === "scalar" ? Math.fround(args[i] as number) : args[i]);
      }
      return () => launch(g0, g1, g2, list);
    };
  });
