/**
 * Which results of earlier launches still lie in the cache that all cores of a chip share when a later one reads them.
 * Least recently used goes first; everything that a launch moves passes through, weights too. Only a share of the cache is
 * counted on (cost-table.ts), and writing always costs its bytes of device memory: they leave the cache some time.
 * Main class: `SharedCache`.
 */
export class SharedCache {
  /** Bytes by buffer, the oldest first. */
  private readonly kept = new Map<unknown, number>();
  private total = 0;
  private readonly capacity: number;

  constructor(capacityBytes: number) {
    this.capacity = capacityBytes;
  }

  /** Of so many bytes of a buffer, those that need not come from device memory. */
  has(buffer: unknown, bytes: number): number {
    return Math.min(bytes, this.kept.get(buffer) ?? 0);
  }

  /** What one launch moved. Of a launch that moves more than there is room for, every buffer keeps its share. */
  pass(moved: readonly (readonly [buffer: unknown, bytes: number])[]): void {
    const sum = moved.reduce((s, [, bytes]) => s + bytes, 0);
    const share = Math.min(1, this.capacity / sum);
    for (const [buffer, bytes] of moved) {
      const now = Math.max(bytes * share, share < 1 ? 0 : (this.kept.get(buffer) ?? 0));
      this.drop(buffer);
      this.kept.set(buffer, now);
      this.total += now;
    }
    for (const buffer of this.kept.keys()) {
      if (this.total <= this.capacity) break;
      this.drop(buffer);
    }
  }

  /** Another card, or the host, has written it since. */
  drop(buffer: unknown): void {
    this.total -= this.kept.get(buffer) ?? 0;
    this.kept.delete(buffer);
  }
}
