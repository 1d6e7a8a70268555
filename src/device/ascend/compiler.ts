/**
 * Ascend C to binaries: compilation at run time (libacl_rtc), else bisheng, which makes a library of the host with a
 * launcher for every kernel. Main function: `ascendCompiler`.
 */
import { dirname, join } from "node:path";
import { writeFileSync } from "node:fs";
import { CompileError, DeviceError } from "../../base/errors.ts";
import { parametersOf, type ChipCompiler } from "../driver/kernel-binaries.ts";
import { openLibrary, under, type Bound, type Out } from "../driver/library.ts";
import { findProgram, runCompiler, versionOf } from "../driver/offline.ts";
import { checker } from "../driver/status.ts";
import { ascendRtc, ascendRtcPlace } from "./ffi.ts";
import { aclErrors } from "./status.ts";

export function ascendCompiler(npuArch: string, canLoad: boolean, version: string): ChipCompiler {
  const rtc = canLoad ? openLibrary(ascendRtcPlace, ascendRtc) : undefined;
  if (rtc) return runTimeCompiler(rtc, npuArch, version);
  const bisheng = findBisheng();
  if (bisheng) return offlineCompiler(bisheng, npuArch);
  throw new DeviceError(`ascend: expected libacl_rtc.so or bisheng, found neither: ${ascendRtcPlace.install}`, { backend: "ascend" }); // prettier-ignore
}

/** Folders of the compiler differ between releases. */
export const findBisheng = (): string | undefined => findProgram("bisheng", under("ASCEND_HOME_PATH", ["/usr/local/Ascend/ascend-toolkit/latest"], ["bin", "compiler/ccec_compiler/bin", "tools/bisheng_compiler/bin"])); // prettier-ignore

function runTimeCompiler(rtc: Bound<typeof ascendRtc>, npuArch: string, version: string): ChipCompiler {
  const check = checker({ backend: "ascend", success: "ACL_SUCCESS", names: aclErrors });
  const options = [`--npu-arch=${npuArch}`];
  const compile = (program: number): Uint8Array => {
    if (rtc.aclrtcCompileProg(program, options.length, options) !== 0) throw new CompileError(`aclrtcCompileProg failed\n${logOf(rtc, program).slice(0, 2000)}`, { pass: "compile", target: "ascend" }); // prettier-ignore
    const size: Out = [0];
    check("aclrtcGetBinDataSize", rtc.aclrtcGetBinDataSize(program, size));
    const data = new Uint8Array(size[0]);
    check("aclrtcGetBinData", rtc.aclrtcGetBinData(program, data));
    return data;
  };
  return {
    target: "ascend",
    identity: `aclrtc of CANN ${version}, ${options.join(" ")}`,
    form: "module",
    compile(source, path) {
      const program: Out = [0];
      check("aclrtcCreateProg", rtc.aclrtcCreateProg(program, source, "tessera", 0, null, null));
      try {
        writeFileSync(path, compile(program[0]));
      } finally {
        check("aclrtcDestroyProg", rtc.aclrtcDestroyProg(program));
      }
    },
  };
}

function logOf(rtc: Bound<typeof ascendRtc>, program: number): string {
  const size: Out = [0];
  if (!rtc.aclrtcGetCompileLogSize || !rtc.aclrtcGetCompileLog || rtc.aclrtcGetCompileLogSize(program, size) !== 0) return "(no log)"; // prettier-ignore
  const log = new Uint8Array(size[0] + 1);
  rtc.aclrtcGetCompileLog(program, log);
  return new TextDecoder().decode(log.subarray(0, log.indexOf(0)));
}

function offlineCompiler(bisheng: string, npuArch: string): ChipCompiler {
  const home = process.env["ASCEND_HOME_PATH"] ?? join(dirname(bisheng), "..");
  const options = [`--npu-arch=${npuArch}`, "-O2", "-std=c++17", "-xasc", "--shared", "-fPIC", `-I${home}/include`, `-L${home}/lib64`, "-lruntime", "-lascendcl"]; // prettier-ignore
  return {
    target: "ascend",
    identity: `${versionOf(bisheng)}, ${options.join(" ")}`,
    form: "launchers",
    compile: (source, path) => runCompiler(bisheng, source, path, ".cpp", options, "ascend"),
    launcher(symbol, source) {
      const args = parametersOf(symbol, source).map(({ type }, i) => `*(${type === "GM_ADDR" ? "uint8_t*" : type}*)args[${i}]`); // prettier-ignore
      return `extern "C" void ${symbol}_launch(uint32_t numBlocks, void* stream, void** args) {\n  ${symbol}<<<numBlocks, nullptr, stream>>>(${args.join(", ")});\n}\n`; // prettier-ignore
    },
  };
}
