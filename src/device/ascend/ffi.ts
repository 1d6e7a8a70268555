/**
 * AscendCL and its run-time compiler as this project calls them. Handles and device addresses are numbers here.
 * Source: the public runtime API reference of CANN (9.1 for what is optional, older releases for the rest).
 */
import { fn, optional, under, type LibraryPlace, type Out } from "../driver/library.ts";

type Status = number;

const folders = (): string[] => under("ASCEND_HOME_PATH", ["/usr/local/Ascend/ascend-toolkit/latest", "/usr/local/Ascend/cann", "/usr/local/Ascend/latest"], ["lib64"]); // prettier-ignore

export const ascendClPlace: LibraryPlace = {
  backend: "ascend",
  file: "libascendcl.so",
  folders,
  install: "install Huawei's Ascend driver, firmware and the CANN toolkit, then source its set_env.sh",
};
export const ascendRtcPlace: LibraryPlace = {
  backend: "ascend",
  file: "libacl_rtc.so",
  folders,
  install: "install CANN 8.5 or later for compilation at run time, or have bisheng of an older one on PATH",
};

export const MemcpyKind = { hostToDevice: 1, deviceToHost: 2, deviceToDevice: 3 } as const;
/** Of aclrtMalloc: huge pages where there are some. */
export const HUGE_FIRST = 0;
/** Of aclrtGetMemInfo; asks for DDR where there is no HBM. */
export const HBM_MEMORY = 1;

export const ascendCl = {
  aclInit: fn<(config: string | null) => Status>("int aclInit(const char*)"),
  aclFinalize: fn<() => Status>("int aclFinalize()"),
  /** What went wrong last on this thread. */
  aclGetRecentErrMsg: optional<() => string | null>("const char* aclGetRecentErrMsg()"),
  aclrtGetVersion: optional<(major: Out, minor: Out, patch: Out) => Status>(
    "int aclrtGetVersion(_Out_ int32_t*, _Out_ int32_t*, _Out_ int32_t*)",
  ),
  aclrtGetDeviceCount: fn<(count: Out) => Status>("int aclrtGetDeviceCount(_Out_ uint32_t*)"),
  /** Of the device that is set; null before. */
  aclrtGetSocName: fn<() => string | null>("const char* aclrtGetSocName()"),
  aclrtSetDevice: fn<(device: number) => Status>("int aclrtSetDevice(int32_t)"),
  aclrtResetDevice: fn<(device: number) => Status>("int aclrtResetDevice(int32_t)"),
  aclrtGetMemInfo: fn<(kind: number, free: Out, total: Out) => Status>(
    "int aclrtGetMemInfo(int, _Out_ size_t*, _Out_ size_t*)",
  ),
  aclrtCreateStream: fn<(stream: Out) => Status>("int aclrtCreateStream(_Out_ uintptr_t*)"),
  aclrtDestroyStream: fn<(stream: number) => Status>("int aclrtDestroyStream(uintptr_t)"),
  aclrtSynchronizeStream: fn<(stream: number) => Status>("int aclrtSynchronizeStream(uintptr_t)"),
  aclrtMalloc: fn<(address: Out, sizeBytes: number, policy: number) => Status>(
    "int aclrtMalloc(_Out_ uintptr_t*, size_t, int)",
  ),
  aclrtFree: fn<(address: number) => Status>("int aclrtFree(uintptr_t)"),
  copyFromHost: fn<(dst: number, dstMax: number, src: Uint8Array, count: number, kind: number) => Status>(
    "int aclrtMemcpy(uintptr_t, size_t, const void*, size_t, int)",
  ),
  copyToHost: fn<(dst: Uint8Array, dstMax: number, src: number, count: number, kind: number) => Status>(
    "int aclrtMemcpy(void*, size_t, uintptr_t, size_t, int)",
  ),
  aclrtMemcpyAsync: fn<(dst: number, dstMax: number, src: number, count: number, kind: number, stream: number) => Status>(
    "int aclrtMemcpyAsync(uintptr_t, size_t, uintptr_t, size_t, int, uintptr_t)",
  ), // prettier-ignore
  /** Options: null. */
  aclrtBinaryLoadFromData: optional<(data: Uint8Array, sizeBytes: number, options: null, binary: Out) => Status>(
    "int aclrtBinaryLoadFromData(const void*, size_t, void*, _Out_ uintptr_t*)",
  ),
  aclrtBinaryUnLoad: optional<(binary: number) => Status>("int aclrtBinaryUnLoad(uintptr_t)"),
  aclrtBinaryGetFunction: optional<(binary: number, name: string, kernel: Out) => Status>(
    "int aclrtBinaryGetFunction(uintptr_t, const char*, _Out_ uintptr_t*)",
  ),
  /** CANN 9.1: every element of `args` points at an argument in host memory. */
  aclrtLaunchKernelWithArgsArray: optional<(kernel: number, numBlocks: number, stream: number, config: null, args: number) => Status>(
    "int aclrtLaunchKernelWithArgsArray(uintptr_t, uint32_t, uintptr_t, void*, uintptr_t)",
  ), // prettier-ignore
  /** CANN 8.5: the arguments in a row in host memory, 8 bytes each. */
  aclrtLaunchKernelWithHostArgs: optional<(kernel: number, numBlocks: number, stream: number, config: null, args: number, sizeBytes: number, holes: null, numHoles: number) => Status>(
    "int aclrtLaunchKernelWithHostArgs(uintptr_t, uint32_t, uintptr_t, void*, uintptr_t, size_t, void*, size_t)",
  ), // prettier-ignore
  /** Since CANN 8.0: the arguments in a row in device memory, 8 bytes each, until the kernel has run. */
  aclrtLaunchKernel: optional<(kernel: number, numBlocks: number, args: number, sizeBytes: number, stream: number) => Status>(
    "int aclrtLaunchKernel(uintptr_t, uint32_t, uintptr_t, size_t, uintptr_t)",
  ), // prettier-ignore
};

export const ascendRtc = {
  aclrtcCreateProg: fn<(program: Out, source: string, name: string, numHeaders: number, headers: null, names: null) => Status>(
    "int aclrtcCreateProg(_Out_ uintptr_t*, const char*, const char*, int, void*, void*)",
  ), // prettier-ignore
  aclrtcCompileProg: fn<(program: number, numOptions: number, options: readonly string[]) => Status>(
    "int aclrtcCompileProg(uintptr_t, int, const char**)",
  ),
  aclrtcDestroyProg: fn<(program: Out) => Status>("int aclrtcDestroyProg(_Inout_ uintptr_t*)"),
  aclrtcGetBinDataSize: fn<(program: number, sizeBytes: Out) => Status>(
    "int aclrtcGetBinDataSize(uintptr_t, _Out_ size_t*)",
  ),
  aclrtcGetBinData: fn<(program: number, data: Uint8Array) => Status>("int aclrtcGetBinData(uintptr_t, void*)"),
  aclrtcGetCompileLogSize: optional<(program: number, sizeBytes: Out) => Status>(
    "int aclrtcGetCompileLogSize(uintptr_t, _Out_ size_t*)",
  ),
  aclrtcGetCompileLog: optional<(program: number, log: Uint8Array) => Status>(
    "int aclrtcGetCompileLog(uintptr_t, void*)",
  ),
};
