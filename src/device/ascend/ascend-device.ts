/**
 * An Ascend chip through AscendCL. One process initializes the library once and leaves it at its end; a device is one
 * stream on the calling thread's context. Main function: `openAscend`.
 * Not confirmed: whether a kernel of both cores on 2201 that is loaded as a module wants the address of
 * aclrtGetHardwareSyncAddr before its own arguments; none is passed, and the probe "both cores" of probes.ts tells.
 */
import { readFileSync } from "node:fs";
import koffi from "koffi";
import { DeviceError } from "../../base/errors.ts";
import { chipTargets } from "../chip-targets.ts";
import { MAX_ARGS, type ArgBlock } from "../driver/arg-block.ts";
import { ChipDevice, type LoadedKernel } from "../driver/chip-device.ts";
import type { BuiltKernel, ChipSource } from "../driver/kernel-binaries.ts";
import { requireLibrary, type Bound, type Out } from "../driver/library.ts";
import { checker, type Check } from "../driver/status.ts";
import { ascendCompiler } from "./compiler.ts";
import { ascendCl, ascendClPlace, HBM_MEMORY, HUGE_FIRST, MemcpyKind } from "./ffi.ts";
import { socOf, type Soc } from "./soc.ts";
import { aclErrors, MEMORY_ALLOCATION, REPEAT_INITIALIZE } from "./status.ts";

export interface AscendLibrary {
  readonly acl: Bound<typeof ascendCl>;
  readonly check: Check;
  readonly version: string;
}

let opened: AscendLibrary | undefined;

/** Loads and initializes AscendCL. */
export function ascendLibrary(): AscendLibrary {
  if (opened) return opened;
  const acl = requireLibrary(ascendClPlace, ascendCl);
  const check = checker({ backend: "ascend", success: "ACL_SUCCESS", names: aclErrors, describe: () => acl.aclGetRecentErrMsg?.() }); // prettier-ignore
  const code = acl.aclInit(null);
  if (code !== REPEAT_INITIALIZE) {
    check("aclInit", code);
    // A process may initialize it once only, so it stays until the end.
    process.once("exit", () => void acl.aclFinalize());
  }
  return (opened = { acl, check, version: versionOf(acl) });
}

function versionOf({ aclrtGetVersion }: Bound<typeof ascendCl>): string {
  const [major, minor, patch]: [Out, Out, Out] = [[0], [0], [0]];
  return aclrtGetVersion?.(major, minor, patch) === 0 ? `${major[0]}.${minor[0]}.${patch[0]}` : "unknown";
}

export interface AscendFacts {
  readonly index: number;
  readonly soc: string;
  readonly freeBytes: number;
  readonly totalBytes: number;
}

export function ascendDevices(): AscendFacts[] {
  const { acl, check } = ascendLibrary();
  const count: Out = [0];
  check("aclrtGetDeviceCount", acl.aclrtGetDeviceCount(count));
  return Array.from({ length: count[0] }, (_, index) => {
    check(`aclrtSetDevice(${index})`, acl.aclrtSetDevice(index));
    const [free, total]: [Out, Out] = [[0], [0]];
    check("aclrtGetMemInfo", acl.aclrtGetMemInfo(HBM_MEMORY, free, total));
    const soc = acl.aclrtGetSocName() ?? "";
    check(`aclrtResetDevice(${index})`, acl.aclrtResetDevice(index));
    return { index, soc, freeBytes: free[0], totalBytes: total[0] };
  });
}

/** How the arguments travel; the best that the library has is taken. */
type Launch = (kernel: number, numBlocks: number, args: ArgBlock, numArgs: number) => number;

export class AscendDevice extends ChipDevice {
  private readonly library: AscendLibrary;
  private readonly index: number;
  private readonly stream: number;
  private readonly launchKernel: Launch;
  private readonly modules = new Map<string, number>();

  constructor(name: string, library: AscendLibrary, index: number, soc: Soc) {
    const { acl, check, version } = library;
    super(name, chipTargets[soc.chip], soc.cores, ascendCompiler(soc.npuArch, acl.aclrtBinaryLoadFromData !== undefined, version)); // prettier-ignore
    this.library = library;
    this.index = index;
    const stream: Out = [0];
    check("aclrtCreateStream", acl.aclrtCreateStream(stream));
    this.stream = stream[0];
    this.launchKernel = this.chooseLaunch();
  }

  private chooseLaunch(): Launch {
    const { stream } = this;
    const { aclrtLaunchKernelWithArgsArray: withArray, aclrtLaunchKernelWithHostArgs: withHostArgs, aclrtLaunchKernel: withDeviceArgs } = this.library.acl; // prettier-ignore
    if (withArray) return (kernel, numBlocks, args) => withArray(kernel, numBlocks, stream, null, args.pointers);
    if (withHostArgs) return (kernel, numBlocks, args, n) => withHostArgs(kernel, numBlocks, stream, null, args.words, 8 * n, null, 0); // prettier-ignore
    if (!withDeviceArgs) throw new DeviceError(`ascend: expected a function that launches kernels in ${ascendClPlace.file}, found none (${ascendClPlace.install})`, { backend: "ascend" }); // prettier-ignore
    // One block for all launches: what was freed may be in use by launches that wait in a list.
    const buffer = this.alloc(8 * MAX_ARGS);
    return (kernel, numBlocks, args, n) => {
      // A copy from the host is not in the order of the stream, so what reads this block must have run before it is written.
      this.copyIn(buffer, 0, args.bytes(n));
      return withDeviceArgs(kernel, numBlocks, buffer.handle, 8 * n, stream);
    };
  }

  protected override allocate(sizeBytes: number): number | undefined {
    const address: Out = [0];
    const code = this.library.acl.aclrtMalloc(address, sizeBytes, HUGE_FIRST);
    if (code === MEMORY_ALLOCATION) return undefined;
    this.library.check("aclrtMalloc", code);
    return address[0];
  }
  protected override release(address: number): void {
    this.library.check("aclrtFree", this.library.acl.aclrtFree(address));
  }
  protected override copyFromHost(address: number, src: Uint8Array): void {
    this.library.check("aclrtMemcpy", this.library.acl.copyFromHost(address, src.length, src, src.length, MemcpyKind.hostToDevice)); // prettier-ignore
  }
  protected override copyToHost(dst: Uint8Array, address: number): void {
    this.library.check("aclrtMemcpy", this.library.acl.copyToHost(dst, dst.length, address, dst.length, MemcpyKind.deviceToHost)); // prettier-ignore
  }
  protected override copyOnDevice(dst: number, src: number, sizeBytes: number): void {
    this.library.check("aclrtMemcpyAsync", this.library.acl.aclrtMemcpyAsync(dst, sizeBytes, src, sizeBytes, MemcpyKind.deviceToDevice, this.stream)); // prettier-ignore
  }

  protected override load({ path, symbol }: BuiltKernel, { name, kind }: ChipSource): LoadedKernel {
    const { check } = this.library;
    if (path.endsWith(".so")) {
      const launcher = koffi.load(path).func(`void ${symbol}_launch(uint32_t, uintptr_t, uintptr_t)`) as (numBlocks: number, stream: number, args: number) => void; // prettier-ignore
      return { name, kind, start: (numBlocks, args) => launcher(numBlocks, this.stream, args.pointers) };
    }
    const kernel: Out = [0];
    check("aclrtBinaryGetFunction", this.library.acl.aclrtBinaryGetFunction!(this.module(path), symbol, kernel));
    return { name, kind, start: (numBlocks, args, n) => check(`launch ${name}`, this.launchKernel(kernel[0], numBlocks, args, n)) }; // prettier-ignore
  }
  private module(path: string): number {
    const known = this.modules.get(path);
    if (known !== undefined) return known;
    const data = readFileSync(path);
    const module: Out = [0];
    this.library.check("aclrtBinaryLoadFromData", this.library.acl.aclrtBinaryLoadFromData!(data, data.length, null, module)); // prettier-ignore
    this.modules.set(path, module[0]);
    return module[0];
  }

  protected override waitForStream(): void {
    this.library.check("aclrtSynchronizeStream", this.library.acl.aclrtSynchronizeStream(this.stream));
  }
  protected override close(): void {
    const { acl, check } = this.library;
    for (const module of this.modules.values()) check("aclrtBinaryUnLoad", acl.aclrtBinaryUnLoad!(module));
    this.modules.clear();
    check("aclrtDestroyStream", acl.aclrtDestroyStream(this.stream));
    check("aclrtResetDevice", acl.aclrtResetDevice(this.index));
  }
}

/** `ascend` is `ascend:0`. */
export function openAscend(index = 0): AscendDevice {
  const library = ascendLibrary();
  const { acl, check } = library;
  const count: Out = [0];
  check("aclrtGetDeviceCount", acl.aclrtGetDeviceCount(count));
  if (index >= count[0]) throw new DeviceError(`ascend:${index}: expected a device below ${count[0]} (npu-smi info lists them)`, { backend: "ascend" }); // prettier-ignore
  check(`aclrtSetDevice(${index})`, acl.aclrtSetDevice(index));
  return new AscendDevice(`ascend:${index}`, library, index, socOf(acl.aclrtGetSocName() ?? ""));
}
