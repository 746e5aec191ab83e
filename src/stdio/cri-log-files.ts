import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path/posix';
import { hasCode } from '../os/errors.ts';

/** One file of a log, open. */
export interface LogFile {
  readonly handle: FileHandle;
  /** Its inode. */
  readonly file: string;
}

/** The files of a log by their inodes, the oldest first and the one being written last. */
type Look = { readonly name: string; readonly file: string }[];

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants;

/** What the log of a path consists of: `path`, and what was rotated away, `path.1` being the youngest of it. */
export class LogFiles {
  readonly directory: string;
  readonly #name: string;

  constructor(path: string) {
    this.directory = dirname(path);
    this.#name = basename(path);
  }

  /** Whether a change of this name in the directory is one of the log's. */
  concerns(name: string | null): boolean {
    return name === null || name === this.#name || name.startsWith(`${this.#name}.`);
  }

  /** The file being written; undefined while there is none. */
  latest(): Promise<LogFile | undefined> {
    return this.#open(this.#name);
  }

  /** The file of this inode; undefined when it is gone. */
  async find(file: string): Promise<LogFile | undefined> {
    for (const { name } of (await this.#look()).filter((each) => each.file === file)) {
      const opened = await this.#open(name);
      if (opened?.file === file) return opened;
      await opened?.handle.close();
    }
    return undefined;
  }

  /** All of them, the oldest first; whoever asked closes them. */
  async all(): Promise<LogFile[]> {
    for (;;) {
      const look = await this.#look();
      const opened: LogFile[] = [];
      for (const { name, file } of look) {
        const each = await this.#open(name);
        if (each !== undefined) opened.push(each);
        if (each?.file !== file) break;
      }
      if (opened.length === look.length && opened.at(-1)?.file === look.at(-1)?.file) return opened;
      for (const { handle } of opened) await handle.close();
    }
  }

  /**
   * The file that follows `file`; undefined when that is the one being written, or the next one has
   * not got its name yet. When `file` is gone it is the oldest there is, and `gap` says so.
   */
  async after(file: string): Promise<(LogFile & { gap: boolean }) | undefined> {
    for (;;) {
      const look = await this.#look();
      const index = look.findIndex((each) => each.file === file);
      const next = look[index + 1];
      if (next === undefined) return undefined;
      const opened = await this.#open(next.name);
      // A rotation in between has moved the names: looked again, it must still be the next one.
      const again = await this.#look();
      const before = again[again.findIndex((each) => each.file === next.file) - 1];
      const follows = index < 0 ? before === undefined : before?.file === file;
      if (opened?.file === next.file && follows) return { ...opened, gap: index < 0 };
      await opened?.handle.close();
    }
  }

  /** Looked twice: names move from file to file in a rotation, and one that moves must not be missed. */
  async #look(): Promise<Look> {
    for (let before: Look = await this.#glance(); ; ) {
      const look = await this.#glance();
      const same = (each: Look[number], i: number): boolean =>
        each.name === before[i]?.name && each.file === before[i]?.file;
      if (look.length === before.length && look.every(same)) return look;
      before = look;
    }
  }

  async #glance(): Promise<Look> {
    const prefix = `${this.#name}.`;
    const numbered: { name: string; number: number }[] = [];
    for (const name of await readdir(this.directory)) {
      const number = name === this.#name ? 0 : numberOf(name, prefix);
      if (number !== undefined) numbered.push({ name, number });
    }
    numbered.sort((one, other) => other.number - one.number);
    const look: Look = [];
    for (const { name } of numbered) {
      const stat = await lstat(join(this.directory, name), { bigint: true }).catch(noneWhenGone);
      if (stat?.isFile()) look.push({ name, file: `${stat.ino}` });
    }
    return look;
  }

  /** Nothing but a regular file, by no link: who writes to the directory is not trusted. */
  async #open(name: string): Promise<LogFile | undefined> {
    try {
      const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
      const handle = await open(join(this.directory, name), flags);
      const stat = await handle.stat({ bigint: true });
      if (stat.isFile()) return { handle, file: `${stat.ino}` };
      await handle.close();
      return undefined;
    } catch (error) {
      if (hasCode(error, 'ENOENT') || hasCode(error, 'ELOOP') || hasCode(error, 'ENXIO'))
        return undefined;
      throw error;
    }
  }
}

function noneWhenGone(error: unknown): undefined {
  if (!hasCode(error, 'ENOENT')) throw error;
}

function numberOf(name: string, prefix: string): number | undefined {
  if (!name.startsWith(prefix)) return undefined;
  const text = name.slice(prefix.length);
  return /^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined;
}
