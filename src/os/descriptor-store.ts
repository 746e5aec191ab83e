import { constants } from 'node:os';
import { hasCode, OsError } from './errors.ts';
import type { Fd } from './fd.ts';
import type { InitChannel, InitReply } from './init-channel.ts';

/** Descriptors of one entry (native/init/store.c). */
const FDS_MAX = 4;
const NAME = /^[A-Za-z0-9._-]{1,63}$/;

/**
 * Descriptors that outlive this process: init keeps copies of them under names, and the agent that
 * it starts next takes them back. What a kept descriptor leads to stays open until it is dropped.
 */
export interface DescriptorStore {
  /** False where nobody keeps anything: keep and drop do nothing, fetch and names find nothing. */
  readonly available: boolean;
  /**
   * Keeps copies of 1 to 4 descriptors; they stay the caller's. Given to the kernel before this
   * returns (see flush), so that they are kept also when this process is killed right after.
   * Requests take effect in the order they were made. A failure (the name is taken, the store is
   * full) is reported and the entry counts as not kept. Throws TypeError for a name that is not
   * 1 to 63 of A-Z a-z 0-9 . _ - and RangeError for another number of descriptors.
   */
  keep(name: string, fds: readonly Fd[]): void;
  /** Gives an entry up. Its descriptors are closed by init soon after, not before this returns. */
  drop(name: string): void;
  /** Copies of an entry's descriptors, close-on-exec, the caller's; the entry stays. Empty when there is no such entry. */
  fetch(name: string): Promise<Fd[]>;
  /** Names of all entries, in the order they were kept. */
  names(): Promise<string[]>;
  /** Resolves when the kernel has everything that was asked: at once, unless init is very busy. */
  flush(): Promise<void>;
}

/** Where there is no init of ours. */
export const noStore: DescriptorStore = {
  available: false,
  keep: checkEntry,
  drop: checkName,
  fetch: async () => [],
  names: async () => [],
  flush: async () => {},
};

/** The store in init (native/init/store.c), asked over the channel that init gave us. */
export class InitDescriptorStore implements DescriptorStore {
  readonly #channel: InitChannel;
  readonly #report: (problem: string) => void;
  /** Reasons told, so that a full store is not told for each stream. */
  readonly #told = new Set<string>();
  /** Asked to be kept and refused: nothing to drop. */
  readonly #refused = new Set<string>();

  /** `report` gets each kind of problem once. The channel stays the caller's. */
  constructor(channel: InitChannel, report: (problem: string) => void) {
    this.#channel = channel;
    this.#report = report;
  }

  get available(): boolean {
    return this.#channel.open;
  }

  keep(name: string, fds: readonly Fd[]): void {
    checkEntry(name, fds);
    const refuse = (reason: string): void => {
      this.#refused.add(name);
      this.#tell(reason, `descriptors of ${name} are not kept: ${reason}`);
    };
    this.#channel.send(`store ${name}`, fds).then(
      ({ text }) => {
        if (text !== 'ok') refuse(text);
      },
      (error: unknown) => refuse(reasonOf(error)),
    );
  }

  drop(name: string): void {
    checkName(name);
    if (this.#refused.delete(name)) return;
    const fail = (reason: string): void => {
      if (this.#refused.delete(name)) return;
      this.#tell(reason, `descriptors of ${name} are not given up: ${reason}`);
    };
    this.#channel.send(`drop ${name}`).then(
      ({ text }) => {
        if (text !== 'ok') fail(text);
      },
      (error: unknown) => fail(reasonOf(error)),
    );
  }

  async fetch(name: string): Promise<Fd[]> {
    checkName(name);
    const reply = await this.#ask(`fetch ${name}`);
    if (reply === undefined || reply.text === 'error unknown') return [];
    if (reply.text !== 'ok') {
      for (const fd of reply.fds) fd.close();
      throw new OsError('fetch', constants.errno.EIO, `${name}: ${reply.text}`);
    }
    return [...reply.fds];
  }

  async names(): Promise<string[]> {
    const names: string[] = [];
    for (let after = '0'; ; ) {
      const reply = await this.#ask(`list ${after}`);
      if (reply === undefined || reply.text === 'end') return names;
      // "ok LAST", then "NAME COUNT" a line.
      const [first = '', ...lines] = reply.text.split('\n');
      const [verdict, last = ''] = first.split(' ');
      if (verdict !== 'ok' || last === after || lines.length === 0) {
        throw new OsError('list', constants.errno.EIO, reply.text);
      }
      after = last;
      for (const line of lines) names.push(line.slice(0, line.indexOf(' ')));
    }
  }

  async flush(): Promise<void> {
    await this.#channel.flush();
  }

  /** Undefined where init is gone, and everything it kept with it. */
  async #ask(request: string): Promise<InitReply | undefined> {
    try {
      return await this.#channel.send(request);
    } catch (error) {
      if (this.#channel.open) throw error;
      this.#tell(reasonOf(error), `${request}: ${reasonOf(error)}`);
      return undefined;
    }
  }

  #tell(reason: string, problem: string): void {
    if (this.#told.has(reason)) return;
    this.#told.add(reason);
    this.#report(problem);
  }
}

function reasonOf(error: unknown): string {
  if (hasCode(error, 'EPIPE') || hasCode(error, 'ECONNRESET')) return 'init is gone';
  return error instanceof Error ? error.message : String(error);
}

function checkName(name: string): void {
  if (!NAME.test(name)) throw new TypeError(`${JSON.stringify(name)} cannot name descriptors`);
}

function checkEntry(name: string, fds: readonly Fd[]): void {
  checkName(name);
  if (fds.length < 1 || fds.length > FDS_MAX) {
    throw new RangeError(`${fds.length} descriptors of ${name}: 1 to ${FDS_MAX} can be kept`);
  }
}
