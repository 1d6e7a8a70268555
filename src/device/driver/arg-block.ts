/**
 * Arguments of a launch in native memory: one 8-byte word each, and beside them the array of their addresses that
 * launch functions take (`void** args`). One block serves a device: drivers read it before a launch call returns.
 * Main function: `fill`.
 */
import koffi from "koffi";
import { CompileError } from "../../base/errors.ts";

/** Of one launch. */
export const MAX_ARGS = 64;

export class ArgBlock {
  /** Address of the words, which lie in a row. */
  readonly words: number;
  /** Address of the array of their addresses. */
  readonly pointers: number;
  private readonly memory: unknown;
  private readonly view: BigUint64Array;

  constructor() {
    this.memory = koffi.alloc("uint64_t", 2 * MAX_ARGS);
    this.words = Number(koffi.address(this.memory));
    this.pointers = this.words + MAX_ARGS * 8;
    this.view = new BigUint64Array(koffi.view(this.memory, 2 * MAX_ARGS * 8));
    for (let i = 0; i < MAX_ARGS; i++) this.view[MAX_ARGS + i] = BigInt(this.words + 8 * i);
  }

  fill(words: BigUint64Array): void {
    if (words.length > MAX_ARGS) throw new CompileError(`launch: expected at most ${MAX_ARGS} arguments, got ${words.length}`, { pass: "launch", target: "chip" }); // prettier-ignore
    this.view.set(words);
  }

  /** The first words as bytes. */
  bytes(numArgs: number): Uint8Array {
    return new Uint8Array(this.view.buffer, 0, 8 * numArgs);
  }

  dispose(): void {
    koffi.free(this.memory);
  }
}
