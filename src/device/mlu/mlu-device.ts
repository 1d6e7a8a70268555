/**
 * A Cambricon MLU: memory, copies and the queue through CNRT, modules and launches through CNDrv in the context they
 * share. Main function: `openMlu`.
 */
import { readFileSync } from "node:fs";
import koffi from "koffi";
import { DeviceError } from "../../base/errors.ts";
import type { ChipName } from "../../tile/chips/types.ts";
import { chipTargets } from "../chip-targets.ts";
import { ChipDevice, type LoadedKernel } from "../driver/chip-device.ts";
import type { BuiltKernel, ChipSource } from "../driver/kernel-binaries.ts";
import { requireLibrary, type Bound, type Out } from "../driver/library.ts";
import { checker, type Check } from "../driver/status.ts";
import { mluCompiler } from "./compiler.ts";
import { Attribute, cndrv, cndrvPlace, cnrt, cnrtPlace, kernelClasses, MemcpyKind } from "./ffi.ts";
import { cnErrors, cnrtErrors, NO_MEMORY } from "./status.ts";

export interface MluLibrary {
  readonly rt: Bound<typeof cnrt>;
  readonly drv: Bound<typeof cndrv>;
  readonly check: Check;
  readonly checkDriver: Check;
  readonly version: string;
}

/** CNRT hands on what the driver says of a kernel, in the driver's codes; where both have a name, its own counts. */
const runtimeErrors = { ...cnErrors, ...cnrtErrors };

let opened: MluLibrary | undefined;

export function mluLibrary(): MluLibrary {
  if (opened) return opened;
  const rt = requireLibrary(cnrtPlace, cnrt);
  const drv = requireLibrary(cndrvPlace, cndrv);
  const check = checker({ backend: "mlu", success: "cnrtSuccess", names: runtimeErrors, describe: (code) => rt.cnrtGetErrorStr?.(code) }); // prettier-ignore
  const checkDriver = checker({ backend: "mlu", success: "CN_SUCCESS", names: cnErrors });
  checkDriver("cnInit", drv.cnInit(0));
  const [major, minor, patch]: [Out, Out, Out] = [[0], [0], [0]];
  const isKnown = rt.cnrtGetLibVersion?.(major, minor, patch) === 0;
  return (opened = { rt, drv, check, checkDriver, version: isKnown ? `${major[0]}.${minor[0]}.${patch[0]}` : "unknown" }); // prettier-ignore
}

/** The chip of an instruction set; its number is also the compiler's architecture. */
export const chipOfIsa: Readonly<Record<number, ChipName>> = { 372: "mlu-370", 592: "mlu-590" };

export interface MluFacts {
  readonly index: number;
  readonly name: string;
  readonly isa: number;
  readonly numCores: number;
  readonly freeBytes: number;
  readonly totalBytes: number;
}

export function mluCount(): number {
  const { rt, check } = mluLibrary();
  const count: Out = [0];
  check("cnrtGetDeviceCount", rt.cnrtGetDeviceCount(count));
  return count[0];
}

export function mluFacts(index: number): MluFacts {
  const { rt, drv, check, checkDriver } = mluLibrary();
  check(`cnrtSetDevice(${index})`, rt.cnrtSetDevice(index));
  const attribute = (name: keyof typeof Attribute): number => {
    const value: Out = [0];
    check(`cnrtDeviceGetAttribute(${name})`, rt.cnrtDeviceGetAttribute(value, Attribute[name], index));
    return value[0];
  };
  const [device, free, total]: [Out, Out, Out] = [[0], [0], [0]];
  checkDriver("cnDeviceGet", drv.cnDeviceGet(device, index));
  const name = new Uint8Array(256);
  checkDriver("cnDeviceGetName", drv.cnDeviceGetName(name, name.length, device[0]));
  check("cnrtMemGetInfo", rt.cnrtMemGetInfo(free, total));
  return {
    index,
    name: new TextDecoder().decode(name.subarray(0, name.indexOf(0))),
    isa: attribute("isaVersion"),
    numCores: attribute("clusters") * attribute("coresPerCluster"),
    freeBytes: free[0],
    totalBytes: total[0],
  };
}
export const mluDevices = (): MluFacts[] => Array.from({ length: mluCount() }, (_, index) => mluFacts(index));

export class MluDevice extends ChipDevice {
  private readonly library: MluLibrary;
  private readonly queue: number;
  private readonly device: number;
  private readonly modules = new Map<string, number>();

  constructor(name: string, library: MluLibrary, { index, isa, numCores }: MluFacts, chip: ChipName) {
    super(name, chipTargets[chip], { matrix: numCores, vector: numCores }, mluCompiler(isa));
    this.library = library;
    const { rt, drv, check, checkDriver } = library;
    const [device, context, queue]: [Out, Out, Out] = [[0], [0], [0]];
    checkDriver("cnDeviceGet", drv.cnDeviceGet(device, index));
    checkDriver("cnSharedContextAcquire", drv.cnSharedContextAcquire(context, device[0]));
    checkDriver("cnCtxSetCurrent", drv.cnCtxSetCurrent(context[0]));
    check("cnrtQueueCreate", rt.cnrtQueueCreate(queue));
    this.device = device[0];
    this.queue = queue[0];
  }

  protected override allocate(sizeBytes: number): number | undefined {
    const address: Out = [0];
    const code = this.library.rt.cnrtMalloc(address, sizeBytes);
    if (code === NO_MEMORY) return undefined;
    this.library.check("cnrtMalloc", code);
    return address[0];
  }
  protected override release(address: number): void {
    this.library.check("cnrtFree", this.library.rt.cnrtFree(address));
  }
  protected override copyFromHost(address: number, src: Uint8Array): void {
    this.library.check("cnrtMemcpy", this.library.rt.copyFromHost(address, src, src.length, MemcpyKind.hostToDevice));
  }
  protected override copyToHost(dst: Uint8Array, address: number): void {
    this.library.check("cnrtMemcpy", this.library.rt.copyToHost(dst, address, dst.length, MemcpyKind.deviceToHost));
  }
  protected override copyOnDevice(dst: number, src: number, sizeBytes: number): void {
    this.library.check("cnrtMemcpyAsync", this.library.rt.cnrtMemcpyAsync(dst, src, sizeBytes, this.queue, MemcpyKind.deviceToDevice)); // prettier-ignore
  }

  protected override load({ path, symbol }: BuiltKernel, { name, kind }: ChipSource): LoadedKernel {
    const { drv, checkDriver } = this.library;
    if (path.endsWith(".so")) {
      const launcher = koffi.load(path).func(`void ${symbol}_launch(uint32_t, uintptr_t, uintptr_t)`) as (numBlocks: number, queue: number, args: number) => void; // prettier-ignore
      return { name, kind, start: (numBlocks, args) => launcher(numBlocks, this.queue, args.pointers) };
    }
    const kernelClass = kernelClasses[kind];
    if (kernelClass === undefined) throw new DeviceError(`${name}: expected a kind of ${Object.keys(kernelClasses).join(", ")}, got "${kind}"`, { backend: "mlu" }); // prettier-ignore
    const kernel: Out = [0];
    checkDriver("cnModuleGetKernel", drv.cnModuleGetKernel(this.module(path), symbol, kernel));
    return { name, kind, start: (numBlocks, args) => checkDriver(`launch ${name}`, drv.cnInvokeKernel(kernel[0], numBlocks, 1, 1, kernelClass, 0, this.queue, args.pointers, null)) }; // prettier-ignore
  }
  private module(path: string): number {
    const known = this.modules.get(path);
    if (known !== undefined) return known;
    const module: Out = [0];
    this.library.checkDriver(
      "cnModuleLoadFatBinary",
      this.library.drv.cnModuleLoadFatBinary(readFileSync(path), module),
    );
    this.modules.set(path, module[0]);
    return module[0];
  }

  protected override waitForStream(): void {
    this.library.check("cnrtQueueSync", this.library.rt.cnrtQueueSync(this.queue));
  }
  protected override close(): void {
    const { rt, drv, check, checkDriver } = this.library;
    for (const module of this.modules.values()) checkDriver("cnModuleUnload", drv.cnModuleUnload(module));
    this.modules.clear();
    check("cnrtQueueDestroy", rt.cnrtQueueDestroy(this.queue));
    checkDriver("cnSharedContextRelease", drv.cnSharedContextRelease(this.device));
  }
}

/** `mlu` is `mlu:0`. */
export function openMlu(index = 0): MluDevice {
  const library = mluLibrary();
  const count = mluCount();
  if (index >= count) throw new DeviceError(`mlu:${index}: expected a device below ${count} (cnmon lists them)`, { backend: "mlu" }); // prettier-ignore
  const facts = mluFacts(index);
  const chip = chipOfIsa[facts.isa];
  if (!chip) throw new DeviceError(`mlu:${index}: expected an instruction set of ${Object.keys(chipOfIsa).join(", ")}, got ${facts.isa} (${facts.name})`, { backend: "mlu" }); // prettier-ignore
  return new MluDevice(`mlu:${index}`, library, facts, chip);
}
