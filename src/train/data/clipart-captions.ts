/**
 * What a clip-art SVG says about itself -> caption and tags. Its metadata is RDF in the fixed form of the Open Clip Art
 * Library, so patterns are enough. Titles are uneven: some name a whole series, some are file names, some Italian or
 * French; a caption is kept only if an English dictionary knows all its words.
 * Main functions: `readClipartMetadata`, `captionOf`, `tagsOf`.
 */

export interface ClipartMetadata {
  readonly title: string;
  readonly creator: string;
  readonly keywords: readonly string[];
  readonly isPublicDomain: boolean;
}

const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
const plain = (xml: string): string =>
  xml
    .replace(/&(\w+);/g, (whole, name: string) => entities[name] ?? whole)
    .replace(/&#(\d+);/g, (_whole, code: string) => String.fromCodePoint(Number(code)))
    .replace(/\s+/g, " ")
    .trim();

export function readClipartMetadata(svg: string): ClipartMetadata {
  const work = /<(?:cc:)?Work\b[\s\S]*?<\/(?:cc:)?Work>/.exec(svg)?.[0] ?? "";
  const first = (pattern: RegExp, text: string): string => plain(pattern.exec(text)?.[1] ?? "");
  const creator = /<dc:creator>[\s\S]*?<\/dc:creator>/.exec(work)?.[0] ?? "";
  return {
    title: first(/<dc:title>([^<]*)<\/dc:title>/, work),
    creator: first(/<dc:title>([^<]*)<\/dc:title>/, creator),
    keywords: [...work.matchAll(/<rdf:li>([^<]*)<\/rdf:li>/g)].map((m) => plain(m[1]!)).filter((k) => k !== ""),
    isPublicDomain: /<(?:cc:)?license[^>]*rdf:resource="[^"]*public_?domain[^"]*"/i.test(work),
  };
}

/** Words that a caption may hold though no dictionary lists them as noun, verb or adjective. */
const functionWords = new Set("a an and at by for from in into its of on or over the to under up with without".split(" ")); // prettier-ignore
/** Say nothing about the picture. */
const emptyWords = new Set("art clip clipart cliparts drawing example hash icon image openclipart picture shape shapes sign svg symbol symbols test untitled various vector webpage remix submission".split(" ")); // prettier-ignore
/** Tags that name a shelf of the library, not what is seen. */
const shelves = new Set(["unsorted", "signs and symbols", "map symbols", "united nations member"]);

/** Possible dictionary forms: plurals and the regular -ed and -ing. */
function* formsOf(word: string): Generator<string> {
  yield word;
  if (word.endsWith("ies")) yield `${word.slice(0, -3)}y`;
  if (word.endsWith("es")) yield word.slice(0, -2);
  if (word.endsWith("s")) yield word.slice(0, -1);
  for (const ending of ["ing", "ed"])
    if (word.endsWith(ending) && word.length > ending.length + 2) {
      const stem = word.slice(0, -ending.length);
      yield stem;
      yield `${stem}e`;
      if (stem.at(-1) === stem.at(-2)) yield stem.slice(0, -1);
    }
}

export const isKnown = (word: string, english: ReadonlySet<string>): boolean => {
  for (const form of formsOf(word)) if (english.has(form)) return true;
  return functionWords.has(word);
};

/** Lower-case words, without what marks a series ("Clipart by X - ", "01", "(B and W)") or names the author. */
function wordsOf(text: string, creator: string): string[] {
  const authors = creator.toLowerCase().split(/[^a-z]+/).filter((w) => w.length > 3); // prettier-ignore
  const words = text
    .replace(/^.*\bclip ?art by [^-]*-/i, " ")
    .replace(/^aiga(?=[ _-])|[ _-]*rpg[ _-]map[ _-]elem\w*|[ _-]bw(?![a-z])/gi, " ")
    .replace(/\([^)]*\)/g, " ")
    .replace(/([a-z])([A-Z])/g, "$1 $2")
    .replace(/['’]s\b/g, " ")
    .toLowerCase()
    .replace(/[_\-–/.,:;!?#"&+]+/g, " ")
    .replace(/\d+/g, " ")
    .split(/\s+/)
    .filter((w) => w !== "");
  const author = words.findIndex((w) => w.length > 3 && authors.some((a) => a.startsWith(w) || w.startsWith(a)));
  return author > 0 ? words.slice(0, author) : words;
}

const MAX_WORDS = 7;
const isBlackAndWhite = /\(b and w\)|[ _-]bw(?![a-z])/i;

function cleaned(text: string, creator: string, english: ReadonlySet<string>): string | undefined {
  const words = wordsOf(text, creator);
  while (words.length > 0 && (words.at(-1)!.length === 1 || functionWords.has(words.at(-1)!))) words.pop();
  const telling = words.filter((w) => w.length > 2 && !functionWords.has(w) && !emptyWords.has(w));
  if (telling.length === 0 || words.length > MAX_WORDS) return undefined;
  if (!words.every((w) => /^[a-z]+$/.test(w) && isKnown(w, english))) return undefined;
  return words.join(" ");
}

/**
 * English caption of the file at `path`, or undefined when there is none. `isSeriesTitle`: many files share the title,
 * so the file name says more.
 */
export function captionOf(
  path: string,
  { title, creator }: ClipartMetadata,
  options: { readonly english: ReadonlySet<string>; readonly isSeriesTitle: boolean },
): string | undefined {
  const fileName = path.slice(path.lastIndexOf("/") + 1).replace(/\.svg$/, "");
  const isCollection = /clip ?art|symbol|maps$/i.test(title);
  const candidates = !options.isSeriesTitle ? [title, fileName] : isCollection ? [fileName] : [fileName, title];
  for (const candidate of candidates) {
    const caption = cleaned(candidate, creator, options.english);
    if (caption === undefined) continue;
    const what = path.includes("/flags/") && !/\bflags?\b/.test(caption) ? `flag of ${caption}` : caption;
    return isBlackAndWhite.test(title) || isBlackAndWhite.test(fileName) ? `${what}, black and white` : what;
  }
  return undefined;
}

/** Known keywords and the folder's name, without those that repeat the caption. */
export function tagsOf(
  path: string,
  { keywords, creator }: ClipartMetadata,
  options: { readonly english: ReadonlySet<string>; readonly caption: string },
): string[] {
  const folder = path.split("/").at(-2) ?? "";
  const tags = [...keywords, folder].flatMap((k) => cleaned(k, creator, options.english) ?? []);
  return [...new Set(tags)].filter((tag) => !emptyWords.has(tag) && !shelves.has(tag) && !options.caption.includes(tag)).slice(0, 6); // prettier-ignore
}
