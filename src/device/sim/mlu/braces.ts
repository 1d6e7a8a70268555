/** Brackets of a C++ text. Main functions: `blanked`, `closing`. */

/** The same length with comments, strings and characters blanked, so that their brackets do not count. */
export const blanked = (source: string): string =>
  source.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g, (text) =>
    text.replace(/[^\n]/g, " "),
  );

/** Past the bracket that closes the one at `at`. */
export function closing(text: string, at: number, open: string, close: string): number {
  let depth = 0;
  for (let i = at; i < text.length; i++) {
    if (text[i] === open) depth++;
    if (text[i] === close && --depth === 0) return i + 1;
  }
  return text.length;
}
