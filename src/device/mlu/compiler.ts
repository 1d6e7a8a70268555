/**
 * BANG C to binaries: CNRTC at run time, else cncc, which makes a library of the host with a launcher for every kernel.
 * The architecture option is `mtp_` and the number that the device gives as its instruction set.
 * Main function: `mluCompiler`.
 */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { CompileError, DeviceError } from "../../base/errors.ts";
import { parametersOf, type ChipCompiler } from "../driver/kernel-binaries.ts";
import { openLibrary, under, type Bound, type Out } from "../driver/library.ts";
import { findProgram, runCompiler, versionOf } from "../driver/offline.ts";
import { checker } from "../driver/status.ts";
import { BANG_C, cnrtc, cnrtcPlace } from "./ffi.ts";
import { cnrtcErrors } from "./status.ts";

export function mluCompiler(isa: number): ChipCompiler {
  const arch = `--bang-mlu-arch=mtp_${isa}`;
  const rtc = openLibrary(cnrtcPlace, cnrtc);
  if (rtc) return runTimeCompiler(rtc, arch);
  const cncc = findCncc();
  if (cncc) return offlineCompiler(cncc, arch);
  throw new DeviceError(`mlu: expected libcnrtc.so or cncc, found neither: ${cnrtcPlace.install}`, { backend: "mlu" });
}

export const findCncc = (): string | undefined => findProgram("cncc", under("NEUWARE_HOME", ["/usr/local/neuware"], ["bin"])); // prettier-ignore

function runTimeCompiler(rtc: Bound<typeof cnrtc>, arch: string): ChipCompiler {
  const check = checker({ backend: "mlu", success: "CNRTC_SUCCESS", names: cnrtcErrors, describe: (code) => rtc.cnrtcTransStatusToString?.(code) }); // prettier-ignore
  const [major, minor]: [Out, Out] = [[0], [0]];
  check("cnrtcVersion", rtc.cnrtcVersion(major, minor));
  const options = ["--bang-fatbin-only", arch, "-O3", "-std=c++17"];
  const compile = (code: number): Uint8Array => {
    if (rtc.cnrtcCompileCode(code, options.length, options) !== 0) throw new CompileError(`cnrtcCompileCode failed\n${logOf(rtc, code).slice(0, 2000)}`, { pass: "compile", target: "mlu" }); // prettier-ignore
    const size: Out = [0];
    check("cnrtcGetFatBinarySize", rtc.cnrtcGetFatBinarySize(code, size));
    const data = new Uint8Array(size[0]);
    check("cnrtcGetFatBinary", rtc.cnrtcGetFatBinary(code, data));
    return data;
  };
  return {
    target: "mlu",
    identity: `cnrtc ${major[0]}.${minor[0]}, ${options.join(" ")}`,
    form: "module",
    compile(source, path) {
      const code: Out = [0];
      check("cnrtcCreateCodeV2", rtc.cnrtcCreateCodeV2(code, source, BANG_C, null, 0, null, null));
      try {
        writeFileSync(path, compile(code[0]));
      } finally {
        check("cnrtcDestroyCode", rtc.cnrtcDestroyCode(code));
      }
    },
  };
}

function logOf(rtc: Bound<typeof cnrtc>, code: number): string {
  const size: Out = [0];
  if (!rtc.cnrtcGetCompilationLogSize || !rtc.cnrtcGetCompilationLog || rtc.cnrtcGetCompilationLogSize(code, size) !== 0) return "(no log)"; // prettier-ignore
  const log = new Uint8Array(size[0] + 1);
  rtc.cnrtcGetCompilationLog(code, log);
  return new TextDecoder().decode(log.subarray(0, log.indexOf(0)));
}

function offlineCompiler(cncc: string, arch: string): ChipCompiler {
  const home = process.env["NEUWARE_HOME"] ?? join(dirname(cncc), "..");
  const options = [arch, "-O3", "-std=c++17", "-fPIC", "-shared", `-I${home}/include`, `-L${home}/lib64`, "-lcnrt", "-lcndrv", "-lstdc++", "-lm"]; // prettier-ignore
  return {
    target: "mlu",
    identity: `${versionOf(cncc)}, ${options.join(" ")}`,
    form: "launchers",
    compile: (source, path) => runCompiler(cncc, `#include <cnrt.h>\n${source}`, path, ".mlu", options, "mlu"),
    launcher(symbol, source, kind) {
      const taskType = `cnrtFuncType${kind[0]!.toUpperCase()}${kind.slice(1)}`;
      const args = parametersOf(symbol, source).map(({ type }, i) => `*(${type}*)args[${i}]`);
      return `extern "C" void ${symbol}_launch(uint32_t numBlocks, void* queue, void** args) {\n  cnrtDim3_t dim = {numBlocks, 1, 1};\n  ${symbol}<<<dim, ${taskType}, (cnrtQueue_t)queue>>>(${args.join(", ")});\n}\n`; // prettier-ignore
    },
  };
}
