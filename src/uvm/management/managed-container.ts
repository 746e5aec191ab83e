import { AgentError } from '../../errors.ts';
import type { WindowSize } from '../../os/pty.ts';
import { RuntimeError } from '../../runtime/runtime.ts';
import { prepareExec } from '../../spec/exec.ts';
import type { OciProcess } from '../../spec/oci.ts';
import { ConnectionSet } from '../../stdio/connection-set.ts';
import type { Container } from '../container.ts';
import { wrongState } from '../container-refusals.ts';
import type { GuestProcess } from '../guest-process.ts';
import { uvmLimits } from '../limits.ts';
import type {
  ExecRequest,
  ExitInfo,
  ProcessState,
  StreamConnections,
} from '../management-types.ts';
import { AttachHub } from './attach-hub.ts';
import { checkProcessId, checkTimeout, invalid } from './check.ts';
import { operationLimits } from './limits.ts';
import type { OwnProcess } from './own-process.ts';
import { containerExit, exitOf, initState, processState } from './state.ts';
import type { Stop } from './stop.ts';
import { startDeadline, type WaitOptions, waitFor } from './waiting.ts';

/** What the management door knows of one container beyond what the VM does: its processes by their names. */
export class ManagedContainer {
  readonly container: Container;
  /** The stop under way. */
  stop: Stop | undefined;
  /** Where clients of init attach; undefined when its streams were connected at its start. */
  initHub: AttachHub | undefined;
  readonly #processes = new Map<string, OwnProcess>();

  constructor(container: Container) {
    this.container = container;
    const { restored } = container;
    this.initHub = restored?.hub;
    for (const own of restored?.ofDoor ?? []) this.#processes.set(own.processId, own);
  }

  async exec(
    request: ExecRequest,
    signals: readonly (AbortSignal | undefined)[],
  ): Promise<ProcessState> {
    const { streams = {} } = request;
    const { number, keeper } = this.container.nextStreams();
    using given = ConnectionSet.of(streams, keeper);
    const processId = checkProcessId(request.processId);
    const timeoutMs = checkTimeout(request.timeoutMs, operationLimits.startTimeoutMs);
    this.#checkFree(processId);
    const what = `exec of ${processId} in container ${this.container.id}`;
    using deadline = startDeadline(what, timeoutMs, signals);
    const spec = await this.prepare(request.process);
    this.checkRunning('exec');
    this.#checkFree(processId);
    const hub = hubFor(streams, spec.terminal === true);
    using connections = hub?.connections ?? given;
    const own: OwnProcess = { processId, spec, guest: undefined, hub };
    this.#processes.set(processId, own);
    try {
      await this.whileRunning('exec', () =>
        this.container.execOn({
          process: spec,
          connections,
          number,
          door: { processId, process: spec, hub: hub !== undefined },
          signal: deadline.signal,
          check: () => this.checkRunning('exec'),
          register: (guest) => this.#register(own, guest),
        }),
      );
    } catch (error) {
      this.#processes.delete(processId);
      throw error;
    }
    return this.state(processId);
  }

  /** A process with what it does not say taken from the container's own, ready for the runtime. */
  async prepare(process: OciProcess): Promise<OciProcess> {
    const {
      args: _args,
      terminal: _terminal,
      consoleSize: _size,
      ...base
    } = this.container.spec.process ?? {};
    return await prepareExec({ ...base, ...process }, this.container.spec, 'process');
  }

  #register(own: OwnProcess, guest: GuestProcess): void {
    own.guest = guest;
    this.container.others.add(guest);
    void guest.drained.then(() => this.#forgetOldest());
  }

  /** AgentError 'container-not-running' or 'container-paused' unless it runs. */
  checkRunning(operation: string): void {
    const { status } = this.container;
    if (status === 'running') return;
    const code = status === 'paused' ? 'container-paused' : 'container-not-running';
    throw wrongState(this.container, code, operation);
  }

  /** Work of the runtime that needs a running container: one that ended meanwhile is told as if it had before. */
  async whileRunning<T>(operation: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const cause = error instanceof AgentError ? error.cause : undefined;
      if (!(cause instanceof RuntimeError && cause.code === 'not-running')) throw error;
      const { id } = this.container;
      throw new AgentError('container-not-running', `container ${id} is stopped`, {
        operation,
        containerId: id,
        cause,
      });
    }
  }

  #checkFree(processId: string): void {
    const { id } = this.container;
    if (this.#processes.has(processId)) {
      const text = `container ${id} has a process ${processId} already`;
      throw new AgentError('process-exists', text, { operation: 'exec', containerId: id });
    }
    if (this.#processes.size < uvmLimits.processesPerTarget) return;
    throw new AgentError('limit', `more than ${uvmLimits.processesPerTarget} processes`);
  }

  #forgetOldest(): void {
    const ended = [...this.#processes.values()].filter((own) => own.guest?.running === false);
    const surplus = Math.max(0, ended.length - uvmLimits.exitedProcesses);
    for (const own of ended.slice(0, surplus)) this.#forget(own);
  }

  #forget(own: OwnProcess): void {
    this.#processes.delete(own.processId);
    if (own.guest === undefined) return;
    this.container.others.delete(own.guest);
    own.guest.forget();
  }

  list(): ProcessState[] {
    const own = [...this.#processes.keys()].map((processId) => this.state(processId));
    const ofBridge = [...this.container.processes].map((guest) =>
      processState(bridgeName(guest), guest, undefined),
    );
    const all = [...own, ...ofBridge].sort((a, b) => (a.startedAt ?? 0) - (b.startedAt ?? 0));
    return [initState(this.container), ...all];
  }

  state(processId: string): ProcessState {
    if (processId === 'init') return initState(this.container);
    const own = this.#processes.get(processId);
    if (own === undefined) return processState(processId, this.process(processId), undefined);
    if (own.guest !== undefined) return processState(processId, own.guest, own.spec);
    const terminal = own.spec.terminal === true;
    const { spec } = own;
    return { processId, status: 'starting', pid: 0, startTime: 0, terminal, spec, streams: {} };
  }

  /** Name of a process by its pid; undefined for one that the container itself has started. */
  nameOf(pid: number): string | undefined {
    const { container } = this;
    if (pid === container.init.pid) return 'init';
    const own = [...this.#processes.values()].find(({ guest }) => guest?.pid === pid);
    if (own?.guest?.running === true) return own.processId;
    const ofBridge = container.processes.get(pid);
    return ofBridge === undefined ? undefined : bridgeName(ofBridge);
  }

  /** AgentError 'process-not-found'. */
  process(processId: string): GuestProcess {
    if (processId === 'init') return this.container.init;
    const pid = /^pid:(\d{1,10})$/.exec(processId)?.[1];
    const found =
      pid === undefined
        ? this.#processes.get(processId)?.guest
        : this.container.processes.get(Number(pid));
    if (found !== undefined) return found;
    throw new AgentError(
      'process-not-found',
      `container ${this.container.id} has no process ${JSON.stringify(processId.slice(0, 128))}`,
      { containerId: this.container.id },
    );
  }

  /** How a process ended; undefined before that. */
  exit(processId: string): ExitInfo | undefined {
    const process = this.process(processId);
    return process === this.container.init ? containerExit(this.container) : exitOf(process);
  }

  async wait(processId: string, options: WaitOptions): Promise<ExitInfo> {
    const process = this.process(processId);
    const what = `the wait for process ${processId} of container ${this.container.id}`;
    await waitFor(what, process.drained, options);
    const exit = process === this.container.init ? containerExit(this.container) : exitOf(process);
    if (exit === undefined) throw new TypeError(`${what} ended before the process`);
    return exit;
  }

  signal(processId: string, signal: number): void {
    const process = this.process(processId);
    // init's is known as the reason of its end.
    if (process === this.container.init) this.container.signal(process.pid, signal);
    else process.signal(signal);
  }

  get logPath(): string | undefined {
    return this.container.door?.log?.path;
  }

  reopenLog(): void {
    const { criLog, id } = this.container;
    if (criLog === undefined) {
      throw new AgentError('not-supported', `container ${id} has no log`, { containerId: id });
    }
    criLog.reopen();
  }

  resize(processId: string, size: WindowSize): void {
    for (const [name, value] of Object.entries(size)) {
      if (!Number.isInteger(value) || value < 0 || value > 65_535) {
        throw invalid(name, 'not an integer from 0 to 65535');
      }
    }
    this.process(processId).resize(size);
  }

  closeStdin(processId: string): void {
    const process = this.process(processId);
    this.#hubOf(processId)?.closeStdin();
    if (this.#hubOf(processId) === undefined) process.closeStdin();
  }

  /** The connections are the hub's, or closed. */
  attach(processId: string, streams: StreamConnections): void {
    try {
      this.process(processId);
      const hub = this.#hubOf(processId);
      if (hub === undefined) {
        throw new AgentError(
          'not-supported',
          `the streams of process ${processId} are not open to other clients`,
          { operation: 'attach', containerId: this.container.id },
        );
      }
      hub.attach(streams);
    } catch (error) {
      for (const connection of Object.values(streams)) connection?.close();
      throw error;
    }
  }

  /** Forgets an exec'd process that has ended. */
  delete(processId: string): void {
    const process = this.process(processId);
    const own = this.#processes.get(processId);
    if (process.running || own === undefined) {
      const text =
        own === undefined
          ? `process ${processId} is not the door's to forget`
          : `process ${processId} has not ended`;
      throw new AgentError(own === undefined ? 'not-supported' : 'process-not-exited', text, {
        containerId: this.container.id,
      });
    }
    this.#forget(own);
  }

  #hubOf(processId: string): AttachHub | undefined {
    return processId === 'init' ? this.initHub : this.#processes.get(processId)?.hub;
  }
}

function bridgeName({ pid }: GuestProcess): string {
  return `pid:${pid}`;
}

/** For who is started without any stream: clients may attach later. */
export function hubFor(
  streams: StreamConnections,
  terminal: boolean,
  stdin = terminal,
): AttachHub | undefined {
  if (Object.values(streams).some((stream) => stream !== undefined)) return undefined;
  return new AttachHub({ stdin, stdout: true, stderr: !terminal });
}
