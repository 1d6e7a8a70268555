/** `tessera <command>`: a table of commands, loaded when called. Errors become one line and exit code 1. */
import { defineCommand, runCommand, runMain } from "citty";
import pc from "picocolors";

const commands = {
  serve: () => import("./serve.ts").then((m) => m.serveCommand),
  chat: () => import("./chat.ts").then((m) => m.chatCommand),
  generate: () => import("./generate.ts").then((m) => m.generateCommand),
  data: () => import("./data.ts").then((m) => m.dataCommand),
  eval: () => import("./eval.ts").then((m) => m.evalCommand),
  verify: () => import("./verify.ts").then((m) => m.verifyCommand),
  train: () => import("./train.ts").then((m) => m.trainCommand),
  chips: () => import("./chips.ts").then((m) => m.chipsCommand),
  inspect: () => import("./checkpoint.ts").then((m) => m.inspectCommand),
  import: () => import("./checkpoint.ts").then((m) => m.importCommand),
  export: () => import("./checkpoint.ts").then((m) => m.exportCommand),
  bench: () => import("./bench.ts").then((m) => m.benchCommand),
};

const root = defineCommand({
  meta: {
    name: "tessera",
    version: "0.1.0",
    description: "One open DeepSeek-V4-architecture model that reads and writes text, pictures and clips",
  },
  subCommands: commands,
});

export async function main(args: string[]): Promise<void> {
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  const wantsHelp = args.length === 0 || args.some((arg) => arg === "--help" || arg === "-h" || arg === "--version");
  if (wantsHelp) return runMain(root, { rawArgs: args });
  await runCommand(root, { rawArgs: args }).catch(fail);
}

/** What the user must know, without a stack, unless TESSERA_DEBUG is set. */
function fail(error: unknown): never {
  // Who reads has seen enough, as `head` has.
  if ((error as NodeJS.ErrnoException | undefined)?.code === "EPIPE") process.exit(0);
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`${pc.red("error")}: ${message}\n`);
  if (error instanceof Error && error.name === "CLIError") process.stderr.write("`tessera --help` and `tessera <command> --help` say what there is\n"); // prettier-ignore
  if (process.env["TESSERA_DEBUG"] && error instanceof Error) process.stderr.write(`${error.stack}\n`);
  process.exit(1);
}
