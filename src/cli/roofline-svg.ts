/**
 * A roofline as SVG: operations per byte against operations per second, both by powers of ten, a roof of bandwidth and
 * peak, a point for each kernel. Labels that would overlap move down with a thin line to their point. Main function: `rooflineSvg`.
 */
export interface RooflinePoint {
  readonly name: string;
  /** Matrix and vector operations over bytes of device memory. */
  readonly intensity: number;
  readonly opsPerSecond: number;
}
export interface Roofline {
  readonly title: string;
  readonly note: string;
  readonly bytesPerSecond: number;
  readonly peak: number;
  readonly points: readonly RooflinePoint[];
}

const [WIDTH, HEIGHT] = [960, 600];
const plot = { left: 90, right: 930, top: 70, bottom: 530 };
/** Width of a letter of a label. */
const LETTER = 6.2;
const FONT = 'font-family="Helvetica, Arial, sans-serif"';
const escaped = (s: string): string => s.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const powers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const units = ["", "k", "M", "G", "T", "P"];
const prefixed = (power: number): string => {
  const unit = Math.max(0, Math.min(units.length - 1, Math.floor(power / 3)));
  return `${10 ** (power - 3 * unit)} ${units[unit]}`;
};

export function rooflineSvg({ title, note, bytesPerSecond, peak, points }: Roofline): string {
  const knee = peak / bytesPerSecond;
  const xs = [knee, ...points.map((p) => p.intensity)].map(Math.log10);
  const ys = [peak, ...points.map((p) => p.opsPerSecond)].map(Math.log10);
  const [x0, x1] = [Math.floor(Math.min(...xs)), Math.ceil(Math.max(...xs) + 0.3)];
  const [y0, y1] = [Math.floor(Math.min(...ys)), Math.ceil(Math.max(...ys) + 0.1)];
  const x = (v: number): number => plot.left + ((Math.log10(v) - x0) / (x1 - x0)) * (plot.right - plot.left);
  const y = (v: number): number => plot.bottom - ((Math.log10(v) - y0) / (y1 - y0)) * (plot.bottom - plot.top);
  const n = (v: number): string => v.toFixed(1);
  const text = (at: readonly [number, number], s: string, rest = ""): string => `<text x="${n(at[0])}" y="${n(at[1])}" ${FONT} ${rest}>${escaped(s)}</text>`; // prettier-ignore
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<clipPath id="p"><rect x="${plot.left}" y="${plot.top}" width="${plot.right - plot.left}" height="${plot.bottom - plot.top}"/></clipPath>`,
    text([plot.left, 32], title, 'font-size="19" font-weight="bold"'),
    text([plot.left, 54], note, 'font-size="13" fill="#555"'),
  ];
  for (const p of powers(x0, x1)) {
    out.push(`<path d="M${n(x(10 ** p))} ${plot.top}V${plot.bottom}" stroke="#e3e3e3"/>`);
    out.push(text([x(10 ** p), plot.bottom + 20], String(10 ** p), 'font-size="12" text-anchor="middle"'));
  }
  for (const p of powers(y0, y1)) {
    out.push(`<path d="M${plot.left} ${n(y(10 ** p))}H${plot.right}" stroke="#e3e3e3"/>`);
    out.push(text([plot.left - 8, y(10 ** p) + 4], `${prefixed(p)}op/s`, 'font-size="12" text-anchor="end"'));
  }
  out.push(text([(plot.left + plot.right) / 2, plot.bottom + 46], "operations per byte of device memory", 'font-size="14" text-anchor="middle"')); // prettier-ignore
  const low = 10 ** x0;
  out.push(`<path clip-path="url(#p)" d="M${n(x(low))} ${n(y(low * bytesPerSecond))}L${n(x(knee))} ${n(y(peak))}H${plot.right}" fill="none" stroke="#b3261e" stroke-width="2"/>`); // prettier-ignore
  out.push(
    text(
      [plot.right - 4, y(peak) - 7],
      `peak ${(peak / 1e12).toFixed(0)} Top/s`,
      'font-size="12" text-anchor="end" fill="#b3261e"',
    ),
  );
  // Above the slope, near the knee.
  const near = 10 ** (0.2 * x0 + 0.8 * Math.log10(knee));
  out.push(text([x(near) - 8, y(near * bytesPerSecond) - 6], `${(bytesPerSecond / 1e12).toFixed(2)} TB/s`, 'font-size="12" text-anchor="end" fill="#b3261e"')); // prettier-ignore
  out.push(...labels(points, x, y).flatMap(({ point, at }) => {
    const [px, py] = [x(point.intensity), y(point.opsPerSecond)];
    // A line to the nearer end of the label.
    const end = at[0] < px ? at[0] + point.name.length * LETTER + 2 : at[0] - 2;
    const isFar = Math.abs(at[1] - 4 - py) > 8;
    return [
      `<circle cx="${n(px)}" cy="${n(py)}" r="4" fill="#1a5fb4"/>`,
      ...(isFar ? [`<path d="M${n(px)} ${n(py)}L${n(end)} ${n(at[1] - 4)}" stroke="#9ab4d6"/>`] : []),
      text(at, point.name, 'font-size="11" fill="#123"'),
    ];
  })); // prettier-ignore
  return `${[...out, "</svg>"].join("\n")}\n`;
}

/** A place for every label: beside its point, else the nearest free one above or below, on either side. */
function labels(points: readonly RooflinePoint[], x: (v: number) => number, y: (v: number) => number): { point: RooflinePoint; at: [number, number] }[] {
  const taken: [number, number, number, number][] = points.map((p) => [x(p.intensity) - 5, y(p.opsPerSecond) - 5, x(p.intensity) + 5, y(p.opsPerSecond) + 5]); // prettier-ignore
  const isFree = (b: readonly number[]): boolean =>
    b[0]! >= plot.left && b[2]! <= plot.right && b[1]! >= plot.top && b[3]! <= plot.bottom &&
    taken.every((t) => b[2]! < t[0] || b[0]! > t[2] || b[3]! < t[1] || b[1]! > t[3]); // prettier-ignore
  return points.map((point) => {
    const [px, py, width] = [x(point.intensity), y(point.opsPerSecond), point.name.length * LETTER];
    for (let ring = 0; ring < 40; ring++)
      for (const dy of ring === 0 ? [4] : [4 + 13 * ring, 4 - 13 * ring])
        for (const dx of [8, -8 - width]) {
          const box: [number, number, number, number] = [px + dx, py + dy - 10, px + dx + width, py + dy + 2];
          if (!isFree(box)) continue;
          taken.push(box);
          return { point, at: [box[0], py + dy] as [number, number] };
        }
    return { point, at: [px + 8, py + 4] as [number, number] };
  });
} // prettier-ignore
