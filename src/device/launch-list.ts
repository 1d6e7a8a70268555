/**
 * Launches that wait, so that many become one: their programs are parts of one kernel (tile/emit/ascend/list.ts,
 * tile/emit/mlu/list.ts), which reads from device memory what to run. A device that has a list runs it before anything
 * that does not go through it: a copy, a launch of another program, a wait.
 * A record is 8-byte words: which case of the kernel, the program's arguments in order, the grid. Main class: `LaunchList`.
 */
import { DeviceError } from "../base/errors.ts";
import type { Param, TileProgram } from "../tile/ir.ts";
import type { EmittedList } from "./chip-targets.ts";
import type { BufferArg, LaunchArg } from "./device.ts";

/**
 * Words that wait at most; a step of the largest network has fewer. A device takes memory for so many once, when the list
 * is made: what waits may use memory that its owner has freed, so nothing may be taken when the list runs.
 */
const MAX_WORDS = 1 << 16;
export const LIST_BYTES = 8 * MAX_WORDS;

const scratch = new DataView(new ArrayBuffer(8));
/** An integer or an address as a word. */
export const wordOf = (value: number): bigint => BigInt.asUintN(64, BigInt(value));
/** A float, in the low half of its word. */
function floatWord(value: number): bigint {
  scratch.setBigUint64(0, 0n, true);
  scratch.setFloat32(0, value, true);
  return scratch.getBigUint64(0, true);
}
export const addressWord = ({ buffer, byteOffset }: BufferArg): bigint => wordOf(buffer.handle + byteOffset);

/** `backend` is named by the error where the argument is missing. */
export function argumentWord(program: TileProgram, { name, kind }: Param, arg: LaunchArg | undefined, backend: string): bigint {
  if (arg === undefined) throw new DeviceError(`launch ${program.name}: expected argument "${name}" (${kind})`, { backend });
  if (typeof arg !== "number") return addressWord(arg);
  return kind === "scalar" ? floatWord(arg) : wordOf(arg);
} // prettier-ignore

/** What waits, for the kernel that runs it. */
export interface Waiting {
  readonly words: BigUint64Array;
  readonly numLaunches: number;
  /** Everything that the words point to. */
  readonly memory: ReadonlyMap<number, BufferArg>;
}

export class LaunchList {
  /** Lists that have run: what a host starts. */
  numRuns = 0;
  numLaunches = 0;
  private readonly numbers: ReadonlyMap<TileProgram, number>;
  private readonly start: (waiting: Waiting) => void;
  private readonly backend: string;
  private readonly caseOf: EmittedList["caseOf"];
  private words: bigint[] = [];
  private waiting = 0;
  private memory = new Map<number, BufferArg>();

  constructor(
    programs: readonly TileProgram[],
    { caseOf }: Pick<EmittedList, "caseOf">,
    backend: string,
    start: (waiting: Waiting) => void,
  ) {
    this.caseOf = caseOf;
    this.numbers = new Map(programs.map((program, i) => [program, i]));
    this.backend = backend;
    this.start = start;
  }

  has(program: TileProgram): boolean {
    return this.numbers.has(program);
  }

  push(program: TileProgram, [x = 1, y = 1, z = 1]: readonly number[], args: Readonly<Record<string, LaunchArg>>): void {
    if (this.words.length + program.params.length + 4 > MAX_WORDS) this.run();
    this.words.push(wordOf(this.caseOf(this.numbers.get(program)!, [x, y, z])));
    for (const param of program.params) {
      const arg = args[param.name];
      this.words.push(argumentWord(program, param, arg, this.backend));
      if (typeof arg === "object") this.remember(arg);
    }
    this.words.push(wordOf(x), wordOf(y), wordOf(z));
    this.waiting++;
  } // prettier-ignore
  /** Memory that was freed and taken again counts once, as large as it is at most. */
  private remember({ buffer }: BufferArg): void {
    const known = this.memory.get(buffer.handle);
    if (!known || known.buffer.sizeBytes < buffer.sizeBytes) this.memory.set(buffer.handle, { buffer, byteOffset: 0 });
  }

  /** Starts what waits. */
  run(): void {
    if (this.waiting === 0) return;
    const { words, memory, waiting: numLaunches } = this;
    [this.words, this.waiting, this.memory] = [[], 0, new Map()];
    this.numRuns++;
    this.numLaunches += numLaunches;
    this.start({ words: BigUint64Array.from(words), numLaunches, memory });
  }
}
