/**
 * The mock vendors: libraries with the exported names of AscendCL, CNRT and their run-time compilers, built from the C++
 * beside this file, and mock compilers bisheng and cncc. What is compiled goes to the host's compiler with a simulator's
 * headers; what is launched runs there. Main function: `mockVendors`.
 */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { findCompiler, Toolchain } from "../../../src/device/cpu/toolchain.ts";
import { simTargets } from "../../../src/device/sim/targets.ts";

const here = dirname(fileURLToPath(import.meta.url));

export interface MockVendors {
  /** Has all the libraries. */
  readonly libraries: string;
  /** Has the libraries but those of the run-time compilers. */
  readonly withoutRtc: string;
  /** Has bisheng and cncc. */
  readonly bin: string;
  /** Has nothing. */
  readonly empty: string;
  dispose(): void;
}

const flags = ["-std=gnu++20", "-fvisibility=hidden", "-fno-gnu-unique", "-ldl", "-Wl,-z,nodelete"];
const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * Gives every kernel its entry: `_pack` and `_enter` of entry.h. A kernel's kind stands in its text; memories of BANG C
 * are named by the macro ts_kernel.
 */
const addEntries = `
function flush() { if (name != "") print "MOCK_ENTRY(" name ", " kind ")"; name = "" }
function kernelOf(line) { sub(/\\(.*/, "", line); sub(/.* /, "", line); return line }
BEGIN { name = "" }
# The file is read twice: memories may be declared before the kernel whose they are.
NR == FNR { if (/^extern "C" .*__(mlu_)?global__/) names[++numNames] = kernelOf($0); next }
FNR == 1 { print "#include \\"entry.h\\"" }
/^#include <bang.h>/ { print "#undef ts_kernel"; print "#define ts_kernel " names[++at] }
/^extern "C"/ { flush() }
/^extern "C" .*__(mlu_)?global__/ {
  name = kernelOf($0); kind = -1
}
/KERNEL_TYPE_AIV_ONLY/ { kind = 0 }
/KERNEL_TYPE_AIC_ONLY/ { kind = 1 }
/KERNEL_TYPE_MIX_AIC_1_2/ { kind = 2 }
/KERNEL_TYPE_MIX_AIC_1_1/ { kind = 3 }
/^extern "C" void .*_launch\\(/ { sub(/void/, "__attribute__((visibility(\\"default\\"))) void") }
/<<</ { gsub(/<<</, ", "); gsub(/>>>/, ")"); sub(/ts_[0-9a-f]+, /, "MOCK_LAUNCH(&") }
{ print }
END { flush() }
`;

/** `sim` is the simulator, e.g. sim:ascend-910b; fast leaves its checks out. */
export function mockVendors(
  sims: { ascend: keyof typeof simTargets; mlu: keyof typeof simTargets },
  isFast: boolean,
): MockVendors {
  const compiler = findCompiler()!;
  const toolchain = new Toolchain(compiler, { folders: [here], header: "vendor.h" });
  const build = (name: string, links: readonly string[] = []): string =>
    toolchain.library({ name, source: readFileSync(join(here, `${name}.cpp`), "utf8"), flags: [...flags, ...links] });
  const ascendCl = build("ascendcl");
  const cndrv = build("cndrv");
  const built = {
    "libascendcl.so": ascendCl,
    "libacl_rtc.so": build("acl-rtc"),
    "libcndrv.so": cndrv,
    "libcnrt.so": build("cnrt", ["-Wl,--no-as-needed", cndrv]),
    "libcnrtc.so": build("cnrtc"),
  };
  const root = mkdtempSync(join(tmpdir(), "tessera-mock-"));
  const folder = (name: string): string => {
    mkdirSync(join(root, name));
    return join(root, name);
  };
  const [libraries, withoutRtc, bin, empty] = [folder("lib"), folder("older"), folder("bin"), folder("empty")];
  for (const [file, path] of Object.entries(built)) {
    symlinkSync(path, join(libraries, file));
    if (!file.includes("rtc")) symlinkSync(path, join(withoutRtc, file));
  }
  writeFileSync(join(root, "entries.awk"), addEntries);
  const script = (path: string, lines: readonly string[]): void => {
    writeFileSync(path, `#!/bin/sh\n${lines.join("\n")}\n`);
    chmodSync(path, 0o755);
  };
  /** compile SOURCE OUT */
  const compile = (sim: keyof typeof simTargets): string => {
    const target = simTargets[sim];
    const own = ["-std=gnu++20", isFast ? "-O2" : "-O1", ...(isFast ? ["-DSIM_FAST"] : []), "-shared", "-fPIC", "-w", "-fvisibility=hidden", "-fno-gnu-unique", "-ffp-contract=off", "-Wl,-z,nodelete"]; // prettier-ignore
    const includes = [...target.folders, here, join(here, "include")].flatMap((dir) => ["-I", dir]);
    const args = [compiler.path, ...own, ...includes, "-o"].map(quote).join(" ");
    return `awk -f ${quote(join(root, "entries.awk"))} "$1" "$1" > "$1.cc" && ${args} "$2" "$1.cc" ${target.flags.map(quote).join(" ")} -lm $MOCK_LINK`; // prettier-ignore
  };
  // Which chip is compiled for shows in the source.
  const branch = (sim: keyof typeof simTargets): string => `  ${compile(sim)}`;
  script(join(root, "compile"), [
    `if grep -q kernel_operator.h "$1"; then`,
    branch(sims.ascend),
    "else",
    branch(sims.mlu),
    "fi",
  ]);
  const offline = (name: string, option: string, link: string): void =>
    script(join(bin, name), [
      `[ "$1" = --version ] && { echo "mock ${name} 1.0"; exit 0; }`,
      "isFound=0",
      "while [ $# -gt 0 ]; do",
      `  case "$1" in ${option}) isFound=1 ;; -o) out="$2"; shift ;; *.cpp|*.mlu) in="$1" ;; esac`,
      "  shift",
      "done",
      `[ $isFound = 1 ] || { echo "no architecture" >&2; exit 1; }`,
      `MOCK_LINK=${quote(link)} exec ${quote(join(root, "compile"))} "$in" "$out"`,
    ]);
  offline("bisheng", "--npu-arch=dav-2201|--npu-arch=dav-3510", ascendCl);
  offline("cncc", "--bang-mlu-arch=mtp_372|--bang-mlu-arch=mtp_592", cndrv);
  process.env["TESSERA_MOCK_COMPILER"] = join(root, "compile");
  return { libraries, withoutRtc, bin, empty, dispose: () => rmSync(root, { recursive: true, force: true }) };
}
