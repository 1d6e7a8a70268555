/** Progress of the first start's compilation: a bar on a terminal, a line per step elsewhere. */
import { SingleBar } from "cli-progress";

export interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Call it with kernels done and in all; the bar opens at the first call and closes when all are done. */
export function compileProgress(output: Output = process.stderr): (done: number, total: number) => void {
  if (!output.isTTY)
    return (done, total) => void output.write(`compiling kernels ${done}/${total}, first start only\n`);
  let bar: SingleBar | undefined;
  return (done, total) => {
    if (!bar) {
      const format = "compiling kernels [{bar}] {value}/{total}, first start only";
      bar = new SingleBar({ format, stream: output as NodeJS.WritableStream, clearOnComplete: true, hideCursor: true });
      bar.start(total, done);
    }
    bar.update(done);
    if (done === total) bar.stop();
  };
}
