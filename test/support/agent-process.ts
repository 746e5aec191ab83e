/**
 * A real agent for a test: bin/gcs on an emulated vsock, in namespaces and cgroups of its own
 * (isolate.sh), so that it can do to "the machine" what an agent does to its VM.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assertNothingLeft, leftovers, takeCensus } from './census.ts';
import { ownCgroups, removeDyingCgroups } from './cgroup-tree.ts';
import { descendants, innermostPid, processEntry } from './proc.ts';
import { type RawBridge, RawHost } from './raw-client.ts';
import { negotiate, untilServing } from './raw-flows.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const ISOLATE = fileURLToPath(new URL('./isolate.sh', import.meta.url));

/** Milliseconds for an agent to end by itself. */
const END_GRACE_MS = 10_000;

export interface AgentOptions {
  /** More arguments for the agent. */
  args?: readonly string[];
  env?: Readonly<Record<string, string>>;
  /** False: run it bare, in the test's own namespaces (benchmarks). Default true. */
  isolate?: boolean;
  /** The agent is PID 1 of its namespace instead of the child of PID 1. */
  asInit?: boolean;
  /** Another agent that speaks the same protocol: command line with {PATH} for the hybrid path. */
  command?: readonly string[];
  /** Directory for the sockets; default a new one, removed at the end. */
  directory?: string;
}

export interface AgentExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** What the tests ask of an agent, wherever it runs. */
export interface TestedAgent {
  /** Resolves like `promise`, but fails when the agent is gone for good. */
  orExit<T>(promise: Promise<T>): Promise<T>;
  /** Lines of its log since the test began that contain `text`; waits a while for the first. */
  logged(text: string): Promise<string[]>;
}

export class AgentProcess implements AsyncDisposable, TestedAgent {
  /** PATH of hybrid:PATH. */
  readonly path: string;
  /** Holds the sockets; free for the test's own files. */
  readonly directory: string;
  /** Its cgroup in every hierarchy; of the test itself when not isolated. */
  readonly cgroups: readonly string[];
  /** Ends with the agent. */
  readonly exited: Promise<AgentExit>;
  readonly #child: ChildProcess;
  readonly #isolated: boolean;
  readonly #asInit: boolean;
  readonly #ownsDirectory: boolean;
  #log = '';
  #pid: number | undefined;

  /** Starts it and returns at once; the bridge it dials must be listened on before. */
  constructor(options: AgentOptions = {}) {
    const name = `gcs-test-${randomBytes(6).toString('hex')}`;
    this.#ownsDirectory = options.directory === undefined;
    this.directory = options.directory ?? mkdtempSync(join(tmpdir(), 'gcs-'));
    this.path = join(this.directory, 'v');
    this.#isolated = options.isolate ?? true;
    this.#asInit = options.asInit ?? false;
    const own = ownCgroups();
    this.cgroups = this.#isolated ? own.map((path) => join(path, name)) : own;
    const command = (
      options.command ?? [join(ROOT, 'bin/gcs'), '-v4', '-transport', 'hybrid:{PATH}']
    ).map((part) => part.replaceAll('{PATH}', this.path));
    command.push(...(options.args ?? []));
    const argv = this.#isolated
      ? // Should the test be killed, all of it ends too.
        [
          'setpriv',
          '--pdeathsig',
          'TERM',
          ISOLATE,
          name,
          this.#asInit ? 'init' : 'child',
          ...command,
        ]
      : command;
    const [file = '', ...rest] = argv;
    this.#child = spawn(file, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#log += text;
      });
    }
    this.exited = once(this.#child, 'close').then(([code, signal]) => ({ code, signal }));
    this.exited.catch(() => {});
  }

  /** Everything it wrote to stdout and stderr so far. */
  get log(): string {
    return this.#log;
  }

  async logged(text: string): Promise<string[]> {
    return this.#log.split('\n').filter((line) => line.includes(text));
  }

  /** The agent's pid as this process sees it. Known once the agent runs: after its first dial. */
  get pid(): number {
    this.#pid ??= this.#findPid();
    return this.#pid;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Signals the agent itself. */
  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    process.kill(this.pid, signal);
  }

  /** Resolves like `promise`, but fails with the agent's log when the agent ends first. */
  async orExit<T>(promise: Promise<T>): Promise<T> {
    const ended = this.exited.then((exit) => {
      throw new Error(`the agent ended (${exit.signal ?? exit.code}):\n${this.#log}`);
    });
    return await Promise.race([promise, ended]);
  }

  /** Ends the agent and all in its namespaces, and removes its directory and cgroups. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.running) this.#child.kill('SIGTERM');
    // Isolated, all ends with the namespaces; bare, the agent is given the time to end its containers.
    const force = setTimeout(() => this.#child.kill('SIGKILL'), END_GRACE_MS);
    await this.exited;
    clearTimeout(force);
    if (this.#isolated) await removeDyingCgroups(this.cgroups);
    if (this.#ownsDirectory) rmSync(this.directory, { recursive: true, force: true });
  }

  #findPid(): number {
    const top = this.#child.pid;
    if (top === undefined) throw new Error('the agent was not started');
    if (!this.#isolated) return top;
    const first = descendants(top).find((entry) => innermostPid(entry.pid) === 1);
    if (!first) throw new Error(`no agent runs:\n${this.#log}`);
    if (this.#asInit) return first.pid;
    const child = descendants(first.pid).find(
      (entry) => processEntry(entry.pid)?.parent === first.pid,
    );
    if (!child) throw new Error(`no agent runs:\n${this.#log}`);
    return child.pid;
  }
}

export interface RawAgent extends AsyncDisposable {
  agent: AgentProcess;
  host: RawHost;
  bridge: RawBridge;
}

/** An agent with its bridge accepted by a raw host and, unless told otherwise, negotiated. */
export async function startRawAgent(
  options: AgentOptions & { negotiate?: boolean } = {},
): Promise<RawAgent> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'gcs-'));
  const host = new RawHost(join(directory, 'v'));
  await host.listenBridge();
  const agent = new AgentProcess({ ...options, directory });
  const dispose = async () => {
    await agent[Symbol.asyncDispose]();
    await host[Symbol.asyncDispose]();
    if (options.directory === undefined) rmSync(directory, { recursive: true, force: true });
  };
  try {
    const bridge = await agent.orExit(host.acceptBridge());
    if (options.negotiate ?? true) await agent.orExit(negotiate(bridge));
    return { agent, host, bridge, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/**
 * Runs `body` with an agent and requires that the agent, and then this process, hold nothing they
 * did not hold before. A failure of `body` comes first; what it left is added to its message.
 */
export async function withRawAgent(
  options: AgentOptions & { negotiate?: boolean },
  body: (raw: RawAgent) => Promise<void>,
): Promise<void> {
  const outside = takeCensus({ cgroups: [] });
  {
    await using raw = await startRawAgent(options);
    await raw.agent.orExit(untilServing(raw.bridge));
    const before = takeCensus({ agent: raw.agent, directories: [raw.agent.directory] });
    try {
      await body(raw);
    } catch (error) {
      const left = leftovers(before, takeCensus(before.scope));
      if (error instanceof Error && left.length > 0) {
        error.message += `\n(left behind by then:\n  ${left.join('\n  ')})`;
      }
      if (error instanceof Error) error.message += `\n(log of the agent:\n${raw.agent.log})`;
      throw error;
    }
    await assertNothingLeft(before);
  }
  await assertNothingLeft(outside);
}
