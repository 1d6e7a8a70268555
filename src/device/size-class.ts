/** Rounds up to one of four steps per power of two, so that a pool of freed blocks has few sizes. */
export function sizeClass(sizeBytes: number): number {
  if (sizeBytes <= 256) return 256;
  const step = 2 ** Math.max(6, Math.floor(Math.log2(sizeBytes - 1)) - 2);
  return Math.ceil(sizeBytes / step) * step;
}
