/**
 * Text that leaves in whole pieces: a character split over tokens waits for its last byte, and text that may be
 * the beginning of a stop string waits until it is not. Nothing that was held back is lost at the end.
 * Main part: `TextStream`.
 */

export class TextStream {
  private readonly decoder = new TextDecoder("utf-8");
  private readonly stop: readonly string[];
  private held = "";
  private stopped = false;

  constructor(stop: readonly string[] = []) {
    this.stop = stop.filter((s) => s !== "");
  }
  /** True once a stop string came; all later text is dropped. */
  get isStopped(): boolean {
    return this.stopped;
  }
  /** Bytes of one token -> text that may be shown now. */
  push(bytes: Uint8Array): string {
    return this.take(this.decoder.decode(bytes, { stream: true }));
  }
  /** The rest, after the last token. */
  end(): string {
    const text = this.take(this.decoder.decode());
    const rest = this.stopped ? "" : this.held;
    this.held = "";
    return text + rest;
  }

  private take(text: string): string {
    if (this.stopped) return "";
    const all = this.held + text;
    let cut = -1;
    for (const s of this.stop) {
      const at = all.indexOf(s);
      if (at >= 0 && (cut < 0 || at < cut)) cut = at;
    }
    if (cut >= 0) {
      this.stopped = true;
      this.held = "";
      return all.slice(0, cut);
    }
    const keep = this.stop.reduce((n, s) => Math.max(n, overlap(all, s)), 0);
    this.held = all.slice(all.length - keep);
    return all.slice(0, all.length - keep);
  }
}

/** Length of the longest end of `text` that begins `s` without being all of it. */
function overlap(text: string, s: string): number {
  for (let n = Math.min(text.length, s.length - 1); n > 0; n--) if (text.endsWith(s.slice(0, n))) return n;
  return 0;
}
