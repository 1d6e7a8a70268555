/**
 * One process per run folder: `run.lock` names the process that trains there. A lock whose process is gone (killed, or
 * its number given to another one since) is stale and taken over; one from another machine is believed.
 * Main functions: `lockFolder`, `refuseIfLocked`.
 */
import { linkSync, mkdirSync, readFileSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { RequestError } from "../base/errors.ts";
import { describeWriteError } from "../base/files.ts";

interface Owner {
  readonly pid: number;
  readonly host: string;
  readonly since: string;
  /** Start of the process in clock ticks since boot, which a reused number does not share; "" where unknown. */
  readonly ticks: string;
}

const lockPath = (dir: string): string => join(dir, "run.lock");

/** Holds `dir` until disposed. Throws RequestError when a living process holds it. */
export function lockFolder(dir: string): Disposable {
  const path = lockPath(dir);
  const own: Owner = {
    pid: process.pid,
    host: hostname(),
    since: new Date().toISOString(),
    ticks: ticksOf(process.pid),
  };
  const text = `${JSON.stringify(own)}\n`;
  // Linked into place whole, so nobody reads half a lock.
  const mine = `${path}.${process.pid}`;
  try {
    mkdirSync(dir, { recursive: true });
    writeFileSync(mine, text);
  } catch (error) {
    throw describeWriteError(error, mine, text.length);
  }
  try {
    while (!tryLink(mine, path)) takeOver(dir);
  } finally {
    unlinkSync(mine);
  }
  return {
    [Symbol.dispose]: () => {
      if (readLock(path)?.since === own.since) unlinkSync(path);
    },
  };
}

/** For work that comes before the lock: better to hear now than after an hour. */
export function refuseIfLocked(dir: string): void {
  const owner = readLock(lockPath(dir));
  if (owner && isAlive(owner)) throw lockedError(dir, owner);
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw describeWriteError(error, to, 0);
  }
}

/** Moves a stale lock away. What was moved is looked at again: another process may have renewed it in between. */
function takeOver(dir: string): void {
  refuseIfLocked(dir);
  const path = lockPath(dir);
  const old = `${path}.${process.pid}.old`;
  try {
    renameSync(path, old);
  } catch {
    return; // Gone already: try again.
  }
  const owner = readLock(old);
  if (owner && isAlive(owner)) tryLink(old, path);
  unlinkSync(old);
}

function readLock(path: string): Owner | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as Owner;
  } catch {
    return undefined;
  }
}

function isAlive({ pid, host, ticks }: Owner): boolean {
  if (host !== hostname()) return true;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  return ticks === ticksOf(pid);
}

/** Field 22 of /proc/<pid>/stat; the name in field 2 may hold spaces, so count from its closing bracket. */
function ticksOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}

const lockedError = (dir: string, { pid, host, since }: Owner): RequestError =>
  new RequestError(`${dir}: expected a free folder, got one in which process ${pid} on ${host} trains since ${since}; stop that process or choose another --run (if it is gone for sure, delete ${lockPath(dir)})`, "run"); // prettier-ignore
