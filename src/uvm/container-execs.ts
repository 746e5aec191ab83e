import { runWithoutLogFields } from '../log/context.ts';
import { monotonicNow } from '../os/clock.ts';
import { exitCodeOf } from '../os/process.ts';
import type { RuntimeContainer } from '../runtime/runtime.ts';
import type { ContainerRecord } from '../state/journal.ts';
import type { StdioKeeper } from '../stdio/keeper.ts';
import type { ContainerContext, ExecPlan } from './container-parts.ts';
import { GuestProcess } from './guest-process.ts';
import { relayOrKill } from './relay-or-kill.ts';
import { runtimeFailure } from './runtime-failure.ts';

/** Starts processes in a running container, and tells of their ends. */
export class ContainerExecs {
  readonly #runtime: RuntimeContainer;
  readonly #record: ContainerRecord;
  readonly #context: ContainerContext;

  constructor(runtime: RuntimeContainer, record: ContainerRecord, context: ContainerContext) {
    this.#runtime = runtime;
    this.#record = record;
    this.#context = context;
  }

  /** For the streams of an exec: their number, and what keeps their connections. */
  nextStreams(): { number: number; keeper: StdioKeeper | undefined } {
    const { streams, journal } = this.#context;
    const number = journal.nextNumber();
    return { number, keeper: streams.keeper(number) };
  }

  /** Everything or nothing; the caller has the container's lock. */
  async start(plan: ExecPlan): Promise<GuestProcess> {
    const { process, connections, signal = this.#context.signal } = plan;
    const { id } = this.#runtime;
    const { streams, journal, lifecycle } = this.#context;
    const { number = journal.nextNumber() } = plan;
    const terminal = process.terminal === true;
    const kind = terminal ? 'terminal' : 'pipes';
    const record = this.#record.createProcess(kind, number, plan.door);
    try {
      const keeper = streams.keeper(number);
      using own = streams.forProcess(terminal, connections.wanted, { keeper });
      const begin = monotonicNow();
      const started = await runtimeFailure('exec', id, () =>
        this.#runtime.exec({ process, stdio: own.stdio, signal }),
      );
      lifecycle.execTimes.observe((monotonicNow() - begin) / 1000);
      own.started(started.terminal);
      const session = relayOrKill(id, own, connections, started);
      record.running(started);
      const guestProcess = new GuestProcess(started, session, record);
      plan.register(guestProcess);
      this.#tellOfStart(guestProcess, plan.door?.processId ?? `pid:${started.pid}`);
      await streams.kept();
      return guestProcess;
    } catch (error) {
      record.remove();
      throw error;
    }
  }

  #tellOfStart(process: GuestProcess, processId: string): void {
    const { pid } = process;
    const containerId = this.#runtime.id;
    this.#context.lifecycle.emit({ kind: 'exec', containerId, processId, pid });
    this.tellOfEnd(process, processId);
  }

  /** Once it has ended; unless the agent before this one has. */
  tellOfEnd(process: GuestProcess, processId: string): void {
    const { lifecycle, logger } = this.#context;
    const { pid } = process;
    const about = { containerId: this.#runtime.id, processId, pid };
    runWithoutLogFields(() => {
      void process.exited.then((status) => {
        logger.debug('process exited', { pid, status });
        if (process.endTold) return;
        lifecycle.emit({ kind: 'exit', ...about, exitCode: exitCodeOf(status) });
        setImmediate(() => process.tellsEnd());
      });
    });
  }
}
