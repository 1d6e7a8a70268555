/** Many slow jobs, results in order. Main function: `inOrder`. */
import { availableParallelism } from "node:os";

/** Results of `work` in the order of `items`, as many under way as there are cores. */
export async function* inOrder<T, R>(items: Iterable<T>, work: (item: T) => Promise<R>): AsyncGenerator<R> {
  const width = availableParallelism();
  const queue: Promise<R>[] = [];
  for (const item of items) {
    const result = work(item);
    // An error is thrown when its turn comes; until then it is not unhandled.
    result.catch(() => {});
    queue.push(result);
    if (queue.length >= width) yield await queue.shift()!;
  }
  while (queue.length > 0) yield await queue.shift()!;
}
