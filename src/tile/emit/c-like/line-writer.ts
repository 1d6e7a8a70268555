/** Lines with indentation, and the scratch plan of one kernel: byte ranges that are reused once their tile is dead. */

export class LineWriter {
  private readonly lines: string[] = [];
  private depth = 1;
  add(...text: string[]): void {
    for (const line of text) this.lines.push("  ".repeat(this.depth) + line);
  }
  block(head: string, body: () => void): void {
    this.add(`${head}{`);
    this.depth++;
    body();
    this.depth--;
    this.add("}");
  }
  toString(): string {
    return this.lines.join("\n");
  }
}

interface Range {
  readonly from: number;
  readonly to: number;
  /** Statement position after which the range is free. */
  readonly until: number;
}

/** First fit over live ranges; all offsets are multiples of 64. */
export class ScratchPlan {
  private live: Range[] = [];
  /** Bytes needed in all. */
  size = 0;
  alloc(bytes: number, until: number): number {
    const need = Math.ceil(bytes / 64) * 64;
    let from = 0;
    for (const r of this.live) {
      if (r.from - from >= need) break;
      from = Math.max(from, r.to);
    }
    this.live.push({ from, to: from + need, until });
    this.live.sort((a, b) => a.from - b.from);
    this.size = Math.max(this.size, from + need);
    return from;
  }
  /** Frees what no statement after `position` reads. */
  release(position: number): void {
    this.live = this.live.filter((r) => r.until > position);
  }
}
