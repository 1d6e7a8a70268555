/** What a build tells while it works; the command line shows it as a bar or as lines. */
export interface Report {
  /** A countable stretch of work begins; total 0 when it is not known. */
  phase(name: string, total: number): void;
  progress(done: number): void;
  /** One line the user should see. */
  note(line: string): void;
}

export const silent: Report = { phase: () => {}, progress: () => {}, note: () => {} };
