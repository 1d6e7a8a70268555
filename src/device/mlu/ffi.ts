/**
 * CNRT, CNDrv and CNRTC as this project calls them. Handles and device addresses are numbers here.
 * Source: names, parameters and values of the public headers of CNRT 6, CNDrv 2 and CNRTC 0.5.
 */
import { fn, optional, under, type LibraryPlace, type Out } from "../driver/library.ts";

type Status = number;

const install = "install Cambricon's driver and CNToolkit, and set NEUWARE_HOME";
const place = (file: string): LibraryPlace => ({
  backend: "mlu",
  file,
  folders: () => under("NEUWARE_HOME", ["/usr/local/neuware"], ["lib64"]),
  install,
});
export const cnrtPlace = place("libcnrt.so");
export const cndrvPlace = place("libcndrv.so");
export const cnrtcPlace = place("libcnrtc.so");

export const MemcpyKind = { hostToDevice: 0, deviceToDevice: 1, deviceToHost: 2 } as const;
/** cnrtDeviceAttr_t. */
export const Attribute = { clusters: 0x205, coresPerCluster: 0x206, isaVersion: 0x20a } as const;
/** KernelClass of cnInvokeKernel by the kind of a kernel. */
export const kernelClasses: Readonly<Record<string, number>> = {
  block: 1,
  union1: 4,
  union2: 8,
  union4: 16,
  union8: 32,
  union16: 64,
};
/** cnrtcCodeType. */
export const BANG_C = 0;

export const cnrt = {
  cnrtGetDeviceCount: fn<(count: Out) => Status>("int cnrtGetDeviceCount(_Out_ uint32_t*)"),
  cnrtSetDevice: fn<(device: number) => Status>("int cnrtSetDevice(int)"),
  cnrtDeviceGetAttribute: fn<(value: Out, attribute: number, device: number) => Status>(
    "int cnrtDeviceGetAttribute(_Out_ int*, int, int)",
  ),
  cnrtMemGetInfo: fn<(free: Out, total: Out) => Status>("int cnrtMemGetInfo(_Out_ size_t*, _Out_ size_t*)"),
  cnrtGetLibVersion: optional<(major: Out, minor: Out, patch: Out) => Status>(
    "int cnrtGetLibVersion(_Out_ int*, _Out_ int*, _Out_ int*)",
  ),
  cnrtGetErrorStr: optional<(code: number) => string | null>("const char* cnrtGetErrorStr(int)"),
  cnrtQueueCreate: fn<(queue: Out) => Status>("int cnrtQueueCreate(_Out_ uintptr_t*)"),
  cnrtQueueDestroy: fn<(queue: number) => Status>("int cnrtQueueDestroy(uintptr_t)"),
  cnrtQueueSync: fn<(queue: number) => Status>("int cnrtQueueSync(uintptr_t)"),
  cnrtMalloc: fn<(address: Out, sizeBytes: number) => Status>("int cnrtMalloc(_Out_ uintptr_t*, size_t)"),
  cnrtFree: fn<(address: number) => Status>("int cnrtFree(uintptr_t)"),
  copyFromHost: fn<(dst: number, src: Uint8Array, sizeBytes: number, kind: number) => Status>(
    "int cnrtMemcpy(uintptr_t, const void*, size_t, int)",
  ),
  copyToHost: fn<(dst: Uint8Array, src: number, sizeBytes: number, kind: number) => Status>(
    "int cnrtMemcpy(void*, uintptr_t, size_t, int)",
  ),
  cnrtMemcpyAsync: fn<(dst: number, src: number, sizeBytes: number, queue: number, kind: number) => Status>(
    "int cnrtMemcpyAsync(uintptr_t, uintptr_t, size_t, uintptr_t, int)",
  ),
};

export const cndrv = {
  cnInit: fn<(flags: number) => Status>("int cnInit(uint32_t)"),
  cnDeviceGet: fn<(device: Out, index: number) => Status>("int cnDeviceGet(_Out_ int*, int)"),
  cnDeviceGetName: fn<(name: Uint8Array, sizeBytes: number, device: number) => Status>(
    "int cnDeviceGetName(void*, uint32_t, int)",
  ),
  /** The context that CNRT works in, made current, as others do who use both libraries. */
  cnSharedContextAcquire: fn<(context: Out, device: number) => Status>(
    "int cnSharedContextAcquire(_Out_ uintptr_t*, int)",
  ),
  cnSharedContextRelease: fn<(device: number) => Status>("int cnSharedContextRelease(int)"),
  cnCtxSetCurrent: fn<(context: number) => Status>("int cnCtxSetCurrent(uintptr_t)"),
  cnModuleLoadFatBinary: fn<(data: Uint8Array, module: Out) => Status>(
    "int cnModuleLoadFatBinary(const void*, _Out_ uintptr_t*)",
  ),
  cnModuleUnload: fn<(module: number) => Status>("int cnModuleUnload(uintptr_t)"),
  cnModuleGetKernel: fn<(module: number, name: string, kernel: Out) => Status>(
    "int cnModuleGetKernel(uintptr_t, const char*, _Out_ uintptr_t*)",
  ),
  /** `args`: an array of the arguments' addresses. */
  cnInvokeKernel: fn<(kernel: number, x: number, y: number, z: number, kernelClass: number, reserve: number, queue: number, args: number, extra: null) => Status>(
    "int cnInvokeKernel(uintptr_t, uint32_t, uint32_t, uint32_t, int, uint32_t, uintptr_t, uintptr_t, void*)",
  ), // prettier-ignore
};

export const cnrtc = {
  cnrtcVersion: fn<(major: Out, minor: Out) => Status>("int cnrtcVersion(_Out_ int*, _Out_ int*)"),
  cnrtcTransStatusToString: optional<(code: number) => string | null>("const char* cnrtcTransStatusToString(int)"),
  cnrtcCreateCodeV2: fn<(code: Out, source: string, type: number, name: null, numHeaders: number, headers: null, names: null) => Status>(
    "int cnrtcCreateCodeV2(_Inout_ uintptr_t*, const char*, int, void*, int, void*, void*)",
  ), // prettier-ignore
  cnrtcDestroyCode: fn<(code: Out) => Status>("int cnrtcDestroyCode(_Inout_ uintptr_t*)"),
  cnrtcCompileCode: fn<(code: number, numOptions: number, options: readonly string[]) => Status>(
    "int cnrtcCompileCode(uintptr_t, int, const char**)",
  ),
  cnrtcGetFatBinarySize: fn<(code: number, sizeBytes: Out) => Status>(
    "int cnrtcGetFatBinarySize(uintptr_t, _Out_ uint32_t*)",
  ),
  cnrtcGetFatBinary: fn<(code: number, data: Uint8Array) => Status>("int cnrtcGetFatBinary(uintptr_t, void*)"),
  cnrtcGetCompilationLogSize: optional<(code: number, sizeBytes: Out) => Status>(
    "int cnrtcGetCompilationLogSize(uintptr_t, _Out_ uint32_t*)",
  ),
  cnrtcGetCompilationLog: optional<(code: number, log: Uint8Array) => Status>(
    "int cnrtcGetCompilationLog(uintptr_t, void*)",
  ),
};
