import type { Logger } from '../../log/logger.ts';
import { monotonicNow } from '../../os/clock.ts';
import { pipe } from '../../os/pipe.ts';
import { exitCodeOf } from '../../os/process.ts';
import { startTimer, within } from '../../os/timer.ts';
import type { ProcessStdio, RuntimeProcess } from '../../runtime/runtime.ts';
import type { OciProcess } from '../../spec/oci.ts';
import type { Container } from '../container.ts';
import type { Lifecycle } from '../lifecycle.ts';
import type { ExecSyncRequest, ExecSyncResult } from '../management-types.ts';
import { runtimeFailure } from '../runtime-failure.ts';
import { checkTimeout, invalid } from './check.ts';
import { operationLimits } from './limits.ts';
import type { ManagedContainer } from './managed-container.ts';
import { OutputCapture } from './output-capture.ts';
import { killProcessGroup } from './process-group.ts';
import { cancelled, startDeadline } from './waiting.ts';

/** What a killed process's shell would say: 128 + SIGKILL. */
const KILLED = 137;

export interface ExecSyncContext {
  /** The agent's end. */
  end: AbortSignal;
  logger: Logger;
  lifecycle: Lifecycle;
}

/** The process of a request, as an exec of the container would have it. */
function execSyncProcess(request: ExecSyncRequest): OciProcess {
  const { args, env, cwd, user, terminal = false } = request;
  if (args.length === 0) throw invalid('args', 'no command to run');
  return {
    args: [...args],
    ...(env === undefined ? {} : { env: [...env] }),
    ...(cwd === undefined ? {} : { cwd }),
    ...(user === undefined || user === '' ? {} : { user: { username: user } }),
    terminal,
  };
}

/** One command in a container, run to its end; see ManagementOperations. */
export async function execSync(
  managed: ManagedContainer,
  request: ExecSyncRequest,
  context: ExecSyncContext,
  signal: AbortSignal | undefined,
): Promise<ExecSyncResult> {
  const limit = request.maxBytes ?? operationLimits.execSyncBytes;
  if (!Number.isInteger(limit) || limit < 0 || limit > operationLimits.execSyncBytes) {
    throw invalid('maxBytes', `not an integer up to ${operationLimits.execSyncBytes}`);
  }
  const timeoutMs = checkTimeout(request.timeoutMs, 0);
  const begin = monotonicNow();
  const spec = await managed.prepare(execSyncProcess(request));
  managed.checkRunning('execSync');
  const run = new Run(managed, context, limit);
  return await run.result(spec, { timeoutMs, begin, signal });
}

interface RunOptions {
  timeoutMs: number;
  begin: number;
  signal: AbortSignal | undefined;
}

type Verdict = 'ended' | 'timed out' | 'cancelled';

class Run {
  readonly #managed: ManagedContainer;
  readonly #container: Container;
  readonly #context: ExecSyncContext;
  readonly #limit: number;
  readonly #captures: OutputCapture[] = [];
  #process: RuntimeProcess | undefined;
  /** It was answered: what comes now is for nobody. */
  #over = false;

  constructor(managed: ManagedContainer, context: ExecSyncContext, limit: number) {
    this.#managed = managed;
    this.#container = managed.container;
    this.#context = context;
    this.#limit = limit;
  }

  async result(spec: OciProcess, options: RunOptions): Promise<ExecSyncResult> {
    const { signal, timeoutMs, begin } = options;
    const given = Promise.withResolvers<Verdict>();
    using cleanUp = new DisposableStack();
    // Counted from the call, whatever has taken how long.
    if (timeoutMs > 0) {
      const left = Math.max(0, timeoutMs - (monotonicNow() - begin));
      cleanUp.use(startTimer(left, () => given.resolve('timed out')));
    }
    const abort = (): void => given.resolve('cancelled');
    for (const each of [signal, this.#context.end]) {
      if (each?.aborted === true) abort();
      each?.addEventListener('abort', abort, { once: true });
      cleanUp.defer(() => each?.removeEventListener('abort', abort));
    }
    cleanUp.defer(() => {
      this.#over = true;
      for (const capture of this.#captures) capture[Symbol.dispose]();
    });
    const verdict = await this.#run(spec, given.promise, options);
    if (verdict === 'cancelled') throw cancelled(`a command in container ${this.#container.id}`);
    return this.#answer(verdict, begin);
  }

  async #run(
    spec: OciProcess,
    given: Promise<Verdict>,
    { timeoutMs, signal }: RunOptions,
  ): Promise<Verdict> {
    const startLimit = timeoutMs > 0 ? timeoutMs : operationLimits.startTimeoutMs;
    const starting = this.#start(spec, startLimit, signal);
    // Whoever waits is answered in time; a runtime that hangs is killed and cleaned up after.
    const early = await Promise.race([starting, given]);
    if (typeof early === 'string') {
      starting
        .then((process) => killProcessGroup(process, this.#container.runtime.cgroup))
        .catch((error) => this.#context.logger.debug('exec given up', { error: String(error) }));
      return early;
    }
    const process = early;
    const all = Promise.all(this.#captures.map((capture) => capture.ended));
    const verdict = await Promise.race([this.#ended(process, all), given]);
    if (verdict === 'ended') return verdict;
    await killProcessGroup(process, this.#container.runtime.cgroup);
    await within(operationLimits.execSyncDrainMs, Promise.all([process.exited, all]));
    return verdict;
  }

  /** Its output may be held by what it has left behind: for a while it is waited for. */
  async #ended(process: RuntimeProcess, outputs: Promise<unknown>): Promise<Verdict> {
    await process.exited;
    await within(operationLimits.execSyncDrainMs, outputs);
    return 'ended';
  }

  async #start(
    spec: OciProcess,
    limitMs: number,
    signal: AbortSignal | undefined,
  ): Promise<RuntimeProcess> {
    const { id } = this.#container;
    const what = `a command in container ${id}`;
    using deadline = startDeadline(what, limitMs, [signal, this.#context.end]);
    using ends = new DisposableStack();
    const begin = monotonicNow();
    const stdio = this.#stdio(spec.terminal === true, ends);
    const process = await this.#managed.whileRunning('execSync', () =>
      this.#container.withRuntime('beside', (runtime) => {
        this.#managed.checkRunning('execSync');
        const { signal } = deadline;
        return runtimeFailure('exec', id, () => runtime.exec({ process: spec, stdio, signal }));
      }),
    );
    this.#process = process;
    this.#context.lifecycle.execTimes.observe((monotonicNow() - begin) / 1000);
    if (this.#over) process.terminal?.close();
    else if (process.terminal !== undefined) this.#capture(process.terminal);
    return process;
  }

  /** `ends` gets what only the process needs. */
  #stdio(terminal: boolean, ends: DisposableStack): ProcessStdio {
    if (terminal) return { kind: 'terminal' };
    const [stdout, stderr] = [1, 2].map(() => {
      const { read, write } = pipe();
      ends.use(write);
      this.#capture(read);
      return write;
    });
    return { kind: 'descriptors', stdin: null, stdout: stdout ?? null, stderr: stderr ?? null };
  }

  #capture(source: ConstructorParameters<typeof OutputCapture>[0]): void {
    this.#captures.push(new OutputCapture(source, this.#limit));
  }

  #answer(verdict: Verdict, begin: number): ExecSyncResult {
    const [stdout, stderr] = this.#captures;
    const status = this.#process?.status;
    return {
      stdout: stdout?.bytes ?? new Uint8Array(),
      stderr: stderr?.bytes ?? new Uint8Array(),
      stdoutTruncated: stdout?.truncated ?? false,
      stderrTruncated: stderr?.truncated ?? false,
      exitCode: status === undefined ? KILLED : exitCodeOf(status),
      timedOut: verdict === 'timed out',
      outputHeld: this.#captures.some((capture) => !capture.done),
      durationMs: monotonicNow() - begin,
    };
  }
}
