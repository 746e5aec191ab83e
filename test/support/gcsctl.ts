/** bin/gcsctl as a user runs it: with pipes, or at a terminal of its own. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { ReadStream } from 'node:tty';
import { fileURLToPath } from 'node:url';
import { openFile } from '../../src/os/pipe.ts';
import { openPty, setWindowSize, type WindowSize } from '../../src/os/pty.ts';

export const GCSCTL = fileURLToPath(new URL('../../bin/gcsctl', import.meta.url));

export interface Ended {
  /** Exit code; "SIGKILL" and the like when it was itself killed. */
  code: number | string;
  out: string;
  err: string;
}

/** A running gcsctl with pipes for its streams. */
export class PipedGcsctl {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  readonly #waiting: { text: string; found: () => void }[] = [];
  #out = '';

  /** `prefix`: a command that runs it, e.g. isolate.sh. */
  constructor(argv: readonly string[], options: { prefix?: readonly string[]; env?: object } = {}) {
    const [file = GCSCTL, ...args] = [...(options.prefix ?? []), GCSCTL, ...argv];
    this.child = spawn(file, args, { env: { ...process.env, ...options.env } });
    this.child.stdin?.on('error', () => {});
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#printed(text));
    const exit = once(this.child, 'close');
    const err = this.child.stderr ? buffer(this.child.stderr) : Promise.resolve(Buffer.alloc(0));
    this.ended = Promise.all([exit, err]).then(([[code, signal], errors]) => ({
      code: (signal ?? code) as number | string,
      out: this.#out,
      err: errors.toString(),
    }));
  }

  /** Waits until its stdout contains this text. Rejects with all it said when it ends before. */
  async printed(text: string): Promise<void> {
    if (this.#out.includes(text)) return;
    const found = new Promise<void>((resolve) => this.#waiting.push({ text, found: resolve }));
    const early = this.ended.then((ended) => {
      throw new Error(`it ended without printing "${text}": ${JSON.stringify(ended)}`);
    });
    await Promise.race([found, early]);
  }

  #printed(text: string): void {
    this.#out += text;
    for (const { text: wanted, found } of this.#waiting) if (this.#out.includes(wanted)) found();
  }
}

/** Runs gcsctl to its end. */
export function gcsctl(argv: readonly string[], input?: string | Buffer): Promise<Ended> {
  const running = new PipedGcsctl(argv);
  running.child.stdin?.end(input);
  return running.ended;
}

/** A running gcsctl whose controlling terminal is a new pseudo-terminal. */
export class TerminalGcsctl implements Disposable {
  readonly child: ChildProcess;
  readonly ended: Promise<number | string>;
  /** The terminal's settings before it started, as `stty -g` prints them. */
  readonly settingsBefore: string;
  readonly #path: string;
  readonly #master: ReturnType<typeof openPty>['master'];
  readonly #slave: ReturnType<typeof openFile>;
  readonly #stream: ReadStream;
  #screen = '';
  #waiting: { pattern: RegExp; found: (match: RegExpExecArray) => void }[] = [];

  /** `command`: what runs at the terminal; default gcsctl. */
  constructor(argv: readonly string[], size: WindowSize, command: readonly string[] = [GCSCTL]) {
    const { master, path } = openPty(size);
    this.#master = master;
    this.#path = path;
    // Held open so that the settings outlive gcsctl and can be looked at.
    this.#slave = openFile(path, constants.O_RDWR | constants.O_NOCTTY);
    this.settingsBefore = this.settings();
    this.#stream = new ReadStream(master.dup().take());
    this.#stream.setEncoding('utf8').on('data', (text: string) => this.#printed(text));
    this.#stream.on('error', () => {});
    const slave = this.#slave.raw;
    // --ctty makes it the controlling terminal; setsid then becomes gcsctl, the pid stays.
    this.child = spawn('setsid', ['--ctty', ...command, ...argv], { stdio: [slave, slave, slave] });
    this.ended = once(this.child, 'exit').then(([code, signal]) => signal ?? code);
  }

  /** Everything printed so far. */
  get screen(): string {
    return this.#screen;
  }

  settings(): string {
    return execFileSync('stty', ['-g', '-F', this.#path], { encoding: 'utf8' }).trim();
  }

  type(keys: string): void {
    this.#stream.write(keys);
  }

  resize(size: WindowSize): void {
    setWindowSize(this.#master, size);
  }

  /** The first match on the screen, now or later; rejects when gcsctl ends without it. */
  async shows(pattern: RegExp): Promise<RegExpExecArray> {
    const now = pattern.exec(this.#screen);
    if (now !== null) return now;
    const found = new Promise<RegExpExecArray>((resolve) => {
      this.#waiting.push({ pattern, found: resolve });
    });
    const early = this.ended.then((code) => {
      throw new Error(`it ended (${code}) without showing ${pattern}:\n${this.#screen}`);
    });
    // The test's own limit says nothing of what there was to see.
    const tell = (): void => console.error(`not shown yet: ${pattern}\n${this.#screen}`);
    const timer = setTimeout(tell, 45_000);
    try {
      return await Promise.race([found, early]);
    } finally {
      clearTimeout(timer);
    }
  }

  [Symbol.dispose](): void {
    this.child.kill('SIGKILL');
    this.#stream.destroy();
    this.#slave.close();
    this.#master.close();
  }

  #printed(text: string): void {
    this.#screen += text;
    this.#waiting = this.#waiting.filter(({ pattern, found }) => {
      const match = pattern.exec(this.#screen);
      if (match !== null) found(match);
      return match === null;
    });
  }
}
