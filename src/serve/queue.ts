/** One generation at a time, first come first served: the device has one owner. Main function: `Queue.run`. */
export class Queue {
  private tail: Promise<void> = Promise.resolve();
  private numWaiting = 0;

  get length(): number {
    return this.numWaiting;
  }

  /** Yields what `work` yields once everything before it is done; skipped when aborted while waiting. */
  async *run<T>(work: () => AsyncGenerator<T>, signal?: AbortSignal): AsyncGenerator<T> {
    const before = this.tail;
    let release!: () => void;
    this.tail = new Promise((resolve) => (release = resolve));
    this.numWaiting++;
    try {
      await before;
      if (!signal?.aborted) yield* work();
    } finally {
      this.numWaiting--;
      release();
    }
  }

  /** Resolves when nothing is running or waiting. */
  async drain(): Promise<void> {
    while (this.numWaiting > 0) await this.tail;
  }
}
