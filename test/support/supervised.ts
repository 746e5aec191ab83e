/** `init --supervise` with a program of the test's as its agent. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { initProgram } from './init-lab.ts';
import { descriptors } from './proc.ts';

const STORE_AGENT = fileURLToPath(new URL('./store-agent.ts', import.meta.url));

const STARTED = / started, pid \d+$/m;

export interface SupervisedOptions {
  /** Below which it keeps its records; default one of its own, removed at the end. */
  run?: string;
  /** In front of the supervisor's own command line. */
  prefix?: readonly string[];
  env?: Readonly<Record<string, string>>;
}

/** Text that grows, and who waits for it. */
class Transcript {
  text = '';
  #waiting: (() => void)[] = [];

  add(text: string): void {
    this.text += text;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async change(): Promise<void> {
    await new Promise<void>((wake) => this.#waiting.push(wake));
  }
}

export class Supervised implements AsyncDisposable {
  /** Holds the records; free for the test's own files. */
  readonly run: string;
  /** Resolves with the supervisor's exit code, when the agent too holds its streams no more. */
  readonly exited: Promise<number | null>;
  readonly #child: ChildProcess;
  readonly #ownsRun: boolean;
  readonly #out = new Transcript();
  readonly #err = new Transcript();
  #over = false;
  #asked = 0;

  constructor(program: readonly string[], options: SupervisedOptions = {}) {
    this.#ownsRun = options.run === undefined;
    this.run = options.run ?? mkdtempSync(join(tmpdir(), 'gcs-supervise-'));
    const init = [initProgram(), '--supervise', '--run', this.run, '--', ...program];
    const command = ['setpriv', '--pdeathsig', 'TERM', ...(options.prefix ?? []), ...init];
    const [file = '', ...args] = command;
    this.#child = spawn(file, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH, ...options.env },
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => this.#out.add(text));
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#err.add(text));
    // Where the program reads no more.
    this.#child.stdin?.on('error', () => {});
    this.exited = once(this.#child, 'close').then(([code]) => {
      this.#over = true;
      this.#out.add('');
      this.#err.add('');
      return code;
    });
  }

  /** A shell script as the agent. */
  static shell(text: string, options?: SupervisedOptions): Supervised {
    return new Supervised(['/bin/sh', '-c', text], options);
  }

  /** store-agent.ts as the agent. */
  static storeAgent(options?: SupervisedOptions): Supervised {
    return new Supervised([process.execPath, STORE_AGENT], options);
  }

  /** Of the supervisor. */
  get pid(): number {
    return this.#child.pid ?? -1;
  }

  get output(): string {
    return this.#out.text;
  }

  get errors(): string {
    return this.#err.text;
  }

  /** The supervisor's own lines without the time. */
  get messages(): string[] {
    return [...this.errors.matchAll(/^\[ *\d+\.\d+\] init: (.*)$/gm)].map(([, text = '']) => text);
  }

  /** The pid of the agent that was started last. */
  async agent(): Promise<number> {
    await this.seeError(STARTED);
    return Number(this.messages.findLast((line) => STARTED.test(line))?.match(/\d+$/)?.[0]);
  }

  /** Resolves with the match when the output has it; fails when the supervisor ends without. */
  async see(wanted: RegExp): Promise<RegExpMatchArray> {
    return await this.#until(this.#out, wanted);
  }

  async seeError(wanted: RegExp): Promise<RegExpMatchArray> {
    return await this.#until(this.#err, wanted);
  }

  /** One command to store-agent.ts; its answer. */
  async ask(...command: (string | number)[]): Promise<unknown> {
    return await this.answer(this.tell(...command));
  }

  /** The answer with this number. */
  async answer(line: number): Promise<unknown> {
    const [, answer = ''] = await this.see(new RegExp(`^${line} (.*)\\n`, 'm'));
    const { error, result } = JSON.parse(answer) as { error?: string; result?: unknown };
    if (error !== undefined) throw new Error(error);
    return result;
  }

  /** One command, without waiting for the answer; the number of the answer's line. */
  tell(...command: (string | number)[]): number {
    const number = ++this.#asked;
    this.write(`${JSON.stringify([number, ...command])}\n`);
    return number;
  }

  write(text: string): void {
    this.#child.stdin?.write(text);
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Kills the agent that runs and waits until another one does. */
  async killAgent(): Promise<void> {
    const pid = await this.agent();
    const { starts } = this;
    process.kill(pid, 'SIGKILL');
    await this.nextAgent(starts);
  }

  /** Until more agents than `started` were started. */
  async nextAgent(started: number): Promise<void> {
    while (this.starts === started) {
      if (this.#over) throw new Error(`the supervisor has ended:\n${this.errors}`);
      await this.#err.change();
    }
  }

  /** Agents started so far. */
  get starts(): number {
    return this.messages.filter((line) => STARTED.test(line)).length;
  }

  /** What the supervisor's descriptors lead to. */
  descriptors(): string[] {
    return [...descriptors(this.pid).values()];
  }

  /** Exit records by "<pid>.<start time>". */
  records(): Map<string, string> {
    const directory = join(this.run, 'exits');
    const names = readdirSync(directory).filter((name) => !name.startsWith('.'));
    return new Map(names.map((name) => [name, readFileSync(join(directory, name), 'utf8')]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#over) {
      this.#child.kill('SIGTERM');
      this.#child.stdin?.end();
    }
    await this.exited;
    if (this.#ownsRun) rmSync(this.run, { recursive: true, force: true });
  }

  async #until(transcript: Transcript, wanted: RegExp): Promise<RegExpMatchArray> {
    for (;;) {
      const match = transcript.text.match(wanted);
      if (match) return match;
      if (this.#over) throw new Error(`ended without ${wanted}:\n${this.output}\n${this.errors}`);
      await transcript.change();
    }
  }
}
