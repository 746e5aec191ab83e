/** A real agent under our supervisor, for tests that kill it: what it runs goes on, and so does the test. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type AgentExit, AgentProcess, type TestedAgent } from './agent-process.ts';
import { assertNothingLeft, takeCensus } from './census.ts';
import { descendants } from './proc.ts';
import { type RawBridge, RawHost } from './raw-client.ts';
import { negotiate, untilServing } from './raw-flows.ts';
import { Session, type Tested } from './suite.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

export interface SupervisedOptions {
  /** Where bin/gcs is; default the project's own. */
  root?: string;
  args?: readonly string[];
  /** False: a shell that starts the agent when it is told to, once it has been killed. Default true. */
  supervise?: boolean;
  /** The agent ends in the test, and its namespaces with it. */
  mayEnd?: boolean;
}

/** The bridge is another one after each kill. */
class SupervisedAgent implements Tested {
  readonly agent: TestedAgent;
  readonly host: RawHost;
  readonly #process: AgentProcess;
  #bridge: RawBridge | undefined;

  constructor(process: AgentProcess, host: RawHost) {
    this.#process = process;
    this.host = host;
    this.agent = process;
  }

  get bridge(): RawBridge {
    if (this.#bridge === undefined) throw new Error('the agent is not connected');
    return this.#bridge;
  }

  get log(): string {
    return this.#process.log;
  }

  get cgroups(): readonly string[] {
    return this.#process.cgroups;
  }

  get directory(): string {
    return this.#process.directory;
  }

  /** Pid of the supervisor, as this process sees it. */
  get supervisorPid(): number {
    return this.#process.pid;
  }

  /** Pid of the agent that runs now; undefined between two of them. */
  get pid(): number | undefined {
    const below = descendants(this.supervisorPid).filter(
      ({ parent }) => parent === this.supervisorPid,
    );
    return below.find(({ pid }) => isAgent(pid))?.pid;
  }

  /** Accepts the next bridge and negotiates; resolves with the milliseconds since `since`. */
  async connect(since = performance.now()): Promise<number> {
    this.#bridge = await this.#process.orExit(this.host.acceptBridge());
    await this.#process.orExit(negotiate(this.#bridge));
    return performance.now() - since;
  }

  /** Kills the agent; resolves when its end of the bridge is gone. */
  async kill(): Promise<void> {
    const { pid } = this;
    if (pid === undefined) throw new Error('no agent runs');
    process.kill(pid, 'SIGKILL');
    await this.bridge.closed;
  }

  /** Kills the agent and resolves when the next one has negotiated, with the milliseconds that took. */
  async replace(): Promise<number> {
    const since = performance.now();
    await this.kill();
    return await this.connect(since);
  }

  /** Starts the next agent where there is no supervisor to do so. */
  startAgain(): void {
    writeFileSync(join(this.directory, 'again'), '\n');
  }

  /** Resolves when the supervisor has ended, with how. */
  end(): Promise<AgentExit> {
    return this.#process.exited;
  }

  /** As this process sees it, the process that has `pid` for the agent. */
  outerPid(pid: number): number {
    const found = descendants(this.supervisorPid).find((entry) => pidsOf(entry.pid)[1] === pid);
    if (found === undefined) throw new Error(`no process ${pid}`);
    return found.pid;
  }

  /** Path of a file as the agent has it. */
  path(file: string): string {
    return join(`/proc/${this.supervisorPid}/root`, file);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process[Symbol.asyncDispose]();
    await this.host[Symbol.asyncDispose]();
  }
}

function pidsOf(pid: number): number[] {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const numbers = /^NSpid:\s+(.*)$/m.exec(status)?.[1] ?? '';
  return numbers.split(/\s+/).map(Number);
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return ''; // It has ended meanwhile.
  }
}

function isAgent(pid: number): boolean {
  return commandLine(pid).includes('build/start.cjs\0gcs\0');
}

export class SupervisedSession extends Session {
  readonly supervised: SupervisedAgent;

  constructor(supervised: SupervisedAgent) {
    super(supervised);
    this.supervised = supervised;
  }
}

/** A shell that runs its arguments, and again for each line of a fifo. */
function again(directory: string): string {
  const fifo = join(directory, 'again');
  return `mkfifo ${fifo}; while :; do "$@"; read x <${fifo} || :; done`;
}

/** Runs `body`, and requires that neither the agent nor its supervisor hold anything afterwards. */
export async function withSupervised(
  options: SupervisedOptions,
  body: (session: SupervisedSession) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-'));
  const host = new RawHost(join(directory, 'v'));
  await host.listenBridge();
  const process = new AgentProcess({
    directory,
    env: { GCS_TEST_FAULTS: join(directory, 'faults') },
    command: [
      ...(options.supervise === false ? ['sh', '-c', again(directory), 'sh'] : []),
      join(options.root ?? ROOT, 'bin/gcs'),
      ...(options.supervise === false ? [] : ['-supervise']),
      '-v4',
      '-loglevel',
      'debug',
      '-transport',
      'hybrid:{PATH}',
      ...(options.args ?? []),
    ],
  });
  try {
    await using supervised = new SupervisedAgent(process, host);
    await supervised.connect();
    await untilServing(supervised.bridge);
    const before = takeCensus({ agent: censusOf(supervised) });
    try {
      await body(new SupervisedSession(supervised));
      if (options.mayEnd !== true) await assertNothingLeft(before);
    } catch (error) {
      if (error instanceof Error) error.message += `\n(log of the agents:\n${supervised.log})`;
      throw error;
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The supervisor holds the agent, its containers and what is kept of their streams. */
function censusOf(supervised: SupervisedAgent): { pid: number; cgroups: readonly string[] } {
  return { pid: supervised.supervisorPid, cgroups: supervised.cgroups };
}
