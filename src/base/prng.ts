/**
 * Counter-based random numbers: every value is a pure function of (seed, counter), so streams need
 * no state but a position, can be resumed exactly, and are the same on every machine.
 * Main functions: `randomBits`, and `Prng`, a cursor on one stream.
 * Source: the 32-bit mixer is C. Wellons' "triple32" family of bijections; quality is far above need.
 */

/** Bijective mixing of 32 bits. */
function mix(x: number): number {
  x ^= x >>> 17;
  x = Math.imul(x, 0xed5ad4bb);
  x ^= x >>> 11;
  x = Math.imul(x, 0xac4c1b51);
  x ^= x >>> 15;
  x = Math.imul(x, 0x31848bab);
  return (x ^ (x >>> 14)) >>> 0;
}

/** The bits of an integer above the low 32. */
const high = (n: number): number => Math.floor(n / 4294967296) | 0;

/** 32 random bits for (seed, counter); both may use up to 53 bits. */
export function randomBits(seed: number, counter: number): number {
  const key = mix((mix(seed | 0) + high(seed)) | 0);
  return mix((mix((counter ^ key) | 0) + Math.imul(high(counter), 0x9e3779b9) + key) | 0);
}

/** In [0, 1), 24 bits, exactly representable in f32. */
export const uniform = (seed: number, counter: number): number => (randomBits(seed, counter) >>> 8) / 16777216;

/** Box-Muller pair number `pair` of stream `seed`. */
function normalPair(seed: number, pair: number): [number, number] {
  const u = (randomBits(seed, 2 * pair) + 1) / 4294967297;
  const v = randomBits(seed, 2 * pair + 1) / 4294967296;
  const r = Math.sqrt(-2 * Math.log(u));
  return [r * Math.cos(2 * Math.PI * v), r * Math.sin(2 * Math.PI * v)];
}

/** Fills `out` with standard normal numbers; element i depends on (seed, i) only. */
export function normals(out: Float32Array, seed: number): void {
  for (let i = 0; i < out.length; i += 2) {
    const [a, b] = normalPair(seed, i / 2);
    out[i] = a;
    if (i + 1 < out.length) out[i + 1] = b;
  }
}

/** A cursor on one stream. `state` round-trips through JSON. */
export class Prng {
  readonly seed: number;
  counter: number;
  constructor(seed: number, counter = 0) {
    this.seed = seed;
    this.counter = counter;
  }
  nextBits(): number {
    return randomBits(this.seed, this.counter++);
  }
  /** [0, 1) */
  uniform(): number {
    return uniform(this.seed, this.counter++);
  }
  /** Integer in [0, n), n below 2^32. */
  int(n: number): number {
    return Math.floor((this.nextBits() / 4294967296) * n);
  }
  normal(): number {
    const [a] = normalPair(this.seed ^ 0x5bd1e995, this.counter++);
    return a;
  }
  /** In place, Fisher-Yates. */
  shuffle<T>(list: T[]): T[] {
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.int(i + 1);
      [list[i], list[j]] = [list[j]!, list[i]!];
    }
    return list;
  }
  get state(): { seed: number; counter: number } {
    return { seed: this.seed, counter: this.counter };
  }
}
